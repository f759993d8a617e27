#include "queue/rate.h"

#include <algorithm>
#include <cassert>

namespace veredus::queue {
namespace {

constexpr int64_t kMs = 1'000'000;
constexpr int64_t kSecond = 1'000 * kMs;

// What is larger is taken for these, so that no product overflows. Each is no limit in practice.
constexpr uint64_t kCountMax = uint64_t{1} << 62;
constexpr int64_t kPerMax = int64_t{1} << 56;  // two years

}  // namespace

RateOwner::RateOwner(Rate rate, uint32_t holders, int64_t now_mono_ns,
                     std::optional<int64_t> state_mono_ns)
    : shares_(holders) {
  assert(holders >= 1);
  measure(rate);
  begin(now_mono_ns, state_mono_ns);
}

// Long leases bear delays, short ones waste less: what is used in a span was granted in it or a
// lease before. Two per cent of a second are enough for messages that take some turns of a loop.
void RateOwner::measure(Rate rate) {
  rate_ = {std::min(rate.count, kCountMax), std::clamp(rate.per_ns, int64_t{1}, kPerMax)};
  lease_ns_ = std::clamp(rate_.per_ns / 50, 20 * kMs, 100 * kMs);
  burst_ns_ = std::clamp(rate_.per_ns / 100, 5 * kMs, kSecond);
}

void RateOwner::begin(int64_t now, std::optional<int64_t> state) {
  const int64_t span = rate_.per_ns + lease_ns_;
  window_.start(span, now);
  window_since_ = now;
  period_ns_ = std::max(window_.counts_for_ns(), span + burst_ns_);
  loose_ = INT64_MIN;
  if (!rate_.limited()) return;
  const int64_t interval = rounded_up(period_ns_);
  const int64_t paid = state ? std::min(*state, now + burst_ns_ + period_ns_)  //
                             : now + burst_ns_ + interval;
  seed_window(paid);
  // The clock that `state` travelled by may have jumped: even if nothing is owed, pacing begins
  // with an empty hand.
  paid_ = ticks(std::max(paid, now + burst_ns_ + std::min(interval, kSecond)));
}

// What may have been granted before: all that is paid for at `paid_mono_ns` and was granted at s or
// later is (paid_mono_ns − s)/interval at most, for every s.
void RateOwner::seed_window(int64_t paid_mono_ns) {
  uint64_t seeded = 0;
  for (unsigned age = 0; age < RateWindow::kParts; ++age) {
    const Ticks owed = ticks(paid_mono_ns) - ticks(window_.begins(age));
    const Ticks count = std::clamp<Ticks>(owed / period_ns_, 0, rate_.count);
    window_.add_to(age, static_cast<uint64_t>(count) - seeded);
    seeded = static_cast<uint64_t>(count);
  }
}

int64_t RateOwner::state_mono_ns(int64_t now_mono_ns) const {
  if (!rate_.limited()) return now_mono_ns;
  Ticks paid = paid_;
  uint64_t granted = 0;
  for (unsigned age = 0; age < RateWindow::kParts && loose_ > now_mono_ns; ++age) {
    if (window_.count(age) == 0) continue;
    granted += window_.count(age);
    const int64_t last = std::min(window_.begins(age) + window_.part_ns() - 1, now_mono_ns);
    paid = std::max(paid, ticks(last) + Ticks{granted} * period_ns_);
  }
  return rounded_up(paid);
}

void RateOwner::set_rate(Rate rate, int64_t now_mono_ns, std::vector<RateNotice>& notices) {
  const Rate before = rate_;
  const int64_t period_before = period_ns_;
  measure(rate);
  if (rate_ == before) return;
  if (!before.limited() || !rate_.limited()) {
    begin(now_mono_ns, std::nullopt);
  } else {
    if (rate_.per_ns != before.per_ns) {
      window_.respan(rate_.per_ns + lease_ns_, now_mono_ns);
      window_since_ = now_mono_ns;
    }
    period_ns_ = std::max(window_.counts_for_ns(), rate_.per_ns + lease_ns_ + burst_ns_);
    move_paid(before, period_before, now_mono_ns);
    loose_ = now_mono_ns + period_ns_;
  }
  run(now_mono_ns, notices);
}

// So many tokens are owed as before, at the new price; but for that nobody waits longer than he
// would have anyway, or than one period: the window knows what was granted.
void RateOwner::move_paid(const Rate& before, int64_t period_before, int64_t now) {
  const Ticks owed = std::max<Ticks>(paid_ - Ticks{now} * before.count, 0);
  const Ticks waited = (owed + before.count - 1) / before.count;
  const Ticks longest = std::clamp<Ticks>(waited, period_ns_, INT64_MAX);
  const Ticks part = (owed % period_before * period_ns_ + period_before - 1) / period_before;
  const Ticks price = owed / period_before * period_ns_ + part;
  paid_ = ticks(now) + std::min(price, longest * rate_.count);
}

void RateOwner::request(uint32_t holder, RateRequest request, int64_t now_mono_ns,
                        std::vector<RateNotice>& notices) {
  Share& share = shares_[holder];
  if (share.wished == 0) {
    share.wished_at = ++turn_;
    share.served = std::max(share.served, served_);
  }
  share.wished += request.tokens;
  share.at_once = std::max<uint64_t>(request.at_once, 1);
  share.weight = std::max<uint64_t>(request.weight, 1);
  share.urgent = std::min(request.urgent, share.wished);
  const uint64_t wished = share.wished;
  run(now_mono_ns, notices);
  if (wished == 0 || share.wished != wished) return;
  const int64_t expected = expected_mono_ns(holder);
  if (expected - now_mono_ns > lease_ns_) {
    notices.push_back({holder, 0, now_mono_ns, now_mono_ns, expected, false});
  }
}

void RateOwner::withdraw(uint32_t holder) {
  shares_[holder].wished = shares_[holder].urgent = 0;
  Share* first = first_in_line();
  next_ = first == nullptr ? INT64_MAX : next_for(*first);
}

void RateOwner::give_back(RateReturn returned, int64_t now_mono_ns,
                          std::vector<RateNotice>& notices) {
  if (!rate_.limited() || returned.granted_mono_ns <= window_since_) return;
  window_.advance(now_mono_ns);
  if (!window_.remove(returned.tokens, returned.granted_mono_ns)) return;
  paid_ -= Ticks{returned.tokens} * period_ns_;
  returned_ = now_mono_ns;
  loose_ = now_mono_ns + period_ns_;
  run(now_mono_ns, notices);
}

void RateOwner::run(int64_t now_mono_ns, std::vector<RateNotice>& notices) {
  window_.advance(now_mono_ns);
  grant(now_mono_ns);
  tell(now_mono_ns, notices);
}

void RateOwner::grant(int64_t now) {
  while (Share* share = first_in_line()) {
    const uint64_t tokens = allowed(*share, now);
    if (tokens == 0) {
      next_ = next_for(*share);
      return;
    }
    grant_to(*share, tokens, now);
  }
  next_ = INT64_MAX;
}

void RateOwner::grant_to(Share& share, uint64_t tokens, int64_t now) {
  // Whoever comes begins where the others are: urgent ones may be far ahead.
  Ticks least = share.served;
  bool passed = false;
  for (const Share& other : shares_) {
    if (other.wished == 0) continue;
    least = std::min(least, other.served);
    passed = passed || other.urgent == 0;
  }
  served_ = std::max(served_, least);
  urgent_in_row_ = passed && share.urgent != 0 ? urgent_in_row_ + 1 : 0;
  share.served += Ticks{tokens} * kServed / share.weight;
  share.wished -= tokens;
  share.urgent -= std::min(share.urgent, tokens);
  share.wished_at = ++turn_;
  share.granted += tokens;
  if (!rate_.limited()) return;
  window_.add(tokens);
  paid_ = paid(now) + Ticks{tokens} * period_ns_;
}

void RateOwner::tell(int64_t now, std::vector<RateNotice>& notices) {
  const bool soon = next_ - now <= lease_ns_;
  for (uint32_t holder = 0; holder < shares_.size(); ++holder) {
    Share& share = shares_[holder];
    if (share.granted == 0) continue;
    RateNotice notice{holder, share.granted, now, now + lease_ns_};
    notice.once = rate_.limited() && share.granted > rate_.count;
    if (share.wished != 0) notice.next_mono_ns = soon ? next_ : expected_mono_ns(holder);
    notices.push_back(notice);
    share.granted = 0;
  }
}

RateOwner::Share* RateOwner::first_in_line() {
  Share* found = nullptr;
  Share* not_urgent = nullptr;
  for (Share& share : shares_) {
    if (share.wished == 0) continue;
    if (found == nullptr || share.before(*found)) found = &share;
    if (share.urgent != 0) continue;
    if (not_urgent == nullptr || share.served_before(*not_urgent)) not_urgent = &share;
  }
  return urgent_in_row_ >= kUrgentInRow && not_urgent != nullptr ? not_urgent : found;
}

// How many the first in line may get now: at least what is of use to it, at most its share.
uint64_t RateOwner::allowed(const Share& share, int64_t now) const {
  if (!rate_.limited()) return share.wished;
  const uint64_t paced_now = paced(now), lump = share.lump(), sum = window_.sum();
  if (paced_now == 0) return 0;
  if (lump > rate_.count) return sum == 0 ? lump : 0;
  if (sum > rate_.count - lump) return 0;
  uint64_t weights = 0;
  for (const Share& other : shares_) weights += other.wished == 0 ? 0 : other.weight;
  const auto even = static_cast<uint64_t>(Ticks{paced_now} * share.weight / weights);
  return std::min({share.wished, std::max(lump, even), rate_.count - sum});
}

// How many single tokens are due. More may be granted as one lump: it is paid for afterwards.
uint64_t RateOwner::paced(int64_t now) const {
  const Ticks latest = ticks(now + burst_ns_), before = paid(now);
  if (before > latest) return 0;
  return static_cast<uint64_t>((latest - before) / period_ns_) + 1;
}

// Time that has passed is lost for pacing, but not the time for which somebody had tokens in vain.
RateOwner::Ticks RateOwner::paid(int64_t now) const {
  const bool came_back = returned_ > now - lease_ns_;
  return std::max(paid_, ticks(came_back ? now - lease_ns_ : now));
}

// If it stays first in line.
int64_t RateOwner::next_for(const Share& share) const {
  const uint64_t lump = share.lump();
  const uint64_t others = lump > rate_.count ? 0 : rate_.count - lump;
  return std::max(rounded_up(paid_) - burst_ns_, window_.at_most_mono_ns(others));
}

int64_t RateOwner::expected_mono_ns(uint32_t holder) const {
  if (!rate_.limited()) return next_;
  Ticks before = 0;  // tokens for those who are served before it
  for (const Share& share : shares_) {
    if (share.wished != 0 && share.before(shares_[holder])) before += share.lump();
  }
  return rounded_up(ticks(next_) + before * period_ns_);
}

RateOwner::Ticks RateOwner::ticks(int64_t mono_ns) const {
  return Ticks{mono_ns} * rate_.count;
}

int64_t RateOwner::rounded_up(Ticks moment) const {
  const Ticks ns = (moment + rate_.count - 1) / rate_.count;
  return static_cast<int64_t>(std::clamp<Ticks>(ns, INT64_MIN / 2, INT64_MAX - 1));
}

bool RateHolder::take_from_all(uint64_t tokens, int64_t now) {
  if (shared(now) < tokens) return take_once(tokens, now);
  const auto use = [&](Lease& lease) {
    if (now >= lease.expires_mono_ns) return;
    const uint64_t used = std::min(lease.tokens, tokens);
    lease.tokens -= used;
    tokens -= used;
  };
  use(first_);
  for (Lease& lease : later_) use(lease);
  drop_used();
  return true;
}

bool RateHolder::take_once(uint64_t tokens, int64_t now) {
  if (tokens > once_.tokens || now >= once_.expires_mono_ns) return false;
  once_.tokens -= tokens;
  end_once();
  return true;
}

void RateHolder::end_once() {
  if (once_.tokens != 0) owed_.push_back({once_.tokens, once_.granted_mono_ns});
  once_ = Lease();
}

void RateHolder::drop_used() {
  std::erase_if(later_, [](const Lease& lease) { return lease.tokens == 0; });
  if (first_.tokens != 0) return;
  first_ = Lease();
  if (later_.empty()) return;
  first_ = later_.front();
  later_.erase(later_.begin());
}

std::optional<RateRequest> RateHolder::ask(uint64_t wanted, uint64_t next, int64_t now_mono_ns,
                                           uint32_t weight, uint64_t urgent) {
  const uint64_t have = here(now_mono_ns);
  if (wanted <= have) return std::nullopt;
  // Leases are short: what is here may have lapsed when the rest comes. So whoever needs many at
  // once asks for all of them.
  const uint64_t missing = std::max(wanted - have, have < next ? next : 0);
  const uint64_t more = missing > pending_ ? missing - pending_ : 0;
  urgent = std::min(urgent > have ? urgent - have : 0, pending_ + more);
  if (more == 0 && urgent <= urgent_ && (have >= next || next <= at_once_)) return std::nullopt;
  pending_ += more;
  urgent_ = std::max(urgent, urgent_);
  at_once_ = std::max<uint64_t>(next, 1);
  return RateRequest{more, at_once_, weight, urgent_};
}

bool RateHolder::withdraw() {
  next_ = INT64_MAX;
  if (pending_ == 0) return false;
  pending_ = urgent_ = 0;
  return true;
}

void RateHolder::give_back(uint64_t keep, int64_t now_mono_ns, std::vector<RateReturn>& returns) {
  if (keep == 0 || now_mono_ns >= once_.expires_mono_ns) end_once();
  returns.insert(returns.end(), owed_.begin(), owed_.end());
  owed_.clear();
  const uint64_t have = shared(now_mono_ns);
  uint64_t surplus = have > keep ? have - keep : 0;  // the soonest to expire go first
  const auto give = [&](Lease& lease) {
    const bool lapsed = now_mono_ns >= lease.expires_mono_ns;
    const uint64_t tokens = lapsed ? lease.tokens : std::min(lease.tokens, surplus);
    if (tokens == 0) return;
    if (!lapsed) surplus -= tokens;
    lease.tokens -= tokens;
    returns.push_back({tokens, lease.granted_mono_ns});
  };
  give(first_);
  for (Lease& lease : later_) give(lease);
  drop_used();
}

void RateHolder::on_grant(const RateNotice& notice) {
  next_ = notice.next_mono_ns;
  // Fewer may be pending: the grant was on its way when the wish was withdrawn.
  pending_ -= std::min(pending_, notice.tokens);
  urgent_ -= std::min(urgent_, notice.tokens);
  if (notice.tokens == 0) return;
  Lease lease{notice.tokens, notice.granted_mono_ns, notice.expires_mono_ns};
  if (notice.once) {
    end_once();
    once_ = lease;
    return;
  }
  if (first_.tokens == 0) drop_used();
  if (first_.tokens == 0) {
    first_ = lease;
    return;
  }
  // The next one ends sooner only if the rate has changed.
  if (lease.expires_mono_ns < first_.expires_mono_ns) std::swap(lease, first_);
  const auto place = std::upper_bound(
      later_.begin(), later_.end(), lease,
      [](const Lease& a, const Lease& b) { return a.expires_mono_ns < b.expires_mono_ns; });
  later_.insert(place, lease);
}

uint64_t RateHolder::shared(int64_t now) const {
  uint64_t sum = now < first_.expires_mono_ns ? first_.tokens : 0;
  for (const Lease& lease : later_) {
    if (now < lease.expires_mono_ns) sum += lease.tokens;
  }
  return sum;
}

uint64_t RateHolder::here(int64_t now_mono_ns) const {
  return shared(now_mono_ns) + (now_mono_ns < once_.expires_mono_ns ? once_.tokens : 0);
}

int64_t RateHolder::lapses_mono_ns() const {
  if (!owed_.empty()) return INT64_MIN;
  int64_t soonest = INT64_MAX;
  if (once_.tokens != 0) soonest = once_.expires_mono_ns;
  if (first_.tokens != 0) return std::min(soonest, first_.expires_mono_ns);
  return later_.empty() ? soonest : std::min(soonest, later_.front().expires_mono_ns);
}

}  // namespace veredus::queue
