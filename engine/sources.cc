#include "engine/sources.h"

#include <string>

#include "engine/messages.h"

namespace veredus {

void Sources::run() {
  if (shard_.id != 0 || shard_.mono_ns < next_look_mono_ns_) return;
  next_look_mono_ns_ = shard_.mono_ns + kLookEveryNs;
  for (const SourceSettings& source : shard_.policy->sources) {
    if (source.removed) continue;
    const bool gone = missing(source);
    if (gone != shard_.exchange.source_missing(source.id)) tell(source, gone);
  }
}

bool Sources::suspect(uint16_t id) {
  const SourceSettings& source = shard_.policy->sources[id];
  if (!missing(source)) return false;
  if (!shard_.exchange.source_missing(id)) tell(source, true);
  return true;
}

bool Sources::missing(const SourceSettings& source) {
  for (const io::Endpoint& address : {source.address, source.address6}) {
    if (address.family != 0 && !network_.has_address(address)) return true;
  }
  return false;
}

void Sources::tell(const SourceSettings& source, bool gone) {
  shard_.exchange.set_source_missing(source.id, gone);
  std::string addresses;
  for (const io::Endpoint& address : {source.address, source.address6}) {
    if (address.family == 0) continue;
    if (!addresses.empty()) addresses += ", ";
    addresses += io::to_text(address);
  }
  shard_.exchange.answers().report(
      gone ? "source " + source.name + ": an address of it (" + addresses +
                 ") is not on this host; nothing is sent from it until it is"
           : "source " + source.name + ": " + addresses + " is there again, and sent from");
  for (unsigned shard = 0; shard < shard_.exchange.shards(); ++shard) {
    auto message = std::make_unique<SourceChanged>();
    message->source = static_cast<uint16_t>(source.id);
    message->missing = gone;
    shard_.exchange.post(shard, std::move(message));
  }
}

}  // namespace veredus
