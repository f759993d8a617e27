#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "engine/mail/address.h"
#include "engine/mail/content.h"
#include "engine/mail/date.h"
#include "engine/mail/idn.h"
#include "engine/mail/utf8.h"

// Whatever normalise() lets through has CRLF only, no NUL, no long line; a good address has nothing
// that ends a command; and what is clean stays as it is.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace veredus::mail;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const bool merge : {false, true}) {
    Normalised out, again;
    ContentError error;
    if (!normalise(text, merge, out, error)) {
      if (error.line == 0 || error.status.empty() || error.reason.empty()) abort();
      continue;
    }
    const std::string_view clean = out.bytes;
    size_t line = 0;
    for (size_t i = 0; i < clean.size(); ++i) {
      if (clean[i] == '\0') abort();
      if (clean[i] == '\r' && (i + 1 == clean.size() || clean[i + 1] != '\n')) abort();
      if (clean[i] == '\n') {
        if (i == 0 || clean[i - 1] != '\r' || i - 1 - line > kLineBytesMax) abort();
        line = i + 1;
      }
    }
    if (line != clean.size()) abort();
    if (!normalise(clean, merge, again, error) || again.bytes.data() != clean.data() ||
        again.flags != out.flags)
      abort();
    std::string stuffed;
    append_dot_stuffed(clean, true, stuffed);
    if (stuffed.find("\n.\r") != std::string::npos || stuffed.starts_with(".\r")) abort();
  }
  Address address;
  if (check_address(text, address) == AddressFault::none) {
    for (const char c : text) {
      if (c == '\r' || c == '\n' || c == '\0' || c == 127) abort();
    }
    if (!is_utf8(text) || has_high(address.domain)) abort();
    if (address.local.size() + 1 + address.domain.size() != text.size()) abort();
  }
  std::string scratch;
  std::string_view taken, why_not;
  if (take_address(text, scratch, taken, why_not) == AddressFault::none) {
    // What is taken is an address, and stays as it is.
    std::string again_scratch;
    std::string_view again;
    if (take_address(taken, again_scratch, again, why_not) != AddressFault::none ||
        again.data() != taken.data() || has_high(taken.substr(taken.rfind('@'))))
      abort();
  }
  std::string decoded, encoded;
  size_t fault = 0;
  if (append_base64_decoded(text, decoded, fault)) {
    append_base64(decoded, encoded);
    if (encoded != text) abort();
  }
  int64_t ns = 0;
  if (parse_rfc3339(text, ns) && ns < 0) abort();
  if (parse_duration(text, ns) && ns < 0) abort();
  return 0;
}
