#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <deque>
#include <list>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "dns/host_dane.h"
#include "dns/router.h"
#include "engine/context.h"
#include "engine/lane_queue.h"
#include "engine/limits.h"
#include "engine/message_maker.h"
#include "engine/messages.h"
#include "engine/smtp/session.h"
#include "engine/sources.h"
#include "engine/store.h"
#include "engine/tls_results.h"
#include "engine/why.h"
#include "queue/orders.h"
#include "queue/site_clock.h"
#include "queue/window_clock.h"

namespace veredus {

class Lanes;

// A numeric address of one of a site's hosts.
struct Target {
  io::Endpoint endpoint;
  uint16_t host = 0;  // of Site::hosts
  uint16_t preference = 0;
  std::shared_ptr<const dns::HostDane> dane = {};  // what its host says; null: nothing
};

// A session that is being dialled: when nothing has come of it by then, the host's other family is
// dialled beside it.
struct Race {
  int64_t at_mono_ns = 0;
  smtp::Session* session = nullptr;
  uint32_t dial = 0;  // of the session
};

// Idle sessions that may idle equally long, by when they became so.
struct IdleList {
  smtp::Session* oldest = nullptr;
  smtp::Session* newest = nullptr;
};

// What sessions of a lane are told; the same for all lanes with the same rules.
struct SessionRules {
  // With early mail; under TLS as configured, in clear although it is wanted, or under TLS although
  // it need not be, for the host or the domain says so.
  enum Tls : uint8_t { kAsConfigured, kInClear, kRequired };
  std::array<std::array<smtp::DialogueSettings, 3>, 2> dialogue;
  smtp::SessionLimits limits;
};

// This shard's slice of a site, from one source: what waits to go there from here, and the sessions
// that carry it. One owner, no lock.
class Lane {
 public:
  Lane(Lanes& lanes, std::shared_ptr<const Site> site, uint16_t source);

  // Where more waited than the last ticket that left there.
  size_t homes_with_more() const {
    return static_cast<size_t>(
        std::count_if(backlog.begin(), backlog.end(), [](uint8_t bits) { return bits > 1; }));
  }

