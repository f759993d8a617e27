#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace veredus::queue {

// Leases of counted slots, e.g. of the connections that a provider allows us. One shard owns the
// limit (LeaseOwner); each shard that works for it keeps what it was lent (LeaseHolder). Slots
// travel as messages; each pair of owner and holder must deliver its messages in order, after any
// delay. No clock, no randomness: the same calls give the same answers.
//
//   holder                              owner
//   ask() → request      request →      request(): granted now, the rest stays a wish
//   on_grant()           ← grant        … later, when slots come back
//   on_recall() → n      ← recall       somebody else has too few
//   release() → n        give back →    give_back()
//   withdraw()           withdraw →     withdraw(): nothing more is wanted
//
// Always: the sum of what holders have (grants and returns under way included) ≤ the limit; after
// the limit was lowered, or holders have adopted what is in use already, nothing is granted until
// the sum is below it. Fair: when all slots are out
// and somebody wants more, slots are recalled from the holders that have most for their weights, as
// long as they then still have as much as he who wants, and one at least; and where there are fewer
// slots than holders that want any, one who has none gets the turn of the one who has had his slot
// longest. Who wants waits in order: those without any first, by the turns that they have had for
// their weights; then fewest slots for his weight, then longest waiting. So, if holders give back
// what is recalled, nobody starves. How much a session may still do after the recall is the
// holder's own rule.
//
// Urgent wishes go before all others, and when all slots are out one is called back for each of
// them at once, from another holder that has no such wish, whatever that one's share is. Now and
// then one that is not urgent is served before them, so that it does not starve.

struct LeaseRequest {   // to the owner
  uint32_t count = 0;   // more than what was requested before
  uint32_t urgent = 0;  // so many of all that are not granted yet
  uint32_t weight = 1;  // of the holder's share, from now on: ≥ 1
  bool operator==(const LeaseRequest&) const = default;
};

struct LeaseNotice {
  enum class Kind : uint8_t { grant, recall };
  Kind kind = Kind::grant;
  uint32_t holder = 0;
  uint32_t count = 0;
  // Of what is recalled, now or before: so many more are for something urgent. Else `count` ≥ 1.
  uint32_t urgent = 0;
  bool operator==(const LeaseNotice&) const = default;
};

class LeaseOwner {
 public:
  // Holders are numbered 0 … holders − 1. A limit of 0 lends nothing.
  LeaseOwner(uint32_t limit, uint32_t holders);

  // Returns how many `holder` gets now (to be sent to it); the rest is kept as its wish. Appends
  // what must be told to whom; it goes out after the grant.
  uint32_t request(uint32_t holder, LeaseRequest request, std::vector<LeaseNotice>& notices);
  // `holder` returns `count` slots, asked to or not; no more than it was granted.
  void give_back(uint32_t holder, uint32_t count, std::vector<LeaseNotice>& notices);
  // `holder` has `count` more that were never granted: what it counts under this limit has changed.
  // The sum may exceed the limit then; nothing is granted until it is below.
  void adopt(uint32_t holder, uint32_t count);
  // The holder's wish is gone; grants may be on their way.
  void withdraw(uint32_t holder);
  // Takes effect at once for new grants; below the sum that is out, slots are recalled.
  void set_limit(uint32_t limit, std::vector<LeaseNotice>& notices);

  uint32_t limit() const { return limit_; }
  uint32_t granted() const { return granted_; }  // sum, returns under way included
  uint32_t granted(uint32_t holder) const { return shares_[holder].granted; }
  uint32_t wished(uint32_t holder) const { return shares_[holder].wished; }
  uint32_t recalled(uint32_t holder) const { return shares_[holder].recalled; }

