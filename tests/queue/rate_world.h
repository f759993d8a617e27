#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <functional>
#include <random>
#include <vector>

#include "queue/rate.h"

namespace veredus::queue {

inline constexpr int64_t kMs = 1'000'000;
inline constexpr int64_t kSecond = 1'000 * kMs;
inline constexpr int64_t kMinute = 60 * kSecond;
inline constexpr int64_t kHour = 60 * kMinute;
inline constexpr int64_t kDay = 24 * kHour;

// An owner and its holders with messages between them that take their time, and turns of loops that
// come late. It jumps from event to event, so that days cost little. One object a seed.
class RateWorld {
 public:
  struct Use {
    int64_t at;
    uint64_t tokens;
    uint32_t holder;
  };
  struct Conduct {  // of a holder
    // 0: wants as much as it can get; else a backlog that comes and goes about so often.
    int64_t changes_ns = 0;
    uint64_t backlog_max = 0;
    unsigned idles = 0;    // of 100 turns, it uses nothing in so many
    unsigned returns = 0;  // of 100 turns, it gives back whatever is here in so many
  };
  struct Settings {
    Rate rate;
    uint32_t holders = 1;
    int64_t delay_max_ns = 3 * kMs;  // of a message
    int64_t turn_ns = kMs;           // something is acted upon so much later, at most
    unsigned stalls = 0;             // of 1000 turns, so many come up to stall_ns later still
    int64_t stall_ns = 0;
    Conduct conduct{};
    std::function<uint64_t(std::mt19937_64&)> size{};  // of a single use; none: 1
  };

  RateWorld(uint64_t seed, const Settings& settings)
      : settings_(settings),
        random_(seed),
        now_(static_cast<int64_t>(random_() % uint64_t{kDay})),
        owner_(settings.rate, settings.holders, now_),
        shards_(settings.holders) {
    for (Shard& shard : shards_) {
      shard.conduct = settings.conduct;
      shard.next_size = draw_size();
      shard.wakes = late(now_);
      shard.changes = now_;
    }
  }

  int64_t now() const { return now_; }
  RateOwner& owner() { return owner_; }
  std::mt19937_64& random() { return random_; }
  const std::vector<Use>& uses() const { return uses_; }
  Conduct& conduct(uint32_t holder) { return shards_[holder].conduct; }
  uint64_t messages() const { return messages_; }
  uint64_t returned() const { return returned_; }

  void run_for(int64_t ns) {
    const int64_t end = now_ + ns;
    for (;;) {
      Shard* next = nullptr;
      for (Shard& shard : shards_) {
        if (next == nullptr || shard.wakes < next->wakes) next = &shard;
      }
      const int64_t at = std::min(next->wakes, owner_wakes_);
      if (at > end) break;
      now_ = at;
      if (owner_wakes_ == at) {
        owner_turn();
      } else {
        holder_turn(static_cast<uint32_t>(next - shards_.data()));
      }
    }
    now_ = end;
  }

  void set_rate(Rate rate) {
    settings_.rate = rate;
    std::vector<RateNotice> notices;
    owner_.set_rate(rate, now_, notices);
    send(notices);
    plan_owner();
  }

  // The process ends and, after a while, begins again: what was on its way is gone. `wall_error`:
  // how far the wall clock is wrong then.
  void restart(int64_t down_ns, bool with_state, int64_t wall_error = 0) {
    const int64_t state = owner_.state_mono_ns(now_);
    now_ += down_ns;
    std::optional<int64_t> found;
    if (with_state) found = state - wall_error;
    owner_ = RateOwner(settings_.rate, settings_.holders, now_, found);
    owner_wakes_ = INT64_MAX;
    for (Shard& shard : shards_) {
      shard.holder = RateHolder();
      shard.to_owner.clear();
      shard.to_holder.clear();
      shard.wakes = late(now_);
    }
  }

  uint64_t used_by(uint32_t holder) const {
    uint64_t sum = 0;
    for (const Use& use : uses_) sum += use.holder == holder ? use.tokens : 0;
    return sum;
  }
  uint64_t used_between(int64_t from, int64_t to) const {
    uint64_t sum = 0;
    for (const Use& use : uses_) sum += use.at >= from && use.at < to ? use.tokens : 0;
    return sum;
  }

 private:
  struct ToOwner {
    enum Kind { request, give_back, withdraw } kind;
    RateRequest asked;
    RateReturn returned;
    int64_t arrives;
  };
  struct ToHolder {
    RateNotice notice;
    int64_t arrives;
  };
  struct Shard {
    RateHolder holder;
    Conduct conduct;
    std::deque<ToOwner> to_owner;
    std::deque<ToHolder> to_holder;
    uint64_t backlog = 0;
    uint64_t next_size = 1;
    int64_t changes = 0;
    int64_t wakes = 0;
  };

  int64_t up_to(int64_t ns) {
    return ns <= 0 ? 0 : static_cast<int64_t>(random_() % static_cast<uint64_t>(ns + 1));
  }
  bool chance(unsigned of, unsigned in) { return random_() % in < of; }
  uint64_t draw_size() { return settings_.size ? settings_.size(random_) : 1; }

  // When something that happens at `cause` is acted upon.
  int64_t late(int64_t cause) {
    if (cause == INT64_MAX) return cause;
    int64_t at = std::max(cause, now_ + 1) + up_to(settings_.turn_ns);
    if (chance(settings_.stalls, 1000)) at += up_to(settings_.stall_ns);
    return at;
  }
  template <class Queue>
  int64_t arrival(const Queue& queue) {
    const int64_t at = now_ + up_to(settings_.delay_max_ns);
    ++messages_;
    return queue.empty() ? at : std::max(at, queue.back().arrives);
  }

