#include <array>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "engine/mail/content.h"
#include "engine/mail/idn.h"
#include "engine/mail/seven_bit.h"
#include "tests/fuzz/quoted_decoded.h"

namespace {

using veredus::mail::append_base64_decoded;
using veredus::mail::has_high;
using veredus::mail::header_end;

std::string base64_decoded(std::string_view text) {
  std::string digits, out;
  for (const char c : text) {
    if (c != '\r' && c != '\n') digits += c;
  }
  size_t fault = 0;
  if (!append_base64_decoded(digits, out, fault)) abort();
  return out;
}

// Of what was changed: walks both messages line by line, finds the headers that were given an
// encoding, and decodes what follows them up to where the two agree again.
class Comparison {
 public:
  Comparison(std::string_view before, std::string_view after) : before_(before), after_(after) {}

  void run() {
    while (!after_.empty()) {
      const std::string_view line = line_of(after_);
      if (line == "Content-Transfer-Encoding: quoted-printable\r\n" && line != line_of(before_)) {
        leaf(&quoted_decoded);
      } else if (line == "Content-Transfer-Encoding: base64\r\n" && line != line_of(before_)) {
        leaf(&base64_decoded);
      } else if (line == line_of(before_)) {
        after_.remove_prefix(line.size());
        before_.remove_prefix(line.size());
      } else if (line == "MIME-Version: 1.0\r\n") {
        after_.remove_prefix(line.size());
      } else if (line == "Content-Transfer-Encoding: 7bit\r\n") {
        after_.remove_prefix(line.size());
        skip_encoding();
      } else if (has_high(rest_of_field(before_))) {
        skip_recoded_field();
      } else {
        abort();
      }
    }
    if (!before_.empty()) abort();
  }

 private:
  static std::string_view line_of(std::string_view text) {
    const size_t end = text.find('\n');
    return text.substr(0, end == std::string_view::npos ? end : end + 1);
  }
  // Of the original: its Content-Transfer-Encoding field, folds included, if it is there.
  void skip_encoding() {
    static constexpr std::string_view kName = "content-transfer-encoding";
    for (size_t i = 0; i < kName.size(); ++i) {
      if (i >= before_.size() || (before_[i] | 0x20) != kName[i]) {
        // Hyphens have the bit already.
        return;
      }
    }
    do {
      before_.remove_prefix(line_of(before_).size());
    } while (!before_.empty() && (before_[0] == ' ' || before_[0] == '\t'));
  }
  static std::string_view rest_of_field(std::string_view text) {
    size_t end = 0;
    do {
      end += line_of(text.substr(end)).size();
    } while (end < text.size() && (text[end] == ' ' || text[end] == '\t'));
    return text.substr(0, end);
  }
  // Of the header of a part, from its first line that is another now.
  void skip_recoded_field() {
    before_.remove_prefix(rest_of_field(before_).size());
    after_.remove_prefix(rest_of_field(after_).size());
  }
  void leaf(std::string (*decoded)(std::string_view)) {
    after_.remove_prefix(line_of(after_).size());
    skip_encoding();
    // The rest of the header, which may have got a Content-Type.
    while (!after_.starts_with("\r\n")) {
      const std::string_view line = line_of(after_);
      if (line.empty()) abort();
      if (line == line_of(before_)) {
        before_.remove_prefix(line.size());
      } else if (has_high(rest_of_field(before_)) && !before_.starts_with("\r\n")) {
        skip_recoded_field();
        continue;
      } else if (!line.starts_with("Content-Type: text/plain; charset=") &&
                 line != "MIME-Version: 1.0\r\n") {
        abort();
      }
      after_.remove_prefix(line.size());
    }
    if (!before_.starts_with("\r\n")) abort();
    after_.remove_prefix(2);
    before_.remove_prefix(2);
    // Encoded text ends in front of a line that begins with "--": it has none of its own.
    size_t end = after_.starts_with("--") ? 0 : after_.find("\r\n--");
    if (end == std::string_view::npos) end = after_.size();
    std::string body = decoded(after_.substr(0, end));
    if (!before_.starts_with(body)) abort();
    before_.remove_prefix(body.size());
    after_.remove_prefix(end);
  }

  std::string_view before_, after_;
};

// By chance alone hardly any input is a multipart: a first byte that begins no message says where
// in a fixed one the rest of the input stands. A NUL parts its pieces.
std::string message_of(std::string_view input) {
  if (input.empty() || input.front() < 1 || input.front() > 3) return std::string(input);
  const char shape = input.front();
  std::array<std::string, 4> pieces;
  size_t piece = 0;
  for (const char c : input.substr(1)) {
    if (c == '\0' && piece + 1 < pieces.size()) {
      ++piece;
    } else {
      pieces[piece] += c;
    }
  }
  const auto& [first, second, third, fourth] = pieces;
  const std::string head = "MIME-Version: 1.0\r\nContent-Type: ";
  const std::string mixed = head + "multipart/mixed; boundary=b\r\n\r\n--b\r\n";
  const std::string end = "\r\n--b--\r\n";
  if (shape == 1)  // the value of a field of a part that has no body
    return mixed + "Content-Type: " + first + "\r\n--b\r\n" + second + "\r\n\r\n\xff" + third + end;
  if (shape == 2)  // headers and bodies of two parts
    return mixed + first + "\r\n\r\n" + second + "\r\n--b\r\n" + third + "\r\n\r\n" + fourth + end;
  return head + first + "\r\n\r\n--b\r\n\r\n\xff" + second + "\r\n--b\r\n" + third + end;
}

}  // namespace

// What is made of a message has no byte over 127 and no longer line than others; it is a message
// still; decoded it is what it was, and nothing else of it is changed.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace veredus::mail;
  const std::string text = message_of({reinterpret_cast<const char*>(data), size});
  Normalised before, after;
  ContentError error;
  if (!normalise(text, false, before, error)) return 0;
  std::string made;
  std::string_view why_not;
  if (!append_seven_bit(before.bytes, made, why_not)) {
    if (why_not.empty() || !has_high(before.bytes)) abort();
    return 0;
  }
  if (has_high(made)) abort();
  if (!normalise(made, false, after, error) || after.bytes.data() != made.data()) abort();
  Comparison(before.bytes, made).run();
  return 0;
}
