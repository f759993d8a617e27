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
  held_back_left_ = kHeldBackPerTurn;
  free_places();
  take_up_some();
  while (!again_.empty() && again_.begin()->first <= shard_.mono_ns) {
    Lane& lane = *again_.begin()->second;
    again_.erase(again_.begin());
    list(lane);
  }
  for (smtp::Session* session : spent_) {
    if (session->listed_idle) send_away(*session);
  }
  spent_.clear();
  run_races();
  call_from_lines();
  for (size_t lanes = to_pump_.size(); lanes > 0; --lanes) {
    Lane& lane = *to_pump_.front();
    to_pump_.pop_front();
    lane.listed = false;
    pump(lane);
  }
  end_of_calls();
  // Only now: what idled before may have been given something to carry.
  relieve_scopes();
  close_idle();
  forget_finished();
}

// The session goes as soon as nothing is under way.
void Lanes::send_away(smtp::Session& session) {
  take_off_idle(session);
  if (!session.told_to_leave) {
    session.told_to_leave = true;
    Lane& lane = *static_cast<Lane*>(session.place);
    ++lane.leaving;
    for (Scope* const scope : lane.slots) ++scope->leaving;
  }
  session.leave();
}

// Brings what waits and the sessions together.
void Lanes::pump(Lane& lane) {
  take_up_policy(lane);
  // Recalled slots go back with sessions that were worth their dialling: where a slot goes round
  // many slices, each would else connect, hear of the recall, and leave without having sent
  // anything, for ever.
  for (size_t i = lane.idle.size(); i > 0 && (owes(lane) || lane.moves); --i) {
    smtp::Session& session = *lane.idle[i - 1];
    if (lane.waiting.empty() || lane.moves || pays(session)) send_away(session);
  }
  while (!lane.waiting.empty() && !lane.idle.empty() && !no_place_for(lane)) {
    smtp::Session& session = *lane.idle.back();
    if (makes_room(session) || too_old(lane, session)) {
      send_away(session);
      continue;
    }
    take_off_idle(session);
    // With early mail it was listed before the last reply came, and that may have led to a RSET: it
    // will say when it is ready again.
    if (session.may_offer() && !offer_next(lane, session)) break;
  }
  tell_windows(lane);
  if (!lane.waiting.empty() && !lane.wants_place) grow(lane);
  // Slots that nobody here needs now: the other slices may. While more waits at a home, its tickets
  // are on their way.
  const auto more = [](uint8_t bits) { return bits > 1; };
  if (!lane.waiting.empty() || std::any_of(lane.backlog.begin(), lane.backlog.end(), more)) return;
  give_back_unwanted(lane);
}

// Of a lane, whatever its other limits say.
static uint32_t connections_at_most(const Provider& provider) {
  constexpr uint32_t kMost = 10000;
  return provider.per_source.connections == 0 ? kMost : provider.per_source.connections;
}

// As many as make what waits leave within kDrainTargetNs, by what a transaction takes here.
double Lanes::sessions_of_use(const Lane& lane) const {
  double waiting = lane.waiting.total();
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
  return wanted;
}

uint32_t Lanes::sessions_wanted(const Lane& lane) const {
  return static_cast<uint32_t>(std::clamp(
      sessions_of_use(lane), 1.0, static_cast<double>(connections_at_most(*lane.provider))));
}