  void send(const std::vector<RateNotice>& notices) {
    for (const RateNotice& notice : notices) {
      Shard& shard = shards_[notice.holder];
      shard.to_holder.push_back({notice, arrival(shard.to_holder)});
      shard.wakes = std::min(shard.wakes, late(shard.to_holder.front().arrives));
    }
  }
  void post(Shard& shard, ToOwner message) {
    message.arrives = arrival(shard.to_owner);
    shard.to_owner.push_back(message);
    owner_wakes_ = std::min(owner_wakes_, late(shard.to_owner.front().arrives));
  }

  void owner_turn() {
    std::vector<RateNotice> notices;
    for (uint32_t i = 0; i < shards_.size(); ++i) {
      auto& inbox = shards_[i].to_owner;
      for (; !inbox.empty() && inbox.front().arrives <= now_; inbox.pop_front()) {
        const ToOwner& message = inbox.front();
        if (message.kind == ToOwner::request) owner_.request(i, message.asked, now_, notices);
        if (message.kind == ToOwner::give_back) owner_.give_back(message.returned, now_, notices);
        if (message.kind == ToOwner::withdraw) owner_.withdraw(i);
      }
    }
    if (owner_.next_grant_mono_ns() <= now_) owner_.run(now_, notices);
    send(notices);
    plan_owner();
  }
  void plan_owner() {
    int64_t cause = owner_.next_grant_mono_ns();
    for (const Shard& shard : shards_) {
      if (!shard.to_owner.empty()) cause = std::min(cause, shard.to_owner.front().arrives);
    }
    owner_wakes_ = late(cause);
  }

  void holder_turn(uint32_t at) {
    Shard& shard = shards_[at];
    for (; !shard.to_holder.empty() && shard.to_holder.front().arrives <= now_;
         shard.to_holder.pop_front()) {
      shard.holder.on_grant(shard.to_holder.front().notice);
    }
    want(shard);
    if (!chance(shard.conduct.idles, 100)) use(at);
    give_back(shard);
    if (shard.backlog == 0) {
      if (shard.holder.withdraw()) post(shard, {ToOwner::withdraw, {}, {}, 0});
    } else if (const auto asked = shard.holder.ask(shard.backlog, shard.next_size, now_)) {
      post(shard, {ToOwner::request, *asked, {}, 0});
    }
    int64_t cause = shard.holder.lapses_mono_ns();
    if (shard.conduct.changes_ns != 0) cause = std::min(cause, shard.changes);
    if (!shard.to_holder.empty()) cause = std::min(cause, shard.to_holder.front().arrives);
    shard.wakes = late(cause);
  }
  void want(Shard& shard) {
    const Conduct& conduct = shard.conduct;
    if (conduct.changes_ns == 0) {
      shard.backlog = std::max(2 * settings_.rate.count, 2 * shard.next_size);
    } else if (shard.changes <= now_) {
      shard.backlog = chance(1, 3) ? 0 : random_() % (conduct.backlog_max + 1);
      shard.changes = now_ + 1 + up_to(2 * conduct.changes_ns);
    }
  }
  void use(uint32_t at) {
    Shard& shard = shards_[at];
    while (shard.backlog != 0) {
      // Single tokens all at once: there may be thousands.
      const uint64_t size = settings_.size ? std::min(shard.next_size, shard.backlog)
                                           : std::min(shard.holder.here(now_), shard.backlog);
      if (size == 0 || !shard.holder.take(size, now_)) return;
      uses_.push_back({now_, size, at});
      shard.backlog -= size;
      shard.next_size = draw_size();
    }
  }
  void give_back(Shard& shard) {
    const bool all = chance(shard.conduct.returns, 100);
    std::vector<RateReturn> returns;
    shard.holder.give_back(all ? 0 : shard.backlog, now_, returns);
    for (const RateReturn& returned : returns) {
      post(shard, {ToOwner::give_back, {}, returned, 0});
      returned_ += returned.tokens;
    }
  }

  Settings settings_;
  std::mt19937_64 random_;
  int64_t now_;
  RateOwner owner_;
  std::vector<Shard> shards_;
  int64_t owner_wakes_ = INT64_MAX;
  std::vector<Use> uses_;
  uint64_t messages_ = 0;
  uint64_t returned_ = 0;
};

// The half-open window of that length within [from, to) in which most is used. Brute force: each
// window that begins with a use; no other holds more. A use of more than `alone` counts for nothing
// if it is the only one of its window.
struct FullWindow {
  int64_t begins = 0;
  uint64_t tokens = 0;
};
inline FullWindow fullest(const std::vector<RateWorld::Use>& uses, int64_t length,
                          uint64_t alone = UINT64_MAX, int64_t from = INT64_MIN,
                          int64_t to = INT64_MAX) {
  FullWindow found;
  size_t end = 0;
  uint64_t sum = 0;
  for (size_t begin = 0; begin < uses.size() && uses[begin].at < to; ++begin) {
    end = std::max(end, begin);
    if (uses[begin].at < from) continue;
    for (; end < uses.size() && uses[end].at < to && uses[end].at < uses[begin].at + length;
         ++end) {
      sum += uses[end].tokens;
    }
    const bool passes = end - begin == 1 && uses[begin].tokens > alone;
    if (!passes && sum > found.tokens) found = {uses[begin].at, sum};
    sum -= uses[begin].tokens;
  }
  return found;
}

}  // namespace veredus::queue
