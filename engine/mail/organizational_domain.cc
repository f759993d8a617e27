#include "engine/mail/organizational_domain.h"

#include <array>
#include <cstring>

#include <libpsl.h>

#include "engine/mail/address.h"

namespace veredus::mail {

std::string_view organizational_domain(std::string_view domain) {
  std::array<char, kDomainBytesMax + 1> text;
  if (domain.empty() || domain.size() > kDomainBytesMax) return domain;
  std::memcpy(text.data(), domain.data(), domain.size());
  text[domain.size()] = '\0';
  const char* const found = psl_registrable_domain(psl_builtin(), text.data());
  return found == nullptr ? domain : domain.substr(static_cast<size_t>(found - text.data()));
}

}  // namespace veredus::mail
