// How many sessions a lane has, and to which of the site's hosts.

#include <algorithm>
#include <bit>
#include <cassert>
#include <charconv>
#include <cmath>
#include <utility>

#include "engine/lane.h"

namespace veredus {

void Lanes::deliver() {
  free_places();
  while (!again_.empty() && again_.front().first <= shard_.mono_ns) {
    Lane& lane = *again_.front().second;
    again_.pop_front();
    lane.looks_again = false;
    list(lane);
  }
  for (smtp::Session* session : spent_) {
    if (session->listed_idle) send_away(*session);
  }
  spent_.clear();
  call_from_line();
  for (size_t lanes = to_pump_.size(); lanes > 0; --lanes) {
    Lane& lane = *to_pump_.front();
    to_pump_.pop_front();
    lane.listed = false;
    pump(lane);
  }
  end_of_calls();
  // Only now: what idled before may have been given something to carry.
  while (idle_oldest_ != nullptr && sessions_leaving_ < in_line_.size()) send_away(*idle_oldest_);
  close_idle();
  forget_finished();
}

// The session goes as soon as nothing is under way.
void Lanes::send_away(smtp::Session& session) {
  take_off_idle(session);
  if (!session.told_to_leave) {
    session.told_to_leave = true;
    ++sessions_leaving_;
    ++static_cast<Lane*>(session.place)->leaving;
  }
  session.leave();
}

// At the limit of connections, sites without any stand in line: what idles goes, what has carried
// its share makes room, and each place that becomes free is kept for the one whose turn it is.
void Lanes::call_from_line() {
  size_t free = connections_max_ - std::min(connections_max_, sessions_open_);
  for (; free > 0 && !in_line_.empty(); --free) {
    Lane& lane = *in_line_.front();
    in_line_.pop_front();
    lane.in_line = false;
    lane.called = true;
    ++kept_;
    called_.push_back(&lane);
    list(lane);
  }
}

// Who could not dial after all, because something else lacks, stands in line again when he can.
void Lanes::end_of_calls() {
  for (Lane* lane : called_) lane->called = false;
  called_.clear();
  kept_ = 0;
}

bool Lanes::makes_room(const smtp::Session& session) const {
  return session.messages() >= kTurnMessages && sessions_leaving_ < in_line_.size();
}

// False: no connection is free, or others come first. A lane without any stands in line then.
bool Lanes::may_dial(Lane& lane) {
  if (lane.called || (sessions_open_ + kept_ < connections_max_ && in_line_.empty())) return true;
  if (lane.sessions > 0 || std::exchange(lane.in_line, true)) return false;
  in_line_.push_back(&lane);
  // By the time of its turn it should know where to go.
  if (lane.hosts_resolved == 0 && lane.hosts_asked == 0) resolve_more(lane);
  return false;
}

// Brings what waits and the sessions together.
void Lanes::pump(Lane& lane) {
  // Recalled slots go back with sessions that were worth their dialling: where a slot goes round
  // many slices, each would else connect, hear of the recall, and leave without having sent
  // anything, for ever.
  for (size_t i = lane.idle.size(); i > 0 && lane.leases.owed() > lane.leaving; --i) {
    smtp::Session& session = *lane.idle[i - 1];
    if (lane.waiting_total == 0 || session.messages() >= kWorthADial) send_away(session);
  }
  while (lane.waiting_total > 0 && !lane.idle.empty() && !no_place_for(lane)) {
    smtp::Session& session = *lane.idle.back();
    if (makes_room(session)) {
      send_away(session);
      continue;
    }
    take_off_idle(session);
    // With early mail it was listed before the last reply came, and that may have led to a RSET: it
    // will say when it is ready again.
    if (session.may_offer()) offer_next(lane, session);
  }
  tell_windows(lane);
  if (lane.waiting_total > 0 && !lane.wants_place) grow(lane);
  // Slots that nobody here needs now: the other slices may. While more waits at a home, its tickets
  // are on their way.
  const auto more = [](uint8_t bits) { return bits > 1; };
  if (lane.waiting_total > 0 || std::any_of(lane.backlog.begin(), lane.backlog.end(), more)) return;
  if (const uint32_t back = lane.leases.give_back_free(0))
    send_lease(lane, Message::Kind::lease_back, back);
}

// As many as make what waits leave within kDrainTargetNs, by what a transaction takes here.
uint32_t Lanes::sessions_wanted(const Lane& lane) const {
  double waiting = lane.waiting_total;
  for (const uint8_t bits : lane.backlog) {
    if (bits > 0) waiting += 0.75 * std::ldexp(1.0, std::min<int>(bits, 40));
  }
  const double transactions = waiting / lane.recipients;
  // So that each has enough to carry to be worth its greeting; or by time, if that is more. But a
  // shard that works all the time is what the time is spent on: more connections would only make
  // it slower.
  double wanted = std::floor(transactions / kWorthOpening);
  if (!shard_.saturated) {
    wanted = std::max(wanted, std::ceil(transactions * static_cast<double>(lane.transaction_ns) /
                                        kDrainTargetNs));
  }
  return static_cast<uint32_t>(
      std::clamp(wanted, 1.0, static_cast<double>(shard_.settings.connections_per_site)));
}

void Lanes::grow(Lane& lane) {
  if (draining_) return;
  const uint32_t wanted = sessions_wanted(lane);
  if (lane.sessions > 0 && shard_.mono_ns < lane.no_growth_until_mono_ns) return;
  if (lane.sessions >= wanted) return;
  // At most twice as many each time: the first of the new ones show whether the host takes them.
  uint32_t more = std::min(wanted - lane.sessions, std::max(1u, lane.sessions - lane.dialling));
  if (lane.dialling >= std::max(1u, lane.sessions - lane.dialling)) return;
  if (lane.sessions > 0 && !may_dial(lane)) return;
  while (more > 0) {
    // The lease first: who stands in line must be able to go when its turn comes.
    if (!lane.leases.take()) {
      if (const uint32_t ask = lane.leases.ask(more))
        send_lease(lane, Message::Kind::lease_ask, ask);
      return;
    }
    if (!may_dial(lane) || !dial(lane)) {
      if (const uint32_t back = lane.leases.release())
        send_lease(lane, Message::Kind::lease_back, back);
      return;
    }
    --more;
  }
}

// False: nothing could be dialled now. Either an answer of the DNS is awaited, or nothing waits any
// more.
bool Lanes::dial(Lane& lane) {
  Target* const target = choose_target(lane);
  if (target == nullptr) {
    if (lane.hosts_asked > 0) return false;
    if (lane.hosts_resolved < lane.site->hosts.size()) {
      resolve_more(lane);
      return lane.hosts_asked == 0 && dial(lane);
    }
    if (lane.sessions == 0) fail_waiting(lane);
    return false;
  }
  smtp::Session& session = *new_session();
  const uint16_t source = static_cast<uint16_t>(lane.site->number % shard_.settings.sources.size());
  const bool early = early_mail(lane, target->host);
  session.place = &lane;
  session.host = target->host;
  session.source = source;
  Counters::add(shard_.counters.connections);
  if (!session.dial(target->endpoint, shard_.settings.sources[source].address,
                    (early ? early_dialogue_settings_ : dialogue_settings_)[source])) {
    // No descriptor: dialling pauses, nothing else.
    session.place = nullptr;
    free_sessions_.push_back(&session);
    lane.no_growth_until_mono_ns = shard_.mono_ns + kAgainNs;
    look_again(lane);
    return false;
  }
  if (std::exchange(lane.called, false)) --kept_;
  ++lane.sessions;
  ++lane.dialling;
  ++sessions_open_;
  Counters::add(shard_.counters.sessions);
  return true;
}

// Nothing will happen to the lane by itself, yet something waits: it is pumped again after a while.
void Lanes::look_again(Lane& lane) {
  if (std::exchange(lane.looks_again, true)) return;
  again_.emplace_back(shard_.mono_ns + kAgainNs, &lane);
}

// Asks for the addresses of the next preference's hosts: those of a worse one only when the better
// ones are of no use.
void Lanes::resolve_more(Lane& lane) {
  const std::vector<dns::MxHost>& hosts = lane.site->hosts;
  const uint16_t preference = hosts[lane.hosts_resolved].preference;
  if (lane.hosts_resolved == 0) lane.failure = Returned{};
  lane.resolve_begun_mono_ns = shard_.mono_ns;
  while (lane.hosts_resolved < hosts.size() &&
         hosts[lane.hosts_resolved].preference == preference) {
    const uint16_t host = lane.hosts_resolved++;
    Lane::HostQuestion& question = lane.questions_.emplace_back();
    question.lanes = this;
    question.lane = &lane;
    question.host = host;
    ++lane.hosts_asked;
    Counters::add(shard_.counters.lookups);
    if (const dns::Addresses* known = router_.addresses(hosts[host].name, question)) {
      const dns::Addresses copy = *known;
      addresses_known(lane, host, copy);
    }
  }
}

void Lane::HostQuestion::on_addresses(const dns::Addresses& addresses) {
  lanes->addresses_known(*lane, host, addresses);
}

static io::Endpoint endpoint_of(const dns::IpAddress& address, uint16_t port) {
  io::Endpoint endpoint;
  endpoint.address = address.bytes;
  endpoint.family = address.family == dns::IpAddress::Family::v4 ? 4 : 6;
  endpoint.port = port;
  return endpoint;
}

void Lanes::addresses_known(Lane& lane, uint16_t host, const dns::Addresses& addresses) {
  assert(lane.hosts_asked > 0);
  --lane.hosts_asked;
  const dns::MxHost& mx = lane.site->hosts[host];
  lane.resolved_until_mono_ns =
      lane.targets.empty() ? addresses.expires_mono_ns
                           : std::min(lane.resolved_until_mono_ns, addresses.expires_mono_ns);
  lane.failure_mx = mx.name;
  lane.failure_address.clear();
  smtp::Verdict verdict;
  verdict.result = smtp::Result::later;
  verdict.scope = smtp::Scope::host;
  verdict.kind = smtp::Kind::soft;
  verdict.bounce_class = smtp::BounceClass::routing_errors;
  if (addresses.status != dns::AddressStatus::ok) {
    verdict.rule =
        addresses.status == dns::AddressStatus::none ? "mx-without-address" : "dns-temporary";
    note_failure(lane, verdict, addresses.reason, addresses.enhanced);
  }
  std::vector<dns::IpAddress> numeric;
  if (addresses.status == dns::AddressStatus::ok) numeric = addresses.list;
  dns::shuffle_addresses(numeric, [this] { return shard_.random.next(); });
  for (const dns::IpAddress& address : numeric) {
    // Judged here and nowhere else: targets are what connect() is given.
    const dns::AddressPolicy::Result allowed = shard_.settings.address_policy.check(address);
    if (allowed.verdict != dns::AddressPolicy::Verdict::allowed) {
      const bool own = allowed.verdict == dns::AddressPolicy::Verdict::own;
      verdict.result = own ? smtp::Result::never : smtp::Result::later;
      verdict.rule = own ? "address-is-ours" : "address-refused";
      lane.failure_address = address.to_string();
      note_failure(lane, verdict, address.to_string() + " " + allowed.reason,
                   own ? "5.4.6" : "4.4.4");
      continue;
    }
    lane.targets.push_back(
        {endpoint_of(address, shard_.settings.smtp_port), host, mx.preference, 0});
  }
  if (lane.hosts_asked == 0) {
    lane.resolve_us = static_cast<uint32_t>((shard_.mono_ns - lane.resolve_begun_mono_ns) / 1000);
    sort_targets(lane);
    list(lane);
  }
}

void Lanes::sort_targets(Lane& lane) {
  std::stable_sort(lane.targets.begin(), lane.targets.end(),
                   [](const Target& a, const Target& b) { return a.preference < b.preference; });
  if (lane.targets.size() > shard_.settings.addresses_tried)
    lane.targets.resize(shard_.settings.addresses_tried);
}

// The best preference that is not down; at random within it.
Target* Lanes::choose_target(Lane& lane) {
  if (!lane.targets.empty() && lane.resolved_until_mono_ns <= shard_.mono_ns &&
      lane.hosts_asked == 0) {
    // Their time to live has passed: ask again.
    lane.targets.clear();
    lane.hosts_resolved = 0;
    lane.questions_.clear();
    return nullptr;
  }
  if (lane.hosts_asked > 0) return nullptr;
  const auto usable = [&](const Target& target) {
    return target.down_until_mono_ns <= shard_.mono_ns;
  };
  const auto best = std::find_if(lane.targets.begin(), lane.targets.end(), usable);
  if (best == lane.targets.end()) {
    // All are down, or there are none. When every host has been asked, the failure stands for a
    // while.
    if (lane.hosts_resolved == lane.site->hosts.size() && lane.targets.empty() &&
        lane.resolved_until_mono_ns <= shard_.mono_ns) {
      lane.hosts_resolved = 0;
      lane.questions_.clear();
    }
    return nullptr;
  }
  const auto others = std::find_if(best, lane.targets.end(), [&](const Target& target) {
    return target.preference != best->preference;
  });
  std::vector<Target*> choices;
  for (auto at = best; at != others; ++at) {
    if (usable(*at)) choices.push_back(&*at);
  }
  return choices[shard_.random.below(choices.size())];
}

void Lanes::note_failure(Lane& lane, smtp::Verdict verdict, std::string_view text,
                         std::string_view enhanced) {
  // One host that will never do says nothing against those that may yet.
  const smtp::Verdict& before = lane.failure.verdict;
  if (verdict.result == smtp::Result::never && !before.rule.empty() &&
      before.result != smtp::Result::never)
    return;
  lane.failure = Returned{};
  lane.failure.verdict = verdict;
  lane.failure_text = text;
  const char* at = enhanced.data();
  for (uint16_t& number : lane.failure.enhanced) {
    at = std::from_chars(at, enhanced.data() + enhanced.size(), number).ptr;
    if (at != enhanced.data() + enhanced.size()) ++at;
  }
}

// -------------------------------------------------------------------------------------------
// leases and windows

void Lanes::send_lease(Lane& lane, Message::Kind kind, uint32_t count) {
  auto message = std::make_unique<LeaseMessage>(kind);
  message->from = shard_.id;
  message->site = lane.site->number;
  message->count = count;
  shard_.exchange.post(lane.site->owner, std::move(message));
}

void Lanes::lease_granted(const LeaseMessage& message) {
  Lane& lane = *lane_of(message.site);
  lane.leases.on_grant(message.count);
  if (lane.waiting_total == 0) {
    if (const uint32_t back = lane.leases.give_back_free(0))
      send_lease(lane, Message::Kind::lease_back, back);
  }
  list(lane);
}

void Lanes::lease_recalled(const LeaseMessage& message) {
  Lane& lane = *lane_of(message.site);
  if (const uint32_t back = lane.leases.on_recall(message.count))
    send_lease(lane, Message::Kind::lease_back, back);
  if (lane.waiting_total == 0) {  // declined, even if it was never used
    if (const uint32_t back = lane.leases.give_back_free(0))
      send_lease(lane, Message::Kind::lease_back, back);
  }
  list(lane);
}

// A home may have out what keeps this lane's sessions busy while its next tickets travel: four
// transactions each.
void Lanes::tell_windows(Lane& lane) {
  const double busy = std::max<double>(1, lane.sessions) * 4 * lane.recipients;
  const uint32_t window =
      std::bit_ceil(static_cast<uint32_t>(std::clamp<double>(busy, kWindowFirst, kWindowMax)));
  for (uint16_t home = 0; home < lane.windows.size(); ++home) {
    if (lane.backlog[home] == 0 || window <= lane.windows[home]) continue;
    lane.windows[home] = window;
    auto message = std::make_unique<WindowMessage>();
    message->from = shard_.id;
    message->site = lane.site->number;
    message->window = window;
    shard_.exchange.post_home(home, std::move(message));
  }
}

// Sessions nobody needs: oldest first, so each turn looks at those that go and one more.
void Lanes::close_idle() {
  while (idle_oldest_ != nullptr &&
         (draining_ ||
          shard_.mono_ns - idle_oldest_->ready_since_mono_ns() >= shard_.settings.idle_close_ns)) {
    send_away(*idle_oldest_);
  }
}

int64_t Lanes::next_due_mono_ns() const {
  int64_t next = INT64_MAX;
  if (idle_oldest_ != nullptr)
    next = idle_oldest_->ready_since_mono_ns() + shard_.settings.idle_close_ns;
  if (!again_.empty()) next = std::min(next, again_.front().first);
  if (!without_place_.empty()) next = std::min(next, shard_.mono_ns + kPlaceAgainNs);
  return next;
}

}  // namespace veredus
