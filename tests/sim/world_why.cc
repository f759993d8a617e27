// A world that does not come to its end says what its mail waits for, as the engine tells it.

#include <string>

#include "tests/sim/world.h"
#include "tests/sim/world_life.h"

namespace veredus::sim {

void World::tell_why() {
  constexpr int kSteps = 2000;
  constexpr size_t kTold = 10;
  WhyQuestion question;
  question.token = 1;
  life_->whys.clear();
  life_->core->ask_why(question);
  for (int i = 0; i < kSteps && life_->whys.size() < life_->core->homes(); ++i) step();
  size_t told = 0;
  for (const WhyAnswer& answer : life_->whys) {
    for (const Waiting& waiting : answer.waiting) {
      if (told++ >= kTold) return;
      std::string text = std::to_string(waiting.recipients) + " of " + waiting.domain + " from " +
                         waiting.source + ", " + std::string(waiting.state);
      for (const Condition& condition : waiting.conditions)
        text += "; " + condition.what + ": " + condition.text;
      report_.violations.push_back(text);
    }
  }
}

}  // namespace veredus::sim
