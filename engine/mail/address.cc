#include "engine/mail/address.h"

#include <array>

#include "engine/mail/idn.h"
#include "engine/mail/utf8.h"

namespace veredus::mail {
namespace {

enum : uint8_t {
  kAtom = 1,   // atext of RFC 5322 §3.2.3
  kLabel = 2,  // letter, digit, hyphen
  kDigit = 4,
  kUpper = 8,
  kQuoted = 16,  // qtextSMTP of RFC 5321 §4.1.2
  kControl = 32,
  kHigh = 64,
};

constexpr std::array<uint8_t, 256> kClasses = [] {
  std::array<uint8_t, 256> table{};
  for (unsigned c = 0; c < 256; ++c) {
    if (c < 32 || c == 127) table[c] |= kControl;
    if (c > 127) table[c] |= kHigh;
    if (c >= 32 && c < 127 && c != '"' && c != '\\') table[c] |= kQuoted;
    const bool digit = c >= '0' && c <= '9', upper = c >= 'A' && c <= 'Z';
    if (digit) table[c] |= kDigit;
    if (upper) table[c] |= kUpper;
    if (digit || upper || (c >= 'a' && c <= 'z')) table[c] |= kAtom | kLabel;
  }
  table['-'] |= kLabel;
  for (const char c : std::string_view("!#$%&'*+-/=?^_`{|}~")) {
    table[static_cast<unsigned char>(c)] |= kAtom;
  }
  return table;
}();

uint8_t class_of(char c) {
  return kClasses[static_cast<unsigned char>(c)];
}

// Where the local part ends: offset of the '@', npos if there is none.
size_t find_at(std::string_view text) {
  if (text.front() != '"') return text.find('@');
  for (size_t i = 1; i < text.size(); ++i) {
    if (text[i] == '\\') {
      ++i;
    } else if (text[i] == '"') {
      return i + 1 < text.size() && text[i + 1] == '@' ? i + 1 : std::string_view::npos;
    }
  }
  return std::string_view::npos;
}

// Characters beyond ASCII that terminals obey, or that make text look like another: C1 controls (to
// U+009F), line separators, marks and overrides of direction, the byte order mark.
bool has_high_control(std::string_view utf8) {
  for (size_t i = 0; i + 1 < utf8.size(); ++i) {
    const auto byte = [&](size_t at) {
      return at < utf8.size() ? static_cast<unsigned char>(utf8[at]) : 0u;
    };
    const unsigned first = byte(i), second = byte(i + 1), third = byte(i + 2);
    const bool c1 = first == 0xC2 && second < 0xA0;
    const bool marks = first == 0xE2 && second == 0x80 &&
                       (third == 0x8E || third == 0x8F || (third >= 0xA8 && third <= 0xAE));
    const bool isolates = first == 0xE2 && second == 0x81 && third >= 0xA6 && third <= 0xA9;
    if (c1 || marks || isolates || (first == 0xEF && second == 0xBB && third == 0xBF)) return true;
  }
  return false;
}

// UTF-8 stands where an atom's or a quoted string's characters do (RFC 6531 §3.3).
AddressFault check_local(std::string_view local) {
  if (local.empty()) return AddressFault::local_empty;
  if (local.front() == '"') {
    // find_at() saw the closing quote.
    for (size_t i = 1; i + 1 < local.size(); ++i) {
      if (local[i] == '\\') {
        // A quoted-pair: any of 32 to 126.
        if ((class_of(local[++i]) & kHigh) != 0) return AddressFault::local_syntax;
      } else if ((class_of(local[i]) & (kQuoted | kHigh)) == 0) {
        return AddressFault::local_syntax;
      }
    }
    return AddressFault::none;
  }
  bool atom_empty = true;
  for (const char c : local) {
    if (c == '.') {
      if (atom_empty) return AddressFault::local_syntax;
      atom_empty = true;
    } else if ((class_of(c) & (kAtom | kHigh)) != 0) {
      atom_empty = false;
    } else {
      return AddressFault::local_syntax;
    }
  }
  return atom_empty ? AddressFault::local_syntax : AddressFault::none;
}

AddressFault check_domain(std::string_view domain, bool& upper) {
  if (domain.empty()) return AddressFault::domain_empty;
  if (domain.front() == '[') return AddressFault::literal;
  if (domain.size() > kDomainBytesMax) return AddressFault::domain_long;
  uint8_t seen = 0;
  bool digits_only = true;
  size_t label = 0;
  char last = '.';
  for (const char c : domain) {
    if (c == '.') {
      if (label == 0 || last == '-') return AddressFault::domain_syntax;
      label = 0;
      digits_only = true;
    } else {
      const uint8_t kind = class_of(c);
      if ((kind & kLabel) == 0 || (label == 0 && c == '-')) return AddressFault::domain_syntax;
      if (++label > kLabelBytesMax) return AddressFault::domain_long;
      seen |= kind;
      digits_only = digits_only && (kind & kDigit) != 0;
    }
    last = c;
  }
  // No top-level domain is a number: what looks like one is an address without its brackets (RFC
  // 3696 §2).
  if (label == 0 || last == '-' || digits_only) return AddressFault::domain_syntax;
  upper = (seen & kUpper) != 0;
  return AddressFault::none;
}

}  // namespace

AddressFault check_address(std::string_view text, Address& address, size_t local_max) {
  if (text.empty()) return AddressFault::empty;
  if (text.size() > kAddressBytesMax) return AddressFault::too_long;
  uint8_t seen = 0;
  for (const char c : text) seen |= class_of(c);
  if ((seen & kControl) != 0) return AddressFault::control;
  if (text.back() == '>' && text.find('<') != std::string_view::npos) return AddressFault::brackets;
  const size_t at = find_at(text);
  if (at == std::string_view::npos) return AddressFault::no_at;
  address.local = text.substr(0, at);
  address.domain = text.substr(at + 1);
  address.upper_domain = false;
  if ((seen & kHigh) != 0) {
    if (!is_utf8(address.local)) return AddressFault::local_syntax;
    if (has_high_control(address.local)) return AddressFault::control;
    if (has_high(address.domain)) return AddressFault::domain_utf8;
  }
  if (address.local.size() > local_max) return AddressFault::local_long;
  const AddressFault fault = check_local(address.local);
  return fault != AddressFault::none ? fault : check_domain(address.domain, address.upper_domain);
}

std::string_view status_of(AddressFault fault, bool reverse_path) {
  switch (fault) {
    case AddressFault::none:
      return {};
    case AddressFault::domain_idn:
      return reverse_path ? "5.1.7" : "5.1.2";
    default:
      return reverse_path ? "5.1.7" : "5.1.3";
  }
}

std::string_view reason_of(AddressFault fault) {
  switch (fault) {
    case AddressFault::none:
      return {};
    case AddressFault::empty:
      return "the address is empty";
    case AddressFault::no_at:
      return "the address has no @ behind a local part";
    case AddressFault::too_long:
      return "the address is longer than 254 bytes";
    case AddressFault::control:
      return "the address has a control character (CR, LF, NUL or the like)";
    case AddressFault::local_empty:
      return "there is nothing in front of the @";
    case AddressFault::local_long:
      return "the part in front of the @ is longer than 64 bytes";
    case AddressFault::local_syntax:
      return "the part in front of the @ is no atoms with dots between and no quoted string";
    case AddressFault::domain_empty:
      return "there is nothing behind the @";
    case AddressFault::domain_long:
      return "the domain is longer than 253 bytes, or one of its labels than 63";
    case AddressFault::domain_syntax:
      return "the domain is no host name (labels of letters, digits and hyphens)";
    case AddressFault::domain_utf8:
      return "the domain is not ASCII: give its A-label form (xn--…)";
    case AddressFault::domain_idn:
      return "the domain is no internationalized domain name (RFC 5891)";
    case AddressFault::literal:
      return "address literals ([192.0.2.1]) are not taken";
    case AddressFault::brackets:
      return "the address alone is wanted, without <> and display name";
  }
  return {};
}

std::string_view canonical(std::string_view text, const Address& address, std::string& scratch) {
  if (!address.upper_domain) return text;
  scratch.assign(text);
  for (size_t i = address.local.size() + 1; i < scratch.size(); ++i) {
    if ((class_of(scratch[i]) & kUpper) != 0) scratch[i] = static_cast<char>(scratch[i] + 32);
  }
  return scratch;
}

AddressFault take_address(std::string_view text, std::string& scratch, std::string_view& taken,
                          std::string_view& why_not, size_t local_max) {
  Address address;
  const AddressFault fault = check_address(text, address, local_max);
  why_not = {};
  if (fault == AddressFault::domain_utf8) {
    scratch.assign(text.substr(0, address.local.size() + 1));
    if (!append_a_labels(address.domain, scratch, why_not)) return AddressFault::domain_idn;
    taken = scratch;
    return check_address(scratch, address, local_max);
  }
  if (fault == AddressFault::none) taken = canonical(text, address, scratch);
  return fault;
}

}  // namespace veredus::mail
