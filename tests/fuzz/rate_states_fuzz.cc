// Arbitrary files of rate states: whatever they say, each key is there once, and an owner that
// begins with such a state grants in time, and not at once. A header and entries need right
// checksums to be looked at, so those are made right here.

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "queue/bytes.h"
#include "queue/crc32c.h"
#include "queue/rate_states.h"

namespace {

using namespace veredus::queue;  // NOLINT: one file

constexpr int64_t kSecond = 1'000'000'000;

void check(bool holds) {
  if (!holds) std::abort();
}

// A sound file: what the input says stands in its places.
std::string sound_file(std::string_view input) {
  const auto places = static_cast<uint32_t>(input.size() / (2 * kRateStateBytes) + 1);
  std::string file(rate_states_bytes(places), '\0');
  RateStates({reinterpret_cast<uint8_t*>(file.data()), file.size()}, {1, 2, 3, "boot"});
  file.replace(kRateStatesHeaderBytes, input.size(), input);
  for (size_t at = kRateStatesHeaderBytes; at < file.size(); at += kRateStateBytes) {
    const std::string_view entry = std::string_view(file).substr(at, kRateStateBytes - 4);
    store_number(file.data() + at + kRateStateBytes - 4, crc32c(entry));
  }
  return file;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  (void)read_rate_states(input);
  const absl::StatusOr<RateStatesFile> read = read_rate_states(sound_file(input));
  check(read.ok() && read->sound);
  const int64_t now_wall = input.size() < 8 ? 0 : load_number<int64_t>(input.data());
  const RateTable table({*read, *read}, "boot", now_wall / 2);
  const RateKey* before = nullptr;
  for (const RateState& state : table.states()) {
    check(before == nullptr || *before < state.key);
    before = &state.key;
    check(table.find(state.key) == &state);
    constexpr int64_t kNow = 1'000'000 * kSecond;
    RateOwner owner(state.rate, 2, kNow, by_other_clock(state.state_wall_ns, now_wall, kNow));
    std::vector<RateNotice> notices;
    owner.request(0, {1, 1, 1}, kNow, notices);
    if (!state_is_kept(state.rate)) continue;
    check(owner.next_grant_mono_ns() >= kNow + kSecond);
    check(owner.next_grant_mono_ns() != INT64_MAX);
  }
  return 0;
}
