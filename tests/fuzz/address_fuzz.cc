#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "engine/mail/address.h"
#include "engine/mail/idn.h"
#include "engine/mail/utf8.h"

// A good address can neither end a command nor begin another one, and is what stands between its
// two parts and an @; what is made of an address that people write is a good one, and stays as it
// is.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace veredus::mail;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  Address address;
  const AddressFault fault = check_address(text, address);
  if (status_of(fault).empty() != (fault == AddressFault::none) ||
      reason_of(fault).empty() != (fault == AddressFault::none))
    abort();
  std::string scratch, again_scratch;
  std::string_view taken, again, why_not;
  const AddressFault taking = take_address(text, scratch, taken, why_not);
  if (fault == AddressFault::none) {
    const auto ends = [](char c) { return static_cast<unsigned char>(c) < 32 || c == 127; };
    if (std::any_of(text.begin(), text.end(), ends) || !is_utf8(text)) abort();
    if (size > kAddressBytesMax || address.local.size() > kLocalPartBytesMax) abort();
    if (address.local.size() + 1 + address.domain.size() != size || has_high(address.domain))
      abort();
    // Blanks and brackets would end the path, but within a quoted string.
    if (text.front() != '"' && text.find_first_of(" <>,;()\"\\") != std::string_view::npos) abort();
    if (taking != AddressFault::none || taken.size() != size) abort();
  } else if (fault != AddressFault::domain_utf8 && taking != fault) {
    abort();
  }
  if (taking != AddressFault::none) return 0;
  if (take_address(taken, again_scratch, again, why_not) != AddressFault::none || again != taken)
    abort();
  if (check_address(taken, address) != AddressFault::none || address.upper_domain) abort();
  return 0;
}
