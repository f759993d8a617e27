// Hosts with addresses of both families: when the preferred one does not answer soon, the other is
// dialled beside it, and the first that connects is kept (RFC 8305). An address that has lost so is
// passed over, as one that refuses.

#include "engine/lane.h"

namespace veredus {

void Lanes::may_race(Lane& lane, smtp::Session& session) {
  if (other_family(lane, session) == nullptr) return;
  races_.push_back({shard_.mono_ns + kRaceAfterNs, &session, session.dials});
}

void Lanes::run_races() {
  while (!races_.empty() && races_.front().at_mono_ns <= shard_.mono_ns) {
    const Race race = races_.front();
    races_.pop_front();
    smtp::Session& session = *race.session;
    if (session.place == nullptr || session.dials != race.dial || !session.connecting()) continue;
    Lane& lane = *static_cast<Lane*>(session.place);
    if (draining_ || lane.moves) continue;
    lane.races.push_back(race);
    list(lane);
  }
}

// Both count while both are dialled: where no second slot is free the lane stands in line for it,
// and comes here again when it has one. Who has not connected by then is raced; but if his address
// has lost another race meanwhile he goes, and is dialled anew.
void Lanes::begin_races(Lane& lane) {
  bool any = false;
  for (; !lane.races.empty(); lane.races.pop_back()) {
    const Race& race = lane.races.back();
    smtp::Session& session = *race.session;
    const bool on = session.place == &lane && session.dials == race.dial && session.connecting() &&
                    session.rival == nullptr;
    const Target* const other = on ? other_family(lane, session) : nullptr;
    if (other == nullptr) continue;
    if (is_down(lane, session.peer())) {
      session.abort();
      continue;
    }
    if (!take_connection(lane, static_cast<uint32_t>(lane.races.size()))) return;
    if (!start_dial(lane, *other, &session)) {
      lane.races.clear();
      return give_back_connection(lane);
    }
    any = true;
  }
  if (any) return;
  if (lane.waits_for_resource == Resource::connections) leave_line(lane);
  release_held(lane);
}

// An address of the same preference, of the other family.
const Target* Lanes::other_family(const Lane& lane, const smtp::Session& session) const {
  const uint16_t preference = lane.site->hosts[session.host].preference;
  for (const Target& target : lane.targets) {
    if (target.endpoint.family != session.peer().family && target.preference == preference &&
        usable(lane, target))
      return &target;
  }
  return nullptr;
}

void Lanes::on_session_connected(smtp::Session& session) {
  smtp::Session* const rival = session.rival;
  if (rival == nullptr) return;
  end_race(session);
  // He had a head start: each that is dialled there would cost as much.
  Lane& lane = *static_cast<Lane*>(session.place);
  if (rival->dialled_mono_ns() < session.dialled_mono_ns() &&
      peer_of(lane, rival->peer()) == nullptr)
    pass_over(lane, rival->peer(), false, true);
  rival->abort();
}

void Lanes::end_race(smtp::Session& session) {
  if (session.rival == nullptr) return;
  session.rival->rival = nullptr;
  session.rival = nullptr;
}

}  // namespace veredus
