#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <utility>

namespace veredus::control {

// What the control thread has asked of every home, until each has answered. An Answer has the
// `token` of its question.
template <class Answer>
class Questions {
 public:
  using OnAnswer = std::function<void(Answer)>;

  // The token for a question that so many homes will answer.
  uint64_t asked(OnAnswer on_answer, unsigned homes) {
    open_[next_token_] = {std::move(on_answer), homes};
    return next_token_++;
  }
  void answered(Answer answer) {
    const auto asked = open_.find(answer.token);
    if (asked == open_.end()) return;
    const OnAnswer on_answer = asked->second.on_answer;
    if (--asked->second.homes == 0) open_.erase(asked);
    on_answer(std::move(answer));
  }

 private:
  struct Asked {
    OnAnswer on_answer;
    unsigned homes = 0;  // that have not answered
  };
  std::map<uint64_t, Asked> open_;
  uint64_t next_token_ = 1;
};

}  // namespace veredus::control
