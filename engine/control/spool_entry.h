#pragma once

#include <string>

#include "engine/control/engine_view.h"
#include "queue/extent.h"

namespace veredus::control {

// Recipients' entries read back from the spool, one after the other: neighbours cost one read.
// Blocks.
class SpoolEntries {
 public:
  explicit SpoolEntries(EngineView& view) : view_(view) {}
  // Null: it cannot be read (or not any more). Valid until the next call.
  const queue::Entry* at(const queue::Location& page, uint32_t entry_offset);

 private:
  EngineView& view_;
  queue::Location page_at_;  // of page_
  std::string page_;
  queue::Entry entry_;
};

}  // namespace veredus::control
