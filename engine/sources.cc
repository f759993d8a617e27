#include "engine/sources.h"

#include <algorithm>
#include <string>

#include "engine/messages.h"

namespace veredus {

void Sources::run() {
  if (shard_.id != 0 || shard_.mono_ns < next_look_mono_ns_) return;
  // A few at a time, evenly over the time in which each has its turn.
  const auto& sources = shard_.policy->sources;
  const size_t count = std::min(kLookedAt, sources.size());
  for (size_t left = count; left > 0; --left) {
    if (next_ >= sources.size()) next_ = 0;
    const SourceSettings& source = sources[next_++];
    if (!source.removed) look(source);
  }
  next_look_mono_ns_ =
      shard_.mono_ns + kLookEveryNs * static_cast<int64_t>(count) /
                           static_cast<int64_t>(std::max<size_t>(1, sources.size()));
}

void Sources::suspect(uint16_t id) {
  look(shard_.policy->sources[id]);
}

void Sources::look(const SourceSettings& source) {
  const uint8_t before = shard_.exchange.source_lacks(source.id);
  uint8_t lacks = 0;
  bool any_left = false;
  const auto look_for = [&](const io::Endpoint& address, uint8_t bit) {
    if (address.family == 0) return;
    if (network_.has_address(address)) {
      any_left = true;
    } else {
      lacks |= bit;
    }
  };
  look_for(source.address, Exchange::kNoIpv4);
  look_for(source.address6, Exchange::kNoIpv6);
  if (lacks != 0 && !any_left) lacks |= Exchange::kNoAddress;
  if (lacks == before) return;

  shard_.exchange.set_source_lacks(source.id, lacks);
  const uint8_t changed = lacks ^ before;
  if ((changed & Exchange::kNoIpv4) != 0) report(source, source.address, lacks & Exchange::kNoIpv4);
  if ((changed & Exchange::kNoIpv6) != 0)
    report(source, source.address6, lacks & Exchange::kNoIpv6);
  if ((changed & Exchange::kNoAddress) == 0) return;
  for (unsigned shard = 0; shard < shard_.exchange.shards(); ++shard) {
    shard_.exchange.post(shard, std::make_unique<SourcesChanged>());
  }
}

void Sources::report(const SourceSettings& source, const io::Endpoint& address, bool gone) {
  if (address.family == 0) return;  // a reload has taken it from the source
  shard_.exchange.answers().report(
      "source " + source.name + ": address " + io::to_text(address) +
      (gone ? " is not on this host; nothing is sent from this address until it is"
            : " is on this host again, and sent from"));
}

}  // namespace veredus
