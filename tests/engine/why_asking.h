#pragma once

#include <string>

#include "engine/why.h"
#include "tests/engine/small_engine.h"

// Asking "why does this mail wait?".
namespace veredus::sim {

// Of whom a question asks: a recipient of a batch.
inline WhyQuestion about(const SmallEngine& engine, uint32_t index,
                         const std::string& batch = "b") {
  WhyQuestion question;
  question.batch = engine.number_of(batch);
  question.index = index;
  return question;
}

inline std::string words(const WhyAnswer& answer) {
  std::string text;
  for (const Waiting& item : answer.waiting) {
    text += std::string(item.state) + ":";
    for (const Condition& condition : item.conditions)
      text += " [" + condition.what + ": " + condition.text + "; " + condition.origin.setting + "]";
    text += "\n";
  }
  return text.empty() ? "nobody waits" : text;
}

inline bool waits_on(const WhyAnswer& answer, const std::string& what) {
  return answer.waiting.size() == 1 && !answer.waiting[0].conditions.empty() &&
         answer.waiting[0].conditions[0].what == what;
}

}  // namespace veredus::sim
