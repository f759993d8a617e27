#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "dns/router.h"
#include "engine/erasure.h"
#include "engine/in_doubt.h"
#include "engine/intake/port.h"
#include "engine/orders.h"
#include "engine/policy.h"
#include "engine/smtp/verdict.h"
#include "engine/tls/sts_port.h"
#include "queue/live_batch.h"
#include "queue/orders.h"
#include "queue/outcome.h"
#include "queue/record.h"
#include "queue/ticket.h"

namespace veredus {

class Trace;  // trace.h, which few need

// A site: the set of MX names that a domain resolves to, or the next hops of a static route.
// Domains with the same set share lanes and connections, unless a provider's rule names some of
// them: these are a site of their own. Immutable; made by the site's owner shard, shared by all
// that send to it.
struct Site {
  uint32_t number = 0;    // unique in the process
  uint16_t owner = 0;     // shard that lends its connections
  uint32_t provider = 0;  // with `by_domain`: id of the one whose rule names its domains
  bool by_domain = false;
  // Of its domains (RFC 8461). Those without have a site of their own, though hosts be the same.
  tls::StsMode sts = tls::StsMode::none;
  std::vector<bool> outside_policy;  // by host; in testing mode: the policy does not name it
  std::string key;
  std::string rules_key;  // by which rules are found for it: the key without what a policy adds
  std::vector<dns::MxHost> hosts;  // by preference; enforced: those of the policy only
  // Of a static route: its id, and the hosts' ports. Else none, and that of the configuration.
  uint32_t route = RouteIndex::kNone;
  std::vector<uint16_t> ports;
};

// What shards say to each other, apart from tickets. Messages of one shard to another arrive in
// order.
struct Message {
  enum class Kind : uint8_t {
    append,
    announce,
    discard,          // intake → home
    forget,           // intake → home
    in_doubt_ask,     // control → home
    erasure_ask,      // control → home
    order_ask,        // control → home
    orders,           // engine → all shards: operators' orders are others
    why_ask,          // control → home
    sites_ask,        // control → shard
    tls_results_ask,  // control → shard
    trace_begin,      // control → shard
    why_visit,        // home → lanes, one after the other → control
    route_ask,        // home → the domain's shard
    site_ask,         // the domain's shard → the site's owner
    route_told,       // either → home
    sts_fetched,      // the fetcher of policies → the domain's shard
    returned,         // lane → home
    window,           // lane → home
    limit_ask,
    limit_back,
    limit_withdraw,  // a shard that works within a limit → the limit's owner
    limit_granted,
    limit_recalled,   // the limit's owner → a shard
    limit_adopted,    // a shard → the limit's owner: sessions count under it that did not before
    site_announced,   // home → lane, ahead of its first ticket
    nothing_behind,   // home → lane
    lane_down,        // lane → home
    policy,           // engine → all shards: the rules of sending are new
    policy_taken_up,  // a shard → all shards: its sessions are counted by the new rules
    sources_changed,  // a shard → all shards
    segment_removed,  // home → all shards: whoever has it open lets go of it
    stop,
  };
  explicit Message(Kind message_kind) : kind(message_kind) {}
  virtual ~Message() = default;
  Message* next = nullptr;
  const Kind kind;
  uint16_t from = 0;  // shard
  uint16_t home = 0;  // of what is for a home: whose it is, for a shard may have several
};

struct AppendMessage : Message {
  AppendMessage() : Message(Kind::append) {}
  intake::AppendRequest request;
};
struct AnnounceMessage : Message {
  AnnounceMessage() : Message(Kind::announce) {}
  std::shared_ptr<const queue::LiveBatch> batch;
};
struct DiscardMessage : Message {
  DiscardMessage() : Message(Kind::discard) {}
  uint64_t batch = 0;
};

// A batch that was finished long ago is remembered no longer.
struct ForgetMessage : Message {
  ForgetMessage() : Message(Kind::forget) {}
  uint64_t batch = 0;
};

struct InDoubtAsk : Message {
  InDoubtAsk() : Message(Kind::in_doubt_ask) {}
  InDoubtQuestion question;
};

struct ErasureAsk : Message {
  ErasureAsk() : Message(Kind::erasure_ask) {}
  ErasureQuestion question;
};

struct OrderAsk : Message {
  OrderAsk() : Message(Kind::order_ask) {}
  OrderQuestion question;
};
struct OrdersMessage : Message {
  OrdersMessage() : Message(Kind::orders) {}
  queue::OrdersPtr orders;
};
struct WhyAsk : Message {
  WhyAsk() : Message(Kind::why_ask) {}
  WhyQuestion question;
};
struct SitesAsk : Message {
  SitesAsk() : Message(Kind::sites_ask) {}
  SitesQuestion question;
};

struct TlsResultsAsk : Message {
  TlsResultsAsk() : Message(Kind::tls_results_ask) {}
  TlsResultsQuestion question;
};

struct TraceBegin : Message {
  TraceBegin() : Message(Kind::trace_begin) {}
  std::shared_ptr<Trace> trace;
};

// What a home leaves to a lane: why it does not send one of an answer's items.
struct LaneLook {
  uint32_t item = 0;  // of WhyAnswer::waiting
  uint32_t site = 0;
  uint16_t source = 0;
  uint16_t shard = 0;
  // A ticket that may be there, or with another look of the same item. kNoSlot: none, the item
  // waits at home for room in the lane.
  uint32_t slot = queue::kNoSlot;
  uint16_t generation = 0;
  uint16_t home = 0;
  uint32_t tenant = 0;
  uint8_t band = 0;
  uint64_t ahead = 0;  // at home, of the same tenant and band; without those that are out
};
// What a lane leaves to a rate's owner: when so many tokens of it have come.
struct RateLook {
  uint32_t item = 0, condition = 0;  // of WhyAnswer::waiting, of its conditions
  ScopeId scope;
  Resource resource = Resource::message_rate;
  uint16_t owner = 0, holder = 0;  // shards
  uint64_t tokens = 1;
};
// A home's answer, on its way past all who know more of it; the last one gives it to the control
// thread.
struct WhyVisit : Message {
  WhyVisit() : Message(Kind::why_visit) {}
  WhyAnswer answer;
  std::vector<LaneLook> lanes;  // by shard
  std::vector<RateLook> rates;  // likewise, when all lanes have been asked
  size_t next_lane = 0, next_rate = 0;
  std::vector<uint32_t> by_lanes;  // by item: conditions that lanes have put in front
  std::vector<bool> found;         // by item: its ticket
};

// "Where does this domain's mail go?" `domain_id` is the asking home's own number.
struct RouteAsk : Message {
  RouteAsk() : Message(Kind::route_ask) {}
  uint16_t asking_home = 0;
  uint32_t domain_id = 0;
  std::string domain;
};
// The route is known, the site's number is not: only its owner gives numbers.
struct SiteAsk : Message {
  SiteAsk() : Message(Kind::site_ask) {}
  uint16_t asking_home = 0;
  uint32_t domain_id = 0;
  int64_t expires_mono_ns = 0;
  uint32_t dns_us = 0;
  uint64_t policy_version = 0;  // of the rules by which it was found
  Site site;                    // without what its owner says
};
// What came of a fetch() of MTA-STS policies.
struct StsFetchedMessage : Message {
  StsFetchedMessage() : Message(Kind::sts_fetched) {}
  tls::StsFetched fetched;
};
struct RouteTold : Message {
  RouteTold() : Message(Kind::route_told) {}
  uint32_t domain_id = 0;
  int64_t expires_mono_ns = 0;
  uint32_t dns_us = 0;
  uint64_t policy_version = 0;       // of the rules by which the site was found
  std::shared_ptr<const Site> site;  // null: no route, as the verdict says
  smtp::Verdict verdict;
  std::array<uint16_t, 3> enhanced{};
  std::string reason;
};

// A ticket that comes back. Texts lie in the message's arena.
struct Returned {
  queue::Ticket ticket;
  bool unsent = false;   // nothing was tried: no attempt is counted
  uint64_t order = 0;    // with `unsent`: an operator's, that holds for this recipient
  bool expired = false;  // with `never`: its time had passed when the lane took it up
  smtp::Verdict verdict;
  uint8_t stage = 0;
  uint16_t code = 0;
  std::array<uint16_t, 3> enhanced{};
  uint32_t bytes = 0;
  uint32_t text_at = 0, text_length = 0;
  uint32_t mx_at = 0, mx_length = 0;
  uint32_t address_at = 0, address_length = 0;
  // Protocol, cipher, and what the host was verified by; empty: not under TLS.
  uint32_t tls_at = 0, tls_length = 0;
  uint16_t source = 0;
  queue::Timing timing;
};
struct ReturnedMessage : Message {
  ReturnedMessage() : Message(Kind::returned) {}
  uint64_t number = 0;  // of the shard's messages to this home; ascending, from 1
  std::vector<Returned> items;
  std::string arena;
};

// How many tickets a line of a home may have out at this slice of the site.
struct WindowMessage : Message {
  WindowMessage() : Message(Kind::window) {}
  uint32_t site = 0;
  uint16_t source = 0;
  uint32_t window = 0;
};
// No host of the site can be reached from this source: tickets are in vain until then. 0: they are
// not any more.
struct LaneDown : Message {
  LaneDown() : Message(Kind::lane_down) {}
  uint32_t site = 0;
  uint16_t source = 0;
  int64_t until_mono_ns = 0;
};
// Nothing more waits at that home for the lane, though its last ticket said so: it was cancelled,
// has gone by other shards, or waits for a window. No ticket of it is on its way.
struct NothingBehind : Message {
  NothingBehind() : Message(Kind::nothing_behind) {}
  uint32_t site = 0;
  uint16_t source = 0;
};
// Of a limit: slots or tokens asked, granted, recalled, given back, adopted.
struct LimitMessage : Message {
  explicit LimitMessage(Kind kind_of_message) : Message(kind_of_message) {}
  ScopeId scope;
  Resource resource = Resource::connections;
  uint64_t count = 0;
  // As queue/lease.h and queue/rate.h have them.
  uint64_t urgent = 0;
  uint32_t weight = 1;
  // Of tokens only.
  uint64_t at_once = 1;
  int64_t granted_mono_ns = 0;
  int64_t expires_mono_ns = 0;
  int64_t next_mono_ns = INT64_MAX;
  bool once = false;
  uint64_t policy_version = 0;  // in force where it comes from
};
// A source's address has gone from this host, or is there again.
struct SourcesChanged : Message {
  SourcesChanged() : Message(Kind::sources_changed) {}
};
struct PolicyMessage : Message {
  PolicyMessage() : Message(Kind::policy) {}
  std::shared_ptr<const Policy> policy;
};
struct PolicyTakenUp : Message {
  PolicyTakenUp() : Message(Kind::policy_taken_up) {}
  uint64_t version = 0;
};
struct SiteAnnounced : Message {
  SiteAnnounced() : Message(Kind::site_announced) {}
  std::shared_ptr<const Site> site;
  uint16_t source = 0;
};
struct SegmentRemoved : Message {
  SegmentRemoved() : Message(Kind::segment_removed) {}
  uint16_t journal = 0;
  uint32_t segment = 0;
};
struct StopMessage : Message {
  StopMessage() : Message(Kind::stop) {}
  bool abort = false;  // open transactions end at once
};

}  // namespace veredus
