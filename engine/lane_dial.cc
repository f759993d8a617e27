// How many sessions a lane has: dialled as more waits, sent away as it wants them no more.

#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>

#include "engine/lane.h"

namespace veredus {

void Lanes::deliver() {
  held_back_left_ = kHeldBackPerTurn;
  free_places();
  take_up_some();
  tell_lanes();
  end_some();
  while (!again_.empty() && again_.begin()->first <= shard_.mono_ns) {
    Lane& lane = *again_.begin()->second;
    again_.erase(again_.begin());
    --lane.to_come_again;
    list(lane);
  }
  for (smtp::Session* session : spent_) {
    if (session->listed_idle) send_away(*session);
  }
  spent_.clear();
  run_races();
  end_keeping();
  call_from_lines();
  maker_.begin_turn();
  while (!to_sign_.empty() && maker_.may_sign()) pump_next(to_sign_);
  for (size_t lanes = to_pump_.size(); lanes > 0; --lanes) pump_next(to_pump_);
  end_of_calls();
  // Only now: what idled before may have been given something to carry.
  relieve_scopes();
  close_idle();
  forget_finished();
  forget_idle();
}

void Lanes::pump_next(std::deque<Lane*>& lanes) {
  Lane& lane = *lanes.front();
  lanes.pop_front();
  lane.listed = false;
  pump(lane);
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
  leave_missing_source(lane);
  // Recalled slots go back with sessions that were worth their dialling: where a slot goes round
  // many slices, each would else connect, hear of the recall, and leave without having sent
  // anything, for ever.
  for (size_t i = lane.idle.size(); i > 0 && (owes(lane) || lane.moves); --i) {
    smtp::Session& session = *lane.idle[i - 1];
    if (lane.waiting.empty() || lane.moves || pays(session)) send_away(session);
  }
  while (!lane.waiting.empty() && !lane.idle.empty() && !no_place_for(lane)) {
    smtp::Session& session = *lane.idle.back();
    if (makes_room(session) || too_old(lane, session) || must_not_stay(lane, session)) {
      send_away(session);
      continue;
    }
    take_off_idle(session);
    // With early mail it was listed before the last reply came, and that may have led to a RSET: it
    // will say when it is ready again.
    if (session.may_offer() && !offer_next(lane, session)) break;
  }
  if (lane.waiting.empty() && !lane.idle.empty() && is_pressed(lane)) idle_left_ = idle_;
  tell_windows(lane);
  if (!lane.waiting.empty() && !lane.wants_place) grow(lane);
  // Slots that nobody here needs now: the other slices may. While more waits at a home, its tickets
  // are on their way.
  if (!lane.waiting.empty() || lane.homes_with_more() > 0) return;
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
  // What it holds already for the next connection is of use to others meanwhile.
  if (draining_ || lane.moves || !may_grow(lane)) return release_held(lane);
  if (!limits_.settled()) {
    if (!std::exchange(lane.unsettled, true)) unsettled_.push_back(&lane);
    return;
  }
  if (!lane.races.empty()) begin_races(lane);
  const uint32_t wanted = sessions_wanted(lane);
  const bool refused = lane.sessions > 0 && shard_.mono_ns < lane.no_growth_until_mono_ns;
  if (refused || lane.sessions >= wanted) return release_held(lane);
  // At most twice as many each time: the first of the new ones show whether the host takes them.
  uint32_t more = std::min(wanted - lane.sessions, std::max(1u, lane.sessions - lane.dialling));
  if (lane.dialling >= std::max(1u, lane.sessions - lane.dialling)) {
    if (lane.waits_for == nullptr) release_held(lane);
    return;
  }
  for (; more > 0; --more) {
    // Where to comes first: slots and tokens are taken for a connection that is dialled at once.
    const Target* const target = find_target(lane);
    if (target == nullptr) return await_address(lane);
    if (!take_connection(lane, more)) return;
    if (!start_dial(lane, *target, nullptr)) return give_back_connection(lane);
  }
}

// Null: nothing can be dialled now. Either an answer of the DNS is awaited, or there is nowhere to
// go.
const Target* Lanes::find_target(Lane& lane) {
  if (const Target* const target = choose_target(lane)) return target;
  if (lane.hosts_asked > 0) return nullptr;
  if (lane.hosts_resolved < lane.site->hosts.size()) {
    resolve_more(lane);
    return lane.hosts_asked == 0 ? find_target(lane) : nullptr;
  }
  const auto lacks = [&](const Target& each) { return lacks_address(lane, each); };
  if (!lane.targets.empty() && std::all_of(lane.targets.begin(), lane.targets.end(), lacks))
    note_family(lane,
                "its hosts have addresses only of a family whose address of this source is not "
                "on this host now");
  if (lane.sessions > 0) return nullptr;
  if (forgive_lost_races(lane)) {
    if (const Target* const target = choose_target(lane)) return target;
  }
  fail_waiting(lane);
  return nullptr;
}

void Lanes::await_address(Lane& lane) {
  if (lane.hosts_asked == 0) {
    // Nowhere to go: somebody else may.
    if (lane.waits_for_resource == Resource::connections ||
        lane.waits_for_resource == Resource::connection_rate)
      leave_line(lane);
    return release_held(lane);
  }
  // What was known is too old. Were the lane to go to the end of the line each time, it would never
  // dial where the line is longer than addresses are good for.
  const bool called =
      std::find(lane.scopes.begin(), lane.scopes.end(), lane.called_by) != lane.scopes.end();
  if (called) lane.turn = lane.wait_key.came;
  if (lane.waits_for == nullptr) release_held(lane);
}

// `rival`: the session that it is dialled beside.
bool Lanes::start_dial(Lane& lane, const Target& target, smtp::Session* rival) {
  smtp::Session& session = *new_session();
  session.place = &lane;
  session.host = target.host;
  session.source = lane.source;
  session.dane = target.dane;
  Counters::add(shard_.counters.connections);
  if (!session.dial(target.endpoint, from_address(lane, target.endpoint.family),
                    dialogue_for(lane, target), &lane.rules->limits)) {
    // No descriptor: dialling pauses, nothing else.
    session.place = nullptr;
    session.dane.reset();
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
  ++lane.to_come_again;
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
    tell_window(lane, home, window);
  }
}

void Lanes::tell_window(Lane& lane, uint16_t home, uint32_t window) {
  lane.windows[home] = window;
  auto message = std::make_unique<WindowMessage>();
  message->from = shard_.id;
  message->site = lane.site->number;
  message->source = lane.source;
  message->window = window;
  shard_.exchange.post_home(home, std::move(message));
}

// Sessions nobody needs: oldest first, so each turn looks at those that go and one more.
void Lanes::close_idle() {
  for (auto& [may_idle_ns, list] : idle_lists_) {
    // Those behind one that is about to be of use wait with it: its turn is near.
    while (list.oldest != nullptr &&
           (draining_ || (shard_.mono_ns - list.oldest->ready_since_mono_ns() >= may_idle_ns &&
                          !comes_next(*list.oldest))))
      send_away(*list.oldest);
  }
}

// Whether its lane has mail for it, and only waits for its turn.
bool Lanes::comes_next(const smtp::Session& session) {
  const Lane& lane = *static_cast<const Lane*>(session.place);
  return lane.listed && !lane.waiting.empty();
}

int64_t Lanes::next_due_mono_ns() const {
  int64_t next = INT64_MAX;
  for (const auto& [may_idle_ns, list] : idle_lists_) {
    if (list.oldest != nullptr)
      next = std::min(next, list.oldest->ready_since_mono_ns() + may_idle_ns);
  }
  if (!again_.empty()) next = std::min(next, again_.begin()->first);
  if (!ends_.empty()) next = std::min(next, ends_.begin()->first);
  if (!races_.empty()) next = std::min(next, races_.front().at_mono_ns);
  if (!kept_.empty()) next = std::min(next, kept_.begin()->first);
  if (!without_place_.empty()) next = std::min(next, shard_.mono_ns + kPlaceAgainNs);
  return next;
}

}  // namespace veredus