  std::shared_ptr<const Site> site;
  const uint16_t source;                 // id
  std::shared_ptr<const Policy> policy;  // that the lane has taken up
  const Provider* provider = nullptr;    // of it
  const SessionRules* rules = nullptr;
  TenantPasses* passes = nullptr;  // those of `waiting`
  LaneQueue waiting;
  uint32_t works = 0;  // taken up and not returned, those being read included
  uint32_t failed_dials =
      0;  // one after the other, since the last greeting or the last fail_waiting()
  std::vector<uint8_t>
      backlog;  // by home: bit width of what waited there when its last ticket left
  std::vector<uint32_t> windows;  // by home: as last told
  IdleList* idle_list = nullptr;  // where its idle sessions stand
  std::vector<smtp::Session*>
      idle;                     // the one used last is used next: the others may grow old and close
  std::vector<Target> targets;  // resolved, refused addresses left out; by preference
  std::vector<Scope*> scopes;   // whose limits hold here, …
  std::vector<Scope*> rated;    // … of these, those that limit messages or bytes, and …
  std::vector<Scope*> slots;  // … of them those whose slots each session has; the narrowest first
  size_t held = 0;     // of `slots`, from its front: has a slot already, for the next connection
  bool moves = false;  // after a reload all goes elsewhere: its sessions go first
  bool unsettled = false;      // stands in Lanes::unsettled_
  Scope* waits_for = nullptr;  // stands in a line of that scope
  Resource waits_for_resource = Resource::connections;
  WaitLine::Key wait_key;
  uint64_t turn = 0;  // its turn has come, and has to wait for an answer of the DNS: it came then
  uint64_t tokens_of_use = 1;    // fewer at once are of no use to it
  uint64_t bytes_of_tenant = 0;  // that the next message of a tenant at his own limit has
  Scope* called_by = nullptr;    // its turn has come, this turn of the loop, …
  Resource called_for = Resource::connections;  // … for that
  uint32_t sessions = 0;                        // dialling ones included
  uint32_t dialling = 0;
  uint32_t secured = 0;       // greeted under TLS
  uint32_t tls_failures = 0;  // since the last greeting
  // Addresses that sessions of it have been greeted by and are still connected to, and how many.
  std::vector<std::pair<io::Endpoint, uint32_t>> peers;
  std::vector<Race> races;           // are to begin, as soon as there are slots
  uint16_t hosts_resolved = 0;       // Site::hosts asked so far, whole preferences at a time
  uint16_t hosts_asked = 0;          // of these, not answered yet
  uint32_t closing = 0;              // of the sessions: over, the kernel has not let go of them yet
  uint32_t leaving = 0;              // of the sessions: told to go when they are done
  bool listed = false;               // to be pumped this turn
  int64_t looks_again_mono_ns = 0;   // stands in Lanes::again_, if that has not come
  uint32_t to_come_again = 0;        // entries of it there
  int64_t used_mono_ns = 0;          // a ticket came last
  int64_t ends_mono_ns = INT64_MAX;  // stands in Lanes::ends_: nobody's time who waits ends sooner
  int64_t retried_mono_ns = INT64_MIN;  // by an order: hosts that were down then are tried again
  bool wants_place = false;             // stands in Lanes::without_place_
  int64_t transaction_ns =
      20'000'000;             // moving average of one transaction; the first guess is a near server
  double recipients = 1;      // moving average per transaction
  queue::WindowClock window;  // of the provider
  queue::SiteClock clock;     // closed: no host could be reached, and is not tried
  // No further connection is dialled till then: one was refused while others work, or no socket or
  // no port of ours could be had.
  enum class NoGrowth : uint8_t { refused, no_descriptor, no_address };
  NoGrowth no_growth = NoGrowth::refused;
  int64_t no_growth_until_mono_ns = 0;
  int64_t resolved_until_mono_ns = 0;
  int64_t resolve_begun_mono_ns = 0;
  uint32_t resolve_us = queue::kNotReached;  // that the addresses took; not told yet
  io::Endpoint redirected;                   // staging: where all goes; family 0: it does not
  io::Endpoint peer_spelled;                 // the peer heard from last, and its address in text
  std::string peer_text;
  // The last thing that went wrong on the way to a greeting: what the waiting are told when no host
  // is left.
  Returned failure;
  std::string failure_text, failure_mx, failure_address;
  // For whoever asks: what became of recipients here, and the last reply that was no 250.
  uint64_t delivered = 0, deferred = 0, failed = 0, in_doubt = 0;
  KeptReply last_reply;
  int64_t last_reply_mono_ns = 0;
  double bytes = 0;  // moving average of a transaction's content

 private:
  friend class Lanes;
  struct HostQuestion : dns::AddressHandler {
    void on_addresses(const dns::Addresses& addresses) override;
    Lanes* lanes = nullptr;
    Lane* lane = nullptr;
    uint16_t host = 0;
  };
  std::list<HostQuestion> questions_;
};

// All lanes of a shard: takes tickets, finds or opens sessions, renders, and sends every ticket
// home once.
class Lanes final : public Store::Owner, public smtp::SessionOwner {
 public:
  Lanes(ShardContext& shard, queue::Disk& disk, dns::Router& router, io::Network& network,
        io::TimerWheel& timers, Limits& limits, Sources& sources);
  ~Lanes() override;

  // By which authorities receivers are verified, where that is asked for. Before all else.
  void trust(std::shared_ptr<const io::TlsTrust> trust) { world_.trust = std::move(trust); }

  // Where results of TLS are counted; null: nowhere.
  void count_tls_in(TlsResults* results) { tls_results_ = results; }

  // Start: makes the file of this shard's attempt marks. Without it nothing is sent.
  absl::Status open_marks(uint32_t number);

  // The steps of a turn that are the lanes'.
  void take_tickets();
  void deliver();  // pumps the lanes that something happened to, closes what idles too long
  void submitted() { world_.submitted(); }
  // What became of tickets this turn, by home; empties it.
  std::unique_ptr<ReturnedMessage> take_returned(unsigned home);
  // It has been read: its memory is used again.
  void recycle(std::unique_ptr<ReturnedMessage> read) { spare_returned_ = std::move(read); }
  bool more_to_do() const {
    return more_to_do_ || !to_pump_.empty() || !to_sign_.empty() || !spent_.empty() ||
           limits_.any_changed() || taking_up_ != kNotTakingUp || told_left_ > 0 || relieves_;
  }
  int64_t next_due_mono_ns() const;

