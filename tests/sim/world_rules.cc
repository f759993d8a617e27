// Rules of sending that the seed makes up, and that are changed while mail flows.

#include <algorithm>
#include <utility>

#include "tests/sim/world.h"
#include "tests/sim/world_life.h"

namespace veredus::sim {

namespace {

constexpr int64_t kSecond = 1'000'000'000;

}  // namespace

// A random number of its own, so that a world without rules is what it is.
void World::make_rules() {
  Provider usual;
  usual.recipients_per_transaction = settings_.recipients_per_transaction;
  usual.messages_per_connection = settings_.messages_per_connection;
  usual.session_limits = settings_.session_limits;
  usual.dialogue = settings_.dialogue;
  usual.retry = settings_.retry;
  const auto tenant_of = [this](const std::string& to) {
    const auto found = ruling_->fed.find(to);
    return found == ruling_->fed.end() ? std::string() : found->second->tenant;
  };
  ruling_ = std::make_unique<Ruling>(
      RuleMaker(options_.seed * 7 + 1, options_.domains, options_.sites, std::move(usual)), clock_,
      tenant_of, options_.seed * 7 + 2);
  // Where there is room for few states, some give way, and are not known after a start.
  ruling_->rates_kept = ruling_->random.below(4) != 0;
  if (ruling_->rates_kept) settings_.rate_states = 1024;
  ruling_->rules = ruling_->maker.first();
  ruling_->changes_left = static_cast<uint32_t>(ruling_->random.below(8));
  ruling_->next_change_mono_ns =
      clock_.mono + static_cast<int64_t>(ruling_->random.below(4 * kSecond));
  ruling_->judge.take_rules(ruling_->rules);
  internet_.watcher = &ruling_->judge;
  ordering_ = std::make_unique<Ordering>(options_.seed * 7 + 3);
  ordering_->left = static_cast<uint32_t>(ordering_->random.below(10));
  ordering_->next_mono_ns =
      clock_.mono + static_cast<int64_t>(ordering_->random.below(4 * kSecond));
}

// Of a batch line.
std::string World::rule_fields(Feeder& feeder) {
  if (ruling_ == nullptr) return "";
  std::string fields;
  const std::vector<std::string>& pools = ruling_->maker.pools();
  const std::string& pool = pools[ruling_->random.below(pools.size())];
  if (pool != "default") fields += ",\"pool\":\"" + pool + "\"";
  if (ruling_->random.below(2) == 0) {
    feeder.campaign = "c" + std::to_string(ruling_->random.below(3));
    fields += ",\"campaign\":\"" + feeder.campaign + "\"";
  }
  return fields;
}

int64_t World::next_change_mono_ns() const {
  return ruling_ == nullptr || ruling_->changes_left == 0 ? INT64_MAX
                                                          : ruling_->next_change_mono_ns;
}

// Mostly while much is under way; one after the other at once, too.
void World::change_rules() {
  Ruling& ruling = *ruling_;
  if (clock_.mono < next_change_mono_ns()) return;
  --ruling.changes_left;
  const uint64_t wait = ruling.random.below(4);
  ruling.next_change_mono_ns =
      clock_.mono + static_cast<int64_t>(wait == 0   ? ruling.random.below(20'000'000)
                                         : wait == 1 ? ruling.random.below(300 * kSecond)
                                                     : ruling.random.below(15 * kSecond));
  ++report_.reloads;
  std::string what;
  ruling.rules = ruling.maker.changed(ruling.rules, what);
  EngineSettings changed = settings_;
  ruling.rules.put_into(changed);
  ruling.judge.take_rules(ruling.rules);
  ruling.has_them.assign(shards_, false);
  life_->core->reload(changed);
}

// Messages are read at the beginning of each turn, so whoever took one since has the rules.
void World::turn_taken(unsigned shard) {
  if (ruling_ == nullptr || ruling_->has_them.empty()) return;
  ruling_->has_them[shard] = true;
  if (std::find(ruling_->has_them.begin(), ruling_->has_them.end(), false) !=
      ruling_->has_them.end())
    return;
  ruling_->has_them.clear();
  ruling_->judge.in_force();
}

void World::rules_at_start() {
  if (ruling_ == nullptr) return;
  ruling_->rules.put_into(settings_);
  ruling_->has_them.clear();
  ruling_->judge.crashed(ruling_->rates_kept && !ruling_->rates_lost);
  ruling_->rates_lost = false;
}

void World::judge_rules() {
  if (ruling_ == nullptr) return;
  for (const std::string& what : ruling_->judge.judge()) violation(what);
}

}  // namespace veredus::sim
