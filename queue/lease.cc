#include "queue/lease.h"

#include <algorithm>
#include <cassert>
#include <tuple>

#include "queue/planted.h"

namespace veredus::queue {

LeaseOwner::LeaseOwner(uint32_t limit, uint32_t holders)
    : limit_(limit), shares_(holders), grants_(holders), recalls_(holders), hastens_(holders) {
  assert(holders >= 1);
}

uint32_t LeaseOwner::request(uint32_t holder, LeaseRequest request,
                             std::vector<LeaseNotice>& notices) {
  Share& share = shares_[holder];
  if (share.wished == 0) {
    share.wished_at = ++turn_;
    share.turns = std::max(share.turns, turns_);
  }
  share.wished += request.count;
  share.urgent = std::min(request.urgent, share.wished);
  share.weight = std::max(request.weight, 1u);
  return rebalance(holder, notices);
}

void LeaseOwner::give_back(uint32_t holder, uint32_t count, std::vector<LeaseNotice>& notices) {
  Share& share = shares_[holder];
  assert(count <= share.granted);
  share.granted -= count;
  share.recalled -= std::min(share.recalled, count);
  share.hastened = std::min(share.hastened - std::min(share.hastened, count), share.recalled);
  granted_ -= count;
  // Having had some all the time saves no turns up.
  if (share.granted == 0) share.turns = std::max(share.turns, turns_);
  rebalance(static_cast<uint32_t>(shares_.size()), notices);
}

void LeaseOwner::adopt(uint32_t holder, uint32_t count) {
  shares_[holder].granted += count;
  granted_ += count;
}

void LeaseOwner::withdraw(uint32_t holder) {
  shares_[holder].wished = shares_[holder].urgent = 0;
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
  std::fill(hastens_.begin(), hastens_.end(), 0u);
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
    if (recalls_[holder] != 0 || hastens_[holder] != 0) {
      notices.push_back({LeaseNotice::Kind::recall, holder, recalls_[holder], hastens_[holder]});
    }
  }
  return granted_now;
}

void LeaseOwner::grant_free() {
  const uint32_t twice = is_planted(Planted::slot_lent_twice) && limit_ > 0 ? 1 : 0;
  while (granted_ < limit_ + twice) {
    Share* const next = next_to_grant();
    if (next == nullptr) return;
    if (next->granted == 0) take_turn(*next);
    ++next->granted;
    --next->wished;
    if (next->urgent > 0) --next->urgent;
    ++granted_;
    next->wished_at = next->granted_at = ++turn_;
    ++grants_[static_cast<size_t>(next - shares_.data())];
  }
}

namespace {
// `a` slots at weight `of_a` are less for it than the others.
bool less(uint64_t a, uint64_t of_a, uint64_t b, uint64_t of_b) {
  return a * of_b < b * of_a;
}
}  // namespace

void LeaseOwner::take_turn(Share& share) {
  uint64_t least = share.turns;
  for (const Share& other : shares_) {
    if (other.wished != 0 && other.granted == 0) least = std::min(least, other.turns);
  }
  turns_ = std::max(turns_, least);
  share.turns += kTurn / share.weight;
}

// Of two who have so many and want more: nothing at all, then least for his weight.
bool LeaseOwner::before(const Share& a, uint64_t a_has, const Share& b, uint64_t b_has) {
  if ((a_has == 0) != (b_has == 0)) return a_has == 0;
  if (less(a_has + 1, a.weight, b_has + 1, b.weight) && a_has != 0) return true;
  if (less(b_has + 1, b.weight, a_has + 1, a.weight) && a_has != 0) return false;
  const auto key = [](const Share& share) {
    return std::tuple(share.granted != 0, share.granted == 0 ? share.turns : 0, share.wished_at);
  };
  return key(a) < key(b);
}

// What is urgent first.
LeaseOwner::Share* LeaseOwner::next_to_grant() {
  Share* urgent = nullptr;
  Share* other = nullptr;
  for (Share& share : shares_) {
    if (share.wished == 0) continue;
    Share*& first = share.urgent > 0 ? urgent : other;
    if (first == nullptr || before(share, share.granted, *first, first->granted)) first = &share;
  }
  if (urgent == nullptr || other == nullptr) {
    urgent_in_row_ = 0;
    return urgent != nullptr ? urgent : other;
  }
  if (++urgent_in_row_ <= kUrgentInRow) return urgent;
  urgent_in_row_ = 0;
  return other;
}

// Plays forward: the slots that are coming back go to those who wait, the neediest first; whoever
// then still has too little is a reason for a recall, as long as somebody has clearly more.
void LeaseOwner::recall() {
  uint64_t kept = 0, hastened = 0;
  for (Share& share : shares_) {
    kept += share.kept();
    hastened += share.hastened;
    share.promised = 0;
  }
  for (; kept > limit_; --kept) recall_one(*richest());
  uint64_t coming = limit_ - kept;
  for (;;) {
    Share* const needy = neediest();
    if (needy == nullptr) return;
    const bool urgent = needy->waits_urgently();
    // One that comes is for it already; else one must come sooner, or one more must come.
    if (urgent && hastened > 0) {
      --hastened;
    } else if (urgent && (coming == 0 || !hasten_recalled(*needy)) && hasten_another(*needy)) {
      ++coming;
    }
    if (coming == 0) {
      Share* const rich = richest();
      const uint64_t has = needy->kept() + needy->promised;
      const bool unfair =
          rich->kept() >= 2 && less(has + 1, needy->weight, rich->kept(), rich->weight);
      const bool turn = needy->granted == 0 && needy->promised == 0 && rich->kept() >= 1;
      if (unfair || turn) {
        recall_one(*rich);
        ++coming;
      } else if (!urgent) {
        return;
      }
    }
    if (coming > 0) --coming;
    ++needy->promised;
  }
}

