// How the sink may misbehave: what can go wrong at which stage of a session, and the dice.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace veredus::sink {

// The points of a session at which something can be made to go wrong. `connect` is the greeting,
// `dot` the end of the content (the final dot, or BDAT LAST) before the message is stored,
// `after_dot` the moment when it is stored and only its reply is missing (RFC 1047). `starttls` is
// the command, `tls` the handshake behind its reply.
enum class Stage : uint8_t {
  connect,
  ehlo,
  helo,
  mail,
  rcpt,
  data,
  dot,
  after_dot,
  rset,
  noop,
  quit,
  starttls,
  tls
};
inline constexpr size_t kStages = 13;

// The stage that an option names ("after-dot"), if there is one.
std::optional<Stage> stage_of(std::string_view name);

enum class FaultKind : uint8_t { fail, drop, reset };

// fail: answer `code`, 400..599 (421 also closes). drop: close without a reply. reset: RST.
struct Fault {
  FaultKind kind;
  int code;
  double probability;  // 0..1
};

struct Delay {
  int64_t ns;
  double probability;  // 0..1
};

// Rolled in the order in which they were given, delays first; the first fault that hits is the one.
struct StageRules {
  std::vector<Delay> delays;
  std::vector<Fault> faults;
};

using Rules = std::array<StageRules, kStages>;

// One connection's dice (splitmix64): the same seed, thread and connection number give the same
// throws.
class Dice {
 public:
  Dice(uint64_t seed, uint64_t stream) : state_(seed * 0x9e3779b97f4a7c15u ^ mix(stream + 1)) {}

  bool hit(double probability) {
    if (probability >= 1) return true;
    if (probability <= 0) return false;
    return static_cast<double>(next() >> 11) * 0x1.0p-53 < probability;
  }

 private:
  static uint64_t mix(uint64_t z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  uint64_t next() { return mix(state_ += 0x9e3779b97f4a7c15u); }

  uint64_t state_;
};

}  // namespace veredus::sink
