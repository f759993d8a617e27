// The times of the week in which what stands in a line may go.

#include <algorithm>

#include "engine/home.h"
#include "queue/delivery_window.h"

namespace veredus {

namespace {

// The wall clock may be set meanwhile: it is looked at again.
constexpr int64_t kLookAgainNs = 600'000'000'000;

}  // namespace

// When mail of that tenant may go there: 0: now. Both the receiver's window and the tenant's must
// be open.
int64_t Home::opens_wall_ns(HomeLane& lane, Share& share) {
  int64_t opens = 0;
  const auto look = [&](const std::shared_ptr<const queue::DeliveryWindows>& windows,
                        queue::WindowClock& clock) {
    if (windows == nullptr || clock.open(*windows, shard_.wall_ns)) return;
    opens = std::max(opens, clock.until_wall_ns());
  };
  look(provider_of(lane).windows, lane.window);
  if (share.tenant_policy != nullptr) look(share.tenant_policy->windows, share.window);
  return opens;
}

// True: it waits for a window, and its lane comes up again when that opens.
bool Home::shut(HomeLane& lane, const Line& line) {
  const int64_t opens = opens_wall_ns(lane, share_in_force(line.share));
  if (opens == 0) return false;
  const int64_t at = shard_.mono_ns + std::min(opens - shard_.wall_ns, kLookAgainNs);
  if (lane.opens_mono_ns <= shard_.mono_ns || at < lane.opens_mono_ns) {
    lane.opens_mono_ns = at;
    wakes_.emplace(at, lane.site->number);
  }
  return true;
}

}  // namespace veredus