 private:
  struct Share {
    uint32_t granted = 0;    // lent
    uint32_t wished = 0;     // asked for, not lent
    uint32_t urgent = 0;     // of those
    uint32_t recalled = 0;   // of those lent, asked back; ≤ granted
    uint32_t hastened = 0;   // of those: for something urgent
    uint32_t promised = 0;   // while deciding: of the wishes, covered by slots that are coming back
    uint64_t wished_at = 0;  // turn at which it began to wait, or was last served
    uint64_t granted_at = 0;
    uint64_t weight = 1;
    uint64_t turns = 0;  // it has had, i.e. slots while it had none: kTurn / weight each
    uint32_t kept() const { return granted - recalled; }
    bool waits_urgently() const { return urgent > promised; }
  };
  // Urgent ones in a row that may be granted past others.
  static constexpr uint32_t kUrgentInRow = 15;
  static constexpr uint64_t kTurn = uint64_t{1} << 32;

  uint32_t rebalance(uint32_t asking, std::vector<LeaseNotice>& notices);
  void grant_free();
  void take_turn(Share& share);
  static bool before(const Share& a, uint64_t a_has, const Share& b, uint64_t b_has);
  Share* next_to_grant();
  void recall();
  void recall_one(Share& share);
  bool hasten_recalled(const Share& waiting);
  bool hasten_another(const Share& waiting);
  void hasten(Share& share);
  Share* neediest();
  Share* richest(const Share* but = nullptr);

  uint32_t limit_;
  uint32_t granted_ = 0;
  uint64_t turn_ = 0;
  uint32_t urgent_in_row_ = 0;
  uint64_t turns_ = 0;  // least of those who waited without any when one of them had his turn
  std::vector<Share> shares_;
  std::vector<uint32_t> grants_, recalls_, hastens_;  // per holder, of the call under way
};

// What one shard has of a limit. Every call that returns a count says how much must be sent to the
// owner.
class LeaseHolder {
 public:
  // Uses a slot. False: none is free. (Free slots that were recalled have gone back; what is free
  // was granted since.)
  bool take();
  // A used slot becomes free: 1 when it is owed and must be given back, else 0 and it stays here
  // for the next take().
  [[nodiscard]] uint32_t release();
  // `more` slots are wanted beyond those used, `urgent` of them urgently: what to request now. What
  // is free or under way is taken off, so it may be called at every change. Nothing: the owner
  // knows it all.
  [[nodiscard]] std::optional<LeaseRequest> ask(uint32_t more, uint32_t urgent = 0,
                                                uint32_t weight = 1);
  // Nothing more is wanted. True: the owner must be told so.
  [[nodiscard]] bool withdraw();
  // `count` slots are used that were never granted; the owner must hear of it.
  void adopt(uint32_t count) {
    granted_ += count;
    used_ += count;
  }
  // Free slots beyond `keep`, to be given back unasked: for a holder that no longer wants them.
  // What is owed is not kept.
  [[nodiscard]] uint32_t give_back_free(uint32_t keep);

  // From the owner. on_recall returns what can be given back at once; the rest follows by
  // release(). What was granted is not given back before it was used once, or declined by
  // give_back_free(): so who takes a grant up late still gets his turn, but must take or decline
  // it.
  void on_grant(uint32_t count);
  [[nodiscard]] uint32_t on_recall(uint32_t count, uint32_t urgent = 0);

  // Sessions should end after what they are doing, so that slots come back: so many are owed and in
  // use.
  uint32_t owed() const { return owed_; }
  // Of those: wanted elsewhere for something urgent.
  uint32_t owed_urgently() const { return hastened_; }
  uint32_t weight() const { return weight_; }  // as the owner was told
  uint32_t granted() const { return granted_; }
  uint32_t used() const { return used_; }
  uint32_t pending() const { return pending_; }
  uint32_t free() const { return granted_ - used_; }

 private:
  uint32_t pay();
  void gone(uint32_t count);

  uint32_t granted_ = 0;
  uint32_t used_ = 0;      // ≤ granted_
  uint32_t pending_ = 0;   // requested, not granted
  uint32_t urgent_ = 0;    // of those, as the owner was told
  uint32_t owed_ = 0;      // to be given back as soon as free
  uint32_t hastened_ = 0;  // of those
  uint32_t weight_ = 1;
  uint32_t fresh_ = 0;  // of those free: granted, and not used yet
};

}  // namespace veredus::queue
