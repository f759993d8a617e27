#pragma once

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "engine/mail/piece.h"

namespace veredus::mail::testing {

// Messages of all shapes that the door lets in: folds and blanks where one would not expect them,
// fields that occur several times or not at all, bodies that are empty, end with empty lines, have
// long lines or bytes over 127. The same for the same state of `random`.
class RandomMessage {
 public:
  explicit RandomMessage(std::mt19937& random) : random_(random) {}

  std::string make() {
    std::string text;
    obsolete_ = one_of(10) == 0;
    std::vector<std::string> fields = {field("From", "Ada <ada@news.example.org>")};
    static constexpr std::string_view kNames[] = {
        "To",        "CC",          "Subject",      "date",        "Message-ID",
        "Reply-to",  "X-Mailer",    "MIME-Version", "References",  "List-Unsubscribe",
        "List-Id",   "In-Reply-To", "Content-Type", "feedback-ID", "List-Unsubscribe-Post",
        "X-Empty-Of"};
    for (const std::string_view name : kNames) {
      for (size_t times = one_of(6) == 0 ? 2 : one_of(2); times > 0; --times)
        fields.insert(fields.begin() + static_cast<std::ptrdiff_t>(one_of(fields.size() + 1)),
                      field(name, words(one_of(30))));
    }
    for (const std::string& each : fields) text += each;
    if (one_of(30) == 0) return text;  // without an empty line: there is no body
    text += "\r\n";
    append_body(text);
    return text;
  }

  // Cut anywhere; some pieces are empty.
  std::vector<Piece> cut(std::string_view text) {
    std::vector<Piece> pieces;
    const size_t longest = 1 + one_of(one_of(2) == 0 ? 8 : 2000);
    while (!text.empty()) {
      const size_t size = std::min(text.size(), one_of(longest + 1));
      pieces.push_back({text.data(), size});
      text.remove_prefix(size);
    }
    return pieces;
  }

 private:
  size_t one_of(size_t count) { return random_() % count; }

  std::string blanks() {
    static constexpr std::string_view kBlanks[] = {" ",     "  ",       "\t",    " \t ",
                                                   "\r\n ", "\r\n\t  ", " \r\n "};
    return std::string(kBlanks[one_of(8) == 0 ? one_of(std::size(kBlanks)) : 0]);
  }
  std::string word() {
    std::string word;
    for (size_t size = 1 + one_of(12); size > 0; --size)
      word += static_cast<char>('!' + one_of(94));
    if (one_of(40) == 0) word += "\xc3\xbc\xe6\x97\xa5";
    return word;
  }
  std::string words(size_t count) {
    std::string text;
    for (; count > 0; --count) {
      text += word();
      if (count > 1) text += blanks();
    }
    return text;
  }
  std::string field(std::string_view name, const std::string& value) {
    // The last ones have white space in front of the colon (RFC 5322 §4.5).
    static constexpr std::string_view kColons[] = {": ",     ":",   ":\t",     ":  ",
                                                   ":\r\n ", " : ", "\t:\r\n "};
    const size_t colons = std::size(kColons) - (obsolete_ ? 0 : 2);
    static constexpr std::string_view kEnds[] = {" \r\n", "\t \r\n"};
    std::string text(name);
    text += kColons[one_of(5) == 0 ? one_of(colons) : 0];
    text += value;
    text += one_of(8) == 0 ? kEnds[one_of(std::size(kEnds))] : "\r\n";
    return text;
  }
  void append_body(std::string& text) {
    switch (one_of(12)) {
      case 0:
        return;
      case 1:
        for (size_t lines = 1 + one_of(4); lines > 0; --lines) text += "\r\n";
        return;
      case 2:
        text += " \t\r\n \r\n";
        return;
      default:
        break;
    }
    for (size_t lines = one_of(60); lines > 0; --lines) {
      switch (one_of(10)) {
        case 0:
          text += "\r\n";
          break;
        case 1:
          text += "  \t \r\n";
          break;
        case 2:
          text += std::string(one_of(998), static_cast<char>('a' + one_of(26))) + "\r\n";
          break;
        case 3:
          text += ".\r\n..dots\r\n";
          break;
        case 4:
          text += std::string(one_of(20), ' ') + "<td>" + word() + "</td>" +
                  std::string(one_of(3), '\t') + "\r\n";
          break;
        case 5:
          text += "\xc3\xa4\xff\x80 " + word() + "\r\n";
          break;
        default:
          for (size_t count = 1 + one_of(15); count > 0; --count)
            text += word() + std::string(one_of(9) == 0 ? one_of(5) : 1, ' ');
          text += "\r\n";
      }
    }
    for (size_t lines = one_of(3); lines > 0; --lines) text += one_of(2) == 0 ? "\r\n" : " \r\n";
  }

  std::mt19937& random_;
  bool obsolete_ = false;
};

}  // namespace veredus::mail::testing
