#include "queue/address_finder.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"

namespace veredus::queue {
namespace {

absl::string_view to_absl(std::string_view text) {
  return {text.data(), text.size()};
}

bool equal(std::string_view a, std::string_view b) {
  return absl::EqualsIgnoreCase(to_absl(a), to_absl(b));
}

uint32_t lower(char c) {
  return static_cast<unsigned char>(absl::ascii_tolower(static_cast<unsigned char>(c)));
}

}  // namespace

// One character before the '@' and two behind it: every address has so many.
uint32_t AddressFinder::key(const char* at_sign) {
  return lower(at_sign[-1]) << 16 | lower(at_sign[1]) << 8 | lower(at_sign[2]);
}

bool AddressFinder::add(std::string_view address) {
  const size_t at = address.rfind('@');
  if (at == std::string_view::npos || at == 0 || address.size() - at < 3 ||
      address.size() > kAddressBytesMax)
    return false;
  if (is(address)) return true;
  const std::string& added = addresses_.emplace_back(absl::AsciiStrToLower(to_absl(address)));
  by_key_[key(added.data() + at)].push_back(static_cast<uint32_t>(addresses_.size() - 1));
  return true;
}

bool AddressFinder::is(std::string_view address) const {
  const size_t at = address.rfind('@');
  if (at == std::string_view::npos || at == 0 || address.size() - at < 3) return false;
  const auto found = by_key_.find(key(address.data() + at));
  if (found == by_key_.end()) return false;
  return std::any_of(found->second.begin(), found->second.end(),
                     [&](uint32_t number) { return equal(addresses_[number], address); });
}

bool AddressFinder::in(std::string_view bytes) const {
  return next(bytes, 0).at != std::string_view::npos;
}

std::string AddressFinder::masked(std::string_view text) const {
  std::string out(text);
  for (Hit hit = next(text, 0); hit.at != std::string_view::npos;
       hit = next(text, hit.at + hit.length))
    out.replace(hit.at, hit.length, hit.length, '*');
  return out;
}

// The first one that begins at `from` or later, by its '@'. Of several around the same '@' the
// longest: nothing of it may be left.
AddressFinder::Hit AddressFinder::next(std::string_view bytes, size_t from) const {
  for (size_t at = from; at < bytes.size(); ++at) {
    const void* const found = std::memchr(bytes.data() + at, '@', bytes.size() - at);
    if (found == nullptr) break;
    at = static_cast<size_t>(static_cast<const char*>(found) - bytes.data());
    if (at == from || at + 2 >= bytes.size()) continue;
    const auto candidates = by_key_.find(key(bytes.data() + at));
    if (candidates == by_key_.end()) continue;
    Hit hit;
    for (const uint32_t number : candidates->second) {
      const std::string& address = addresses_[number];
      const size_t local = address.rfind('@');
      if (at - from < local || address.size() <= hit.length) continue;
      if (equal(bytes.substr(at - local, address.size()), address))
        hit = {at - local, address.size()};
    }
    if (hit.length != 0) return hit;
  }
  return {};
}

}  // namespace veredus::queue
