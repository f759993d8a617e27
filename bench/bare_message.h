// The messages of the comparison: one text with slots, or as many distinct texts as there are
// messages.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace veredus::bench {

// Ids have nine digits, domains four, or six where there are more than 10,000: every rendering of a
// text has the same length and its slots stay where they are.
inline constexpr size_t kIdDigits = 9;
inline constexpr uint32_t kMaxDomains = 1'000'000;
constexpr size_t domain_digits(uint32_t domains) {
  return domains <= 10'000 ? 4 : 6;
}

// Message `id` goes to domain id % domains: "u000000017@d0017.bench.test".
std::string recipient_of(uint32_t id, uint32_t domains);
// 127.10.0.1 upwards, as tools/testzone.py has it; host byte order.
uint32_t address_of(uint32_t domain);

// Writes `value` with leading zeros over `width` octets at `at`.
void put_digits(char* at, size_t width, uint32_t value);

// A text of exactly `size` octets with {{id}} and {{to}} in header and body; `size` counts the
// slots as rendered for so many domains. At least 512.
std::string make_template(size_t size, uint32_t domains);
// The text with both slots filled in: what a message of it looks like on the wire (without dots).
std::string render(std::string_view text, uint32_t id, uint32_t domains);

// A rendered text and where its digits stand.
struct Slotted {
  std::string text;
  std::vector<size_t> ids;
  std::vector<size_t> domains;
  size_t digits_of_domain = 4;
  // One past the last octet that changes.
  size_t end_of_slots() const;
};
// `text` must be CR LF text, must end with CR LF and have no line that begins with a dot; an empty
// `text` in the result says that it is not so. Rendered for message 0 of so many domains.
Slotted place_slots(std::string_view text, uint32_t domains);

// Texts without two alike, `size` octets each, rendered, one behind the other with ".\r\n" behind
// each.
std::string make_distinct(uint32_t count, uint32_t domains, size_t size);

}  // namespace veredus::bench