// What another holder returns anyway is for something urgent.
bool LeaseOwner::hasten_recalled(const Share& waiting) {
  for (Share& share : shares_) {
    if (&share == &waiting || share.recalled <= share.hastened) continue;
    hasten(share);
    return true;
  }
  return false;
}

// One more is recalled. Not from one who waits urgently himself: between these all goes by their
// shares, else slots would travel for ever and do no work.
bool LeaseOwner::hasten_another(const Share& waiting) {
  Share& from = *richest(&waiting);
  if (&from == &waiting || from.kept() == 0 || from.urgent > 0) return false;
  recall_one(from);
  hasten(from);
  return true;
}

void LeaseOwner::hasten(Share& share) {
  ++share.hastened;
  ++hastens_[static_cast<size_t>(&share - shares_.data())];
}

void LeaseOwner::recall_one(Share& share) {
  assert(share.kept() >= 1);
  ++share.recalled;
  ++recalls_[static_cast<size_t>(&share - shares_.data())];
}

// Of those with a wish that nothing is promised to: who waits urgently, then as they are served.
LeaseOwner::Share* LeaseOwner::neediest() {
  const auto needier = [](const Share& a, const Share& b) {
    if (a.waits_urgently() != b.waits_urgently()) return a.waits_urgently();
    return before(a, a.kept() + a.promised, b, b.kept() + b.promised);
  };
  Share* found = nullptr;
  for (Share& share : shares_) {
    if (share.wished == share.promised) continue;
    if (found == nullptr || needier(share, *found)) found = &share;
  }
  return found;
}

// Keeps most for his weight, then was granted its last one longest ago. Whoever keeps one only
// comes behind all who keep more. `but`: not him, if anybody else keeps any; and rather not one who
// waits urgently himself.
LeaseOwner::Share* LeaseOwner::richest(const Share* but) {
  const auto before = [but](const Share& a, const Share& b) {
    if (a.kept() == 0 || b.kept() == 0) return a.kept() > b.kept();
    if (but != nullptr) {
      if (&a == but || &b == but) return &b == but;
      if ((a.urgent == 0) != (b.urgent == 0)) return a.urgent == 0;
    }
    if ((a.kept() == 1) != (b.kept() == 1)) return b.kept() == 1;
    if (a.kept() > 1 && less(a.kept(), a.weight, b.kept(), b.weight)) return false;
    if (a.kept() > 1 && less(b.kept(), b.weight, a.kept(), a.weight)) return true;
    return a.granted_at < b.granted_at;
  };
  Share* found = &shares_[0];
  for (Share& share : shares_) {
    if (&share != found && before(share, *found)) found = &share;
  }
  return found;
}

bool LeaseHolder::take() {
  if (free() == 0) return false;
  ++used_;
  if (fresh_ > 0) --fresh_;
  return true;
}

uint32_t LeaseHolder::release() {
  assert(used_ >= 1);
  --used_;
  return pay();
}

std::optional<LeaseRequest> LeaseHolder::ask(uint32_t more, uint32_t urgent, uint32_t weight) {
  const uint32_t covered = free() + pending_;
  const uint32_t count = more > covered ? more - covered : 0;
  urgent = std::min(urgent > free() ? urgent - free() : 0, pending_ + count);
  const bool counts = granted_ + pending_ > 0 && weight != weight_;
  if (count == 0 && urgent <= urgent_ && !counts) return std::nullopt;
  pending_ += count;
  urgent_ = std::max(urgent, urgent_);
  weight_ = weight;
  return LeaseRequest{count, urgent_, weight};
}

bool LeaseHolder::withdraw() {
  if (pending_ == 0) return false;
  pending_ = urgent_ = 0;
  return true;
}

uint32_t LeaseHolder::give_back_free(uint32_t keep) {
  const uint32_t count = std::max(free() - std::min(free(), keep), std::min(free(), owed_));
  gone(count);
  fresh_ = std::min(fresh_, free());
  return count;
}

void LeaseHolder::on_grant(uint32_t count) {
  fresh_ += count;
  // Fewer may be pending: the grant was on its way when the wish was withdrawn.
  pending_ -= std::min(pending_, count);
  urgent_ -= std::min(urgent_, count);
  granted_ += count;
}

uint32_t LeaseHolder::on_recall(uint32_t count, uint32_t urgent) {
  // What we returned unasked while the recall was under way has met it already.
  owed_ = count < granted_ - owed_ ? owed_ + count : granted_;
  hastened_ = std::min(hastened_ + urgent, owed_);
  return pay();
}

uint32_t LeaseHolder::pay() {
  // What was not used yet is kept for one use: where holders take turns, or one is served first
  // that has more than his share, grant and recall come together, and the slot would travel for
  // ever without doing any work.
  const uint32_t count = std::min(owed_, free() - fresh_);
  gone(count);
  return count;
}

void LeaseHolder::gone(uint32_t count) {
  owed_ -= std::min(owed_, count);
  hastened_ = std::min(hastened_ - std::min(hastened_, count), owed_);
  granted_ -= count;
}

}  // namespace veredus::queue
