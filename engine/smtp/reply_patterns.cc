#include "engine/smtp/reply_patterns.h"

#include <vector>

#include <re2/re2.h>
#include <re2/set.h>

namespace veredus::smtp {
namespace {

// Of the automaton that grows while texts are looked at; then it begins anew.
constexpr int64_t kMemoryMax = 32 << 20;

RE2::Options options() {
  RE2::Options options(RE2::Latin1);  // bytes: replies are in any encoding, or none
  options.set_case_sensitive(false);
  options.set_log_errors(false);
  options.set_never_capture(true);
  options.set_max_mem(kMemoryMax);
  return options;
}

re2::StringPiece piece(std::string_view text) {
  return {text.data(), text.size()};
}

}  // namespace

struct ReplyPatterns::Parts {
  RE2::Set set{options(), RE2::UNANCHORED};
  std::vector<std::unique_ptr<RE2>> alone;
};

ReplyPatterns::ReplyPatterns() : parts_(std::make_unique<Parts>()) {}
ReplyPatterns::~ReplyPatterns() = default;

std::string ReplyPatterns::fault_of(std::string_view pattern) {
  if (const RE2 bare(piece(pattern), options()); !bare.ok()) return bare.error();
  // As it will stand among others: what it leaves open must not close over them.
  const std::string alone = any_of({std::string(pattern)});
  const RE2 compiled(piece(alone), options());
  if (!compiled.ok()) return compiled.error();
  return RE2::PartialMatch("", compiled) ? "it is found in every text, even in an empty one" : "";
}

std::string ReplyPatterns::any_of(const std::vector<std::string>& patterns) {
  std::string all;
  for (const std::string& pattern : patterns)
    all.append(all.empty() ? "" : "|").append("(?:").append(pattern).append(")");
  return all;
}

std::optional<size_t> ReplyPatterns::add(std::string_view pattern) {
  if (parts_->alone.size() == kMax) return std::nullopt;
  const int number = parts_->set.Add(piece(pattern), nullptr);
  if (number < 0) return std::nullopt;
  parts_->alone.push_back(std::make_unique<RE2>(piece(pattern), options()));
  return static_cast<size_t>(number);
}

bool ReplyPatterns::compile() {
  return parts_->set.Compile();
}

ReplyPatterns::Found ReplyPatterns::find(std::string_view text) const {
  Found found{};
  const auto note = [&found](size_t number) { found[number / 64] |= uint64_t{1} << number % 64; };
  std::vector<int> numbers;
  RE2::Set::ErrorInfo error{};
  if (parts_->set.Match(piece(text), &numbers, &error)) {
    for (const int number : numbers) note(static_cast<size_t>(number));
  } else if (error.kind == RE2::Set::kOutOfMemory) {
    // The automaton of all of them outgrew its memory within this text: each alone needs little.
    for (size_t i = 0; i < parts_->alone.size(); ++i) {
      if (RE2::PartialMatch(piece(text), *parts_->alone[i])) note(i);
    }
  }
  return found;
}

}  // namespace veredus::smtp