  void site_announced(SiteAnnounced& message);
  void nothing_behind(const NothingBehind& message);
  void policy_changed();
  void policy_settled();
  void take_orders(queue::OrdersPtr orders);
  void sources_changed();  // one has gone from this host, or is there again
  void trace_by(smtp::SessionTrace* trace) { world_.trace = trace; }  // null: nobody looks on
  void announce(std::shared_ptr<const queue::LiveBatch> batch);
  void segment_removed(uint16_t journal, uint32_t segment) {
    store_.segment_removed(journal, segment);
  }

  // Shutdown: what has not been offered goes home unsent, idle sessions quit, the others finish;
  // abort ends all.
  void drain();
  void abort();
  size_t sessions() const { return sessions_open_; }
  size_t works() const { return works_out_ + early_.size(); }

  std::shared_ptr<const queue::LiveBatch> find_batch(uint32_t number) override;

 private:
  friend class Lane;
  friend class LaneWhy;
  friend class SiteLists;
  static constexpr uint32_t kTicketsPerTurn = 1024;
  static constexpr uint32_t kWindowMax = 4096;
  static constexpr uint32_t kWindowFirst = 64;
  static constexpr double kWorthOpening = 64;  // transactions that wait for each connection
  static constexpr int64_t kDrainTargetNs =
      5'000'000'000;  // connections are opened so that what waits takes about this long
  static constexpr size_t kScratchKept = 64 * 1024;  // bytes of rendered text that a load keeps
  static constexpr size_t kDownHostsMax = 65536;
  static constexpr uint32_t kTlsFailuresMax = 3;  // of a lane, without a greeting between them
  // A host is spoken to in clear for a minute, then for twice as long, …
  static constexpr int64_t kBrokenTlsNs = 60'000'000'000, kBrokenTlsMaxNs = 3600'000'000'000;
  static constexpr int64_t kTlsAgeNs = 3600'000'000'000;  // of a connection
  static constexpr int64_t kRaceAfterNs = 250'000'000;    // RFC 8305 §5
  static constexpr uint32_t kWorthADial =
      1;  // transactions that a session may carry although its slot is recalled
  // Messages that a session carries although another site stands in line for a connection; fewer,
  // but not less than the second, the more of them there are.
  static constexpr uint32_t kTurnMessages = 100, kTurnMessagesMin = 10;
  // So much less, at weight 1, the first in line has had when a session of others makes room.
  static constexpr uint32_t kBehindMessages = 25;
  static constexpr int64_t kPlaceAgainNs = 1'000'000;
  // A tenant's free slots stay here so long for those who were called for them.
  static constexpr int64_t kTenantSlotsKeptNs = 1'000'000'000;
  static constexpr int64_t kAgainNs = 1'000'000'000;
  // A lane without a session dials so long before tokens are expected.
  static constexpr int64_t kDialAheadNs = 3'000'000'000;
  // Lanes that take up new rules, and such as are looked at for it.
  static constexpr size_t kTakenUpPerTurn = 256, kLanesPerTurn = 4096;
  static constexpr size_t kNotTakingUp = SIZE_MAX;
  // Works that an operator's order holds for: home of one lane's or of many, the rest next turn.
  static constexpr uint32_t kHeldBackPerTurn = 4096;
  // Works that are looked at for orders, or for the end of their time.
  static constexpr size_t kLookedOverPerTurn = 4096;
  static constexpr size_t kBatchesLookedAt = 4;  // a turn: finished ones are forgotten
  static constexpr int64_t kForgettingEveryNs = 100'000'000;
  static constexpr size_t kForgettingLookedAt = 256;
  static constexpr size_t kLanesAhead = 64;  // memory is had for so many at a time

