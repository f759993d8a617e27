// The oracle: compares what feeders were told, what servers took, and what the journals say.

#include <cassert>
#include <utility>

#include "engine/store.h"
#include "queue/outcome.h"
#include "tests/sim/world.h"
#include "tests/sim/world_life.h"

namespace veredus::sim {

// Of every recipient of every batch, by batch number and index: what the journals say, as far as it
// is durable.
std::map<std::pair<uint64_t, uint32_t>, World::FinalState> World::read_journals() {
  std::map<std::pair<uint64_t, uint32_t>, FinalState> states;
  for (unsigned id = 0; id < options_.shards; ++id) {
    SimDisk disk(storage_);
    queue::JournalReader reader(disk, static_cast<uint16_t>(id),
                                Store::journal_directory(static_cast<uint16_t>(id)));
    queue::JournalReader::Position position;
    const queue::Location end = life_->places[id]->shard->home().journal().durable_end();
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
        if (outcome.type == queue::OutcomeType::in_doubt) ++state.in_doubt;
        if (outcome.type == queue::OutcomeType::deferred) ++state.deferred;
        if (!queue::is_final(outcome.type)) continue;
        ++state.finals;
        state.type = outcome.type;
      }
      if (!outcomes.status().ok()) violation("an outcomes frame cannot be read");
    }
  }
  return states;
}

// Outcomes that survived a crash are final: from this life on nothing may reach these recipients.
void World::judge_durable_at_crash() {
  std::map<uint64_t, const Feeder*> by_number;
  life_->intake->for_each([&](const intake::Intake::Known& known) {
    for (const auto& feeder : feeders_) {
      if (feeder->name == known.live->batch.name)
        by_number[known.live->batch.number] = feeder.get();
    }
  });
  for (const auto& feeder : feeders_) {
    if (!feeder->acknowledged) continue;
    bool there = false;
    for (const auto& [number, known] : by_number) there = there || known == feeder.get();
    if (!there) violation("batch " + feeder->name + " was acknowledged, and is gone after a crash");
  }
  for (const auto& [key, state] : read_journals()) {
    const auto feeder = by_number.find(key.first);
    if (feeder == by_number.end() || state.finals == 0) continue;
    settled_at_life_.emplace(feeder->second->lines[key.second].to, internet_.life);
  }
}

void World::judge() {
  for (const std::string& what : internet_.violations) violation("a server saw " + what);
  if (internet_.open_at_site_max > settings_.connections_per_site) {
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

  const auto states = read_journals();
  std::map<std::string, const intake::Intake::Known*> known_by_name;
  life_->intake->for_each(
      [&](const intake::Intake::Known& known) { known_by_name[known.live->batch.name] = &known; });
  for (const auto& feeder : feeders_) {
    if (!feeder->acknowledged) continue;
    ++report_.acknowledged;
    const auto known = known_by_name.find(feeder->name);
    if (known == known_by_name.end()) {
      violation("batch " + feeder->name + " was acknowledged, and does not exist");
      continue;
    }
    judge_batch(*feeder, *known->second->live, states);
  }
}

void World::judge_batch(const Feeder& feeder, const queue::LiveBatch& live,
                        const std::map<std::pair<uint64_t, uint32_t>, FinalState>& states) {
  if (live.accepted != feeder.lines.size())
    violation("batch " + feeder.name + ": not all lines were accepted");
  uint32_t delivered = 0, failed = 0;
  for (uint32_t index = 0; index < feeder.lines.size(); ++index) {
    const auto found = states.find({live.batch.number, index});
    const FinalState state = found == states.end() ? FinalState{} : found->second;
    if (state.finals == 1 && state.type == queue::OutcomeType::delivered) ++delivered;
    if (state.finals == 1 && state.type == queue::OutcomeType::failed) ++failed;
    if (state.finals == 1 && state.type == queue::OutcomeType::expired) ++report_.expired;
    judge_recipient(feeder.lines[index].to, feeder.lines[index].mark, state);
  }
  if (live.tally.delivered != delivered || live.tally.failed != failed) {
    violation("batch " + feeder.name + ": tallies say " + std::to_string(live.tally.delivered) +
              " delivered, " + std::to_string(live.tally.failed) + " failed; the journals " +
              std::to_string(delivered) + ", " + std::to_string(failed));
  }
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
  if (state.finals != 1) {
    violation(to + " has " + std::to_string(state.finals) + " final outcomes");
    return;
  }
  const auto taken = internet_.ledger.find(to);
  const size_t receipts = taken == internet_.ledger.end() ? 0 : taken->second.size();
  report_.receipts += receipts;
  if (state.type == queue::OutcomeType::delivered && receipts == 0) {
    violation(to + " is called delivered, and no server took it");
  }
  if (receipts == 0) return;
  // Twice only when the first time was in doubt, or its outcome was lost with a life.
  std::map<uint32_t, uint32_t> by_life;
  const auto settled = settled_at_life_.find(to);
  for (const Receipt& receipt : taken->second) {
    ++by_life[receipt.life];
    if (receipt.mark != mark)
      violation(to + " got the content of " + receipt.mark + " instead of " + mark);
    if (settled != settled_at_life_.end() && receipt.life >= settled->second) {
      violation(to + " was sent to again although its outcome was durable");
    }
  }
  for (const auto& [life, count] : by_life) {
    if (count > 1 + state.in_doubt) {
      std::string when;
      for (const Receipt& receipt : taken->second) {
        when += " [life " + std::to_string(receipt.life) + ", " +
                std::to_string(receipt.at_mono_ns / 1'000'000) + " ms" +
                (receipt.withheld ? ", reply withheld" : "") + "]";
      }
      violation(to + " was delivered " + std::to_string(count) + " times in one life, and was " +
                std::to_string(state.in_doubt) + " times in doubt, " +
                std::to_string(state.deferred) + " times deferred:" + when);
    }
  }
  if (receipts > 1) report_.duplicates += receipts - 1;
  if (state.type == queue::OutcomeType::failed && receipts > state.in_doubt + internet_.life) {
    violation(to + " is called failed, and a server took it");
  }
}

}  // namespace veredus::sim
