// What a session leaves behind of a message: ledger lines, and a file where that was asked for.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "tools/sink/session.h"

namespace veredus::sink {

std::string Session::ledger_lines() {
  std::string lines;
  std::string_view id = header_.finish();
  std::string_view rest = recipients_;
  while (!rest.empty()) {
    size_t end = rest.find('\n');
    lines.append(id).push_back('\t');
    size_t recipient = lines.size();
    lines.append(rest.substr(0, end));
    for (size_t i = recipient; i < lines.size(); ++i) {
      if (static_cast<unsigned char>(lines[i]) < 0x20) lines[i] = '?';
    }
    lines.append("\t\n");
    rest.remove_prefix(end + 1);
  }
  return lines;
}

bool Session::keep_content() {
  const std::string& directory = world_.options.content_dir;
  if (directory.empty()) return true;
  const uint64_t number = world_.next_message++;
  if (number % world_.options.content_every != 0) {
    content_.clear();
    return true;
  }
  std::string name =
      directory + "/" + std::to_string(world_.thread) + "-" + std::to_string(number) + ".eml";
  int fd = ::open(name.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  size_t done = 0;
  while (fd >= 0 && done < content_.size()) {
    ssize_t n = write(fd, content_.data() + done, content_.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    done += static_cast<size_t>(n);
  }
  bool good = fd >= 0 && done == content_.size();
  if (fd >= 0 && close(fd) != 0) good = false;
  if (!good) world_.counters.store_failures.add();
  content_.clear();
  return good;
}

}  // namespace veredus::sink
