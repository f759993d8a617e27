// The end of the time of those who are due and cannot go: nothing takes them up, so they are looked
// for when the first of them may have come to its end.

#include <algorithm>

#include "engine/home.h"

namespace veredus {

using queue::Record;
using queue::RecordState;

namespace {
// Between two walks: the more there are, the longer one takes.
constexpr int64_t kBetweenWalksNs = 1'000'000'000;
constexpr int64_t kPerRecordNs = 10'000;
}  // namespace

// When the time of a recipient whose batch exists ends.
int64_t Home::expires_mono_ns(uint32_t slot) const {
  const Record& record = records_[slot];
  return extents_[record.extent].batch->expires_mono_ns(age_policy_of(record),
                                                        own_expiry_.value(slot));
}

// Not later than that: cheaper, and nearly always enough to know.
int64_t Home::expires_after_mono_ns(uint32_t slot) const {
  const Extent& extent = extents_[records_[slot].extent];
  const bool known = extent.end_version == shard_.policy->version && own_expiry_.value(slot) == 0;
  return known ? extent.end_after_mono_ns : 0;
}

bool Home::expired(uint32_t slot) const {
  return expires_after_mono_ns(slot) <= shard_.mono_ns && expires_mono_ns(slot) <= shard_.mono_ns;
}

void Home::reckon_end(Extent& extent) const {
  const queue::RetryPolicy& strictest = shard_.policy->strictest_retry;
  extent.end_version = shard_.policy->version;
  extent.end_mono_ns = extent.batch->expires_mono_ns(strictest, 0);
  extent.end_after_mono_ns = extent.batch->expires_after_mono_ns(strictest);
}

// Some record that is due ends then.
void Home::ends_at(int64_t end_mono_ns) {
  first_end_mono_ns_ = std::min(first_end_mono_ns_, end_mono_ns);
}

int64_t Home::next_expiry_mono_ns() const {
  if (expiry_walk_ != queue::kNoSlot) return shard_.mono_ns;
  return std::max(first_end_mono_ns_, next_walk_mono_ns_);
}

void Home::expire_ready() {
  if (expiry_walk_ == queue::kNoSlot) {
    if (next_expiry_mono_ns() > shard_.mono_ns) return;
    expiry_walk_ = 0;
    first_end_mono_ns_ = INT64_MAX;
  }
  expiry_walk_ = records_.visit(expiry_walk_, share_of(kWalkedPerTurn), [this](uint32_t slot) {
    Record& record = records_[slot];
    const bool due = record.state == RecordState::ready || record.state == RecordState::parked;
    if (!due || (record.flags & kRecordGone) != 0) return;
    const int64_t end = expires_mono_ns(slot);
    if (end > shard_.mono_ns) return ends_at(end);
    queue::Outcome outcome = expired_outcome(slot);
    settle_in_place(slot, outcome);
  });
  if (expiry_walk_ == queue::kNoSlot)
    next_walk_mono_ns_ = shard_.mono_ns + kBetweenWalksNs + records_.count() * kPerRecordNs;
}

// It stands in a list: there it is left, settled, and recognised when it comes out.
void Home::settle_in_place(uint32_t slot, queue::Outcome& outcome) {
  Record& record = records_[slot];
  count_final(slot, outcome);
  record.flags = kRecordGone;
  --domains_[record.domain].waiting;
  Counters::take(shard_.counters.waiting);
  leave_extent(record.extent);
}

}  // namespace veredus
