#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"

namespace veredus {

// Which provider is the first that fits: a look for each label of a name, however many providers
// there are. With one site per ten messages it is asked for many times a second.
class ProviderIndex {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;

  // Its patterns, in order of the providers: ranks ascend. Patterns as fits_name() has them
  // (queue/names.h); sites by their whole key.
  void add(uint32_t rank, const std::vector<std::string>& mx,
           const std::vector<std::string>& domains, const std::vector<std::string>& sites);

  // The least rank of those that fit in any way; kNone: none does. Empty names fit nothing.
  uint32_t first(std::string_view domain, std::string_view mx, std::string_view site_key) const;

 private:
  using Ranks = absl::flat_hash_map<std::string, uint32_t>;
  static void put(Ranks& ranks, const std::string& pattern, uint32_t rank);
  static uint32_t rank_of(const Ranks& ranks, std::string_view pattern);
  static uint32_t first_of(const Ranks& ranks, std::string_view name);

  Ranks mx_, domains_, sites_;  // by pattern in lower case
};

}  // namespace veredus
