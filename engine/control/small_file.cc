#include "engine/control/small_file.h"

#include <cerrno>
#include <system_error>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace veredus::control {
namespace {

std::string mark_of(const struct stat& about) {
  return std::to_string(about.st_dev) + "," + std::to_string(about.st_ino) + "," +
         std::to_string(about.st_size) + "," + std::to_string(about.st_mtim.tv_sec) + "." +
         std::to_string(about.st_mtim.tv_nsec) + "," + std::to_string(about.st_ctim.tv_sec) + "." +
         std::to_string(about.st_ctim.tv_nsec);
}

}  // namespace

absl::StatusOr<SmallFile> read_small_file(const std::string& path, size_t most) {
  const auto error = [&] {
    return absl::NotFoundError(path +
                               ": cannot be read: " + std::generic_category().message(errno));
  };
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return error();
  SmallFile file;
  struct stat about {};
  ssize_t got = fstat(fd, &about);
  if (got == 0) {
    file.others_may_read = (about.st_mode & S_IRWXO) != 0;
    file.mark = mark_of(about);
    file.bytes.resize(most + 1);
    size_t size = 0;
    while (size < file.bytes.size() &&
           (got = ::read(fd, file.bytes.data() + size, file.bytes.size() - size)) > 0)
      size += static_cast<size_t>(got);
    file.bytes.resize(size);
  }
  const absl::Status failed = got < 0 ? error() : absl::OkStatus();
  close(fd);
  if (!failed.ok()) return failed;
  if (file.bytes.size() > most) {
    return absl::InvalidArgumentError(path + ": has more than " + std::to_string(most) + " bytes");
  }
  return file;
}

std::string file_mark(const std::string& path) {
  struct stat about {};
  return stat(path.c_str(), &about) == 0 ? mark_of(about) : "";
}

}  // namespace veredus::control
