#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace veredus::smtp {

// Many patterns (RE2 syntax, whatever the case), all looked for in one pass over a text. Texts and
// patterns are bytes. RE2 is known to reply_patterns.cc alone.
class ReplyPatterns {
 public:
  static constexpr size_t kMax = 1024;
  // A bit for each pattern, by the number that add() gave it.
  using Found = std::array<uint64_t, kMax / 64>;

  ReplyPatterns();
  ~ReplyPatterns();
  ReplyPatterns(const ReplyPatterns&) = delete;
  ReplyPatterns& operator=(const ReplyPatterns&) = delete;

  // What is wrong with a pattern; empty: nothing.
  static std::string fault_of(std::string_view pattern);

  // One for several, at least one: any of them.
  static std::string any_of(const std::vector<std::string>& patterns);

  // Its number; they count from 0. None: it cannot be used, or there are kMax.
  std::optional<size_t> add(std::string_view pattern);
  // Once, after the last one. False: all together are too large.
  bool compile();
  // From any thread. What is slow is remembered: the first texts cost more than later ones.
  Found find(std::string_view text) const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace veredus::smtp
