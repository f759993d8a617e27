#pragma once

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "absl/container/flat_hash_map.h"

namespace veredus::queue {

// Weighted fair order among those who compete, e.g. tenants: whoever has used least for his weight
// is next. Each has a pass, which grows by units/weight as it is charged; several queues (lanes)
// order by the same passes (FairPasses), each those who have something in it (FairOrder).
//
// Idling saves nothing up: who becomes active begins at the smallest pass of those who are active
// anywhere, or at his own if that is ahead. No pass gets further ahead of the smallest active one
// than `lead_units` (at weight 1): so whoever was served much where nobody else wanted anything is
// not shut out for ever where others wait, and whoever is new passes others for that much at most.
// As long as all compete in one queue that bound is never reached if single charges are smaller.
//
// No clock, no randomness; no order follows from hashing. One thread. Key: cheap to copy, hashable
// by Abseil.
template <class Key>
class FairPasses {
 public:
  explicit FairPasses(uint64_t lead_units = 4096) : lead_(lead_units * kUnit) {
    assert(lead_units >= 1 && lead_units <= kUnitsMax);
  }

  // `units` were used by `key`, active or not; `weight` (1 … 1000) is what counts at the moment.
  void charge(const Key& key, uint64_t units, uint32_t weight) {
    const auto found = places_.find(key);
    if (found != places_.end() && states_[found->second].active != 0) {
      return charge_place(found->second, units, weight);
    }
    settle();
    const Place place = place_of(key);
    states_[place].rest = 0;
    charge_place(place, units, weight);
  }

  // How many are remembered: the active ones, and those whose pass is ahead of the smallest active
  // one (as of the last time that somebody became active); never more than there are tenants.
  size_t size() const { return places_.size(); }
  // Sum of the weights of those who are active anywhere, each as when he became so.
  uint64_t active_weight() const { return active_weight_; }

  // Of a pass, for one unit at weight 1.
  static constexpr uint64_t kUnit = uint64_t{1} << 16;

 private:
  template <class>
  friend class FairOrder;
  using Place = uint32_t;  // in states_
  // Passes wrap. All that are compared lie within a part of their range: the lead sees to it.
  static constexpr uint64_t kUnitsMax = uint64_t{1} << 44;
  static bool before(uint64_t a, uint64_t b) { return static_cast<int64_t>(a - b) < 0; }

  struct State {
    Key key{};
    uint64_t pass = 0;
    uint32_t rest = 0;    // of a unit, not yet charged: < weight
    uint32_t active = 0;  // in so many orders
    uint32_t weight = 0;  // with which it is counted in active_weight_
  };
  // Every place in use is in the heap once, at a pass that it had: passes only grow, so whoever
  // comes to the top is looked at again.
  struct Seen {
    uint64_t pass;
    Place place;
  };
  static bool later(const Seen& a, const Seen& b) { return before(b.pass, a.pass); }

  Place activate(const Key& key, uint32_t weight) {
    settle();
    const Place place = place_of(key);
    State& state = states_[place];
    if (state.active++ == 0) {
      state.rest = 0;
      state.weight = weight;
      active_weight_ += weight;
    }
    return place;
  }
  void deactivate(Place place) {
    State& state = states_[place];
    assert(state.active > 0);
    if (--state.active == 0) active_weight_ -= state.weight;
  }
  uint64_t pass(Place place) const { return states_[place].pass; }
  const Key& key(Place place) const { return states_[place].key; }
  bool is_active(Place place, const Key& key) const {
    return place < states_.size() && states_[place].active != 0 && states_[place].key == key;
  }
  Place find(const Key& key) const {
    const auto found = places_.find(key);
    assert(found != places_.end());
    return found->second;
  }

  void charge_place(Place place, uint64_t units, uint32_t weight) {
    assert(weight >= 1);
    State& state = states_[place];
    const uint64_t whole = std::min(units, kUnitsMax) * kUnit + state.rest;
    const uint64_t pass = state.pass + whole / weight;
    if (before(smallest_ + lead_, pass) && state.active != 0) settle();
    // Never back: where others have gone, the bound may lie behind.
    const uint64_t most = before(state.pass, smallest_ + lead_) ? smallest_ + lead_ : state.pass;
    state.pass = before(most, pass) ? most : pass;
    state.rest = static_cast<uint32_t>(whole % weight);
  }

  Place place_of(const Key& key) {
    const auto [found, inserted] = places_.try_emplace(key, 0);
    if (!inserted) return found->second;
    Place place;
    if (free_.empty()) {
      place = static_cast<Place>(states_.size());
      states_.emplace_back();
    } else {
      place = free_.back();
      free_.pop_back();
    }
    found->second = place;
    states_[place] = {key, smallest_, 0, 0, 0};
    push({smallest_, place});
    return place;
  }

  // Finds the smallest active pass and forgets who is inactive and not ahead of it. Nobody active:
  // everybody, and the largest pass is where it goes on.
  void settle() {
    while (!seen_.empty()) {
      const Seen top = seen_.front();
      const State& state = states_[top.place];
      if (state.pass == top.pass && state.active != 0) {
        smallest_ = top.pass;
        return;
      }
      std::pop_heap(seen_.begin(), seen_.end(), later);
      seen_.pop_back();
      if (state.pass != top.pass) {
        push({state.pass, top.place});
        continue;
      }
      smallest_ = top.pass;
      places_.erase(state.key);
      free_.push_back(top.place);
    }
  }
  void push(Seen seen) {
    seen_.push_back(seen);
    std::push_heap(seen_.begin(), seen_.end(), later);
  }

