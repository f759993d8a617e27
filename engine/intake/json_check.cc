#include "engine/intake/json_check.h"

#include <charconv>
#include <cmath>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "engine/mail/utf8.h"

namespace veredus::intake {
namespace {

// Keys of one object; a set is made only when there are many.
class KeySet {
 public:
  bool insert(std::string key) {
    if (set_.empty()) {
      for (const std::string& other : few_) {
        if (other == key) return false;
      }
      few_.push_back(std::move(key));
      if (few_.size() > 16) set_.insert(few_.begin(), few_.end());
      return true;
    }
    return set_.insert(std::move(key)).second;
  }

 private:
  std::vector<std::string> few_;
  absl::flat_hash_set<std::string> set_;
};

class Checker {
 public:
  Checker(std::string_view text, unsigned nesting_max) : text_(text), nesting_max_(nesting_max) {}

  JsonFault run() {
    skip_space();
    if (value(0)) {
      skip_space();
      if (at_ < text_.size()) fail(at_, "something follows the JSON value");
    }
    return std::move(fault_);
  }

 private:
  bool fail(size_t offset, std::string reason) {
    if (fault_.reason.empty()) fault_ = {offset, std::move(reason)};
    return false;
  }
  int peek() const { return at_ < text_.size() ? static_cast<unsigned char>(text_[at_]) : -1; }
  void skip_space() {
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c != ' ' && c != '\t' && c != '\r' && c != '\n') return;
      ++at_;
    }
  }

  bool value(unsigned depth) {
    switch (peek()) {
      case -1:
        return fail(at_, "the line ends where a value is expected");
      case '{':
        return object(depth + 1);
      case '[':
        return array(depth + 1);
      case '"':
        return string(nullptr);
      case 't':
        return word("true");
      case 'f':
        return word("false");
      case 'n':
        return word("null");
      default:
        return number();
    }
  }

  bool word(std::string_view wanted) {
    if (!text_.substr(at_).starts_with(wanted)) return fail(at_, "true, false or null is misspelt");
    at_ += wanted.size();
    return true;
  }

  bool too_deep(unsigned depth) {
    return depth > nesting_max_ &&
           !fail(at_, "nested deeper than " + std::to_string(nesting_max_) + " levels");
  }

  bool object(unsigned depth) {
    if (too_deep(depth)) return false;
    ++at_;
    skip_space();
    if (peek() == '}') return ++at_, true;
    KeySet keys;
    while (true) {
      const size_t key_at = at_;
      if (peek() != '"') return fail(at_, "a key in quotes is expected");
      std::string key;
      if (!string(&key)) return false;
      if (!keys.insert(key)) return fail(key_at, "the key \"" + key + "\" is there twice");
      skip_space();
      if (peek() != ':') return fail(at_, "a colon is expected behind the key");
      ++at_;
      skip_space();
      if (!value(depth)) return false;
      skip_space();
      if (peek() == '}') return ++at_, true;
      if (peek() != ',') return fail(at_, "a comma or } is expected");
      ++at_;
      skip_space();
    }
  }

  bool array(unsigned depth) {
    if (too_deep(depth)) return false;
    ++at_;
    skip_space();
    if (peek() == ']') return ++at_, true;
    while (true) {
      if (!value(depth)) return false;
      skip_space();
      if (peek() == ']') return ++at_, true;
      if (peek() != ',') return fail(at_, "a comma or ] is expected");
      ++at_;
      skip_space();
    }
  }

  // At the first digit behind \u; the code unit, or -1.
  int code_unit() {
    if (text_.size() - at_ < 4) return -1;
    unsigned unit = 0;
    const auto end = std::from_chars(text_.data() + at_, text_.data() + at_ + 4, unit, 16);
    if (end.ec != std::errc() || end.ptr != text_.data() + at_ + 4) return -1;
    at_ += 4;
    return static_cast<int>(unit);
  }