  // A transaction under way: its works beside what the session needs.
  struct Load : smtp::Outgoing {
    std::vector<Work*> works;
    Lane* lane = nullptr;
    const smtp::Session* session = nullptr;
    uint32_t tenant = 0;
    Scope* tenant_slot = nullptr;  // of a tenant's limit of transactions at a time
    bool first_of_session = false;
  };

  // lane.cc
  bool take_up(const queue::Ticket& ticket);
  int rules_behind(const queue::Ticket& ticket) const;
  void on_work_ready(Work& work) override;
  void on_work_unreadable(Work& work, std::string_view why) override;
  void on_damage(const queue::Location& at, const std::string& what) override;
  void list(Lane& lane);
  Lane* lane_of(uint32_t site, uint16_t source);
  uint32_t weight_of(const queue::LiveBatch& batch);
  void put_in_front(Work& work);
  void forget_finished();
  Work* new_work();
  void free_work(Work& work);
  Returned& give_back(Work& work);
  void give_back_unsent(Work& work, uint64_t order = 0);
  void give_back_waiting(Lane& lane);
  void text_of(const Work& work, Returned& item, std::string_view text, std::string_view mx,
               std::string_view address);
  static uint32_t place_text(ReturnedMessage& message, std::string_view text,
                             uint32_t Returned::*at, uint32_t Returned::*length);
  void fail_waiting(Lane& lane);
  void note_outcome(Lane& lane, smtp::Result result, uint16_t code, std::string_view text);
  void tell_down(const Lane& lane, uint16_t home);

  // lane_policy.cc
  void take_up_policy(Lane& lane);
  void send_outdated_home(Lane& lane);
  void leave_missing_source(Lane& lane);
  void take_up_some();
  void recount(Lane& lane);
  void recount_loads();
  void move_elsewhere(Lane& lane);
  TenantPasses& passes_of(const Provider& provider, const Site& site);
  std::vector<Scope*> scopes_of(const Lane& lane);
  const SessionRules& rules_of(const Lane& lane);

  // lane_marks.cc
  void mark(Load& load);
  void settle_mark(Work& work, const Returned& item);
  void free_places();
  bool no_place_for(Lane& lane);

  // lane_dial.cc
  void pump_next(std::deque<Lane*>& lanes);
  void pump(Lane& lane);
  double sessions_of_use(const Lane& lane) const;
  uint32_t sessions_wanted(const Lane& lane) const;
  void grow(Lane& lane);
  const Target* find_target(Lane& lane);
  void await_address(Lane& lane);
  void look_again(Lane& lane, int64_t at_mono_ns);
  bool start_dial(Lane& lane, const Target& target, smtp::Session* rival);
  void tell_windows(Lane& lane);
  void tell_window(Lane& lane, uint16_t home, uint32_t window);
  void close_idle();
  static bool comes_next(const smtp::Session& session);
  void send_away(smtp::Session& session);

  // lane_forget.cc
  void forget_idle();
  bool may_forget(const Lane& lane) const;

  // lane_hosts.cc
  void resolve_more(Lane& lane);
  void addresses_known(Lane& lane, uint16_t host, const dns::Addresses& addresses);
  void sort_targets(Lane& lane);
  void redirect_targets(Lane& lane);
  Target* choose_target(Lane& lane);
  bool may_use(const Lane& lane, uint8_t family) const;
  bool lacks_address(const Lane& lane, const Target& target) const;
  bool is_down(const Lane& lane, const io::Endpoint& host) const;
  bool usable(const Lane& lane, const Target& target) const;
  static std::array<uint8_t, 19> host_key(const io::Endpoint& endpoint);
  const io::Endpoint& from_address(const Lane& lane, uint8_t family) const;
  static uint32_t* peer_of(Lane& lane, const io::Endpoint& host);
  void pass_over(const Lane& lane, const io::Endpoint& host, bool own, bool lost_race = false);
  bool forgive_lost_races(const Lane& lane);
  void note_family(Lane& lane, std::string_view text);
  void note_failure(Lane& lane, smtp::Verdict verdict, std::string_view text,
                    std::string_view enhanced);

