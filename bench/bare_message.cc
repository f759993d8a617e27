#include "bench/bare_message.h"

#include <algorithm>

namespace veredus::bench {
namespace {

constexpr std::string_view kIdSlot = "{{id}}";
constexpr std::string_view kToSlot = "{{to}}";
constexpr std::string_view kDomainEnd = ".bench.test";
constexpr size_t kLine = 78;  // with CR LF

constexpr std::string_view kHead =
    "From: Bench <news@bench.test>\r\n"
    "To: <{{to}}>\r\n"
    "Subject: Message {{id}} of the comparison\r\n"
    "Date: Mon, 02 Jun 2025 10:00:00 +0000\r\n"
    "Message-ID: <{{id}}@bench.test>\r\n"
    "MIME-Version: 1.0\r\n"
    "Content-Type: text/plain; charset=us-ascii\r\n"
    "\r\n"
    "This is message {{id}} of the comparison, for {{to}}.\r\n";

uint64_t mix(uint64_t z) {
  z += 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

size_t to_size(uint32_t domains) {
  return 1 + kIdDigits + 2 + domain_digits(domains) + kDomainEnd.size();
}

size_t rendered_size(std::string_view text, uint32_t domains) {
  size_t size = text.size();
  for (size_t at = text.find("{{"); at != text.npos; at = text.find("{{", at + 1)) {
    if (text.substr(at, kIdSlot.size()) == kIdSlot) size += kIdDigits - kIdSlot.size();
    if (text.substr(at, kToSlot.size()) == kToSlot) size += to_size(domains) - kToSlot.size();
  }
  return size;
}

// Appends `octets` octets of lines, letters from `seed`; the last line may be shorter or longer.
void append_lines(std::string& text, size_t octets, uint64_t seed) {
  uint64_t random = seed;
  while (octets > 0) {
    size_t line = octets < kLine + 3 ? octets : kLine;
    for (size_t i = 0; i + 2 < line; ++i) {
      if (i % 8 == 0) random = mix(random);
      text.push_back(static_cast<char>('a' + (random >> (i % 8 * 8) & 0xff) % 26));
    }
    text.append("\r\n");
    octets -= line;
  }
}

}  // namespace

uint32_t address_of(uint32_t domain) {
  return 127u << 24 | (10 + domain / 62500) << 16 | domain / 250 % 250 << 8 | (1 + domain % 250);
}

void put_digits(char* at, size_t width, uint32_t value) {
  for (size_t i = width; i-- > 0; value /= 10) at[i] = static_cast<char>('0' + value % 10);
}

std::string recipient_of(uint32_t id, uint32_t domains) {
  const size_t digits = domain_digits(domains);
  std::string to = "u";
  to.append(kIdDigits, '0').append("@d").append(digits, '0').append(kDomainEnd);
  put_digits(to.data() + 1, kIdDigits, id);
  put_digits(to.data() + 1 + kIdDigits + 2, digits, id % domains);
  return to;
}

std::string make_template(size_t size, uint32_t domains) {
  std::string text(kHead);
  size_t have = rendered_size(text, domains);
  if (size >= have + 2) append_lines(text, size - have, 1);
  return text;
}

std::string render(std::string_view text, uint32_t id, uint32_t domains) {
  std::string digits(kIdDigits, '0');
  put_digits(digits.data(), kIdDigits, id);
  std::string to = recipient_of(id, domains);
  std::string whole;
  for (size_t i = 0; i < text.size();) {
    if (text.substr(i, kIdSlot.size()) == kIdSlot) {
      whole += digits;
      i += kIdSlot.size();
    } else if (text.substr(i, kToSlot.size()) == kToSlot) {
      whole += to;
      i += kToSlot.size();
    } else {
      whole.push_back(text[i++]);
    }
  }
  return whole;
}

size_t Slotted::end_of_slots() const {
  size_t end = 0;
  for (size_t at : ids) end = std::max(end, at + kIdDigits);
  for (size_t at : domains) end = std::max(end, at + digits_of_domain);
  return end;
}

Slotted place_slots(std::string_view text, uint32_t domains) {
  Slotted slotted;
  slotted.digits_of_domain = domain_digits(domains);
  bool dotted = text.substr(0, 1) == "." || text.find("\n.") != text.npos;
  if (dotted || text.size() < 2 || text.substr(text.size() - 2) != "\r\n") return slotted;
  size_t grown = 0;
  for (size_t at = text.find("{{"); at != text.npos; at = text.find("{{", at + 1)) {
    if (text.substr(at, kIdSlot.size()) == kIdSlot) {
      slotted.ids.push_back(at + grown);
      grown += kIdDigits - kIdSlot.size();
    } else if (text.substr(at, kToSlot.size()) == kToSlot) {
      slotted.ids.push_back(at + grown + 1);
      slotted.domains.push_back(at + grown + 1 + kIdDigits + 2);
      grown += to_size(domains) - kToSlot.size();
    }
  }
  slotted.text = render(text, 0, domains);
  return slotted;
}

std::string make_distinct(uint32_t count, uint32_t domains, size_t size) {
  std::string all;
  all.reserve((size + 3) * count);
  for (uint32_t id = 0; id < count; ++id) {
    size_t start = all.size();
    all += render(kHead, id, domains);
    size_t have = all.size() - start;
    if (size >= have + 2) append_lines(all, size - have, mix(id + 77));
    all += ".\r\n";
  }
  return all;
}

}  // namespace veredus::bench
