#include "queue/rate_states.h"

#include <algorithm>
#include <atomic>
#include <cassert>
#include <cstring>
#include <utility>

#include "queue/bytes.h"
#include "queue/crc32c.h"

namespace veredus::queue {
namespace {

constexpr char kMagic[8] = {'V', 'R', 'R', 'A', 'T', 'E', '\r', '\n'};
constexpr std::string_view kPrefix = "rates-";
constexpr uint32_t kHeaderSumAt = 12, kHeaderSummed = 512;
// Words of their own sectors, stored later: each is zero, or what stands here.
constexpr uint32_t kGivenWayAt = 512, kCompleteAt = 1024, kEndedAt = 1536;
constexpr uint64_t kGivenWay = 0x0a594157'4e564947;  // "GIVNWAY\n"
constexpr uint64_t kComplete = 0x0a4c4c41'53444c48;  // "HLDSALL\n"
constexpr uint64_t kEnded = 0x0a444544'4e453a52;     // "R:ENDED\n"
constexpr uint32_t kSumAt = kRateStateBytes - 4;
constexpr int64_t kKeptNs = 30 * 86400 * int64_t{1'000'000'000};

uint32_t header_sum(std::string_view header) {
  static constexpr char kNoSum[4] = {};
  const uint32_t sum = crc32c({kNoSum, 4}, crc32c(header.substr(0, kHeaderSumAt)));
  return crc32c(header.substr(kHeaderSumAt + 4, kHeaderSummed - kHeaderSumAt - 4), sum);
}

void store_sum(char* at, uint32_t sum) {
  std::atomic_ref<uint32_t>(*reinterpret_cast<uint32_t*>(at)).store(sum, std::memory_order_release);
}

// False: there is none, or it is torn.
bool read_entry(const char* entry, RateState& state, uint32_t& turn) {
  if (load_number<uint32_t>(entry + kSumAt) != crc32c({entry, kSumAt})) return false;
  std::memcpy(state.key.scope.data(), entry, state.key.scope.size());
  state.life = load_number<uint32_t>(entry + 16);
  state.key.resource = load_number<uint8_t>(entry + 20);
  state.rate.count = load_number<uint64_t>(entry + 24);
  state.rate.per_ns = load_number<int64_t>(entry + 32);
  state.state_wall_ns = load_number<int64_t>(entry + 40);
  state.stamp_wall_ns = load_number<int64_t>(entry + 48);
  turn = load_number<uint32_t>(entry + 56);
  return state.life != 0 && state.rate.limited() && state.rate.per_ns > 0;
}

}  // namespace

int64_t by_other_clock(int64_t at_ns, int64_t now_ns, int64_t other_now_ns) {
  __extension__ typedef __int128 Wide;
  const Wide other = Wide{at_ns} - now_ns + other_now_ns;
  return static_cast<int64_t>(std::clamp<Wide>(other, INT64_MIN / 2, INT64_MAX / 2));
}

// --- writing ---

RateStates::RateStates(std::span<uint8_t> memory, const RateStatesHeader& header)
    : memory_(reinterpret_cast<char*>(memory.data())),
      places_max_(
          static_cast<uint32_t>((memory.size() - kRateStatesHeaderBytes) / (2 * kRateStateBytes))),
      life_(header.life) {
  assert(places_max_ > 0 && header.life != 0 && header.boot.size() <= kBootIdBytes);
  std::memcpy(memory_, kMagic, sizeof kMagic);
  store_number(memory_ + 8, kRateStatesVersion);
  store_number(memory_ + 16, header.journal);
  store_number(memory_ + 20, header.number);
  store_number(memory_ + 24, places_max_);
  store_number(memory_ + 28, header.life);
  std::memcpy(memory_ + 32, header.boot.data(), header.boot.size());
  store_sum(memory_ + kHeaderSumAt, header_sum({memory_, kRateStatesHeaderBytes}));
}

char* RateStates::copy_of(const Place& place, uint32_t turn) const {
  return memory_ + kRateStatesHeaderBytes + (size_t{place.number} * 2 + turn % 2) * kRateStateBytes;
}

void RateStates::mark(uint32_t at, uint64_t value) {
  if (memory_ == nullptr) return;
  std::atomic_ref<uint64_t>(*reinterpret_cast<uint64_t*>(memory_ + at))
      .store(value, std::memory_order_release);
}

void RateStates::complete() {
  mark(kCompleteAt, kComplete);
}

void RateStates::end() {
  mark(kEndedAt, kEnded);
}

// As the one written last, whatever it holds.
RateStates::Places::iterator RateStates::place_for(const RateKey& key) {
  const auto [known, fresh] = by_key_.try_emplace(key);
  if (!fresh) {
    places_.splice(places_.end(), places_, known->second);
    return known->second;
  }
  if (places_.size() < places_max_) {
    places_.push_back({{}, static_cast<uint32_t>(places_.size()), 0});
  } else {
    Place& oldest = places_.front();
    if (oldest.state.life == life_) {
      given_way_ = true;
      mark(kGivenWayAt, kGivenWay);
    }
    by_key_.erase(oldest.state.key);
    places_.splice(places_.end(), places_, places_.begin());
  }
  return by_key_[key] = std::prev(places_.end());
}

// The two copies of a place are written in turn, so one of them is whole at any time.
void RateStates::put(const RateState& state) {
  if (memory_ == nullptr) return;
  Place& place = *place_for(state.key);
  place.state = state;
  char entry[kRateStateBytes] = {};
  std::memcpy(entry, state.key.scope.data(), state.key.scope.size());
  store_number(entry + 16, state.life);
  store_number(entry + 20, state.key.resource);
  store_number(entry + 24, state.rate.count);
  store_number(entry + 32, state.rate.per_ns);
  store_number(entry + 40, state.state_wall_ns);
  store_number(entry + 48, state.stamp_wall_ns);
  store_number(entry + 56, ++place.turn);
  char* const into = copy_of(place, place.turn);
  // The sum last: whenever the process dies, the entry is whole or is none.
  std::memcpy(into, entry, kSumAt);
  store_sum(into + kSumAt, crc32c({entry, kSumAt}));
}

const RateState* RateStates::find(const RateKey& key) const {
  const auto found = by_key_.find(key);
  return found == by_key_.end() ? nullptr : &found->second->state;
}

// --- reading ---

absl::StatusOr<RateStatesFile> read_rate_states(std::string_view file) {
  RateStatesFile read;
  if (file.size() < kRateStatesHeaderBytes) return read;
  const uint32_t sum = load_number<uint32_t>(file.data() + kHeaderSumAt);
  read.begun = sum != 0;
  read.sound = std::memcmp(file.data(), kMagic, sizeof kMagic) == 0 && sum == header_sum(file);
  if (!read.sound) return read;
  const uint32_t version = load_number<uint32_t>(file.data() + 8);
  if (version != kRateStatesVersion) {
    return absl::FailedPreconditionError("rate states of format version " +
                                         std::to_string(version) + ", this program reads version " +
                                         std::to_string(kRateStatesVersion) +
                                         ": start the program that wrote them, or a later one");
  }
  if (file.size() != rate_states_bytes(load_number<uint32_t>(file.data() + 24))) {
    read.sound = false;
    return read;
  }
  read.header.journal = load_number<uint16_t>(file.data() + 16);
  read.header.number = load_number<uint32_t>(file.data() + 20);
  read.header.life = load_number<uint32_t>(file.data() + 28);
  const std::string_view boot = file.substr(32, kBootIdBytes);
  read.header.boot = boot.substr(0, boot.find('\0'));
  const auto marked = [file](uint32_t at, uint64_t value) {
    return load_number<uint64_t>(file.data() + at) == value;
  };
  read.given_way = load_number<uint64_t>(file.data() + kGivenWayAt) != 0;
  read.complete = marked(kCompleteAt, kComplete);
  read.ended = marked(kEndedAt, kEnded);
  for (size_t at = kRateStatesHeaderBytes; at + 2 * kRateStateBytes <= file.size();
       at += 2 * kRateStateBytes) {
    RateState state[2];
    uint32_t turn[2] = {};
    const bool whole[2] = {read_entry(file.data() + at, state[0], turn[0]),
                           read_entry(file.data() + at + kRateStateBytes, state[1], turn[1])};
    if (!whole[0] && !whole[1]) continue;
    const bool second = whole[1] && (!whole[0] || turn[1] > turn[0]);
    read.states.push_back(state[second]);
  }
  return read;
}

RateTable::RateTable(const std::vector<RateStatesFile>& files, std::string_view boot,
                     int64_t now_wall_ns) {
  // What a file does not say may be what was granted last: then nothing counts that older ones say.
  bool all_known = true;
  uint32_t lost = 0;       // the last life of which something may be missing
  uint32_t complete = 0;   // the last one that has carried everything over
  uint32_t given_way = 0;  // the last one that has forgotten something of its own
  uint32_t highest = 0;
  for (const RateStatesFile& file : files) {
    if (!file.begun) continue;
    if (!file.sound) {
      all_known = false;
      continue;
    }
    const uint32_t life = file.header.life;
    highest = std::max(highest, life);
    const bool same_boot = !boot.empty() && file.header.boot == boot;
    if (!file.ended && !same_boot) lost = std::max(lost, life);
    if (file.complete) complete = std::max(complete, life);
    if (file.given_way) given_way = std::max(given_way, life);
  }
  next_life_ = highest + 1;
  if (!all_known) return;
  for (const RateStatesFile& file : files) {
    if (!file.sound || file.header.life <= lost || file.header.life < complete) continue;
    for (const RateState& state : file.states) {
      if (state.life < given_way || state.life > file.header.life) continue;
      if (state.stamp_wall_ns < now_wall_ns - kKeptNs) continue;
      states_.push_back(state);
    }
  }
  // Of each key the latest; should two be of the same life, the one that grants later.
  std::sort(states_.begin(), states_.end(), [](const RateState& a, const RateState& b) {
    if (a.key != b.key) return a.key < b.key;
    if (a.life != b.life) return a.life > b.life;
    return a.state_wall_ns > b.state_wall_ns;
  });
  states_.erase(std::unique(states_.begin(), states_.end(),
                            [](const RateState& a, const RateState& b) { return a.key == b.key; }),
                states_.end());
}

const RateState* RateTable::find(const RateKey& key) const {
  const auto found =
      std::lower_bound(states_.begin(), states_.end(), key,
                       [](const RateState& state, const RateKey& k) { return state.key < k; });
  return found == states_.end() || found->key != key ? nullptr : &*found;
}

std::string rate_states_path(std::string_view directory, uint32_t number) {
  return numbered_path(directory, kPrefix, number);
}

absl::StatusOr<std::vector<NumberedFile>> list_rate_states(Disk& disk,
                                                           const std::string& directory) {
  return list_numbered(disk, directory, kPrefix);
}

}  // namespace veredus::queue
