#include "engine/in_doubt.h"

namespace veredus {

const InDoubtRule* in_doubt_rule(const Policy& policy, std::string_view mx_name,
                                 std::string_view domain) {
  for (const InDoubtRule& rule : policy.in_doubt_rules) {
    const bool fits = rule.mx_name.empty() ? fits_name(rule.domain, domain)
                                           : !mx_name.empty() && fits_name(rule.mx_name, mx_name);
    if (fits) return &rule;
  }
  return nullptr;
}

InDoubtChoice in_doubt_choice(const Policy& policy, const Provider& provider,
                              std::string_view mx_name, std::string_view domain) {
  if (const InDoubtRule* const rule = in_doubt_rule(policy, mx_name, domain))
    return {rule->policy, rule->delay_ns};
  return {provider.in_doubt.value_or(policy.in_doubt), provider.in_doubt_delay_ns};
}

}  // namespace veredus
