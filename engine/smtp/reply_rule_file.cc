#include "engine/smtp/reply_rule_file.h"

#include <algorithm>
#include <charconv>
#include <initializer_list>
#include <optional>
#include <set>
#include <span>
#include <utility>

#include "toml++/toml.h"

// The one file of this room that knows toml++, which is heavy to compile.

namespace veredus::smtp {
namespace {

constexpr size_t kNameMax = 64;

bool is_rule_name(std::string_view name) {
  return !name.empty() && name.size() <= kNameMax &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
         });
}

std::string list_of(std::span<const std::string_view> names) {
  std::string list;
  for (const std::string_view name : names) {
    if (!name.empty()) list.append(list.empty() ? "" : ", ").append(name);
  }
  return list;
}

// Numbers that parts of a text are: "550", "7". All of it must be digits.
std::optional<uint16_t> number_in(std::string_view text) {
  uint16_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

class Reader {
 public:
  Reader(const std::string& file, ReplyRuleFile& into) : file_(file), into_(into) {}

  absl::Status read(const toml::table& root) {
    for (const auto& [key, node] : root) {
      absl::Status status;
      if (key == "texts") {
        status = read_texts(node);
      } else if (key == "rules") {
        status = read_rules(node);
      } else {
        status = fault(key.source(), "there is no \"" + std::string(key.str()) +
                                         "\" here; write [texts] or [[rules]]");
      }
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }

 private:
  using Source = toml::source_region;

  absl::Status fault(const Source& at, const std::string& what) const {
    return absl::InvalidArgumentError(file_ + ":" + std::to_string(at.begin.line) + ":" +
                                      std::to_string(at.begin.column) + ": " + what);
  }

  // A pattern, or a list of them.
  absl::Status read_patterns(const toml::node& node, std::vector<std::string>& patterns) const {
    if (const toml::array* list = node.as_array()) {
      for (const toml::node& item : *list) {
        if (absl::Status status = read_pattern(item, patterns); !status.ok()) return status;
      }
      if (!list->empty()) return absl::OkStatus();
      return fault(node.source(), "an empty list; write a pattern, or leave the line out");
    }
    return read_pattern(node, patterns);
  }

  absl::Status read_pattern(const toml::node& node, std::vector<std::string>& patterns) const {
    const auto pattern = node.value_exact<std::string>();
    if (!pattern) {
      return fault(node.source(), "no text; write a pattern in quotes, as in 'mailbox .*is full'");
    }
    const std::string wrong = ReplyPatterns::fault_of(*pattern);
    if (!wrong.empty()) {
      return fault(node.source(), "the pattern \"" + *pattern + "\" cannot be used: " + wrong +
                                      "; write it in RE2's syntax, and \\ before what is meant " +
                                      "as it stands");
    }
    patterns.push_back(*pattern);
    return absl::OkStatus();
  }

  absl::Status read_texts(const toml::node& node) {
    const toml::table* table = node.as_table();
    if (table == nullptr) return fault(node.source(), "no table; head it [texts]");
    for (const auto& [key, value] : *table) {
      std::vector<std::string_view> names;
      for (size_t i = 0; i < kTextClasses; ++i) names.push_back(name_of(TextClass{uint8_t(i)}));
      const auto found = std::find(names.begin() + 1, names.end(), key.str());
      if (found == names.end()) {
        return fault(key.source(), "there is no class of texts \"" + std::string(key.str()) +
                                       "\"; there are " + list_of(names));
      }
      auto& texts = into_.texts[static_cast<size_t>(found - names.begin())];
      if (absl::Status status = read_patterns(value, texts); !status.ok()) return status;
    }
    return absl::OkStatus();
  }

  absl::Status read_rules(const toml::node& node) {
    const toml::array* list = node.as_array();
    if (list == nullptr) return fault(node.source(), "no rule; head each one [[rules]]");
    for (const toml::node& item : *list) {
      const toml::table* table = item.as_table();
      if (table == nullptr) return fault(item.source(), "no rule; head each one [[rules]]");
      ReplyRuleFile::Rule rule;
      if (absl::Status status = read_rule(*table, rule); !status.ok()) return status;
      into_.rules.push_back(std::move(rule));
    }
    return absl::OkStatus();
  }

  absl::Status read_rule(const toml::table& table, ReplyRuleFile::Rule& rule) {
    ReplyRule& says = rule.says;
    bool scope = false, kind = false, bounce_class = false, code = false;
    std::optional<uint16_t> status_class;
    for (const auto& [key, node] : table) {
      absl::Status status;
      if (key == "name") {
        status = read_name(node, rule.name);
      } else if (key == "stages") {
        status = read_stages(node, says.stages);
      } else if (key == "code") {
        code = true;
        status = read_code(node, says);
      } else if (key == "status") {
        status = read_status(node, says, status_class);
      } else if (key == "text") {
        std::vector<std::string> patterns;
        status = read_patterns(node, patterns);
        rule.pattern = ReplyPatterns::any_of(patterns);
      } else if (key == "result") {
        Result result = Result::later;
        status = read_word(node, "result", {"later", "never"}, result, Result::later);
        says.result = result;
      } else if (key == "scope") {
        scope = true;
        status = read_word(node, "scope", {"recipient", "message", "host", "site", "source"},
                           says.scope, Scope::recipient);
      } else if (key == "kind") {
        kind = true;
        status = read_word(node, "kind", {"hard", "soft", "block", "other"}, says.kind, Kind::hard);
      } else if (key == "class") {
        bounce_class = true;
        status = read_class(node, says.bounce_class);
      } else if (key == "new_transaction") {
        status = read_flag(node, says.new_transaction);
      } else if (key == "greylisted") {
        status = read_flag(node, says.greylisted);
      } else {
        status = fault(key.source(),
                       "a rule has no \"" + std::string(key.str()) +
                           "\"; it has name, stages, code, status, text, result, scope, kind, "
                           "class, new_transaction, greylisted");
      }
      if (!status.ok()) return status;
    }
    for (const auto& [given, what] :
         std::initializer_list<std::pair<bool, const char*>>{{!rule.name.empty(), "name"},
                                                             {scope, "scope"},
                                                             {kind, "kind"},
                                                             {bounce_class, "class"}}) {
      if (!given) {
        return fault(table.source(), "rule \"" + rule.name + "\" says no " + what + "; add it");
      }
    }
    return check(table.source(), rule, code, status_class);
  }

  // What a rule may say, and whether it can ever fit.
  absl::Status check(const Source& at, ReplyRuleFile::Rule& rule, bool code,
                     std::optional<uint16_t> status_class) {
    ReplyRule& says = rule.says;
    const auto wrong = [&](const std::string& what) {
      return fault(at, "rule \"" + rule.name + "\" " + what);
    };
    if (!names_.insert(rule.name).second) {
      return wrong("stands here twice; give this one another name");
    }
    const bool never = says.result == Result::never;
    if (says.new_transaction && says.stages == 0) says.stages = bit(Phase::rcpt);
    if (says.stages == 0) says.stages = never ? kTransactionPhases : kAllPhases;
    if (!code && never) says.low = 500;
    if (never && says.low < 500) {
      return wrong("says never of a 4xx, which is no final word; write result = \"later\", or " +
                   std::string("a code from 500 on"));
    }
    if (never && (says.stages & ~kTransactionPhases) != 0) {
      return wrong("says never before or after a transaction, where nothing was said of a " +
                   std::string("message; leave in stages: mail, rcpt, data, content, end-of-data"));
    }
    if (status_class) {
      says.low = std::max<uint16_t>(says.low, *status_class * 100);
      says.high = std::min<uint16_t>(says.high, *status_class * 100 + 99);
    }
    if (says.low > says.high) {
      return wrong("fits nothing: status and code (or never) exclude each other; change one");
    }
    const bool may_be_never = says.high >= 500 && (says.stages & kTransactionPhases) != 0;
    if (!says.result && !may_be_never) says.result = Result::later;
    if (says.new_transaction && (says.result != Result::later || says.stages != bit(Phase::rcpt))) {
      return wrong("asks for a new transaction, which makes sense for a recipient that is to be " +
                   std::string("sent later; write result = \"later\", stages = [\"rcpt\"]"));
    }
    if (says.greylisted && says.result != Result::later) {
      return wrong("speaks of a greylister, who means later; write result = \"later\"");
    }
    if (rule.pattern.empty() && !code && says.subject == kAnyStatus) {
      return wrong("asks for nothing; give it a text, a code or a status");
    }
    return absl::OkStatus();
  }

  absl::Status read_name(const toml::node& node, std::string& name) const {
    name = node.value_exact<std::string>().value_or("");
    if (is_rule_name(name)) return absl::OkStatus();
    return fault(node.source(), "no name of a rule; write up to 64 of a-z 0-9 - in quotes");
  }

  absl::Status read_stages(const toml::node& node, uint32_t& stages) const {
    const toml::array* list = node.as_array();
    if (list != nullptr) {
      for (const toml::node& item : *list) {
        const auto stage = stage_named(item.value_exact<std::string>().value_or(""));
        if (!stage) return fault(item.source(), "no stage; write some of " + stage_names());
        stages |= bit(*stage);
      }
    }
    if (stages != 0) return absl::OkStatus();
    return fault(node.source(), "no list of stages; write some of " + stage_names() +
                                    R"(, as in ["rcpt"], or leave the line out)");
  }

  absl::Status read_code(const toml::node& node, ReplyRule& says) const {
    std::optional<uint16_t> low, high;
    if (const auto number = node.value_exact<int64_t>()) {
      if (*number >= 400 && *number < 600) low = high = static_cast<uint16_t>(*number);
    } else if (const auto text = node.value_exact<std::string>()) {
      const size_t dash = text->find('-');
      if (*text == "4xx" || *text == "5xx") {
        low = static_cast<uint16_t>((text->front() - '0') * 100);
        high = static_cast<uint16_t>(*low + 99);
      } else if (dash != std::string::npos) {
        low = number_in(std::string_view(*text).substr(0, dash));
        high = number_in(std::string_view(*text).substr(dash + 1));
      }
    }
    if (!low || !high || *low < 400 || *high > 599 || *low > *high) {
      return fault(node.source(), "no code; write one from 400 to 599, as in 550, or several, as " +
                                      std::string("in \"550-554\" or \"4xx\""));
    }
    says.low = *low;
    says.high = *high;
    return absl::OkStatus();
  }

  absl::Status read_status(const toml::node& node, ReplyRule& says,
                           std::optional<uint16_t>& status_class) const {
    const std::string text = node.value_exact<std::string>().value_or("");
    std::string_view rest = text;
    std::vector<std::optional<uint16_t>> parts;
    while (!rest.empty()) {
      const size_t dot = rest.find('.');
      parts.push_back(number_in(rest.substr(0, dot)));
      rest = dot == std::string_view::npos ? "" : rest.substr(dot + 1);
    }
    const bool any_class = text.starts_with("x.");
    bool right = (parts.size() == 2 || parts.size() == 3) && !text.ends_with('.');
    if (right && !any_class) right = parts[0] == 4 || parts[0] == 5;
    for (size_t i = 1; right && i < parts.size(); ++i) right = parts[i] && *parts[i] <= 999;
    if (!right) {
      return fault(node.source(), "no enhanced status; write \"5.7.26\", or \"5.7\" for all of " +
                                      std::string("that subject, or \"x.7.1\" for 4 and 5"));
    }
    if (!any_class) status_class = parts[0];
    says.subject = *parts[1];
    if (parts.size() == 3) says.detail = *parts[2];
    return absl::OkStatus();
  }

  // One of `words`, which stand for the values from `first` on.
  template <class E>
  absl::Status read_word(const toml::node& node, const std::string& key,
                         std::initializer_list<std::string_view> words, E& into, E first) const {
    const auto text = node.value_exact<std::string>().value_or("");
    const auto found = std::find(words.begin(), words.end(), text);
    if (found != words.end()) {
      into = static_cast<E>(static_cast<int>(first) + (found - words.begin()));
      return absl::OkStatus();
    }
    return fault(node.source(), "\"" + text + "\" is no " + key + "; write one of " +
                                    list_of({words.begin(), words.size()}));
  }

  absl::Status read_class(const toml::node& node, BounceClass& into) const {
    const auto text = node.value_exact<std::string>().value_or("");
    std::vector<std::string_view> names;
    for (size_t i = 0; i < kBounceClasses; ++i) {
      names.push_back(name_of(static_cast<BounceClass>(i)));
      if (i == 0 || names[i] != text) continue;
      into = static_cast<BounceClass>(i);
      return absl::OkStatus();
    }
    return fault(node.source(), "\"" + text + "\" is no class; write one of " + list_of(names));
  }

  absl::Status read_flag(const toml::node& node, bool& into) const {
    const auto flag = node.value_exact<bool>();
    if (!flag) return fault(node.source(), "neither true nor false; write one of them");
    into = *flag;
    return absl::OkStatus();
  }

  const std::string& file_;
  ReplyRuleFile& into_;
  std::set<std::string> names_;
};

}  // namespace

std::optional<Phase> stage_named(std::string_view name) {
  std::string wanted(name);
  for (char& c : wanted) c = c == '-' ? ' ' : c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  for (const PhaseRow& row : kPhaseTable) {
    std::string known(row.name);
    for (char& c : known) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    if (known == wanted) return row.phase;
  }
  return std::nullopt;
}

std::string stage_names() {
  std::string names;
  for (const PhaseRow& row : kPhaseTable) {
    if (!names.empty()) names += ", ";
    for (const char c : row.name) {
      names += c == ' ' ? '-' : c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    }
  }
  return names;
}

absl::Status read_reply_rules(std::string_view text, const std::string& file, ReplyRuleFile& into) {
  try {
    const toml::table root = toml::parse(text, std::string_view(file));
    return Reader(file, into).read(root);
  } catch (const toml::parse_error& error) {
    const auto& at = error.source().begin;
    return absl::InvalidArgumentError(
        file + ":" + std::to_string(at.line) + ":" + std::to_string(at.column) +
        ": not TOML: " + std::string(error.description()) + "; mend that line");
  }
}

}  // namespace veredus::smtp
