#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "engine/smtp/reply_rules.h"

namespace veredus::smtp {

// What one TOML file says of replies, checked: each rule can fit something and keeps to what a rule
// may say.
struct ReplyRuleFile {
  struct Rule {
    std::string name;
    std::string pattern;  // empty: any text
    ReplyRule says;       // without name
  };
  std::array<std::vector<std::string>, kTextClasses> texts;  // by TextClass
  std::vector<Rule> rules;
};

// The error: "FILE:LINE:COLUMN: what is wrong; what to do".
absl::Status read_reply_rules(std::string_view text, const std::string& file, ReplyRuleFile& into);

// Stages as they are written: "rcpt", "end-of-data".
std::optional<Phase> stage_named(std::string_view name);
std::string stage_names();  // all of them, for errors

}  // namespace veredus::smtp
