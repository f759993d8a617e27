#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "queue/disk.h"

namespace veredus::queue {

// Reading segment files through the blocking part of the disk port: recovery and readers.

struct SegmentFile {
  uint32_t number = 0;
  uint64_t bytes = 0;
};
// The segments of a journal's directory, ascending; other names are not ours and are left alone.
absl::StatusOr<std::vector<SegmentFile>> list_segments(Disk& disk, const std::string& directory);

// Other files of a journal's directory that have a number in their name: `prefix`, and at least
// eight digits.
struct NumberedFile {
  uint32_t number = 0;  // from 1
  uint64_t bytes = 0;
};
std::string numbered_path(std::string_view directory, std::string_view prefix, uint32_t number);
// Those there are, ascending.
absl::StatusOr<std::vector<NumberedFile>> list_numbered(Disk& disk, const std::string& directory,
                                                        std::string_view prefix);

// A span of a file that the disk would not give.
struct Unreadable {
  uint64_t offset = 0, bytes = 0;
  int error = 0;
};
// Reads up to `length` bytes from `offset`, fewer only at the end of the file. What cannot be read
// is zero in `out` and named in `unreadable`; its neighbours are still read.
void read_range(Disk& disk, Disk::File file, uint64_t offset, uint64_t length, std::string& out,
                std::vector<Unreadable>& unreadable);
// The same, behind what `out` holds.
void append_range(Disk& disk, Disk::File file, uint64_t offset, uint64_t length, std::string& out,
                  std::vector<Unreadable>& unreadable);

// A file opened for reading, closed when it goes.
class OpenFile {
 public:
  OpenFile(Disk& disk, std::string_view path);
  ~OpenFile();
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;
  bool ok() const { return handle_ >= 0; }
  int error() const { return handle_ >= 0 ? 0 : static_cast<int>(-handle_); }
  Disk::File handle() const { return static_cast<Disk::File>(handle_); }

 private:
  Disk& disk_;
  int64_t handle_;
};

// A file that is read from front to back, a block at a time: never more in memory than that and
// what is asked for.
class FileWindow {
 public:
  // Reads from `offset` on; the file ends at `bytes`, or before.
  FileWindow(Disk& disk, std::string_view path, uint64_t offset, uint64_t bytes)
      : disk_(disk), file_(disk, path), begin_(offset), end_(bytes) {}
  bool ok() const { return file_.ok(); }
  int error() const { return file_.error(); }
  // What lies at `offset`: at least `bytes` of it, fewer only at the end of the file. True until
  // the next call, which must not ask for what lies before `offset`.
  std::string_view at(uint64_t offset, uint64_t bytes);
  uint64_t begin() const { return begin_; }
  const std::vector<Unreadable>& unreadable() const { return unreadable_; }

 private:
  Disk& disk_;
  OpenFile file_;
  uint64_t begin_, end_;  // begin_: of bytes_
  std::string bytes_;
  std::vector<Unreadable> unreadable_;
};

// "Input/output error" for EIO.
std::string error_text(int64_t error);

}  // namespace veredus::queue