  // lane_next_hop.cc
  void go_by_route(const Lane& lane, smtp::DialogueSettings& dialogue) const;
  uint16_t port_of(const Site& site, uint16_t host) const;
  bool known_by_number(Lane& lane, uint16_t host);
  dns::AddressPolicy::Result judge_address(const Site& site, uint16_t host,
                                           const dns::IpAddress& address) const;
  void note_refused_auth(Lane& lane, const smtp::Outcome& outcome);

  // lane_tls.cc
  static smtp::TlsUse tls_use(const Lane& lane) { return lane.rules->dialogue[0][0].tls; }
  const smtp::DialogueSettings& dialogue_for(const Lane& lane, const Target& target) const;
  static bool failed_at_tls(const smtp::Session& session, const smtp::Outcome& outcome);
  static bool failed_for_tls(const smtp::Session& session, const smtp::Outcome& outcome);
  static bool heeds_dane(const Lane& lane);
  static bool demands_tls(const Lane& lane, const dns::HostDane* dane);
  bool tls_is_broken(const Lane& lane, const io::Endpoint& host) const;
  bool goes_on_without(Lane& lane, const smtp::Session& session, const smtp::Outcome& outcome);
  bool must_not_stay(const Lane& lane, const smtp::Session& session);
  static bool needs_tls(const Lane& lane, const Work& work);
  void put_off_for_tls(Work& work, const smtp::Session& session);
  static std::string_view host_name(const smtp::Session& session);
  io::TlsPeer tls_peer(const smtp::Session& session) override;
  void tls_of(const Work& work, Returned& item, const io::TlsChannel& tls);

  // lane_tls_results.cc
  bool counts_tls(const Lane& lane) const;
  TlsResult tls_result(const Lane& lane, std::string_view domain, const dns::HostDane* dane) const;
  void count_tls(const smtp::Session& session, TlsResult result, TlsResult::Type type,
                 std::string_view reason);
  void count_session(smtp::Session& session, std::string_view domain);
  void count_failed_tls(const smtp::Session& session, const smtp::Outcome& outcome,
                        std::string_view text);
  void count_unknown_tlsa(const Lane& lane, const dns::HostDane& dane);
  static std::string_view domain_of(std::string_view address) {
    return address.substr(address.rfind('@') + 1);
  }

  // lane_race.cc
  void may_race(Lane& lane, smtp::Session& session);
  void run_races();
  void begin_races(Lane& lane);
  const Target* other_family(const Lane& lane, const smtp::Session& session) const;
  void on_session_connected(smtp::Session& session) override;
  void end_race(smtp::Session& session);

  // lane_windows.cc
  struct TenantWindows {
    uint64_t policy_version = 0;
    std::shared_ptr<const queue::DeliveryWindows> windows;  // null: always open
    queue::WindowClock clock;
  };
  TenantWindows& windows_of(const LaneQueue::Tenant& tenant);
  int64_t opens_wall_ns(Lane& lane);
  bool shut(Lane& lane, const LaneQueue::Tenant& tenant);

  // lane_orders.cc
  void tell_lanes();
  size_t cost_of(const Lane& lane) const;
  void try_again(Lane& lane);
  void end_some();
  void ends_at(Lane& lane, int64_t end_mono_ns);
  void look_over(Lane& lane);
  const queue::Order* order_for(const Lane& lane, const Work& work) const;
  bool held_back(Lane& lane, Work& work);

  // lane_tokens.cc
  bool comes_soon(Scope& scope, Resource resource, int64_t& expected_mono_ns) const;
  bool may_grow(Lane& lane);
  bool take_connection_tokens(Lane& lane, uint32_t more);
  size_t recipients_allowed(Lane& lane);
  Scope& scope_of(const Lane& lane, uint32_t tenant);
  bool tenant_allowed(Lane& lane, LaneQueue::Tenant& tenant, size_t& recipients);
  bool bytes_allowed(Lane& lane, Load& load);
  bool tenant_bytes_allowed(Lane& lane, LaneQueue::Tenant& tenant, Load& load);
  void block(Lane& lane, LaneQueue::Tenant& tenant, Resource lacks);
  void take_message_tokens(Lane& lane, LaneQueue::Tenant& tenant, Load& load);
  void take_back(Lane& lane, Load& load);
  void await_tokens(Lane& lane, Scope& scope, Resource resource, uint64_t next);
  void call_for_tokens(Scope& scope, Resource resource);
  void call_tenant(Scope& scope);
  void keep_for_called(Scope& scope);
  void end_keeping();
  void drop_blocked(Lane& lane);

