#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "queue/disk.h"

namespace veredus::io {

// The spool directory and the blocking calls below it. Paths are relative to it
// ("journal-0/000001.seg"), without "..". Results as in queue::Disk: ≥ 0, or -errno. Any thread,
// any number at once.
class SpoolFiles {
 public:
  // Makes the directory (mode 0700) when it is missing. The message of a failure names path, cause
  // and remedy.
  static absl::StatusOr<SpoolFiles> open(const std::string& directory);
  ~SpoolFiles();
  SpoolFiles(SpoolFiles&& other) noexcept;
  SpoolFiles& operator=(SpoolFiles&&) = delete;
  SpoolFiles(const SpoolFiles&) = delete;

  int64_t create(const std::string& path,
                 uint64_t bytes) const;  // what could not be finished is unlinked again
  int64_t open_for_reading(const std::string& path) const;
  int64_t remove(const std::string& path) const;
  int64_t list(std::string_view directory, std::vector<queue::Disk::Entry>& entries) const;
  // Reads on after short reads: shorter than asked only at the end of the file.
  static int64_t read(queue::Disk::File file, uint64_t offset, std::span<uint8_t> bytes);

 private:
  explicit SpoolFiles(int root) : root_(root) {}
  int open_parent(const std::string& path, bool make) const;

  int root_;
};

}  // namespace veredus::io