void Lanes::grow(Lane& lane) {
  if (draining_ || lane.moves || !may_grow(lane)) return;
  if (!limits_.settled()) {
    if (!std::exchange(lane.unsettled, true)) unsettled_.push_back(&lane);
    return;
  }
  if (lane.race.session != nullptr) begin_race(lane);
  const uint32_t wanted = sessions_wanted(lane);
  if (lane.sessions > 0 && shard_.mono_ns < lane.no_growth_until_mono_ns) return;
  if (lane.sessions >= wanted) return release_held(lane);
  // At most twice as many each time: the first of the new ones show whether the host takes them.
  uint32_t more = std::min(wanted - lane.sessions, std::max(1u, lane.sessions - lane.dialling));
  if (lane.dialling >= std::max(1u, lane.sessions - lane.dialling)) return;
  for (; more > 0; --more) {
    // The slots first: who stands in line must be able to go when its turn comes.
    if (!take_connection(lane, more)) {
      // By the time of its turn it should know where to go.
      if (lane.hosts_resolved == 0 && lane.hosts_asked == 0) resolve_more(lane);
      return;
    }
    if (!dial(lane)) return give_back_connection(lane);
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
  return start_dial(lane, *target, nullptr);
}

// `rival`: the session that it is dialled beside.
bool Lanes::start_dial(Lane& lane, const Target& target, smtp::Session* rival) {
  smtp::Session& session = *new_session();
  const bool early = early_mail(lane, target.host);
  session.place = &lane;
  session.host = target.host;
  session.source = lane.source;
  Counters::add(shard_.counters.connections);
  if (!session.dial(target.endpoint, from_address(lane, target.endpoint.family),
                    early ? lane.rules->early_dialogue : lane.rules->dialogue,
                    &lane.rules->limits)) {
    // No descriptor: dialling pauses, nothing else.
    session.place = nullptr;
    free_sessions_.push_back(&session);
    lane.no_growth_until_mono_ns = shard_.mono_ns + kAgainNs;
    lane.no_growth = Lane::NoGrowth::no_descriptor;
    look_again(lane, shard_.mono_ns + kAgainNs);
    return false;
  }
  ++lane.sessions;
  ++lane.dialling;
  ++sessions_open_;
  Counters::add(shard_.counters.sessions);
  session.rival = rival;
  if (rival != nullptr) {
    rival->rival = &session;
  } else {
    may_race(lane, session);
  }
  return true;
}

// Nothing will happen to the lane by itself, yet something waits: it is pumped again then.
void Lanes::look_again(Lane& lane, int64_t at_mono_ns) {
  if (lane.looks_again_mono_ns > shard_.mono_ns && lane.looks_again_mono_ns <= at_mono_ns) return;
  lane.looks_again_mono_ns = at_mono_ns;
  again_.emplace(at_mono_ns, &lane);
}

// Asks for the addresses of the next preference's hosts: those of a worse one only when the better
// ones are of no use.
void Lanes::resolve_more(Lane& lane) {
  if (lane.redirected.family != 0) return redirect_targets(lane);
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

static std::array<uint8_t, 19> host_key(const io::Endpoint& endpoint) {
  std::array<uint8_t, 19> key{};
  std::copy(endpoint.address.begin(), endpoint.address.end(), key.begin());
  key[16] = static_cast<uint8_t>(endpoint.port);
  key[17] = static_cast<uint8_t>(endpoint.port >> 8);
  key[18] = endpoint.family;
  return key;
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
    lane.targets.push_back({endpoint_of(address, shard_.settings.smtp_port), host, mx.preference});
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
  const size_t unused = std::erase_if(
      lane.targets, [&](const Target& target) { return !may_use(lane, target.endpoint.family); });
  if (unused > 0 && lane.targets.empty()) {
    smtp::Verdict verdict;
    verdict.result = smtp::Result::later;
    verdict.scope = smtp::Scope::host;
    verdict.kind = smtp::Kind::soft;
    verdict.bounce_class = smtp::BounceClass::routing_errors;
    verdict.rule = "address-family";
    note_failure(lane, verdict,
                 "its hosts have addresses only of a family that is not sent to from this source",
                 "4.4.4");
  }
  if (lane.targets.size() > lane.provider->addresses_tried)
    lane.targets.resize(lane.provider->addresses_tried);
}

// Staging: all hosts are the one that is named, whatever the DNS says.
void Lanes::redirect_targets(Lane& lane) {
  lane.hosts_resolved = static_cast<uint16_t>(lane.site->hosts.size());
  lane.targets = {{lane.redirected, 0, 0}};
  lane.resolved_until_mono_ns = INT64_MAX;
}

// The best preference that is not down, of the family that is preferred; at random within it.
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
  const auto fits = [&](const Target& target) { return usable(lane, target); };
  const auto best = std::find_if(lane.targets.begin(), lane.targets.end(), fits);
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
  std::vector<Target*> choices;
  bool preferred = false;
  const uint8_t family = lane.provider->family == AddressFamily::prefer_ipv4 ? 4 : 6;
  for (auto at = best; at != lane.targets.end() && at->preference == best->preference; ++at) {
    if (!fits(*at)) continue;
    const bool prefers = at->endpoint.family == family;
    if (prefers && !std::exchange(preferred, true)) choices.clear();
    if (prefers || !preferred) choices.push_back(&*at);
  }
  return choices[shard_.random.below(choices.size())];
}

bool Lanes::may_use(const Lane& lane, uint8_t family) const {
  if (lane.provider->family == AddressFamily::ipv4_only && family != 4) return false;
  if (lane.provider->family == AddressFamily::ipv6_only && family != 6) return false;
  const SourceSettings& source = lane.policy->sources[lane.source];
  const bool bound = source.address.family != 0 || source.address6.family != 0;
  return !bound || from_address(lane, family).family != 0;
}

bool Lanes::usable(const Lane& lane, const Target& target) const {
  if (!may_use(lane, target.endpoint.family)) return false;
  if (down_hosts_.empty()) return true;
  const auto down = down_hosts_.find({host_key(target.endpoint), lane.source});
  return down == down_hosts_.end() || down->second <= shard_.mono_ns;
}

// Family 0: the source has none of that family, or the kernel chooses.
const io::Endpoint& Lanes::from_address(const Lane& lane, uint8_t family) const {
  static const io::Endpoint none;
  const SourceSettings& source = lane.policy->sources[lane.source];
  if (source.address.family == family) return source.address;
  return source.address6.family == family ? source.address6 : none;
}

// By all lanes of this shard that send from there.
void Lanes::pass_over(const Lane& lane, const io::Endpoint& host) {
  if (down_hosts_.size() >= kDownHostsMax)
    absl::erase_if(down_hosts_, [this](const auto& each) { return each.second <= shard_.mono_ns; });
  if (down_hosts_.size() >= kDownHostsMax) down_hosts_.clear();
  down_hosts_[{host_key(host), lane.source}] = shard_.mono_ns + lane.provider->host_down_ns;
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

// A home may have out what keeps this lane's sessions busy while its next tickets travel: four
// transactions each.
void Lanes::tell_windows(Lane& lane) {
  if (lane.clock.failures() > 0) return;  // one of each line tries it
  const double busy = std::max<double>(1, lane.sessions) * 4 * lane.recipients;
  const uint32_t window =
      std::bit_ceil(static_cast<uint32_t>(std::clamp<double>(busy, kWindowFirst, kWindowMax)));
  for (uint16_t home = 0; home < lane.windows.size(); ++home) {
    if (lane.backlog[home] == 0 || window <= lane.windows[home]) continue;
    lane.windows[home] = window;
    auto message = std::make_unique<WindowMessage>();
    message->from = shard_.id;
    message->site = lane.site->number;
    message->source = lane.source;
    message->window = window;
    shard_.exchange.post_home(home, std::move(message));
  }
}

// Sessions nobody needs: oldest first, so each turn looks at those that go and one more.
void Lanes::close_idle() {
  for (auto& [may_idle_ns, list] : idle_lists_) {
    while (list.oldest != nullptr &&
           (draining_ || shard_.mono_ns - list.oldest->ready_since_mono_ns() >= may_idle_ns))
      send_away(*list.oldest);
  }
}

int64_t Lanes::next_due_mono_ns() const {
  int64_t next = INT64_MAX;
  for (const auto& [may_idle_ns, list] : idle_lists_) {
    if (list.oldest != nullptr)
      next = std::min(next, list.oldest->ready_since_mono_ns() + may_idle_ns);
  }
  if (!again_.empty()) next = std::min(next, again_.begin()->first);
  if (!races_.empty()) next = std::min(next, races_.front().at_mono_ns);
  if (!without_place_.empty()) next = std::min(next, shard_.mono_ns + kPlaceAgainNs);
  return next;
}

}  // namespace veredus