  uint64_t lead_;
  uint64_t active_weight_ = 0;
  uint64_t smallest_ = 0;  // active pass; a lower bound of it since the last settle()
  std::vector<State> states_;
  std::vector<Place> free_;
  std::vector<Seen> seen_;
  absl::flat_hash_map<Key, Place> places_;
};

// Those who have something in one queue, in the order of the shared passes.
template <class Key>
class FairOrder {
 public:
  // `passes` outlives the order.
  explicit FairOrder(FairPasses<Key>& passes) : passes_(passes) {}
  FairOrder(const FairOrder&) = delete;
  FairOrder& operator=(const FairOrder&) = delete;
  ~FairOrder() {
    for (const Member& member : members_) {
      if (is_in(member)) passes_.deactivate(member.place);
    }
  }

  // `key` has something in this queue now, and had nothing before. `weight`: for active_weight().
  void activate(const Key& key, uint32_t weight = 1) {
    const Place place = passes_.activate(key, weight);
    const Member member{passes_.pass(place), ++turn_, place};
    if (in_heap_) {
      assert(!since_.contains(place));
      since_[place] = member.since;
      push(member);
      return;
    }
    members_.push_back(member);
    if (members_.size() > kScanned) make_heap();
  }
  // It has nothing any more, and had something before.
  void deactivate(const Key& key) {
    const Place place = passes_.is_active(last_, key) ? last_ : passes_.find(key);
    passes_.deactivate(place);
    if (in_heap_) {
      const size_t gone = since_.erase(place);
      assert(gone == 1);
      static_cast<void>(gone);
      if (members_.size() > 2 * since_.size() || since_.size() <= kScanned / 2) sweep();
      return;
    }
    const auto found = std::find_if(members_.begin(), members_.end(),
                                    [&](const Member& member) { return member.place == place; });
    assert(found != members_.end());
    *found = members_.back();
    members_.pop_back();
  }

  bool empty() const { return size() == 0; }
  size_t size() const { return in_heap_ ? since_.size() : members_.size(); }

  // Whose pass is smallest; of equals, who has been active here for longest. Not empty. The key is
  // good until the next call.
  const Key& next() {
    assert(!empty());
    if (in_heap_) refresh_top();
    last_ = in_heap_ ? members_.front().place : scan();
    return passes_.key(last_);
  }
  // The pass of the one that next() says: who has the smaller one in his queue is to be served
  // before.
  uint64_t next_pass() {
    next();
    return passes_.pass(last_);
  }
  // As FairPasses::charge(), and cheaper for the one that next() said.
  void charge(const Key& key, uint64_t units, uint32_t weight) {
    if (passes_.is_active(last_, key)) {
      passes_.charge_place(last_, units, weight);
    } else {
      passes_.charge(key, units, weight);
    }
  }

 private:
  using Passes = FairPasses<Key>;
  using Place = typename Passes::Place;
  // So many are looked through each time; more are kept in a heap, by the passes that they had
  // when they were last looked at.
  static constexpr size_t kScanned = 16;

  struct Member {
    uint64_t pass;   // in the heap
    uint64_t since;  // turn at which it became active
    Place place;
  };
  static bool sooner(uint64_t a_pass, uint64_t a_since, uint64_t b_pass, uint64_t b_since) {
    return a_pass != b_pass ? Passes::before(a_pass, b_pass) : a_since < b_since;
  }
  static bool later(const Member& a, const Member& b) {
    return sooner(b.pass, b.since, a.pass, a.since);
  }

  Place scan() const {
    const Member* found = &members_.front();
    uint64_t smallest = passes_.pass(found->place);
    for (const Member& member : members_) {
      const uint64_t pass = passes_.pass(member.place);
      if (!sooner(pass, member.since, smallest, found->since)) continue;
      found = &member;
      smallest = pass;
    }
    return found->place;
  }

  // Who has left stays in the heap until he comes to the top, or there are too many.
  bool is_in(const Member& member) const {
    if (!in_heap_) return true;
    const auto found = since_.find(member.place);
    return found != since_.end() && found->second == member.since;
  }
  void refresh_top() {
    for (;;) {
      const Member top = members_.front();
      const bool in = is_in(top);
      if (in && passes_.pass(top.place) == top.pass) return;
      std::pop_heap(members_.begin(), members_.end(), later);
      members_.pop_back();
      if (in) push({passes_.pass(top.place), top.since, top.place});
    }
  }
  void push(const Member& member) {
    members_.push_back(member);
    std::push_heap(members_.begin(), members_.end(), later);
  }
  void make_heap() {
    in_heap_ = true;
    for (const Member& member : members_) since_[member.place] = member.since;
    std::make_heap(members_.begin(), members_.end(), later);
  }
  void sweep() {
    std::erase_if(members_, [&](const Member& member) { return !is_in(member); });
    if (members_.size() > kScanned / 2) {
      std::make_heap(members_.begin(), members_.end(), later);
      return;
    }
    in_heap_ = false;
    since_ = {};
  }

  Passes& passes_;
  uint64_t turn_ = 0;
  bool in_heap_ = false;
  Place last_ = std::numeric_limits<Place>::max();  // what next() said
  std::vector<Member> members_;
  absl::flat_hash_map<Place, uint64_t> since_;  // of those in the heap
};

}  // namespace veredus::queue
