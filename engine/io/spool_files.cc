#include "engine/io/spool_files.h"

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cstring>
#include <utility>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace veredus::io {
namespace {

constexpr size_t kZeroBlock = 1 << 20;
constexpr size_t kDirectAlign = 4096;  // what O_DIRECT may want of addresses, offsets and lengths
alignas(kDirectAlign) const uint8_t kZeroes[kZeroBlock] = {};

constexpr int kDirectory = O_RDONLY | O_DIRECTORY | O_CLOEXEC;

// The leaf of "a/b/leaf".
std::string leaf_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == path.npos ? path : path.substr(slash + 1);
}

[[maybe_unused]] bool is_inside(std::string_view path) {
  return !path.empty() && path.front() != '/' && path.back() != '/' && path.find("..") == path.npos;
}

// Writes zeros from `done` to `bytes`: 0, or -errno.
int64_t write_zeroes(int file, uint64_t& done, uint64_t bytes) {
  while (done < bytes) {
    const size_t count = std::min<uint64_t>(kZeroBlock, bytes - done);
    const ssize_t written = pwrite(file, kZeroes, count, static_cast<off_t>(done));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return -errno;
    if (written == 0) return -ENOSPC;
    done += static_cast<uint64_t>(written);
  }
  return 0;
}

// Zeroes `bytes` of a file and makes them durable: 0, or -errno. Past the page cache where the
// file system lets us: copying zeros there costs more than all else that a journal does.
int64_t zero(int parent, const std::string& leaf, int file, uint64_t bytes) {
  // Asking for the space first finds a full disk at once; file systems that cannot are written to.
  if (bytes > 0 && fallocate(file, 0, 0, static_cast<off_t>(bytes)) != 0 && errno != EOPNOTSUPP) {
    return -errno;
  }
  uint64_t done = 0;
  const int direct = openat(parent, leaf.c_str(), O_WRONLY | O_DIRECT | O_CLOEXEC);
  if (direct >= 0) {
    const int64_t result = write_zeroes(direct, done, bytes / kDirectAlign * kDirectAlign);
    ::close(direct);
    if (result < 0 && result != -EINVAL) return result;
  }
  const int64_t result = write_zeroes(file, done, bytes);
  if (result < 0) return result;
  return fdatasync(file) == 0 ? 0 : -errno;
}

}  // namespace

absl::StatusOr<SpoolFiles> SpoolFiles::open(const std::string& directory) {
  int root = ::open(directory.c_str(), kDirectory);
  if (root < 0 && errno == ENOENT && mkdir(directory.c_str(), 0700) == 0) {
    root = ::open(directory.c_str(), kDirectory);
  }
  if (root >= 0 && faccessat(root, ".", R_OK | W_OK | X_OK, AT_EACCESS) != 0) {
    const int error = errno;
    ::close(root);
    errno = error;
    root = -1;
  }
  if (root >= 0) return SpoolFiles(root);
  const int error = errno;
  std::string message = "spool directory " + directory + ": " + std::strerror(error);
  switch (error) {
    case ENOENT:
      message += "; its parent directory must exist";
      break;
    case EACCES:
      message += "; this user must own it, or be allowed to read, write and search it";
      break;
    case EROFS:
      message += "; it lies on a file system that is mounted read-only (systemd: ReadWritePaths=)";
      break;
    case ENOTDIR:
      message += "; something that is not a directory is in its place";
      break;
    default:
      break;
  }
  return absl::FailedPreconditionError(message);
}

SpoolFiles::~SpoolFiles() {
  if (root_ >= 0) ::close(root_);
}

SpoolFiles::SpoolFiles(SpoolFiles&& other) noexcept : root_(std::exchange(other.root_, -1)) {}

// The directory that holds the leaf of `path`, open; or -errno. A directory made on the way is
// durable before anything is put into it.
int SpoolFiles::open_parent(const std::string& path, bool make) const {
  assert(is_inside(path));
  int parent = openat(root_, ".", kDirectory);
  if (parent < 0) return -errno;
  for (size_t begin = 0, slash; (slash = path.find('/', begin)) != path.npos; begin = slash + 1) {
    const std::string name = path.substr(begin, slash - begin);
    int next = openat(parent, name.c_str(), kDirectory);
    if (next < 0 && errno == ENOENT && make) {
      const bool made = mkdirat(parent, name.c_str(), 0700) == 0;
      if ((made || errno == EEXIST) && fsync(parent) == 0) {
        next = openat(parent, name.c_str(), kDirectory);
      }
    }
    const int error = errno;
    ::close(parent);
    if (next < 0) return -error;
    parent = next;
  }
  return parent;
}

int64_t SpoolFiles::create(const std::string& path, uint64_t bytes) const {
  const int parent = open_parent(path, true);
  if (parent < 0) return parent;
  const std::string leaf = leaf_of(path);
  const int file = openat(parent, leaf.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  int64_t result = file < 0 ? -errno : 0;
  if (file >= 0) {
    result = zero(parent, leaf, file, bytes);
    if (result == 0 && fsync(parent) != 0) result = -errno;
    if (result != 0) {
      ::close(file);
      unlinkat(parent, leaf.c_str(), 0);
    }
  }
  ::close(parent);
  return result < 0 ? result : file;
}

int64_t SpoolFiles::open_for_reading(const std::string& path) const {
  assert(is_inside(path));
  const int file = openat(root_, path.c_str(), O_RDONLY | O_CLOEXEC);
  return file < 0 ? -errno : file;
}

int64_t SpoolFiles::remove(const std::string& path) const {
  const int parent = open_parent(path, false);
  if (parent < 0) return parent;
  int64_t result = 0;
  if (unlinkat(parent, leaf_of(path).c_str(), 0) != 0 || fsync(parent) != 0) result = -errno;
  ::close(parent);
  return result;
}

int64_t SpoolFiles::list(std::string_view directory,
                         std::vector<queue::Disk::Entry>& entries) const {
  entries.clear();
  const std::string name(directory.empty() ? "." : directory);
  const int descriptor = openat(root_, name.c_str(), kDirectory);
  if (descriptor < 0) return errno == ENOENT ? 0 : -errno;
  DIR* const stream = fdopendir(descriptor);
  if (stream == nullptr) {
    const int error = errno;
    ::close(descriptor);
    return -error;
  }
  int64_t result = 0;
  for (;;) {
    errno = 0;  // the end and a failure look alike otherwise
    const dirent* const found = readdir(stream);
    if (found == nullptr) {
      result = -errno;
      break;
    }
    struct stat about {};
    if (fstatat(dirfd(stream), found->d_name, &about, AT_SYMLINK_NOFOLLOW) != 0) {
      if (errno == ENOENT) continue;  // removed meanwhile
      result = -errno;
      break;
    }
    if (!S_ISREG(about.st_mode)) continue;
    entries.push_back({found->d_name, static_cast<uint64_t>(about.st_size)});
  }
  closedir(stream);
  if (result < 0) entries.clear();
  std::sort(entries.begin(), entries.end(),
            [](const auto& one, const auto& other) { return one.name < other.name; });
  return result;
}

int64_t SpoolFiles::read(queue::Disk::File file, uint64_t offset, std::span<uint8_t> bytes) {
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t count =
        pread(file, bytes.data() + done, bytes.size() - done, static_cast<off_t>(offset + done));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return -errno;
    if (count == 0) break;
    done += static_cast<size_t>(count);
  }
  return static_cast<int64_t>(done);
}

}  // namespace veredus::io
