// Domains as they come; and those, and lanes, that no mail has gone to for long: forgotten, so that
// memory goes with what is sent to now, not with all that ever was.

#include <algorithm>

#include "engine/home.h"
#include "engine/home_why.h"

namespace veredus {

uint32_t Home::intern(std::string_view domain) {
  const auto found = domain_ids_.find(domain);
  if (found != domain_ids_.end()) return found->second;
  uint32_t id = static_cast<uint32_t>(domains_.size());
  if (forgetting_.free_domains.empty()) {
    domains_.emplace_back();
  } else {
    id = forgetting_.free_domains.back();
    forgetting_.free_domains.pop_back();
  }
  Domain& made = domains_[id];
  made.name = domain;
  made.unused = false;
  domain_ids_.emplace(made.name, id);
  Counters::add(shard_.counters.domains);
  return id;
}

void Home::forget_unused() {
  if (shard_.mono_ns < forgetting_.next_mono_ns) return;
  // Some hold on to domains or lanes, or go through the list of them.
  if (forgetting_.pinned > 0 || why_->walking() || waking_ < lanes_in_order_.size() ||
      sweep_.stage == Sweep::Stage::sites)
    return;
  forgetting_.next_mono_ns = shard_.mono_ns + Forgetting::kEveryNs;
  forget_domains();
  forget_lanes();
}

void Home::forget_domains() {
  for (size_t left = std::min(Forgetting::kLookedAt, domains_.size()); left > 0; --left) {
    if (forgetting_.domain >= domains_.size()) forgetting_.domain = 0;
    const uint32_t id = forgetting_.domain++;
    Domain& domain = domains_[id];
    const bool rests = domain.route == RouteState::unknown || domain.route == RouteState::known;
    if (domain.unused || domain.waiting > 0 || !domain.ready.empty() || domain.sought || !rests ||
        domain.route_expires_mono_ns + shard_.settings.forgotten_after_ns > shard_.mono_ns)
      continue;
    if (domain.lane != nullptr) --domain.lane->domains;
    domain_ids_.erase(domain.name);
    domain = Domain();
    domain.unused = true;
    forgetting_.free_domains.push_back(id);
    Counters::take(shard_.counters.domains);
  }
}

void Home::forget_lanes() {
  for (size_t left = std::min(Forgetting::kLookedAt, lanes_in_order_.size()); left > 0; --left) {
    if (forgetting_.lane >= lanes_in_order_.size()) forgetting_.lane = 0;
    HomeLane& lane = *lanes_in_order_[forgetting_.lane];
    const bool down = std::any_of(lane.slices.begin(), lane.slices.end(), [&](const Slice& slice) {
      return slice.down_until_mono_ns > shard_.mono_ns;
    });
    const bool in_use = std::any_of(lane.lines.begin(), lane.lines.end(), [](const Line& line) {
      return line.domains > 0 || line.out_total > 0;
    });
    if (lane.domains > 0 || lane.active || lane.told_more || in_use || down) {
      ++forgetting_.lane;
      continue;
    }
    lanes_in_order_[forgetting_.lane] = lanes_in_order_.back();
    lanes_in_order_.pop_back();
    waking_ = lanes_in_order_.size();
    lanes_.erase(lane.site->number);
    if (lanes_in_order_.empty()) return;
  }
}

}  // namespace veredus
