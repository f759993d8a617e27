#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "queue/rate_window.h"

namespace veredus::queue {

// So many of something within each span of time: in no span of that length more than that.
// Connections, messages (recipients count) or bytes.
struct Rate {
  uint64_t count = 0;  // 0: no limit
  int64_t per_ns = 1'000'000'000;
  bool limited() const { return count != 0; }
  bool operator==(const Rate&) const = default;
};

// Leases of tokens for a rate. One shard owns the limit (RateOwner); each shard that works for it
// is lent tokens (RateHolder), to be used at once: a lease ends after 20 to 100 ms. The messages of
// each pair of owner and holder must arrive in order, after any delay. All times are of one
// monotonic clock. No clock is read, no randomness: the same calls give the same answers.
//
//   holder                               owner
//   ask() → request          request →   request(): grants what it may, the rest stays a wish
//   on_grant()               ← notice    … run(), when next_grant_mono_ns() has come
//   take() … take()
//   give_back() → returns    returns →   give_back(): of each lease that was not used up
//   withdraw()               withdraw →  withdraw(): nothing is wanted any more
//
// Always, whatever is delayed: in no half-open span of `per_ns`, anywhere, more than `count` are
// used, over all holders together. What is used within such a span was granted within it or one
// lease before; the owner grants no more than `count` in any span as long as both together
// (RateWindow). After the rate was changed that holds for spans that begin one lease (of the former
// rate) behind the change; with the same `per_ns`, spans across the change hold the larger rate.
// Only a single use of more than `count` is let through: alone in its spans, and nothing more comes
// until it is paid for.
//
// Used are, of a rate per second, 96 % if enough is wanted all the time; per minute or longer,
// 98 %. Where single requests are large there is less, about the largest one's share of `count`.
// Below a second less, too: a lease is never shorter than 20 ms.
//
// Grants are paced: one every 1/count of the time; what was not wanted can be made up for within
// 1 % of `per_ns` (at least 5 ms, at most 1 s), more is gone. Who waits is served in order: what is
// urgent, then fewest tokens for his weight first, then longest waiting. Nobody is passed who waits
// for many at once. Nobody starves: now and then one is served before those who wait urgently.

struct RateNotice {  // to a holder
  uint32_t holder = 0;
  uint64_t tokens = 0;               // 0: none yet, and next_mono_ns says when
  int64_t granted_mono_ns = 0;       // names the lease when something of it comes back
  int64_t expires_mono_ns = 0;       // used before that, or not at all
  int64_t next_mono_ns = INT64_MAX;  // estimate: more comes then; INT64_MAX: no more is wished
  bool once = false;  // these are more than `count`: for a single take(), and never for others
  bool operator==(const RateNotice&) const = default;
};

struct RateRequest {     // to the owner
  uint64_t tokens = 0;   // more than what was requested before; 0: only at_once has changed
  uint64_t at_once = 1;  // fewer in one lease are of no use (the next message has so many bytes)
  uint32_t weight = 1;   // of the holder's share, from now on: ≥ 1
  uint64_t urgent = 0;   // so many of all that are not granted yet
};

struct RateReturn {  // to the owner: not used, and not to be used any more; lapsed or not
  uint64_t tokens = 0;
  int64_t granted_mono_ns = 0;
  bool operator==(const RateReturn&) const = default;
};

class RateOwner {
 public:
  // Holders are numbered 0 … holders − 1. `state_mono_ns` is what state_mono_ns() said when the
  // owner before this one was last heard of; it travels over a restart as wall time. Whatever it
  // says, no burst comes of it (the first token after one interval, or one second where an interval
  // is longer), and nothing is blocked for longer than a span and a few per cent. Without: as if
  // the rate had been used up to now, i.e. the first token after one interval. Over a restart the
  // rate holds as above if the state is newer than the last grant. Else a span across it may hold
  // more: the last request before it and the largest after it.
  RateOwner(Rate rate, uint32_t holders, int64_t now_mono_ns,
            std::optional<int64_t> state_mono_ns = std::nullopt);

  // Each appends what must be told to holders. `now` never goes back.
  void set_rate(Rate rate, int64_t now_mono_ns, std::vector<RateNotice>& notices);
  void request(uint32_t holder, RateRequest request, int64_t now_mono_ns,
               std::vector<RateNotice>& notices);
  void give_back(RateReturn returned, int64_t now_mono_ns, std::vector<RateNotice>& notices);
  void run(int64_t now_mono_ns, std::vector<RateNotice>& notices);
  // The holder's wish is gone; grants may be on their way.
  void withdraw(uint32_t holder);

  // run() will grant something then, not before. INT64_MAX: nobody waits. As of the last call.
  int64_t next_grant_mono_ns() const { return next_; }
  // When all that was granted will be paid for. Stored before a grant goes out where a kill must
  // not let anything be forgotten, e.g. of a rate per day; now and then, where intervals are short.
  int64_t state_mono_ns(int64_t now_mono_ns) const;

  const Rate& rate() const { return rate_; }
  int64_t lease_ns() const { return lease_ns_; }
  uint64_t wished(uint32_t holder) const { return shares_[holder].wished; }
  // Estimate of when `holder`, who waits, gets its next token.
  int64_t expected_mono_ns(uint32_t holder) const;

