#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "engine/mail/admission.h"
#include "engine/mail/admission_fix.h"
#include "engine/mail/content.h"
#include "queue/batch.h"

namespace {

using namespace veredus::mail;

constexpr Findings kOfParts = {Finding::charset_missing, Finding::eight_bit_encoding};

Findings found_in(std::string_view clean, uint8_t flags, bool merge) {
  AdmissionFacts facts;
  facts.merge = merge;
  facts.eight_bit = (flags & veredus::queue::kContentEightBit) != 0;
  facts.header_utf8 = (flags & veredus::queue::kContentHeaderUtf8) != 0;
  Admission admission;
  const Findings found = admission.check(clean, facts).found;
  if (admission.check(clean, facts).found != found) abort();
  return found;
}

// CRLF only, as normalise() makes it where lines are not too long.
std::string with_crlf(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\r' && text[i] != '\n') {
      if (text[i] != '\0') out += text[i];
      continue;
    }
    if (text[i] == '\r' && i + 1 < text.size() && text[i + 1] == '\n') ++i;
    out += "\r\n";
  }
  return out + "\r\n";
}

}  // namespace

// A message that is checked is checked the same again; what is mended is a message still, in which
// nothing new is found, and can be mended no further; nor has a message with shorter lines a long
// one in a body.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const bool merge = (data[0] & 1) != 0, long_line = (data[0] & 2) != 0;
  const std::string_view raw(reinterpret_cast<const char*>(data + 1), size - 1);
  Normalised normalised, again;
  ContentError error;
  const FixSettings settings{"c:t:sender", merge};
  if (normalise(raw, merge, normalised, error)) {
    const Findings found = found_in(normalised.bytes, normalised.flags, merge);
    std::string made, more;
    if (fix_message(normalised.bytes, found, settings, made)) {
      if (!normalise(made, merge, again, error) || again.bytes.data() != made.data()) abort();
      const Findings left = found_in(made, again.flags, merge);
      if (!left.without(found).empty()) abort();
      // Of several parts some may be mended.
      if (left == found && (found & kOfParts).empty()) abort();
      if (fix_message(made, left, settings, more)) abort();
    } else if (!made.empty()) {
      abort();
    }
  }
  std::string text = with_crlf(raw);
  if (long_line) text.insert(text.size() - 2, std::string(1000, 'y'));
  std::string made;
  Findings mended;
  if (shorten_lines(text, merge, made, mended) && (made.size() < 2 || !made.ends_with("\r\n")))
    abort();
  std::string twice;
  if (!made.empty() && shorten_lines(made, merge, twice, mended)) abort();
  return 0;
}
