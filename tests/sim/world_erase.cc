// Recipients that ask to be forgotten: nobody sends to them once that is answered, and in time the
// disk does not know them any more.

#include <algorithm>
#include <utility>

#include "queue/outcome.h"
#include "tests/sim/world.h"
#include "tests/sim/world_life.h"

namespace veredus::sim {

namespace {

constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kBetweenNs = 20 * kSecond;

// Not as the end of a longer one: "r12@d1.sim" is none of "r112@d1.sim".
bool holds(std::string_view bytes, std::string_view address) {
  for (size_t at = bytes.find(address); at != std::string_view::npos;
       at = bytes.find(address, at + 1)) {
    if (at == 0 || bytes[at - 1] < '0' || bytes[at - 1] > '9') return true;
  }
  return false;
}

}  // namespace

// Now and then one more of those whose batch was acknowledged; and again who was told no, or lost
// his answer with a life.
void World::ask_erasures() {
  if (clock_.mono >= next_erasure_mono_ns_ && erasures_.size() < options_.erasures) {
    next_erasure_mono_ns_ = clock_.mono + static_cast<int64_t>(erasure_random_.below(kBetweenNs));
    const Feeder& feeder = *feeders_[erasure_random_.below(feeders_.size())];
    if (feeder.acknowledged) {
      const std::string& to = feeder.lines[erasure_random_.below(feeder.lines.size())].to;
      if (!order_names(to)) {
        erasures_.push_back(std::make_unique<Erasure>());
        erasures_.back()->to = to;
      }
    }
  }
  for (const auto& each : erasures_) {
    Erasure& erasure = *each;
    if (erasure.done || erasure.asked) continue;
    if (erasure.refused && erasure_random_.below(100) != 0) continue;
    ErasureQuestion question;
    question.token = erasure.token = erasure_random_.next();
    question.addresses = {erasure.to};
    erasure.asked = true;
    erasure.refused = false;
    erasure.open = life_->core->homes();
    life_->core->ask_erasure(question);
  }
}

void World::hear_erasures() {
  for (const ErasureAnswer& answer : std::exchange(life_->erasure_answers, {})) {
    const auto found = std::find_if(erasures_.begin(), erasures_.end(), [&](const auto& each) {
      return each->asked && each->token == answer.token;
    });
    if (found == erasures_.end()) continue;
    Erasure& erasure = **found;
    // A crash would forget those in flight: as any who asks, ask again.
    erasure.refused = erasure.refused || !answer.status.ok() || answer.in_flight > 0;
    if (--erasure.open > 0) continue;
    erasure.asked = false;
    erasure.done = !erasure.refused;
    if (erasure.done) erasure.done_mono_ns = clock_.mono;
  }
}

bool World::asks_erasure(const std::string& to) const {
  return std::any_of(erasures_.begin(), erasures_.end(),
                     [&](const auto& erasure) { return erasure->to == to; });
}

bool World::erasures_done() const {
  return std::all_of(erasures_.begin(), erasures_.end(),
                     [](const auto& erasure) { return erasure->done; });
}

// Without any mail, too. The time that the engine was down counts: it comes back, and is late.
void World::await_erased() {
  if (erasures_.empty() || !report_.violations.empty() || report_.rot_told) return;
  calm();
  const int64_t until = clock_.mono + settings_.erase_within_ns * 2 + settings_.events.keep_ns;
  while (clock_.mono < until && report_.violations.empty() && step()) {
  }
}

void World::judge_erasures() {
  for (const auto& each : erasures_) {
    const Erasure& erasure = *each;
    ++report_.erased;
    const auto taken = internet_.ledger.find(erasure.to);
    if (taken != internet_.ledger.end()) {
      for (const Receipt& receipt : taken->second) {
        if (receipt.at_mono_ns > erasure.done_mono_ns)
          violation(erasure.to + " was sent to " +
                    std::to_string((receipt.at_mono_ns - erasure.done_mono_ns) / 1'000'000) +
                    " ms after it was to be forgotten");
      }
    }
    for (const std::string& path : storage_.paths()) {
      if (path.ends_with(".vrj") && holds(storage_.get(path), erasure.to))
        violation(path + " holds " + erasure.to + ", which was to be forgotten");
    }
  }
}

}  // namespace veredus::sim
