#include "tools/sink/ledger.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

namespace veredus::sink {

void Ledger::append(std::string_view lines, std::string_view word) {
  if (fd_ < 0) return;
  while (!lines.empty()) {
    size_t end = lines.find('\n');
    buffer_.append(lines.substr(0, end));
    buffer_.append(word);
    buffer_.push_back('\n');
    lines.remove_prefix(end + 1);
  }
  if (buffer_.size() >= kFlushAt) flush();
}

void Ledger::flush() {
  size_t done = 0;
  while (done < buffer_.size()) {
    ssize_t n = write(fd_, buffer_.data() + done, buffer_.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      counters_.store_failures.add();
      if (!complained_)
        fprintf(stderr, "sink: the ledger cannot be written: %s\n", strerror(errno));
      complained_ = true;
      break;
    }
    done += static_cast<size_t>(n);
  }
  if (sync_ && !buffer_.empty() && fdatasync(fd_) != 0) counters_.store_failures.add();
  buffer_.clear();
}

}  // namespace veredus::sink
