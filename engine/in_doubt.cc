#include "engine/in_doubt.h"

#include "absl/strings/match.h"

namespace veredus {

bool fits_name(std::string_view pattern, std::string_view name) {
  const absl::string_view wanted(pattern.data(), pattern.size()), given(name.data(), name.size());
  if (!pattern.starts_with('.')) return absl::EqualsIgnoreCase(wanted, given);
  return name.size() > pattern.size() && absl::EndsWithIgnoreCase(given, wanted);
}

InDoubtChoice in_doubt_choice(const EngineSettings& settings, std::string_view mx_name,
                              std::string_view domain) {
  for (const InDoubtRule& rule : settings.in_doubt_rules) {
    const bool fits = rule.mx_name.empty() ? fits_name(rule.domain, domain)
                                           : !mx_name.empty() && fits_name(rule.mx_name, mx_name);
    if (fits) return {rule.policy, rule.delay_ns};
  }
  return {settings.in_doubt, settings.in_doubt_delay_ns};
}

}  // namespace veredus
