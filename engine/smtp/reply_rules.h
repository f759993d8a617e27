#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/smtp/reply_patterns.h"
#include "engine/smtp/verdict.h"

namespace veredus::smtp {

// What the words of a reply speak of. The table of verdict.cc asks for these; the words are data
// ([texts] of replies.toml).
enum class TextClass : uint8_t {
  none,
  spam,
  spam_content,
  blocked,
  virus,
  relay,
  unknown,
  rejected,
  inactive,
  quota,
  too_many,
  rate,
  throttled,
  greylist,
  too_big,
};
inline constexpr size_t kTextClasses = 15;
std::string_view name_of(TextClass text_class);  // "too-many"

inline constexpr uint16_t kAnyStatus = 0xffff;  // as subject or detail

// A rule for a text that some provider or software uses, as replies.toml has it: what it asks for
// beside the text, and what it says.
struct ReplyRule {
  std::string_view name;                               // kept for the life of the process
  uint32_t stages = 0;                                 // bit by Phase
  uint16_t low = 400, high = 599;                      // reply codes, both included
  uint16_t subject = kAnyStatus, detail = kAnyStatus;  // of the enhanced status
  std::optional<Result> result;  // none: a 5xx in a transaction is never, all else later
  Scope scope = Scope::recipient;
  Kind kind = Kind::other;
  BounceClass bounce_class = BounceClass::other;
  bool new_transaction = false;  // only where others were accepted
  bool greylisted = false;
};

// The words and rules by which replies are judged, ready for use: immutable, for any thread. Those
// of an operator's file stand in front of those that are shipped.
class ReplyRules {
 public:
  // What is shipped and nothing else. Made when it is first asked for.
  static const ReplyRules& shipped();
  // With those of `text`, an operator's file; `file` stands for it in errors, which name line and
  // column, and say what to do.
  static absl::StatusOr<std::shared_ptr<const ReplyRules>> make(std::string_view text,
                                                                const std::string& file);
  static absl::StatusOr<std::shared_ptr<const ReplyRules>> load(const std::string& path);

  // One pass over the text. What is beyond kReplyLookedAt bytes is not looked at; an end of line
  // is as good as a space, and addresses are blanked.
  using Found = ReplyPatterns::Found;
  Found look_at(std::string_view text) const;

  bool has(const Found& found, TextClass text_class) const {
    const size_t number = static_cast<size_t>(text_class);
    return (found[number / 64] >> number % 64 & 1) != 0;
  }
  // The first rule that fits; null: none does.
  const ReplyRule* first(const Found& found, const Said& said) const;

  size_t size() const { return rules_.size(); }
  // What the operator's file said.
  const std::string& own_text() const { return own_text_; }

 private:
  ReplyRules() = default;
  absl::Status build(std::string_view own, const std::string& file);

  ReplyPatterns patterns_;
  std::vector<ReplyRule> rules_;  // number kTextClasses and up among the patterns
  Found always_{};                // rules that ask for no text
  std::string own_text_;
};
inline constexpr size_t kReplyLookedAt = 1024;

// replies.toml, a part of the binary.
inline constexpr const char* kShippedRepliesFile = "replies.toml";
std::string_view shipped_replies();

}  // namespace veredus::smtp
