#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace veredus::smtp {

// A delay longer than this is no hint: an account that is locked for a year, a number misread.
inline constexpr int64_t kRetryHintMaxNs = int64_t{7} * 24 * 3600 * 1'000'000'000;
// What is beyond is not looked at.
inline constexpr size_t kRetryHintTextMax = 1024;

// What the words of a reply say about when to come back.
struct RetryHint {
  int64_t delay_ns = 0;     // "try again in 5 minutes"; 0: nothing said, at most kRetryHintMaxNs
  bool greylisted = false;  // by its words, or as a well-known greylister says it
};

// Pure, without allocation, in time proportional to the text (any bytes). A length of time counts
// only in such company as makes it one to wait: "again in", "greylisted for", "wait", "remaining".
// Of several, the longest.
RetryHint read_retry_hint(std::string_view text);

}  // namespace veredus::smtp
