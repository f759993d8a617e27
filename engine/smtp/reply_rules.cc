#include "engine/smtp/reply_rules.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstdio>
#include <mutex>
#include <set>
#include <span>
#include <system_error>

#include "engine/smtp/reply_rule_file.h"

namespace veredus::smtp {
namespace {

constexpr size_t kFileBytesMax = 1 << 20;

// Names travel in outcomes between threads, and outlive the rules that a reload replaces: each is
// kept for good.
std::string_view kept(const std::string& name) {
  static std::mutex mutex;
  static std::set<std::string, std::less<>> names;
  const std::lock_guard<std::mutex> lock(mutex);
  return *names.insert(name).first;
}

// What stands around an @ is somebody's address, whatever words it is made of.
void blank_addresses(std::span<char> line) {
  const auto of_name = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '*';
  };
  const auto of_local_part = [&](char c) {
    return of_name(c) || std::string_view("._%+=~").find(c) != std::string_view::npos;
  };
  for (size_t at = 0; at < line.size(); ++at) {
    if (line[at] != '@') continue;
    for (size_t i = at; i > 0 && of_local_part(line[i - 1]); --i) line[i - 1] = '*';
    // A dot belongs to the domain if something of it follows.
    const auto goes_on = [&](size_t i) {
      return i < line.size() &&
             (of_name(line[i]) || (line[i] == '.' && i + 1 < line.size() && of_name(line[i + 1])));
    };
    for (size_t i = at + 1; goes_on(i); ++i) line[i] = '*';
  }
}

bool fits(const ReplyRule& rule, const Said& said) {
  if ((rule.stages & bit(said.stage)) == 0) return false;
  if (said.code < rule.low || said.code > rule.high) return false;
  if (rule.subject != kAnyStatus &&
      (!said.enhanced.present() || said.enhanced.subject != rule.subject)) {
    return false;
  }
  if (rule.detail != kAnyStatus && said.enhanced.detail != rule.detail) return false;
  return !rule.new_transaction || said.others_accepted;
}

absl::Status cannot_read(const std::string& path) {
  return absl::NotFoundError(path + ": cannot be read: " + std::generic_category().message(errno) +
                             "; name a file with rules for replies, or none");
}

}  // namespace

std::string_view name_of(TextClass text_class) {
  constexpr std::array<std::string_view, kTextClasses> kNames = {
      "",         "spam",    "spam-content", "blocked",  "virus",
      "relay",    "unknown", "rejected",     "inactive", "quota",
      "too-many", "rate",    "throttled",    "greylist", "too-big",
  };
  return kNames[static_cast<size_t>(text_class)];
}

absl::Status ReplyRules::build(std::string_view own, const std::string& file) {
  own_text_ = own;
  ReplyRuleFile all, of_shipped;
  if (absl::Status status = read_reply_rules(own, file, all); !status.ok()) return status;
  absl::Status status = read_reply_rules(shipped_replies(), kShippedRepliesFile, of_shipped);
  if (!status.ok()) return status;
  for (size_t i = 1; i < kTextClasses; ++i) {
    all.texts[i].insert(all.texts[i].end(), of_shipped.texts[i].begin(), of_shipped.texts[i].end());
  }
  // An own rule takes the place of a shipped one of its name.
  const size_t own_rules = all.rules.size();
  for (ReplyRuleFile::Rule& rule : of_shipped.rules) {
    const auto end = all.rules.begin() + static_cast<std::ptrdiff_t>(own_rules);
    if (std::none_of(all.rules.begin(), end,
                     [&rule](const auto& mine) { return mine.name == rule.name; })) {
      all.rules.push_back(std::move(rule));
    }
  }
  if (kTextClasses + all.rules.size() > ReplyPatterns::kMax) {
    return absl::InvalidArgumentError(file + ": with those shipped there are " +
                                      std::to_string(all.rules.size()) + " rules; leave at most " +
                                      std::to_string(ReplyPatterns::kMax - kTextClasses));
  }
  constexpr std::string_view kNothing = "[^\\x00-\\xff]";
  const auto cannot = [&](std::string_view whose) {
    return absl::InvalidArgumentError(file + ": the patterns of \"" + std::string(whose) +
                                      "\" cannot be used together; write fewer, or shorter ones");
  };
  for (size_t i = 0; i < kTextClasses; ++i) {
    const std::string pattern = ReplyPatterns::any_of(all.texts[i]);
    if (!patterns_.add(pattern.empty() ? kNothing : pattern))
      return cannot(name_of(TextClass{uint8_t(i)}));
  }
  for (const ReplyRuleFile::Rule& rule : all.rules) {
    const auto number = patterns_.add(rule.pattern.empty() ? kNothing : rule.pattern);
    if (!number) return cannot(rule.name);
    if (rule.pattern.empty()) always_[*number / 64] |= uint64_t{1} << *number % 64;
    rules_.push_back(rule.says);
    rules_.back().name = kept(rule.name);
  }
  if (!patterns_.compile()) {
    return absl::InvalidArgumentError(file +
                                      ": all patterns together need too much memory; write " +
                                      "shorter ones, with fewer repetitions such as {1,1000}");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const ReplyRules>> ReplyRules::make(std::string_view text,
                                                                   const std::string& file) {
  std::shared_ptr<ReplyRules> made(new ReplyRules);
  if (absl::Status status = made->build(text, file); !status.ok()) return status;
  return std::shared_ptr<const ReplyRules>(std::move(made));
}

const ReplyRules& ReplyRules::shipped() {
  // A fault there is one of ours: a test reads it.
  static const std::shared_ptr<const ReplyRules> rules = make("", "").value();
  return *rules;
}

absl::StatusOr<std::shared_ptr<const ReplyRules>> ReplyRules::load(const std::string& path) {
  std::FILE* file = std::fopen(path.c_str(), "rbe");
  if (file == nullptr) return cannot_read(path);
  std::string text(kFileBytesMax + 1, '\0');
  text.resize(std::fread(text.data(), 1, text.size(), file));
  const bool failed = std::ferror(file) != 0;  // a directory, too, fails only here
  const absl::Status unreadable = failed ? cannot_read(path) : absl::OkStatus();
  std::fclose(file);
  if (failed) return unreadable;
  if (text.size() > kFileBytesMax) {
    return absl::InvalidArgumentError(path + ": larger than 1 MiB; leave out rules");
  }
  return make(text, path);
}

ReplyRules::Found ReplyRules::look_at(std::string_view text) const {
  std::array<char, kReplyLookedAt> line;
  const size_t size = std::min(text.size(), line.size());
  std::transform(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(size), line.begin(),
                 [](char c) { return c == '\n' ? ' ' : c; });
  blank_addresses(std::span(line).first(size));
  return patterns_.find({line.data(), size});
}

const ReplyRule* ReplyRules::first(const Found& found, const Said& said) const {
  for (size_t word = 0; word < found.size(); ++word) {
    uint64_t bits = found[word] | always_[word];
    if (word == 0) bits &= ~uint64_t{0} << kTextClasses;
    for (; bits != 0; bits &= bits - 1) {
      const size_t number = word * 64 + static_cast<size_t>(std::countr_zero(bits));
      const ReplyRule& rule = rules_[number - kTextClasses];
      if (fits(rule, said)) return &rule;
    }
  }
  return nullptr;
}

}  // namespace veredus::smtp
