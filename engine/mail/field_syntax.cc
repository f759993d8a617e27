#include "engine/mail/field_syntax.h"

#include <algorithm>
#include <array>
#include <chrono>

#include "engine/mail/address.h"
#include "engine/mail/header_field.h"
#include "engine/mail/structured_field.h"

namespace veredus::mail {
namespace {

constexpr size_t kNone = std::string_view::npos;

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

// Letter case does not count.
template <size_t n>
bool is_among(std::string_view word, const std::array<std::string_view, n>& small) {
  return std::any_of(small.begin(), small.end(),
                     [&](std::string_view each) { return same_name(word, each); });
}

constexpr std::array<std::string_view, 7> kDays = {"mon", "tue", "wed", "thu", "fri", "sat", "sun"};
constexpr std::array<std::string_view, 12> kMonths = {"jan", "feb", "mar", "apr", "may", "jun",
                                                      "jul", "aug", "sep", "oct", "nov", "dec"};
constexpr std::array<std::string_view, 10> kZones = {"ut",  "gmt", "est", "edt", "cst",
                                                     "cdt", "mst", "mdt", "pst", "pdt"};

// Takes a date apart, white space and comments passed over in front of each token.
class DateReader {
 public:
  explicit DateReader(std::string_view text) : text_(text) {}

  bool read() {
    std::string_view word = letters();
    if (!word.empty() && (!is_among(word, kDays) || !take(','))) return false;
    if (!number(1, 2, 1, 31)) return false;
    const std::chrono::day day(value_);
    word = letters();
    const auto month = std::find_if(kMonths.begin(), kMonths.end(),
                                    [&](std::string_view small) { return same_name(word, small); });
    if (month == kMonths.end() || !number(4, 4, 1900, 9999)) return false;
    const std::chrono::month number_of_month(static_cast<unsigned>(month - kMonths.begin()) + 1);
    if (!(std::chrono::year(static_cast<int>(value_)) / number_of_month / day).ok()) return false;
    if (!number(2, 2, 0, 23) || !take(':') || !number(2, 2, 0, 59)) return false;
    if (take(':') && !number(2, 2, 0, 60)) return false;
    return zone() && (skip(), at_ == text_.size());
  }

 private:
  void skip() { at_ = std::min(behind_cfws(text_, at_), text_.size()); }
  bool take(char c) {
    skip();
    if (at_ == text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  std::string_view letters() {
    skip();
    const size_t begin = at_;
    while (at_ < text_.size() && is_letter(text_[at_])) ++at_;
    return text_.substr(begin, at_ - begin);
  }
  bool number(size_t least, size_t most, unsigned from, unsigned to) {
    skip();
    value_ = 0;
    size_t digits = 0;
    for (; at_ < text_.size() && is_digit(text_[at_]) && digits <= most; ++at_, ++digits)
      value_ = value_ * 10 + static_cast<unsigned>(text_[at_] - '0');
    return digits >= least && digits <= most && value_ >= from && value_ <= to;
  }
  bool zone() {
    if (take('+') || take('-')) return number(4, 4, 0, 9959);
    return is_among(letters(), kZones);
  }

  const std::string_view text_;
  size_t at_ = 0;
  unsigned value_ = 0;  // of the last number
};

// An https URI with a host (RFC 9110 §4.2.2). What a variable brings may be one.
bool is_https(std::string_view uri) {
  constexpr std::string_view kScheme = "https://";
  if (!same_name(uri.substr(0, kScheme.size()), kScheme)) return false;
  std::string_view host = uri.substr(kScheme.size());
  host = host.substr(0, host.find_first_of("/?#"));
  if (const size_t user = host.rfind('@'); user != kNone) host.remove_prefix(user + 1);
  return !host.empty() && host.front() != ':';
}

// One tag of a tag list, up to its ; (RFC 6376 §3.2).
std::string_view take_tag(std::string_view& rest) {
  const size_t end = std::min(rest.find(';'), rest.size());
  const std::string_view tag = rest.substr(0, end);
  rest.remove_prefix(std::min(end + 1, rest.size()));
  return tag;
}

}  // namespace

std::string_view without_blanks(std::string_view value) {
  while (!value.empty() && is_blank(value.front())) value.remove_prefix(1);
  while (!value.empty() && is_blank(value.back())) value.remove_suffix(1);
  return value;
}

bool is_date_time(std::string_view value) {
  return DateReader(value).read();
}

bool is_message_id(std::string_view value) {
  const size_t begin = behind_cfws(value, 0);
  if (begin == kNone || begin == value.size() || value[begin] != '<') return false;
  const size_t end = value.find('>', begin);
  if (end == kNone || behind_cfws(value, end + 1) != value.size()) return false;
  const std::string_view id = value.substr(begin + 1, end - begin - 1);
  const size_t at = id.rfind('@');
  if (at == kNone || at == 0 || at + 1 == id.size()) return false;
  return std::all_of(id.begin(), id.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte > 32 && byte != 127 && c != '<';
  });
}

bool is_feedback_id(std::string_view value) {
  const std::string_view id = without_blanks(value);
  if (id.empty() || id.back() == ':' || std::count(id.begin(), id.end(), ':') > 3) return false;
  return std::all_of(id.begin(), id.end(), [](char c) { return c > 32 && c < 127; });
}

Unsubscribe read_unsubscribe(std::string_view value) {
  Unsubscribe found;
  for (size_t at = 0; (at = value.find_first_of("<(", at)) < value.size();) {
    if (value[at] == '(') {
      at = behind_cfws(value, at);
      continue;
    }
    const size_t close = value.find('>', at);
    if (close == kNone) break;
    const std::string_view uri = without_blanks(value.substr(at + 1, close - at - 1));
    const size_t colon = uri.find(':');
    const bool variable = uri.starts_with("{{");
    found.uri = found.uri || variable || (colon != kNone && colon > 0);
    found.https = found.https || variable || is_https(uri);
    at = close + 1;
  }
  return found;
}

bool is_one_click(std::string_view value) {
  return without_blanks(value) == "List-Unsubscribe=One-Click";
}

bool is_dns_name(std::string_view name) {
  if (name.empty() || name.size() > kDomainBytesMax) return false;
  size_t label = 0;
  for (const char c : name) {
    if (c == '.') {
      if (label == 0) return false;
      label = 0;
    } else if (!(is_letter(c) || is_digit(c) || c == '-' || c == '_') || ++label > kLabelBytesMax) {
      return false;
    }
  }
  return label > 0;
}

SignatureTags read_signature(std::string_view value) {
  SignatureTags tags;
  while (!value.empty()) {
    const std::string_view tag = take_tag(value);
    const size_t equals = tag.find('=');
    if (equals == kNone) continue;
    const std::string_view name = without_blanks(tag.substr(0, equals));
    const std::string_view text = without_blanks(tag.substr(equals + 1));
    if (name == "d") tags.domain = text;
    if (name == "h") tags.headers = text;
  }
  return tags;
}

bool covers(std::string_view headers, std::string_view small) {
  while (!headers.empty()) {
    const size_t end = std::min(headers.find(':'), headers.size());
    if (same_name(without_blanks(headers.substr(0, end)), small)) return true;
    headers.remove_prefix(std::min(end + 1, headers.size()));
  }
  return false;
}

}  // namespace veredus::mail
