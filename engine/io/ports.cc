#include "engine/io/ports.h"

#include <bit>
#include <cstring>

#include <arpa/inet.h>

namespace veredus::io {

std::string to_text(const Endpoint& endpoint) {
  if (endpoint.family != 4 && endpoint.family != 6) return {};
  char text[INET6_ADDRSTRLEN];
  const int family = endpoint.family == 4 ? AF_INET : AF_INET6;
  return inet_ntop(family, endpoint.address.data(), text, sizeof text) != nullptr ? text : "";
}

bool parse_address(std::string_view text, Endpoint& endpoint) {
  char copy[INET6_ADDRSTRLEN];
  if (text.empty() || text.size() >= sizeof copy || text.find('\0') != text.npos) return false;
  std::memcpy(copy, text.data(), text.size());
  copy[text.size()] = '\0';
  std::array<uint8_t, 16> address{};
  uint8_t family = 0;
  if (inet_pton(AF_INET, copy, address.data()) == 1) {
    family = 4;
  } else if (inet_pton(AF_INET6, copy, address.data()) == 1) {
    family = 6;
  } else {
    return false;
  }
  endpoint.address = address;
  endpoint.family = family;
  return true;
}

// splitmix64 spreads the seed, as the authors of xoshiro advise: a state of zeroes would stay so.
Random::Random(uint64_t seed) {
  for (uint64_t& word : state_) {
    seed += 0x9e3779b97f4a7c15;
    uint64_t mixed = seed;
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
    word = mixed ^ (mixed >> 31);
  }
}

// xoshiro256** 1.0 (Blackman and Vigna).
uint64_t Random::next() {
  const uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
  const uint64_t shifted = state_[1] << 17;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= shifted;
  state_[3] = std::rotl(state_[3], 45);
  return result;
}

}  // namespace veredus::io
