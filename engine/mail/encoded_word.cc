#include "engine/mail/encoded_word.h"

#include <algorithm>

#include "engine/mail/content.h"

namespace veredus::mail {
namespace {

constexpr size_t kWordMax = 75;  // RFC 2047 §2; its line has one byte more
constexpr std::string_view kBegin = "=?UTF-8?B?", kEnd = "?=";
constexpr std::string_view kBlanks = " \t";

// =?charset?encoding?text?=
bool is_encoded_word(std::string_view word) {
  return word.size() > 8 && word.size() <= kWordMax && word.starts_with("=?") &&
         word.ends_with("?=") && std::count(word.begin(), word.end(), '?') == 4;
}

// The first encoded word from `at` on: `begin` is npos if there is none.
void find_encoded_word(std::string_view text, size_t at, size_t& begin, size_t& end) {
  for (begin = at; (begin = text.find("=?", begin)) != std::string_view::npos; begin = end) {
    end = std::min(text.find_first_of(kBlanks, begin), text.size());
    const bool alone = begin == 0 || kBlanks.find(text[begin - 1]) != std::string_view::npos;
    if (alone && is_encoded_word(text.substr(begin, end - begin))) return;
  }
}

// How many bytes of the text go into a word that encodes `room` of them: not between the bytes of
// one character (RFC 2047 §5); what is no UTF-8 at all is cut anywhere.
size_t bytes_of_word(std::string_view text, size_t room) {
  const auto continues = [&](size_t at) {
    return at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80;
  };
  const size_t length = std::min(text.size(), room);
  size_t cut = length;
  while (cut > 0 && cut + 3 > length && continues(cut)) --cut;
  return cut == 0 || continues(cut) ? length : cut;
}

void fold(size_t& column, std::string& out) {
  out += "\r\n ";
  column = 1;
}

}  // namespace

void append_encoded_words(std::string_view text, std::string& out) {
  size_t column = 0;
  append_encoded_words(text, column, out);
}

void append_encoded_words(std::string_view text, size_t& column, std::string& out) {
  constexpr size_t kBytesOfWord = 45;  // 60 digits and 12 bytes around them
  // A character has up to four bytes, so that a word with less room would hold none.
  constexpr size_t kLeast = kBegin.size() + kEnd.size() + 8;
  for (bool first = true; !text.empty(); first = false) {
    if (!first || column + kLeast > kWordMax + 1) fold(column, out);
    const size_t digits = kWordMax + 1 - column - kBegin.size() - kEnd.size();
    const size_t length = bytes_of_word(text, std::min(digits / 4 * 3, kBytesOfWord));
    const size_t begin = out.size();
    out += kBegin;
    append_base64(text.substr(0, length), out);
    out += kEnd;
    column += out.size() - begin;
    text.remove_prefix(length);
  }
}

bool has_encoded_word(std::string_view text) {
  size_t begin, end = 0;
  find_encoded_word(text, 0, begin, end);
  return begin != std::string_view::npos;
}

void append_encoded_text(std::string_view text, size_t& column, std::string& out) {
  bool something = false;
  const auto part = [&](size_t more) {  // what stands in front of the next word
    if (!something) return;
    if (column + 1 + more > kWordMax + 1) {
      fold(column, out);
    } else {
      out += ' ';
      ++column;
    }
  };
  for (size_t at = 0, begin, end = 0; at < text.size(); at = end) {
    find_encoded_word(text, at, begin, end);
    if (begin == std::string_view::npos) begin = end = text.size();
    const std::string_view plain = text.substr(at, begin - at);
    if (plain.find_first_not_of(kBlanks) != std::string_view::npos) {
      part(kBegin.size() + kEnd.size() + 8);
      append_encoded_words(plain, column, out);
      something = true;
    }
    if (begin == end) continue;
    part(end - begin);
    out += text.substr(begin, end - begin);
    column += end - begin;
    something = true;
  }
}

}  // namespace veredus::mail