 private:
  __extension__ typedef __int128 Ticks;  // of time: 1 ns has rate_.count; so nothing is rounded
  static constexpr Ticks kServed = Ticks{1} << 40;
  // Urgent grants in a row that may go past others.
  static constexpr uint32_t kUrgentInRow = 15;

  struct Share {
    uint64_t wished = 0;     // asked for, not granted
    uint64_t urgent = 0;     // of those
    uint64_t at_once = 1;    // ≥ 1
    uint64_t weight = 1;     // ≥ 1
    Ticks served = 0;        // kServed for a token at weight 1, whoever got it while it wanted none
    uint64_t wished_at = 0;  // turn at which it began to wait, or was last served
    uint64_t granted = 0;    // by the call under way
    uint64_t lump() const { return wished < at_once ? wished : at_once; }
    bool before(const Share& other) const {
      if ((urgent == 0) != (other.urgent == 0)) return urgent != 0;
      return served_before(other);
    }
    bool served_before(const Share& other) const {
      return served != other.served ? served < other.served : wished_at < other.wished_at;
    }
  };

  void measure(Rate rate);
  void begin(int64_t now, std::optional<int64_t> state);
  void seed_window(int64_t paid_mono_ns);
  void move_paid(const Rate& before, int64_t period_before, int64_t now);
  void grant(int64_t now);
  void grant_to(Share& share, uint64_t tokens, int64_t now);
  void tell(int64_t now, std::vector<RateNotice>& notices);
  Share* first_in_line();
  uint64_t allowed(const Share& share, int64_t now) const;
  uint64_t paced(int64_t now) const;
  Ticks paid(int64_t now) const;
  int64_t next_for(const Share& share) const;
  Ticks ticks(int64_t mono_ns) const;
  int64_t rounded_up(Ticks moment) const;

  Rate rate_;
  int64_t lease_ns_ = 0;
  int64_t burst_ns_ = 0;   // of pacing: so much lost time can be made up for
  int64_t period_ns_ = 0;  // in which `count` are granted; the span is shorter by a few per cent
  Ticks paid_ = 0;         // pacing: when all that was granted is paid for
  int64_t returned_ = INT64_MIN;  // when tokens came back last
  int64_t loose_ = INT64_MIN;     // until then, paid_ may say less than the window does
  RateWindow window_;             // of span and lease
  int64_t window_since_ = INT64_MIN;
  int64_t next_ = INT64_MAX;
  uint64_t turn_ = 0;
  uint32_t urgent_in_row_ = 0;
  Ticks served_ = 0;  // the least of those who waited when somebody was served last
  std::vector<Share> shares_;
};

// What one shard has of a rate.
class RateHolder {
 public:
  // Uses tokens, those that expire soonest first. False: so many are not here, or no longer.
  bool take(uint64_t tokens, int64_t now_mono_ns) {
    if (tokens <= first_.tokens && now_mono_ns < first_.expires_mono_ns) {
      first_.tokens -= tokens;
      return true;
    }
    return take_from_all(tokens, now_mono_ns);
  }
  // `wanted` are wanted in all, `next` of them at once. What to request now; nothing: what is here
  // or under way will do. It may be called at every change. `weight`: as RateRequest has it.
  // `urgent`: of those that are wanted.
  [[nodiscard]] std::optional<RateRequest> ask(uint64_t wanted, uint64_t next, int64_t now_mono_ns,
                                               uint32_t weight = 1, uint64_t urgent = 0);
  // Nothing is wanted any more. True: the owner must be told so.
  [[nodiscard]] bool withdraw();
  // Appends what must go back to the owner: all that has lapsed, and what is here beyond `keep`.
  // Soon, so that the owner can lend it again; if late, nothing but use is lost.
  void give_back(uint64_t keep, int64_t now_mono_ns, std::vector<RateReturn>& returns);

  void on_grant(const RateNotice& notice);

  uint64_t here(int64_t now_mono_ns) const;
  uint64_t pending() const { return pending_; }
  // When something that is here lapses: give_back() is due. INT64_MAX: nothing is here.
  int64_t lapses_mono_ns() const;
  // What the owner said last: when more comes.
  int64_t next_mono_ns() const { return next_; }

 private:
  struct Lease {
    uint64_t tokens = 0;
    int64_t granted_mono_ns = 0;
    int64_t expires_mono_ns = INT64_MIN;
  };
  bool take_from_all(uint64_t tokens, int64_t now);
  bool take_once(uint64_t tokens, int64_t now);
  void end_once();
  uint64_t shared(int64_t now) const;
  void drop_used();

  Lease first_;                   // kept apart for the sake of take()
  std::vector<Lease> later_;      // in the order in which they expire
  Lease once_;                    // for a single take()
  std::vector<RateReturn> owed_;  // of such ones, to be given back
  uint64_t pending_ = 0;          // requested, not granted
  uint64_t urgent_ = 0;           // of those, as told to the owner
  uint64_t at_once_ = 1;          // as told to the owner
  int64_t next_ = INT64_MAX;
};

}  // namespace veredus::queue
