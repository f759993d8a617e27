#include "engine/trace.h"

#include <utility>

namespace veredus {

std::vector<TraceLine> Trace::take(uint64_t& left_out) {
  const std::unique_lock lock(mutex_);
  left_out = std::exchange(left_out_, 0);
  bytes_ = 0;
  return std::exchange(lines_, {});
}

bool Trace::hand_over(std::vector<TraceLine>& lines, uint64_t& left_out) {
  const std::unique_lock lock(mutex_, std::try_to_lock);
  if (!lock.owns_lock()) return false;
  for (TraceLine& line : lines) {
    // Once something is missing, what follows is of little use until it is told.
    if (left_out_ > 0 || bytes_ + line.bytes() > kBytesMax) {
      ++left_out_;
      continue;
    }
    bytes_ += line.bytes();
    lines_.push_back(std::move(line));
  }
  lines.clear();
  // What is missing of this shard's came behind these.
  left_out_ += std::exchange(left_out, 0);
  return true;
}

void Trace::add_site(uint32_t site) {
  const std::unique_lock lock(mutex_);
  sites_.insert(site);
}

bool Trace::has_site(uint32_t site) {
  const std::unique_lock lock(mutex_);
  return sites_.contains(site);
}

}  // namespace veredus
