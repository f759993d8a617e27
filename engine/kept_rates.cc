#include "engine/kept_rates.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include <openssl/evp.h>

#include "engine/io/planted.h"
#include "engine/store.h"
#include "queue/bytes.h"
#include "queue/journal_files.h"

namespace veredus {

namespace {

constexpr uint64_t kFileBytesMax = queue::rate_states_bytes(1u << 20);

// Which shard carries over what nobody has asked for.
unsigned carrier_of(const queue::RateKey& key, unsigned shards) {
  return (key.scope[0] | key.scope[1] << 8) % shards;
}

}  // namespace

KeptRates::~KeptRates() {
  if (!memory_.empty()) disk_.unmap(memory_);
}

// -------------------------------------------------------------------------------------------------
// start

// A file that cannot be read, or is damaged, says nothing of what was granted last: the states of
// the others are not used then, and no rate lets too much through.
absl::Status KeptRates::read_old(RecoveredHome& found) {
  const std::string directory = Store::journal_directory(found.home);
  const absl::StatusOr<std::vector<queue::NumberedFile>> files =
      queue::list_rate_states(disk_, directory);
  if (!files.ok()) return files.status();
  for (const queue::NumberedFile& old : *files) {
    old_.push_back({found.home, old.number});
    if (found.home == shard_.id) number_ = std::max(number_, old.number + 1);
    const std::string path = queue::rate_states_path(directory, old.number);
    const queue::OpenFile file(disk_, path);
    std::string bytes;
    std::vector<queue::Unreadable> unreadable;
    if (file.ok()) {
      queue::read_range(disk_, file.handle(), 0, std::min(old.bytes, kFileBytesMax), bytes,
                        unreadable);
    }
    absl::StatusOr<queue::RateStatesFile> read = queue::read_rate_states(bytes);
    if (!read.ok())
      return absl::FailedPreconditionError(path + ": " + std::string(read.status().message()));
    if (!file.ok() || !unreadable.empty()) {
      *read = {};
      read->begun = true;
      found.damage.push_back(
          path + " cannot be read: " +
          queue::error_text(file.ok() ? unreadable.front().error : file.error()) +
          ": rates longer than a second begin as if they had been used up");
      Counters::add(shard_.counters.spool_damage);
    }
    found.rate_files.push_back(*std::move(read));
  }
  return absl::OkStatus();
}

// A full disk is no reason not to deliver, and neither is another error here: rates hold without,
// only a restart costs them an interval.
void KeptRates::make_file(RecoveredHome& found) {
  path_ = queue::rate_states_path(Store::journal_directory(shard_.id), number_);
  const uint64_t bytes = queue::rate_states_bytes(shard_.settings.rate_states);
  const int64_t mapped = disk_.map_now(path_, bytes, memory_);
  if (mapped >= 0) return;
  memory_ = {};
  found.rates_kept = false;
  found.damage.push_back(path_ + " could not be made (" + std::to_string(bytes) +
                         " bytes): " + queue::error_text(mapped) +
                         ": what rates have granted is not kept over the next start, after which "
                         "those longer than a second begin as if they had been used up");
}

void KeptRates::begin(const RateStart& start) {
  found_ = start.found;
  removal_.kept = this;
  waits_for_others_ = true;
  if (start.all_made) {
    states_ = queue::RateStates(memory_, {shard_.id, number_, found_->next_life(),
                                          shard_.settings.boot_id.substr(0, queue::kBootIdBytes)});
    carry_over();
    if (!make_durable()) {
      shard_.exchange.answers().damage(path_ +
                                       " could not be synced: after a power cut rates longer than "
                                       "a second may let too much through");
    }
  } else {
    // Nothing of this life will be told to the next one: neither may what is older.
    found_ = std::make_shared<queue::RateTable>();
    if (!memory_.empty()) old_.push_back({shard_.id, number_});
  }
  shard_.exchange.rates_begun();
}

// Each shard a part: those written last give way last.
void KeptRates::carry_over() {
  std::vector<const queue::RateState*> mine;
  for (const queue::RateState& state : found_->states()) {
    if (carrier_of(state.key, shard_.exchange.shards()) == shard_.id) mine.push_back(&state);
  }
  std::stable_sort(mine.begin(), mine.end(), [](const auto* a, const auto* b) {
    return a->stamp_wall_ns < b->stamp_wall_ns;
  });
  for (const queue::RateState* const state : mine) states_.put(*state);
}

bool KeptRates::make_durable() {
  const queue::OpenFile file(disk_, path_);
  return file.ok() && disk_.sync_now(file.handle()) >= 0;
}

// -------------------------------------------------------------------------------------------------
// life

void KeptRates::run() {
  if (waits_for_others_) {
    if (!shard_.exchange.all_rates_begun()) return;
    waits_for_others_ = false;
    states_.complete();
  }
  if (old_.empty() || removal_.under_way) return;
  removal_.under_way = true;
  const Old& old = old_.back();
  disk_.remove(queue::rate_states_path(Store::journal_directory(old.journal), old.number),
               removal_);
}

// What cannot be removed is left for the next start.
void KeptRates::Removal::on_disk_done(int64_t) {
  under_way = false;
  kept->old_.pop_back();
}

// The entries first, then the word that says so.
void KeptRates::end() {
  if (!states_.keeps()) return;
  if (make_durable()) {
    states_.end();
    make_durable();
  }
  states_ = {};
}

std::optional<queue::RateKey> KeptRates::key_of(const ScopeId& id) const {
  const Policy& policy = *shard_.policy;
  std::string text(1, static_cast<char>(id.kind));
  bool known = true;
  const auto add = [&text](std::string_view name) {
    queue::put_number(text, static_cast<uint32_t>(name.size()));
    text += name;
  };
  const auto add_of = [&](const auto& named, uint32_t number) {
    known = known && number < named.size();
    if (known) add(named[number].name);
  };
  switch (id.kind) {
    case ScopeId::Kind::site:
      add(routes_.key_of(id.of));
      add_of(policy.sources, id.with);
      break;
    case ScopeId::Kind::provider:
      add_of(policy.providers, id.of);
      add_of(policy.sources, id.with);
      break;
    case ScopeId::Kind::source:
      add_of(policy.sources, id.of);
      break;
    case ScopeId::Kind::group:
      add_of(policy.groups, id.of);
      break;
    case ScopeId::Kind::tenant_at_site:
      add(routes_.key_of(id.of));
      add(shard_.exchange.tenant_name(id.with));
      break;
    case ScopeId::Kind::tenant_at_provider:
      add_of(policy.providers, id.of);
      add(shard_.exchange.tenant_name(id.with));
      break;
    case ScopeId::Kind::global:
      break;
  }
  if (!known) return std::nullopt;
  std::array<uint8_t, 32> digest{};
  EVP_Digest(text.data(), text.size(), digest.data(), nullptr, EVP_sha256(), nullptr);
  queue::RateKey key;
  std::copy_n(digest.begin(), key.scope.size(), key.scope.begin());
  return key;
}

const queue::RateState* KeptRates::find(const queue::RateKey& key) const {
  if (io::is_planted(io::Planted::rates_forgotten)) return nullptr;
  if (const queue::RateState* const mine = states_.find(key)) return mine;
  return states_.given_way() || found_ == nullptr ? nullptr : found_->find(key);
}

void KeptRates::put(const queue::RateKey& key, const queue::RateOwner& rate) {
  if (!states_.keeps()) return;
  queue::RateState state;
  state.key = key;
  state.rate = rate.rate();
  state.state_wall_ns =
      queue::by_other_clock(rate.state_mono_ns(shard_.mono_ns), shard_.mono_ns, shard_.wall_ns);
  state.stamp_wall_ns = shard_.wall_ns;
  state.life = found_->next_life();
  states_.put(state);
}

}  // namespace veredus
