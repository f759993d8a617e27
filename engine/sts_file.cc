#include "engine/sts_file.h"

#include <cerrno>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/status/statusor.h"
#include "queue/bytes.h"
#include "queue/crc32c.h"

namespace veredus {
namespace {

constexpr size_t kHead = 8;
constexpr uint64_t kWorthwhile = 1 << 20;  // a smaller file is not written anew for its size

std::string record_of(const tls::CachedSts& cached) {
  const std::string body = tls::encode(cached);
  std::string record;
  queue::put_number(record, static_cast<uint32_t>(body.size()));
  queue::put_number(record, queue::crc32c(body));
  return record += body;
}

bool write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return true;
}

bool read_all(int fd, std::string& out) {
  struct stat about {};
  if (fstat(fd, &about) != 0) return false;
  if (about.st_size > static_cast<off_t>(StsFile::kBytesMax)) {
    errno = EFBIG;
    return false;
  }
  out.resize(static_cast<size_t>(about.st_size));
  size_t done = 0;
  while (done < out.size()) {
    const ssize_t got = read(fd, out.data() + done, out.size() - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return false;
    if (got == 0) break;
    done += static_cast<size_t>(got);
  }
  out.resize(done);
  return true;
}

// The next record's body, which may be damaged: then false. None is left: `body` is empty.
bool next_body(std::string_view& rest, std::string_view& body) {
  body = {};
  if (rest.size() < kHead) return rest.empty();
  const auto size = queue::load_number<uint32_t>(rest.data());
  if (size == 0 || size > tls::kStsCachedBytesMax || rest.size() - kHead < size) return false;
  body = rest.substr(kHead, size);
  const auto checksum = queue::load_number<uint32_t>(rest.data() + 4);
  rest.remove_prefix(kHead + size);
  return queue::crc32c(body) == checksum;
}

}  // namespace

StsFile::~StsFile() {
  if (fd_ >= 0) close(fd_);
}

absl::Status StsFile::error(std::string_view what) const {
  return absl::ErrnoToStatus(
      errno, path_ + ": " + std::string(what) + "; MTA-STS policies are not kept over a restart");
}

absl::Status StsFile::load(int64_t wall_s, std::vector<tls::CachedSts>& out) {
  const int fd = open(path_.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return errno == ENOENT ? write_anew(wall_s) : error("cannot be opened");
  std::string bytes;
  const bool read = read_all(fd, bytes);
  close(fd);
  if (!read) return error("cannot be read");
  if (!bytes.empty() && bytes[0] != kVersion) {
    foreign_ = true;
    return absl::FailedPreconditionError(
        path_ + ": of version " + std::to_string(static_cast<uint8_t>(bytes[0])) +
        ", which this program does not know; MTA-STS policies are not kept over a restart. "
        "Remove the file, or use the newer program");
  }
  std::string_view rest = bytes;
  if (!rest.empty()) rest.remove_prefix(1);
  size_t lost = 0;
  for (std::string_view body; !rest.empty();) {
    const bool whole = next_body(rest, body);
    absl::StatusOr<tls::CachedSts> cached = absl::DataLossError("");
    if (whole) cached = tls::decode_cached_sts(body);
    if (cached.ok()) {
      take(*std::move(cached), kHead + body.size());
    } else {
      lost += body.empty() ? rest.size() : kHead + body.size();
    }
    if (body.empty()) break;
  }
  if (absl::Status anew = write_anew(wall_s); !anew.ok()) return anew;
  out.reserve(live_.size());
  for (const auto& [domain, live] : live_) out.push_back(live.cached);
  if (lost == 0) return absl::OkStatus();
  return absl::DataLossError(path_ + ": " + std::to_string(lost) +
                             " bytes of it are damaged; the policies in them are fetched again");
}

absl::Status StsFile::keep(const std::vector<tls::CachedSts>& cached, int64_t wall_s) {
  if (foreign_) return absl::OkStatus();  // was said
  std::string records;
  for (const tls::CachedSts& each : cached) {
    const std::string record = record_of(each);
    records += record;
    take(each, record.size());
  }
  if (fd_ < 0 || (bytes_ + records.size() > kWorthwhile && bytes_ > 2 * live_bytes_))
    return write_anew(wall_s);
  if (!write_all(fd_, records) || fdatasync(fd_) != 0) {
    // Whatever of it is there: the next one begins anew.
    const absl::Status failed = error("cannot be written");
    close(std::exchange(fd_, -1));
    return failed;
  }
  bytes_ += records.size();
  return absl::OkStatus();
}

void StsFile::take(tls::CachedSts cached, uint64_t bytes) {
  drop(cached.domain);
  while (!ends_.empty() && live_bytes_ + bytes > kLiveBytesMax)
    drop(std::string(ends_.begin()->second));
  live_bytes_ += bytes;
  ends_.insert({cached.expires_wall_s(), cached.domain});
  std::string domain = cached.domain;
  live_[std::move(domain)] = {std::move(cached), bytes};
}

void StsFile::drop(const std::string& domain) {
  const auto found = live_.find(domain);
  if (found == live_.end()) return;
  live_bytes_ -= found->second.bytes;
  ends_.erase({found->second.cached.expires_wall_s(), domain});
  live_.erase(found);
}

absl::Status StsFile::write_anew(int64_t wall_s) {
  std::string bytes(1, kVersion);
  while (!ends_.empty() && ends_.begin()->first <= wall_s) drop(std::string(ends_.begin()->second));
  for (const auto& [domain, live] : live_) bytes += record_of(live.cached);
  if (fd_ >= 0) close(std::exchange(fd_, -1));
  const std::string fresh = path_ + ".new";
  const int fd = open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
  if (fd < 0) return error("cannot be made");
  const bool written = write_all(fd, bytes) && fsync(fd) == 0;
  if (!written || rename(fresh.c_str(), path_.c_str()) != 0) {
    const absl::Status failed = error("cannot be written");
    close(fd);
    unlink(fresh.c_str());
    return failed;
  }
  fd_ = fd;
  bytes_ = bytes.size();
  const std::string directory = path_.substr(0, path_.rfind('/') + 1);
  const int at =
      open(directory.empty() ? "." : directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const bool synced = at >= 0 && fsync(at) == 0;
  if (at >= 0) close(at);
  return synced ? absl::OkStatus() : error("cannot be synced");
}

}  // namespace veredus