  bool escape(std::string* out) {
    const size_t start = at_ - 1;
    const int c = peek();
    ++at_;
    constexpr std::string_view kFrom = "\"\\/bfnrt", kTo = "\"\\/\b\f\n\r\t";
    if (c != 'u') {
      const size_t which = c < 0 ? std::string_view::npos : kFrom.find(static_cast<char>(c));
      if (which == std::string_view::npos) return fail(start, "an escape that JSON does not have");
      if (out != nullptr) *out += kTo[which];
      return true;
    }
    int point = code_unit();
    if (point < 0) return fail(start, "\\u wants four hexadecimal digits");
    if (point >= 0xDC00 && point <= 0xDFFF) return fail(start, "half of a surrogate pair");
    if (point >= 0xD800 && point <= 0xDBFF) {
      if (!text_.substr(at_).starts_with("\\u")) return fail(start, "half of a surrogate pair");
      at_ += 2;
      const int low = code_unit();
      if (low < 0xDC00 || low > 0xDFFF) return fail(start, "half of a surrogate pair");
      point = 0x10000 + ((point - 0xD800) << 10) + (low - 0xDC00);
    }
    if (out != nullptr) mail::append_utf8(static_cast<uint32_t>(point), *out);
    return true;
  }

  bool string(std::string* out) {
    const size_t start = at_++;
    while (true) {
      const int c = peek();
      if (c < 0) return fail(start, "a string that is not closed");
      if (c < 32) return fail(at_, "a control byte in a string: escape it");
      if (c == '"') return ++at_, true;
      if (c == '\\') {
        ++at_;
        if (!escape(out)) return false;
        continue;
      }
      size_t length = 1;
      if (c > 127) {
        length = mail::utf8_length(text_.substr(at_, 4));
        if (length == 0) return fail(at_, "bytes that are not UTF-8");
      }
      if (out != nullptr) out->append(text_.substr(at_, length));
      at_ += length;
    }
  }

  size_t digits() {
    const size_t start = at_;
    while (peek() >= '0' && peek() <= '9') ++at_;
    return at_ - start;
  }

  bool number() {
    const size_t start = at_;
    if (peek() == '-') ++at_;
    const bool zero = peek() == '0';
    const size_t whole = digits();
    if (whole == 0) return fail(start, "a value is expected");
    if (zero && whole > 1) return fail(start, "a number with a leading zero");
    bool integer = true;
    if (peek() == '.') {
      ++at_;
      integer = false;
      if (digits() == 0) return fail(start, "a number without digits behind its point");
    }
    if (peek() == 'e' || peek() == 'E') {
      ++at_;
      integer = false;
      if (peek() == '+' || peek() == '-') ++at_;
      if (digits() == 0) return fail(start, "a number without digits in its exponent");
    }
    const std::string_view token = text_.substr(start, at_ - start);
    return fits(token, integer) || fail(start, "a number that is too large: put it in quotes");
  }

  static bool fits(std::string_view token, bool integer) {
    const char* const end = token.data() + token.size();
    if (!integer) {
      double number = 0;
      const auto read = std::from_chars(token.data(), end, number);
      // Out of range is also what is too small: that is 0.
      return read.ec == std::errc() ? std::isfinite(number)
                                    : token.find("e-") != std::string_view::npos ||
                                          token.find("E-") != std::string_view::npos;
    }
    int64_t small = 0;
    uint64_t large = 0;
    return std::from_chars(token.data(), end, small).ec == std::errc() ||
           (token.front() != '-' && std::from_chars(token.data(), end, large).ec == std::errc());
  }

  std::string_view text_;
  unsigned nesting_max_;
  size_t at_ = 0;
  JsonFault fault_;
};

}  // namespace

JsonFault find_json_fault(std::string_view text, unsigned nesting_max) {
  return Checker(text, nesting_max).run();
}

std::string_view compact_json(std::string_view text, std::string& scratch) {
  bool in_string = false, copying = false;
  for (size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    const bool space = !in_string && (c == ' ' || c == '\t' || c == '\r' || c == '\n');
    if (space && !copying) {
      scratch.assign(text.substr(0, at));
      copying = true;
    }
    if (space) continue;
    if (copying) scratch += c;
    if (c == '"') in_string = !in_string;
    if (c == '\\' && in_string && at + 1 < text.size()) {
      ++at;
      if (copying) scratch += text[at];
    }
  }
  return copying ? std::string_view(scratch) : text;
}

}  // namespace veredus::intake
