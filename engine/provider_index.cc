#include "engine/provider_index.h"

#include <algorithm>
#include <array>

#include "absl/strings/ascii.h"
#include "absl/strings/string_view.h"

namespace veredus {

void ProviderIndex::add(uint32_t rank, const std::vector<std::string>& mx,
                        const std::vector<std::string>& domains,
                        const std::vector<std::string>& sites) {
  for (const std::string& pattern : mx) put(mx_, absl::AsciiStrToLower(pattern), rank);
  for (const std::string& pattern : domains) put(domains_, absl::AsciiStrToLower(pattern), rank);
  for (const std::string& key : sites) put(sites_, key, rank);
}

void ProviderIndex::put(Ranks& ranks, const std::string& pattern, uint32_t rank) {
  ranks.try_emplace(pattern, rank);  // an earlier one goes first
}

uint32_t ProviderIndex::first(std::string_view domain, std::string_view mx,
                              std::string_view site_key) const {
  return std::min({first_of(mx_, mx), first_of(domains_, domain), rank_of(sites_, site_key)});
}

uint32_t ProviderIndex::rank_of(const Ranks& ranks, std::string_view pattern) {
  const auto found = ranks.find(absl::string_view(pattern.data(), pattern.size()));
  return found == ranks.end() ? kNone : found->second;
}

// The name itself, and ".example.org" for all below it.
uint32_t ProviderIndex::first_of(const Ranks& ranks, std::string_view name) {
  std::array<char, 256> lower;  // no name that can be sent to is longer
  if (ranks.empty() || name.empty() || name.size() > lower.size()) return kNone;
  std::transform(name.begin(), name.end(), lower.begin(), absl::ascii_tolower);
  const std::string_view given(lower.data(), name.size());
  uint32_t rank = kNone;
  for (size_t at = 0; at != std::string_view::npos; at = given.find('.', at + 1)) {
    if (at == 0 && given[0] == '.') continue;  // a pattern is not a name
    rank = std::min(rank, rank_of(ranks, given.substr(at)));
  }
  return rank;
}

}  // namespace veredus
