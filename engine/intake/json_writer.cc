#include "engine/intake/json_writer.h"

#include <array>
#include <charconv>
#include <cmath>

#include "engine/mail/date.h"
#include "engine/mail/utf8.h"

namespace veredus::intake {
namespace {

// 0: written as it is; 1: needs a look.
constexpr std::array<uint8_t, 256> kSpecial = [] {
  std::array<uint8_t, 256> table{};
  for (unsigned c = 0; c < 32; ++c) table[c] = 1;
  table['"'] = table['\\'] = table[127] = 1;
  for (unsigned c = 128; c < 256; ++c) table[c] = 1;
  return table;
}();

void append_escaped(unsigned char c, std::string& out) {
  constexpr char kHex[] = "0123456789abcdef";
  switch (c) {
    case '"':
      out += "\\\"";
      return;
    case '\\':
      out += "\\\\";
      return;
    case '\n':
      out += "\\n";
      return;
    case '\r':
      out += "\\r";
      return;
    case '\t':
      out += "\\t";
      return;
    default:
      out += "\\u00";
      out += kHex[c >> 4];
      out += kHex[c & 15];
  }
}

}  // namespace

void append_json_string(std::string_view text, std::string& out) {
  out += '"';
  size_t plain = 0, at = 0;
  while (at < text.size()) {
    const auto c = static_cast<unsigned char>(text[at]);
    if (kSpecial[c] == 0) {
      ++at;
      continue;
    }
    const size_t length = c < 128 ? 0 : mail::utf8_length(text.substr(at, 4));
    if (length > 0) {
      at += length;
      continue;
    }
    out.append(text.substr(plain, at - plain));
    if (c < 128) {
      append_escaped(c, out);
    } else {
      out += "\xEF\xBF\xBD";  // U+FFFD
    }
    plain = ++at;
  }
  out.append(text.substr(plain));
  out += '"';
}

void JsonWriter::comma() {
  if (out_.size() == start_) return;
  const char last = out_.back();
  // A finished value never ends with one of these outside of quotes.
  if (last != '{' && last != '[' && last != ':') out_ += ',';
}

JsonWriter& JsonWriter::open(char bracket) {
  comma();
  out_ += bracket;
  return *this;
}

JsonWriter& JsonWriter::close(char bracket) {
  out_ += bracket;
  return *this;
}

JsonWriter& JsonWriter::key(std::string_view name) {
  comma();
  out_ += '"';
  out_.append(name);
  out_ += "\":";
  return *this;
}

JsonWriter& JsonWriter::value(std::string_view text) {
  comma();
  append_json_string(text, out_);
  return *this;
}

JsonWriter& JsonWriter::raw(std::string_view json) {
  comma();
  out_.append(json);
  return *this;
}

JsonWriter& JsonWriter::value(double number) {
  if (!std::isfinite(number)) return null();
  std::array<char, 32> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number);
  return raw({digits.data(), static_cast<size_t>(end.ptr - digits.data())});
}

JsonWriter& JsonWriter::signed_number(int64_t number) {
  std::array<char, 24> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number);
  return raw({digits.data(), static_cast<size_t>(end.ptr - digits.data())});
}

JsonWriter& JsonWriter::unsigned_number(uint64_t number) {
  std::array<char, 24> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number);
  return raw({digits.data(), static_cast<size_t>(end.ptr - digits.data())});
}

JsonWriter& JsonWriter::time(int64_t wall_ns) {
  comma();
  out_ += '"';
  mail::append_rfc3339(wall_ns, out_);
  out_ += '"';
  return *this;
}

}  // namespace veredus::intake
