#include "engine/smtp/retry_hint.h"

#include <algorithm>
#include <array>

namespace veredus::smtp {
namespace {

constexpr int64_t kMilli = 1'000'000;  // ns; numbers are kept in thousandths
constexpr int64_t kSecond = 1000 * kMilli;
constexpr int64_t kMinute = 60 * kSecond;
constexpr int64_t kHour = 60 * kMinute;
constexpr int64_t kDay = 24 * kHour;

enum class Kind : uint8_t {
  other,
  filler,  // between a preposition and the length of time: "in ABOUT 5 minutes"
  in,
  after,  // no clock follows it: "after 14:30:00" is a time of day
  for_,
  again,     // asks for another attempt, also without a preposition: "RETRY 300s"
  wait,      // likewise, and "wait FOR …"
  verb,      // asks for one, only with a preposition: "come BACK in"
  hold,      // what is done to us FOR some time
  grey,      // greylist…
  header,    // "Retry-After:", as in HTTP: a number behind it is seconds
  number,    // value: thousandths
  unit,      // value: ns
  span,      // "5m30s", "PT5M"; value: ns
  clock,     // "00:05:00"; value: ns
  and_,      // joins two parts of a length of time
  before,    // "5 minutes BEFORE retrying", "not BEFORE 5 minutes"
  left,      // "5 minutes LEFT", "time LEFT: 5 minutes"
  ago,       // what it stands behind is over
  comma,     // something else begins; just before a length of time, or its preposition, it may not
  sentence,  // something else begins
};

struct Word {
  std::string_view word;
  Kind kind;
  int64_t value = 0;
};

// In order, for they are looked up by halves.
constexpr Word kWords[] = {
    {"a", Kind::number, 1000},
    {"about", Kind::filler},
    {"additional", Kind::filler},
    {"after", Kind::after},
    {"again", Kind::again},
    {"ago", Kind::ago},
    {"an", Kind::number, 1000},
    {"and", Kind::and_},
    {"another", Kind::filler},
    {"approx", Kind::filler},
    {"approximately", Kind::filler},
    {"around", Kind::filler},
    {"at", Kind::filler},
    {"back", Kind::verb},
    {"banned", Kind::hold},
    {"before", Kind::before},
    {"blacklisted", Kind::hold},
    {"blocked", Kind::hold},
    {"blocklisted", Kind::hold},
    {"day", Kind::unit, kDay},
    {"days", Kind::unit, kDay},
    {"deferred", Kind::hold},
    {"delay", Kind::filler},
    {"delayed", Kind::hold},
    {"eight", Kind::number, 8000},
    {"expires", Kind::verb},
    {"fifteen", Kind::number, 15'000},
    {"five", Kind::number, 5000},
    {"for", Kind::for_},
    {"forty", Kind::number, 40'000},
    {"four", Kind::number, 4000},
    {"hour", Kind::unit, kHour},
    {"hours", Kind::unit, kHour},
    {"hr", Kind::unit, kHour},
    {"hrs", Kind::unit, kHour},
    {"in", Kind::in},
    {"interval", Kind::filler},
    {"is", Kind::filler},
    {"later", Kind::verb},
    {"least", Kind::filler},
    {"left", Kind::left},
    {"limited", Kind::hold},
    {"min", Kind::unit, kMinute},
    {"mins", Kind::unit, kMinute},
    {"minute", Kind::unit, kMinute},
    {"minutes", Kind::unit, kMinute},
    {"mn", Kind::unit, kMinute},
    {"more", Kind::filler},
    {"next", Kind::verb},
    {"of", Kind::filler},
    {"one", Kind::number, 1000},
    {"penalized", Kind::hold},
    {"period", Kind::filler},
    {"reconnect", Kind::verb},
    {"refused", Kind::hold},
    {"rejected", Kind::hold},
    {"remain", Kind::left},
    {"remaining", Kind::left},
    {"resend", Kind::verb},
    {"resending", Kind::verb},
    {"resubmit", Kind::verb},
    {"retry", Kind::again},
    {"retry-after", Kind::header},
    {"retry_after", Kind::header},
    {"retrying", Kind::again},
    {"sec", Kind::unit, kSecond},
    {"second", Kind::unit, kSecond},
    {"seconds", Kind::unit, kSecond},
    {"secs", Kind::unit, kSecond},
    {"six", Kind::number, 6000},
    {"sixty", Kind::number, 60'000},
    {"suspended", Kind::hold},
    {"ten", Kind::number, 10'000},
    {"than", Kind::after},
    {"thirty", Kind::number, 30'000},
    {"three", Kind::number, 3000},
    {"throttled", Kind::hold},
    {"time", Kind::filler},
    {"timeout", Kind::filler},
    {"try", Kind::verb},
    {"twenty", Kind::number, 20'000},
    {"two", Kind::number, 2000},
    {"unavailable", Kind::hold},
    {"wait", Kind::wait},
};
static_assert(std::is_sorted(std::begin(kWords), std::end(kWords),
                             [](const Word& a, const Word& b) { return a.word < b.word; }));

// Behind a number without a space between.
constexpr Word kShortUnits[] = {
    {"d", Kind::unit, kDay},
    {"h", Kind::unit, kHour},
    {"m", Kind::unit, kMinute},
    {"s", Kind::unit, kSecond},
};

constexpr std::string_view kGreyWords[] = {"greylist", "graylist", "grey-list", "gray-list"};

// Of well-known greylisters, and of those who do not say so: Yahoo's code for it, Vamsoft ORF, and
// all that rspamd says.
constexpr std::string_view kGreyTexts[] = {
    "greylist",  "graylist", "grey-list", "gray-list", "grey list",
    "gray list", "postgrey", "sqlgrey",   "[gl01]",    "not yet authorized to deliver mail from",
};
constexpr std::string_view kGreyWhole = "try again later";

constexpr bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
constexpr bool is_letter(char c) {
  return c >= 'a' && c <= 'z';
}

struct Token {
  Kind kind = Kind::other;
  int64_t value = 0;
};

// A number of at most 9 digits off the front; false: there is none.
bool take_number(std::string_view& text, int64_t& number) {
  size_t digits = 0;
  for (number = 0; digits < text.size() && is_digit(text[digits]); ++digits) {
    if (digits == 9) return false;
    number = number * 10 + (text[digits] - '0');
  }
  text.remove_prefix(digits);
  return digits > 0;
}

// "300", "1.5", "5-10" (of which the higher one counts), in thousandths; `text` goes on behind it.
bool take_quantity(std::string_view& text, int64_t& thousandths) {
  int64_t number = 0;
  if (!take_number(text, number)) return false;
  thousandths = number * 1000;
  if (text.size() > 1 && text[0] == '-' && is_digit(text[1])) {
    text.remove_prefix(1);
    if (!take_number(text, number)) return false;
    thousandths = std::max(thousandths, number * 1000);
  } else if (text.size() > 1 && text[0] == '.' && is_digit(text[1])) {
    text.remove_prefix(1);
    for (int64_t worth = 100; !text.empty() && is_digit(text[0]); worth /= 10) {
      thousandths += (text[0] - '0') * worth;
      text.remove_prefix(1);
    }
  }
  return true;
}

const Word* find_word(std::string_view name) {
  const auto* found = std::lower_bound(
      std::begin(kWords), std::end(kWords), name,
      [](const Word& word, std::string_view sought) { return word.word < sought; });
  return found != std::end(kWords) && found->word == name ? found : nullptr;
}

// A unit off the front; 0: there is none. `times` of it fit into 64 bits, as 9 digits do.
int64_t take_unit(std::string_view& text) {
  const auto letters =
      static_cast<size_t>(std::find_if_not(text.begin(), text.end(), is_letter) - text.begin());
  const std::string_view name = text.substr(0, letters);
  text.remove_prefix(letters);
  for (const Word& it : kShortUnits) {
    if (it.word == name) return it.value;
  }
  const Word* found = find_word(name);
  return found != nullptr && found->kind == Kind::unit ? found->value : 0;
}

// Longer than any hint, and so far from the end of 64 bits that all lengths of a text add up.
constexpr int64_t kTooLong = 2 * kRetryHintMaxNs;

int64_t product(int64_t thousandths, int64_t unit_ns) {
  if (thousandths / 1000 > kTooLong / unit_ns) return kTooLong;
  return thousandths * (unit_ns / 1000);
}

// "5m30s", "15mins"; of ISO 8601 "PT5M", "P1DT2H".
Token span_of(std::string_view chunk) {
  const bool iso = chunk[0] == 'p';
  // Without a T these are years, months and days.
  if (iso && chunk.find('t') == std::string_view::npos && chunk.back() != 'd') return {};
  if (iso) chunk.remove_prefix(1);
  int64_t total = 0;
  bool any = false;
  while (!chunk.empty()) {
    if (iso && chunk[0] == 't') chunk.remove_prefix(1);
    int64_t thousandths = 0;
    if (!take_quantity(chunk, thousandths)) return {};
    if (iso && chunk.size() > 1 && chunk[1] == 't') {  // "1DT2H": the T is no part of the unit
      if (chunk[0] != 'd') return {};
      total += product(thousandths, kDay);
      chunk.remove_prefix(1);
    } else {
      const int64_t unit = take_unit(chunk);
      if (unit == 0) return {};
      total += product(thousandths, unit);
    }
    any = true;
  }
  return any ? Token{Kind::span, total} : Token{};
}

// "00:05:00": hours, minutes, seconds.
Token clock_of(std::string_view chunk) {
  int64_t total = 0;
  for (const int64_t unit : {kHour, kMinute, kSecond}) {
    if (unit != kHour) {
      if (chunk.size() < 3 || chunk[0] != ':' || !is_digit(chunk[2])) return {};
      chunk.remove_prefix(1);
    }
    int64_t number = 0;
    if (!take_number(chunk, number) || (unit != kHour && number > 59)) return {};
    total += product(number * 1000, unit);
  }
  return chunk.empty() ? Token{Kind::clock, total} : Token{};
}

Token token_of(std::string_view chunk) {
  if (is_digit(chunk[0])) {
    std::string_view rest = chunk;
    int64_t thousandths = 0;
    if (!take_quantity(rest, thousandths)) return {};
    if (rest.empty()) return {Kind::number, thousandths};
    return rest[0] == ':' ? clock_of(chunk) : span_of(chunk);
  }
  if (chunk.size() > 2 && chunk[0] == 'p' && (is_digit(chunk[1]) || is_digit(chunk[2]))) {
    return span_of(chunk);
  }
  for (const std::string_view grey : kGreyWords) {
    if (chunk.substr(0, grey.size()) == grey) return {Kind::grey, 0};
  }
  if (chunk == "grey" || chunk == "gray") return {Kind::grey, 0};
  const Word* found = find_word(chunk);
  return found != nullptr ? Token{found->kind, found->value} : Token{};
}

// The text, cut up. What does not fit is dropped.
class Tokens {
 public:
  explicit Tokens(std::string_view lower) {
    while (!lower.empty() && size_ < tokens_.size()) take(lower);
  }

  size_t size() const { return size_; }
  const Token& operator[](size_t i) const { return tokens_[i]; }
  Kind kind(size_t i) const { return i < size_ ? tokens_[i].kind : Kind::sentence; }

 private:
  void add(Token token) {
    if (size_ < tokens_.size()) tokens_[size_++] = token;
  }

  void take(std::string_view& text) {
    constexpr std::string_view kSpaces = " \t\r\n=";
    constexpr std::string_view kCommas = ",()[]<>{}\"'";
    constexpr std::string_view kEnds = ";!?";
    const char c = text[0];
    if (kSpaces.find(c) != std::string_view::npos) return text.remove_prefix(1);
    if (kCommas.find(c) != std::string_view::npos || kEnds.find(c) != std::string_view::npos) {
      text.remove_prefix(1);
      return add({kCommas.find(c) != std::string_view::npos ? Kind::comma : Kind::sentence, 0});
    }
    const auto* end = std::find_if(text.begin(), text.end(), [&](char it) {
      return kSpaces.find(it) != std::string_view::npos ||
             kCommas.find(it) != std::string_view::npos || kEnds.find(it) != std::string_view::npos;
    });
    take_chunk(text.substr(0, static_cast<size_t>(end - text.begin())));
    text.remove_prefix(static_cast<size_t>(end - text.begin()));
  }

  // Without the period, colon or dash at its end.
  void take_chunk(std::string_view chunk) {
    bool stops = false;
    while (!chunk.empty() && (chunk.back() == '.' || chunk.back() == ':' || chunk.back() == '-')) {
      stops = stops || chunk.back() == '.';
      chunk.remove_suffix(1);
    }
    add(chunk.empty() ? Token{Kind::comma, 0} : token_of(chunk));
    if (stops) add({Kind::sentence, 0});
  }

  std::array<Token, 256> tokens_;
  size_t size_ = 0;
};

// Whether one of the `most` tokens before `end` is of one of these kinds. Numbers and whatever
// begins something new end the search.
template <typename... Kinds>
bool just_before(const Tokens& tokens, size_t end, size_t most, Kinds... kinds) {
  for (size_t i = end; i > 0 && end - i < most; --i) {
    const Kind kind = tokens.kind(i - 1);
    if (((kind == kinds) || ...)) return true;
    if (kind == Kind::number || kind == Kind::comma || kind == Kind::sentence) return false;
  }
  return false;
}

// A length of time from `begin` on: how many tokens it takes up (0: there is none), and its value.
size_t length_of(const Tokens& tokens, size_t begin, int64_t& total) {
  total = 0;
  size_t end = begin;
  for (size_t i = begin; i < tokens.size();) {
    if (i > begin && tokens.kind(i) == Kind::and_) ++i;
    const Kind kind = tokens.kind(i);
    if (kind == Kind::span || (kind == Kind::clock && i == begin)) {
      total += tokens[i].value;
      end = ++i;
      continue;
    }
    if (kind != Kind::number) break;
    const size_t unit = i + (tokens.kind(i + 1) == Kind::filler ? 2 : 1);  // "30 more seconds"
    if (tokens.kind(unit) != Kind::unit) break;
    total += product(tokens[i].value, tokens[unit].value);
    end = i = unit + 1;
  }
  return end - begin;
}

// Whether the words before a length of time make it one to wait.
bool asked_for(const Tokens& tokens, size_t begin) {
  const bool clock = tokens.kind(begin) == Kind::clock;
  size_t i = begin;
  if (i > 0 && tokens.kind(i - 1) == Kind::comma) --i;
  for (size_t most = 5; most > 0 && i > 0 && tokens.kind(i - 1) == Kind::filler; --most) --i;
  if (i == 0) return false;
  const Kind kind = tokens.kind(--i);
  const size_t before = i > 0 && tokens.kind(i - 1) == Kind::comma ? i - 1 : i;
  switch (kind) {
    case Kind::again:
    case Kind::wait:
    case Kind::grey:
    case Kind::header:
    case Kind::left:
      return true;
    case Kind::in:
      return just_before(tokens, before, 5, Kind::again, Kind::verb, Kind::wait);
    case Kind::after:
    case Kind::before:
      return !clock && just_before(tokens, before, 5, Kind::again, Kind::verb, Kind::wait);
    case Kind::for_:
      return just_before(tokens, before, 3, Kind::hold, Kind::grey, Kind::wait);
    default:
      return false;
  }
}

// Whether one of the two words behind it says so.
bool followed_by(const Tokens& tokens, size_t end, Kind kind) {
  if (tokens.kind(end) == kind) return true;
  return tokens.kind(end) == Kind::other && tokens.kind(end + 1) == kind;
}

int64_t longest_wait(const Tokens& tokens) {
  int64_t longest = 0;
  for (size_t i = 0; i < tokens.size();) {
    int64_t length = 0;
    size_t taken = length_of(tokens, i, length);
    if (taken == 0 && i > 0 && tokens.kind(i - 1) == Kind::header &&
        tokens.kind(i) == Kind::number) {
      length = product(tokens[i].value, kSecond);
      taken = 1;
    }
    const bool counts = taken > 0 && length <= kRetryHintMaxNs &&
                        !followed_by(tokens, i + taken, Kind::ago) &&
                        (asked_for(tokens, i) || followed_by(tokens, i + taken, Kind::left) ||
                         followed_by(tokens, i + taken, Kind::before));
    if (counts) longest = std::max(longest, length);
    i += std::max<size_t>(taken, 1);
  }
  return longest;
}

bool says_greylisted(std::string_view lower) {
  for (const std::string_view words : kGreyTexts) {
    if (lower.find(words) != std::string_view::npos) return true;
  }
  const size_t last = lower.find_last_not_of(" .\r\n");
  return lower.substr(0, last == std::string_view::npos ? 0 : last + 1) == kGreyWhole;
}

}  // namespace

RetryHint read_retry_hint(std::string_view text) {
  std::array<char, kRetryHintTextMax> buffer;
  const size_t size = std::min(text.size(), buffer.size());
  std::transform(text.begin(), text.begin() + size, buffer.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c == '\n' ? ' ' : c;
  });
  const std::string_view lower(buffer.data(), size);
  return {longest_wait(Tokens(lower)), says_greylisted(lower)};
}

}  // namespace veredus::smtp
