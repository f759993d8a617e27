// The oracle: compares what feeders were told, what servers took, and what the journals say.

#include <algorithm>
#include <set>
#include <utility>

#include "engine/store.h"
#include "queue/outcome.h"
#include "tests/sim/world.h"
#include "tests/sim/world_life.h"

namespace veredus::sim {

namespace {

// From the end of a content at the server to its outcome on the disk: the reply's way, the 5 ms
// that outcomes gather, the group under way, perhaps a new segment.
constexpr int64_t kOutcomeLatestNs = 250'000'000;
// From a start to what is in doubt being on the disk, as an outcome.
constexpr int64_t kDoubtLatestNs = 1'000'000'000;

}  // namespace

// Of every recipient of every batch, by batch number and index: what the journals say, as far as it
// is durable.
World::States World::read_journals() {
  States states;
  for (unsigned id = 0; id < life_->core->homes(); ++id) {
    SimDisk disk(storage_, SimDisk::Faultless());
    disk.look_back();
    queue::JournalReader reader(disk, static_cast<uint16_t>(id),
                                Store::journal_directory(static_cast<uint16_t>(id)));
    queue::JournalReader::Position position;
    const queue::Location end = life_->core->durable_end(id);
    queue::FrameType type;
    queue::Location at;
    std::string_view payload;
    for (;;) {
      const absl::StatusOr<bool> more = reader.next(position, end, type, at, payload);
      if (!more.ok()) {
        violation("a journal cannot be read: " + std::string(more.status().message()));
        break;
      }
      if (!*more) break;
      if (type != queue::FrameType::outcomes) continue;
      queue::OutcomeReader outcomes(payload);
      queue::Outcome outcome;
      while (outcomes.next(outcome)) {
        FinalState& state = states[{outcome.batch, outcome.index}];
        const int64_t mono_ns = outcome.wall_ns - clock_.wall_minus_mono;
        if (outcome.type == queue::OutcomeType::in_doubt) {
          ++state.in_doubt;
          state.in_doubt_mono_ns.push_back(mono_ns);
        }
        if (outcome.type == queue::OutcomeType::deferred) ++state.deferred;
        if (!queue::is_final(outcome.type)) continue;
        ++state.finals;
        state.type = outcome.type;
        state.final_mono_ns = mono_ns;
        // Nobody has said so.
        state.assumed = settings_.in_doubt == InDoubtPolicy::assume_delivered &&
                        outcome.type == queue::OutcomeType::delivered && outcome.code == 0;
        if (state.assumed) state.in_doubt_mono_ns.push_back(mono_ns);
      }
      if (!outcomes.status().ok()) violation("an outcomes frame cannot be read");
    }
  }
  return states;
}

// Outcomes that survived a crash are final: from this life on nothing may reach these recipients.
void World::judge_durable_at_crash() {
  std::map<uint64_t, const Feeder*> by_number;
  for (const auto& feeder : feeders_) {
    if (feeder->number != 0) by_number[feeder->number] = feeder.get();
    if (feeder->acknowledged && feeder->number == 0)
      violation("batch " + feeder->name + " was acknowledged, and is gone after a crash");
  }
  judge_none_is_back();
  for (const auto& [key, state] : read_journals()) {
    const auto feeder = by_number.find(key.first);
    if (feeder == by_number.end() || state.finals == 0) continue;
    settled_at_life_.emplace(feeder->second->lines[key.second].to, internet_.life);
  }
}

// Whatever else is damaged: who got mail was to have it, and the right one.
void World::judge_contents() {
  std::map<std::string_view, std::string_view> marks;
  for (const auto& feeder : feeders_) {
    for (const Feeder::Line& line : feeder->lines) marks.emplace(line.to, line.mark);
  }
  for (const auto& [to, receipts] : internet_.ledger) {
    const auto fed = marks.find(to);
    if (fed == marks.end()) {
      violation("a server took mail for " + to + ", whom nobody fed");
      continue;
    }
    for (const Receipt& receipt : receipts) {
      if (receipt.mark != fed->second)
        violation(to + " got the content of " + receipt.mark + " instead of " +
                  std::string(fed->second));
    }
  }
}

// What holds of the world as a whole.
void World::judge_world() {
  count_life();
  for (const std::string& what : internet_.violations) violation("a server saw " + what);
  if (ruling_ == nullptr && internet_.open_at_site_max > settings_.connections_per_site) {
    violation(std::to_string(internet_.open_at_site_max) +
              " connections were open to one site at a time, and " +
              std::to_string(settings_.connections_per_site) + " are allowed");
  }
  uint64_t stale = 0;
  for (const auto& place : life_->places) {
    const Counters& counters = life_->core->counters(place->id);
    stale += counters.stale;
    report_.delivered_by_shard.push_back(counters.delivered_here);
  }
  if (stale > 0) violation(std::to_string(stale) + " stale tickets came back");
  report_.connections = internet_.connections;
  report_.resets = internet_.resets;
  std::set<std::string_view> fed;
  for (const auto& feeder : feeders_) {
    for (const Feeder::Line& line : feeder->lines) fed.insert(line.to);
  }
  for (const auto& [to, receipts] : internet_.ledger) {
    const bool hot = to.ends_with("@d0.sim");
    int64_t& done = hot ? report_.hot_done_mono_ns : report_.others_done_mono_ns;
    for (const Receipt& receipt : receipts) done = std::max(done, receipt.at_mono_ns);
    if (!fed.contains(to)) violation("a server took mail for " + to + ", whom nobody fed");
  }
  // The world must have been as bad as it is said to be, if it came to its end.
  if (!report_.violations.empty()) return;
  if (options_.faults && options_.recipients >= 1000 && internet_.resets == 0)
    violation("no connection was reset");
  const PowerCuts& cuts = storage_.power_cuts;
  if (options_.crashes_max != 0 && options_.disk_faults && cuts.damaged() == 0) {
    violation("nothing was damaged: " + std::to_string(cuts.cuts) + " power cuts met " +
              std::to_string(cuts.met) + " unsynced writes, and all were kept");
  }
}

void World::judge() {
  judge_world();
  const auto states = read_journals();
  judge_follower(states);
  judge_erasures();
  judge_rules();
  watch_batches(clock_.mono);
  for (const auto& feeder : feeders_) {
    if (!feeder->acknowledged) continue;
    ++report_.acknowledged;
    if (feeder->number == 0) {
      violation("batch " + feeder->name + " was acknowledged, and does not exist");
      continue;
    }
    judge_batch(*feeder, states);
  }
  judge_orders(states);
  audit(true);
}

void World::judge_batch(const Feeder& feeder, const States& states) {
  const queue::LiveBatch& live = *feeder.live;
  if (live.accepted != feeder.lines.size())
    violation("batch " + feeder.name + ": not all lines were accepted");
  uint32_t delivered = 0, failed = 0, expired = 0, cancelled = 0;
  for (uint32_t index = 0; index < feeder.lines.size(); ++index) {
    const auto found = states.find({live.batch.number, index});
    const FinalState state = found == states.end() ? FinalState{} : found->second;
    if (state.finals == 1 && state.type == queue::OutcomeType::delivered) ++delivered;
    if (state.finals == 1 && state.type == queue::OutcomeType::failed) ++failed;
    if (state.finals == 1 && state.type == queue::OutcomeType::cancelled) {
      ++cancelled;
      judge_cancelled(feeder, index, state);
    }
    if (state.finals == 1 && state.type == queue::OutcomeType::expired) {
      ++expired;
      if (state.final_mono_ns < ends_mono_ns(feeder, index) &&
          !ended_by_order(feeder, index, state))
        violation(feeder.lines[index].to + " expired before its time had ended");
    }
    judge_recipient(feeder.lines[index].to, feeder.lines[index].mark, state);
  }
  report_.expired += expired;
  report_.cancelled += cancelled;
  const auto say = [](uint32_t of_delivered, uint32_t of_failed, uint32_t of_expired,
                      uint32_t of_cancelled) {
    return std::to_string(of_delivered) + " delivered, " + std::to_string(of_failed) + " failed, " +
           std::to_string(of_expired) + " expired, " + std::to_string(of_cancelled) + " cancelled";
  };
  const std::string tallied =
      say(live.tally.delivered, live.tally.failed, live.tally.expired, live.tally.cancelled);
  const std::string journaled = say(delivered, failed, expired, cancelled);
  if (tallied != journaled)
    violation("batch " + feeder.name + ": tallies say " + tallied + "; the journals " + journaled);
  if (live.tally.settled() != live.accepted) {
    violation("batch " + feeder.name + ": " + std::to_string(live.tally.settled()) +
              " settled of " + std::to_string(live.accepted));
  }
  if (live.tally.deferred_now != 0 || live.tally.in_doubt_waiting != 0) {
    violation("batch " + feeder.name +
              ": nothing waits, yet some are counted as deferred or in doubt");
  }
}

void World::judge_recipient(const std::string& to, const std::string& mark,
                            const FinalState& state) {
  report_.in_doubt += state.in_doubt;
  // Held until somebody decides: settled, without a final outcome.
  const bool held =
      settings_.in_doubt == InDoubtPolicy::hold && state.finals == 0 && state.in_doubt == 1;
  if (state.finals != 1 && !held) {
    violation(to + " has " + std::to_string(state.finals) + " final outcomes");
    return;
  }
  const auto taken = internet_.ledger.find(to);
  const size_t receipts = taken == internet_.ledger.end() ? 0 : taken->second.size();
  report_.receipts += receipts;
  report_.assumed += state.assumed;
  if (state.type == queue::OutcomeType::delivered && receipts == 0 && !state.assumed) {
    violation(to + " is called delivered, and no server took it");
  }
  if (receipts == 0) return;
  const auto settled = settled_at_life_.find(to);
  for (const Receipt& receipt : taken->second) {
    if (receipt.mark != mark)
      violation(to + " got the content of " + receipt.mark + " instead of " + mark);
    if (settled != settled_at_life_.end() && receipt.life >= settled->second) {
      violation(to + " was sent to again although its outcome was durable");
    }
  }
  if (receipts > 1) report_.duplicates += receipts - 1;
  judge_receipts(to, state, taken->second);
}

uint32_t World::life_at(int64_t mono_ns) const {
  return static_cast<uint32_t>(
      std::lower_bound(life_ended_mono_ns_.begin(), life_ended_mono_ns_.end(), mono_ns) -
      life_ended_mono_ns_.begin());
}

// Whether the marks of this life had to be heard: nothing but kills came between it and the life in
// which the recipient was sent to again, or a life that was long enough to write it all.
bool World::doubt_owed(uint32_t life, uint32_t again_in_life) const {
  for (uint32_t later = life + 1; life_killed_[later - 1]; ++later) {
    if (later == again_in_life || later == internet_.life) return true;
    if (life_ended_mono_ns_[later] - life_begun_mono_ns_[later] >= kDoubtLatestNs) return true;
  }
  return false;
}

// Every receipt must be explained, each by one thing of its own:
// - delivered: the 250 was heard, and then, within the same life and before any further receipt,
//   the recipient was settled as delivered;
// - in doubt: the 250 was not heard (withheld, overtaken by a reset, or the connection was gone),
//   and then, within the same life and before any further receipt, it was said to be in doubt;
//   (Where the policy is to take it for delivered, that outcome says so; it has no reply.)
// - lost with its life: no outcome of it is in the journals, the life ended in a crash, nothing
//   further was sent within that life, and there was no time for the outcome to become durable
//   (unless the disk failed). If the process was killed, and no power cut came too soon after that,
//   a later life has said so, before anything further was sent: in doubt.
// And who is called delivered has a receipt that says so. Whatever else the final outcome is, all
// receipts are in doubt or lost.
void World::judge_receipts(const std::string& to, const FinalState& state,
                           std::vector<Receipt> receipts) {
  std::stable_sort(receipts.begin(), receipts.end(),
                   [](const Receipt& a, const Receipt& b) { return a.life < b.life; });
  const bool delivered = state.type == queue::OutcomeType::delivered && !state.assumed;
  bool delivery_seen = false;
  std::string unexplained;
  for (size_t i = 0; i < receipts.size(); ++i) {
    const Receipt& receipt = receipts[i];
    const bool last = i + 1 == receipts.size();
    const bool last_of_life = last || receipts[i + 1].life != receipt.life;
    const int64_t until = last_of_life ? INT64_MAX : receipts[i + 1].at_mono_ns;
    const auto heard = internet_.heard_at.find(receipt.transaction);
    const auto explains = [&](int64_t said) {
      return life_at(said) == receipt.life && said >= receipt.at_mono_ns && said < until;
    };
    if (heard != internet_.heard_at.end()) {
      if (delivered && explains(state.final_mono_ns) && state.final_mono_ns >= heard->second) {
        delivery_seen = true;
        continue;
      }
    } else if (std::any_of(state.in_doubt_mono_ns.begin(), state.in_doubt_mono_ns.end(),
                           explains)) {
      continue;
    }
    const bool over = receipt.life < internet_.life;
    const int64_t went_on_ns = over ? life_ended_mono_ns_[receipt.life] - receipt.at_mono_ns : 0;
    if (!last_of_life) {
      unexplained = ", which no outcome explains, and was sent to again";
    } else if (!over) {
      unexplained = ", which no outcome explains";
    } else if (!disk_fails_ && went_on_ns > kOutcomeLatestNs) {
      unexplained = ", which no outcome explains, though its life went on for " +
                    std::to_string(went_on_ns / 1'000'000) + " ms";
    } else if (!doubt_owed(receipt.life, last ? internet_.life : receipts[i + 1].life)) {
      continue;
    } else if (std::any_of(state.in_doubt_mono_ns.begin(), state.in_doubt_mono_ns.end(),
                           [&](int64_t said) {
                             return life_at(said) > receipt.life &&
                                    (last || said < receipts[i + 1].at_mono_ns);
                           })) {
      ++report_.doubt_after_kill;
      continue;
    } else {
      unexplained = ", its process was killed, and no later one said that it is in doubt";
    }
    unexplained = " at " + std::to_string(receipt.at_mono_ns / 1'000'000) + " ms" + unexplained;
    break;
  }
  if (unexplained.empty() && delivered && !delivery_seen)
    unexplained = " before it was called delivered, but no server had said so";
  if (unexplained.empty()) return;
  std::string all;
  for (const Receipt& receipt : receipts) {
    all += " [life " + std::to_string(receipt.life) + ", " +
           std::to_string(receipt.at_mono_ns / 1'000'000) + " ms" +
           (internet_.heard_at.contains(receipt.transaction) ? "" : ", reply not heard") + "]";
  }
  violation(to + " was taken" + unexplained + "; final outcome " +
            std::to_string(static_cast<int>(state.type)) + " at " +
            std::to_string(state.final_mono_ns / 1'000'000) + " ms, " +
            std::to_string(state.in_doubt) + " times in doubt, " + std::to_string(state.deferred) +
            " times deferred:" + all);
}

}  // namespace veredus::sim