  // lane_limits.cc
  bool take_connection(Lane& lane, uint32_t more);
  void give_back_connection(Lane& lane);
  void release_held(Lane& lane);
  void give_back_unwanted(Lane& lane);
  bool owes(const Lane& lane) const;
  bool pays(const smtp::Session& session) const;
  static size_t messages_of_turn(const WaitLine& line);
  bool makes_room(const smtp::Session& session);
  bool others_first(Lane& lane, Scope& scope, Resource resource);
  bool others_behind(Lane& lane, Scope& scope);
  static bool goes_first(Lane& lane, WaitLine& line);
  void stand_in_line(Lane& lane, Scope& scope, Resource resource);
  void press(Scope& scope);
  void leave_line(Lane& lane);
  void call_from_lines();
  void call(Scope& scope, Resource resource, uint64_t most);
  void not_waited_for(Scope& scope);
  void end_of_calls();
  bool awaits_tokens(Lane& lane, const smtp::Session& session) const;
  static bool is_short(const Scope& scope);
  static bool is_pressed(const Lane& lane);
  smtp::Session* next_idle();
  void relieve_scopes();

  // lane_send.cc
  bool offer_next(Lane& lane, smtp::Session& session);
  void put_on_idle(smtp::Session& session);
  void append(IdleList& list, smtp::Session& session);
  void remove(IdleList& list, smtp::Session& session);
  static int64_t ends_mono_ns(const Work& work);
  bool expired(const Work& work) const { return ends_mono_ns(work) <= shard_.mono_ns; }
  void expire(Work& work);
  void gather(LaneQueue::Tenant& tenant, Load& load, const smtp::Session& session, size_t allowed);
  bool render(Load& load, const smtp::Session& session, queue::Entry& entry);
  static MessageMaker::Form form_for(const smtp::Session& session);
  void not_made(Load& load);
  Load* new_load();
  // Its recipients stand elsewhere, or are settled.
  void free_load(Load& load);
  void end_load(Load& load);
  void on_session_ready(smtp::Session& session) override;
  void on_session_outcome(smtp::Session& session, smtp::Outgoing* outgoing,
                          const smtp::Outcome& outcome, std::string_view text) override;
  void session_ended(smtp::Session& session, const smtp::Outcome& outcome, std::string_view text);
  void on_outgoing_free(smtp::Session& session, smtp::Outgoing& outgoing) override;
  void on_session_closing(smtp::Session& session) override;
  void on_session_gone(smtp::Session& session) override;
  void take_off_idle(smtp::Session& session);
  bool too_old(const Lane& lane, const smtp::Session& session) const;
  smtp::Session* new_session();
  bool early_mail(const Lane& lane, uint16_t host) const;

  ShardContext& shard_;
  Store store_;
  dns::Router& router_;
  TlsResults* tls_results_ = nullptr;
  smtp::SessionWorld world_;
  Limits& limits_;
  Sources& sources_;
  absl::flat_hash_map<std::string, std::unique_ptr<SessionRules>> rules_;  // by what they say
  absl::flat_hash_map<uint32_t, std::unique_ptr<TenantPasses>> passes_;    // by site
  std::vector<TenantWindows> tenant_windows_;                              // by tenant number
  std::vector<uint32_t> weights_;    // by tenant number; 0: not looked up yet
  size_t taking_up_ = kNotTakingUp;  // of lanes_in_order_: the next to take up the new rules
  // Limits that sessions do not count under any more, and how many: until all shards say so.
  std::vector<std::pair<Scope*, uint32_t>> left_;
  uint64_t loads_counted_ = 0;    // policy version
  std::vector<Lane*> unsettled_;  // want a connection, and wait for Limits::settled()

