#pragma once

#include <bit>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace veredus::mail {

// What big receivers refuse or count against a sender, and RFC 5322 does not allow. The names are
// stable: they stand in answers and in the configuration.
enum class Finding : uint8_t {
  from_missing,
  from_multiple,
  from_syntax,
  address_syntax,
  dkim_missing,
  dkim_alignment,
  signature_breaks,
  unsubscribe_missing,
  unsubscribe_one_click,
  unsubscribe_unsigned,
  feedback_id_missing,
  feedback_id_syntax,
  date_missing,
  date_syntax,
  message_id_missing,
  message_id_syntax,
  header_syntax,
  return_path,
  header_eight_bit,
  mime_version_missing,
  mime_syntax,
  charset_missing,
  eight_bit_encoding,
  line_length,
  bare_cr,
  bare_lf,
};
inline constexpr size_t kFindings = 26;

struct FindingText {
  std::string_view name;    // "from-missing"
  std::string_view reason;  // in a line
  std::string_view remedy;
  // Against the form of messages (RFC 5322, 2045): 5.6.0; else against what receivers want: 5.7.1
  // (RFC 3463 §3.7, §3.8).
  bool form;
};
// What is told of a message beside that, made fit to be told: controls and bytes that are no UTF-8
// as \x0D, and cut, with … behind it, where it would have more than kDetailBytesMax. Answers are
// kept, and what was fed may be of any size.
inline constexpr size_t kDetailBytesMax = 100;
std::string detail_of(std::string_view text);

const FindingText& text_of(Finding finding);
std::optional<Finding> finding_named(std::string_view name);

// A set of them.
class Findings {
 public:
  constexpr Findings() = default;
  constexpr Findings(std::initializer_list<Finding> those) {
    for (const Finding finding : those) add(finding);
  }
  constexpr void add(Finding finding) { bits_ |= bit(finding); }
  constexpr bool has(Finding finding) const { return (bits_ & bit(finding)) != 0; }
  constexpr bool empty() const { return bits_ == 0; }
  constexpr Findings operator|(Findings other) const { return Findings(bits_ | other.bits_); }
  constexpr Findings operator&(Findings other) const { return Findings(bits_ & other.bits_); }
  constexpr Findings without(Findings other) const { return Findings(bits_ & ~other.bits_); }
  bool operator==(const Findings&) const = default;
  // In the order of the enumeration.
  template <typename Visit>
  void for_each(const Visit& visit) const {
    for (uint32_t left = bits_; left != 0; left &= left - 1)
      visit(static_cast<Finding>(std::countr_zero(left)));
  }

 private:
  constexpr explicit Findings(uint32_t bits) : bits_(bits) {}
  static constexpr uint32_t bit(Finding finding) { return 1u << static_cast<unsigned>(finding); }
  uint32_t bits_ = 0;
};

}  // namespace veredus::mail
