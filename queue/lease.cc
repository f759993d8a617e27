#include "queue/lease.h"

#include <algorithm>
#include <cassert>
#include <tuple>

#include "queue/planted.h"

namespace veredus::queue {

LeaseOwner::LeaseOwner(uint32_t limit, uint32_t holders)
    : limit_(limit), shares_(holders), grants_(holders), recalls_(holders) {
  assert(holders >= 1);
}

uint32_t LeaseOwner::request(uint32_t holder, uint32_t count, std::vector<LeaseNotice>& notices) {
  Share& share = shares_[holder];
  if (share.wished == 0) share.wished_at = ++turn_;
  share.wished += count;
  return rebalance(holder, notices);
}

void LeaseOwner::give_back(uint32_t holder, uint32_t count, std::vector<LeaseNotice>& notices) {
  Share& share = shares_[holder];
  assert(count <= share.granted);
  share.granted -= count;
  share.recalled -= std::min(share.recalled, count);
  granted_ -= count;
  rebalance(static_cast<uint32_t>(shares_.size()), notices);
}

void LeaseOwner::adopt(uint32_t holder, uint32_t count) {
  shares_[holder].granted += count;
  granted_ += count;
}

void LeaseOwner::set_limit(uint32_t limit, std::vector<LeaseNotice>& notices) {
  limit_ = limit;
  rebalance(static_cast<uint32_t>(shares_.size()), notices);
}

// Grants what is free, recalls what is too much or unfairly held, and says so: grants first, by
// holder number. What `asking` is granted is returned instead.
uint32_t LeaseOwner::rebalance(uint32_t asking, std::vector<LeaseNotice>& notices) {
  std::fill(grants_.begin(), grants_.end(), 0u);
  std::fill(recalls_.begin(), recalls_.end(), 0u);
  grant_free();
  recall();
  uint32_t granted_now = 0;
  for (uint32_t holder = 0; holder < shares_.size(); ++holder) {
    if (grants_[holder] == 0) continue;
    if (holder == asking) {
      granted_now = grants_[holder];
    } else {
      notices.push_back({LeaseNotice::Kind::grant, holder, grants_[holder]});
    }
  }
  for (uint32_t holder = 0; holder < shares_.size(); ++holder) {
    if (recalls_[holder] != 0) {
      notices.push_back({LeaseNotice::Kind::recall, holder, recalls_[holder]});
    }
  }
  return granted_now;
}

void LeaseOwner::grant_free() {
  const uint32_t twice = is_planted(Planted::slot_lent_twice) && limit_ > 0 ? 1 : 0;
  while (granted_ < limit_ + twice) {
    Share* next = nullptr;
    for (Share& share : shares_) {
      if (share.wished == 0) continue;
      if (next == nullptr ||
          std::tie(share.granted, share.wished_at) < std::tie(next->granted, next->wished_at)) {
        next = &share;
      }
    }
    if (next == nullptr) return;
    ++next->granted;
    --next->wished;
    ++granted_;
    next->wished_at = next->granted_at = ++turn_;
    ++grants_[static_cast<size_t>(next - shares_.data())];
  }
}

// Plays forward: the slots that are coming back go to those who wait, the neediest first; whoever
// then still has too little is a reason for a recall, as long as somebody has clearly more.
void LeaseOwner::recall() {
  uint64_t kept = 0;
  for (Share& share : shares_) {
    kept += share.kept();
    share.promised = 0;
  }
  for (; kept > limit_; --kept) recall_one(*richest());
  uint64_t coming = limit_ - kept;
  for (;;) {
    Share* needy = neediest();
    if (needy == nullptr) return;
    if (coming == 0) {
      Share* rich = richest();
      const bool unfair = rich->kept() >= needy->kept() + needy->promised + 2;
      const bool turn = needy->granted == 0 && needy->promised == 0 && rich->kept() >= 1;
      if (!unfair && !turn) return;
      recall_one(*rich);
      ++coming;
    }
    --coming;
    ++needy->promised;
  }
}

void LeaseOwner::recall_one(Share& share) {
  assert(share.kept() >= 1);
  ++share.recalled;
  ++recalls_[static_cast<size_t>(&share - shares_.data())];
}

// Of those with a wish that nothing is promised to: has least, then has nothing at all, then waits
// longest.
LeaseOwner::Share* LeaseOwner::neediest() {
  const auto key = [](const Share& share) {
    return std::tuple(share.kept() + share.promised, share.granted != 0, share.wished_at);
  };
  Share* found = nullptr;
  for (Share& share : shares_) {
    if (share.wished == share.promised) continue;
    if (found == nullptr || key(share) < key(*found)) found = &share;
  }
  return found;
}

// Keeps most, then was granted its last one longest ago.
LeaseOwner::Share* LeaseOwner::richest() {
  Share* found = &shares_[0];
  for (Share& share : shares_) {
    if (share.kept() > found->kept() ||
        (share.kept() == found->kept() && share.granted_at < found->granted_at)) {
      found = &share;
    }
  }
  return found;
}

bool LeaseHolder::take() {
  if (free() == 0) return false;
  ++used_;
  first_ = false;
  return true;
}

uint32_t LeaseHolder::release() {
  assert(used_ >= 1);
  --used_;
  return pay();
}

uint32_t LeaseHolder::ask(uint32_t more) {
  const uint32_t covered = free() + pending_;
  if (more <= covered) return 0;
  const uint32_t count = more - covered;
  pending_ += count;
  return count;
}

uint32_t LeaseHolder::give_back_free(uint32_t keep) {
  if (free() <= keep) return 0;
  const uint32_t count = free() - keep;
  owed_ -= std::min(owed_, count);
  granted_ -= count;
  if (granted_ == 0) first_ = false;
  return count;
}

void LeaseHolder::on_grant(uint32_t count) {
  assert(count <= pending_);
  if (granted_ == 0 && count > 0) first_ = true;
  pending_ -= count;
  granted_ += count;
}

uint32_t LeaseHolder::on_recall(uint32_t count) {
  // What we returned unasked while the recall was under way has met it already.
  owed_ = count < granted_ - owed_ ? owed_ + count : granted_;
  return pay();
}

uint32_t LeaseHolder::pay() {
  // The only slot, not used yet, is kept for one use: where holders take turns, grant and recall
  // come together, and the slot would travel for ever without doing any work.
  const uint32_t payable = free() - (first_ ? 1 : 0);
  const uint32_t count = std::min(owed_, payable);
  owed_ -= count;
  granted_ -= count;
  return count;
}

}  // namespace veredus::queue