  absl::flat_hash_map<uint32_t, std::shared_ptr<const Site>> sites_;  // announced; by number
  absl::flat_hash_map<std::pair<uint32_t, uint16_t>, std::unique_ptr<Lane>>
      lanes_;                          // by site number and source
  std::vector<Lane*> lanes_in_order_;  // in which they were made, but for some that went
  size_t forgetting_ = 0;              // of these: looked at next
  int64_t next_forgetting_mono_ns_ = 0;
  unsigned pinned_ = 0;  // questions that hold on to lanes: none goes meanwhile
  absl::flat_hash_map<uint32_t, std::shared_ptr<const queue::LiveBatch>>
      batches_;                           // by the number's lower half
  std::deque<uint32_t> batches_in_turn_;  // the same numbers: whose turn it is to be looked at
  std::deque<queue::Ticket> early_;       // came before what they name was announced
  std::deque<Lane*> to_pump_;
  std::deque<Lane*> to_sign_;  // listed, too: this turn can make no further signature
  absl::btree_multimap<int64_t, Lane*> again_;  // monotonic time, lane
  // Monotonic time at which somebody's time ends who waits, and the site number and source of his
  // lane.
  using Ends = std::pair<int64_t, std::pair<uint32_t, uint16_t>>;
  absl::btree_set<Ends> ends_;
  // Lanes that have not heard yet of what operators have ordered last.
  size_t told_ = 0, told_left_ = 0;  // of lanes_in_order_: the next one, and so many from there
  std::vector<queue::Order> retries_;
  std::vector<std::unique_ptr<ReturnedMessage>> returned_;  // by home
  std::vector<uint64_t> returned_number_;                   // of the last one, by home
  std::unique_ptr<ReturnedMessage> spare_returned_;
  queue::Disk& disk_;
  std::span<uint8_t> marks_memory_;
  std::vector<uint8_t> marks_without_file_;  // instead, when the disk was full
  queue::AttemptMarks marks_;
  std::vector<Lane*> without_place_;  // have something to offer, and no place for its marks

  std::deque<smtp::Session> session_slab_;
  std::vector<smtp::Session*> free_sessions_;
  std::deque<Work> work_slab_;
  Work* free_works_ = nullptr;
  std::deque<Load> load_slab_;
  std::vector<Load*> free_loads_;
  std::map<int64_t, IdleList> idle_lists_;  // all idle sessions, by how long they may, ns
  size_t idle_ = 0;                         // of these
  // Who is looked at next for what is pressed, and his list (null: from the first one on).
  smtp::Session* relieving_ = nullptr;
  IdleList* relieving_of_ = nullptr;
  size_t idle_left_ = 0;   // so many are to be looked at before that rests
  bool relieves_ = false;  // goes on with it next turn
  // Hosts that could not be reached from a source: passed over until then.
  struct Down {
    int64_t since_mono_ns = 0, until_mono_ns = 0;
    bool lost_race = false;  // another one connected sooner: that is all that is known of it
  };
  using DownKey = std::pair<std::array<uint8_t, 19>, uint64_t>;
  absl::flat_hash_map<DownKey, Down> down_hosts_;
  static DownKey down_key(const Lane& lane, const io::Endpoint& host, bool own);
  // Hosts with which TLS fails. From the second time on they are spoken to in clear until then.
  struct BrokenTls {
    uint32_t failures = 0;  // one after the other
    int64_t since_mono_ns = 0, until_mono_ns = 0;
  };
  absl::flat_hash_map<DownKey, BrokenTls> broken_tls_;
  static DownKey tls_key(const Lane& lane, const io::Endpoint& host) {
    return {host_key(host), lane.site->number};
  }
  std::deque<Race> races_;  // in order
  std::vector<Lane*> called_;
  std::vector<Scope*> pressed_;                 // somebody waits for their slots, here or elsewhere
  absl::btree_multimap<int64_t, Scope*> kept_;  // of tenants: monotonic time until, scope
  uint64_t came_ = 0;                           // so many stood in a line so far
  size_t sessions_open_ = 0;
  size_t works_out_ = 0;
  MessageMaker maker_;
  queue::Entry entry_;
  std::vector<smtp::Session*> spent_;  // idle, and have carried as many messages as they may
  uint32_t held_back_left_ = kHeldBackPerTurn;
  bool more_to_do_ = false;
  bool draining_ = false;
};

}  // namespace veredus
