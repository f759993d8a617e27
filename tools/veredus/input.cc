#include "tools/veredus/input.h"

#include <array>
#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <sysexits.h>
#include <unistd.h>

#include "tools/veredus/commands.h"

namespace veredus::tools {
namespace {

int cannot_read(const std::string& name, int error) {
  complain(name + " cannot be read: " + std::strerror(error));
  return error == EACCES || error == EPERM ? EX_NOPERM : error == EIO ? EX_IOERR : EX_NOINPUT;
}

}  // namespace

int read_input(const std::string& name, size_t bytes_max, std::string& out) {
  out.clear();
  const bool standard = name == "-";
  const int fd = standard ? STDIN_FILENO : open(name.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return cannot_read(name, errno);
  int status = EX_OK;
  std::array<char, 65536> buffer;
  while (status == EX_OK) {
    const ssize_t got = read(fd, buffer.data(), buffer.size());
    if (got == 0) break;
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      status = cannot_read(name, errno);
    } else if (out.size() + static_cast<size_t>(got) > bytes_max) {
      complain(name + " has more than " + std::to_string(bytes_max) + " bytes");
      status = EX_DATAERR;
    } else {
      out.append(buffer.data(), static_cast<size_t>(got));
    }
  }
  if (!standard) close(fd);
  return status;
}

}  // namespace veredus::tools
