// The sink's record of everything it took: one line per stored recipient.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "tools/sink/counters.h"

namespace veredus::sink {

// One per thread; all append to the same file, whole lines at a time (O_APPEND).
//
// Lines come as "id TAB recipient TAB LF" and get their last word here: `ack` when the reply was
// handed to the kernel, `noreply` when it was not.
class Ledger {
 public:
  // `fd` stays the caller's; -1 switches the ledger off. A failed write is counted and said once.
  Ledger(int fd, bool sync, Counters& counters) : fd_(fd), sync_(sync), counters_(counters) {}

  bool on() const { return fd_ >= 0; }
  bool syncs() const { return sync_; }

  void append(std::string_view lines, std::string_view word);
  // Writes what is buffered; with `sync` the disk has it afterwards.
  void flush();
  bool empty() const { return buffer_.empty(); }

 private:
  static constexpr size_t kFlushAt = 256 * 1024;

  int fd_;
  bool sync_;
  bool complained_ = false;
  Counters& counters_;
  std::string buffer_;
};

}  // namespace veredus::sink
