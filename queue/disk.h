#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace veredus::queue {

// A call on the disk that is under way. A member of its owner: it and the bytes it names live until
// on_disk_done().
class DiskOperation {
 public:
  virtual ~DiskOperation() = default;
  // result ≥ 0: bytes moved (or the file handle, for open); < 0: -errno. Called from the owner's
  // turn, never from inside the call that started it.
  virtual void on_disk_done(int64_t result) = 0;
};

// The disk, as seen from one shard. Paths are relative to the spool directory; directories on the
// way are made. Asynchronous calls take one operation each and complete in any order; a short read
// or write is a result, not a fault.
class Disk {
 public:
  using File = int32_t;

  virtual ~Disk() = default;

  // Makes `path` with `bytes` bytes, preallocated and zero-written (zeroing, not fallocate, is what
  // makes later syncs cheap), file and directory synced; off the shard. Replaces what was there (a
  // new file, not the old one cut short). Completes with the handle, good for writing, syncing and
  // reading.
  virtual void create(std::string_view path, uint64_t bytes, DiskOperation& op) = 0;
  // Opens for reading. Completes with the handle, or -ENOENT.
  virtual void open(std::string_view path, DiskOperation& op) = 0;
  virtual void write(File file, uint64_t offset, std::span<const uint8_t> bytes,
                     DiskOperation& op) = 0;
  // Makes everything written to `file` before this call durable (fdatasync).
  virtual void sync(File file, DiskOperation& op) = 0;
  virtual void read(File file, uint64_t offset, std::span<uint8_t> bytes, DiskOperation& op) = 0;
  // Unlinks, off the shard; the directory is synced.
  virtual void remove(std::string_view path, DiskOperation& op) = 0;
  // No operation may be under way on `file`.
  virtual void close(File file) = 0;

  // Blocking calls, for start, recovery and readers that are not a shard. Results as above.
  struct Entry {
    std::string name;
    uint64_t bytes;
  };
  // Files, sorted by name, in place of what `entries` held: 0 or -errno. A directory that does not
  // exist holds none; one that cannot be read is an error, for a journal that looks empty would be
  // begun anew over what is there.
  virtual int64_t list_now(std::string_view directory, std::vector<Entry>& entries) = 0;
  virtual int64_t open_now(std::string_view path) = 0;
  virtual int64_t read_now(File file, uint64_t offset, std::span<uint8_t> bytes) = 0;
  // fdatasync; `file` may come from open_now. 0 or -errno. Recovery needs it: what it read may so
  // far lie in the page cache only (killed between write and sync), and must not be acted upon
  // before it is durable.
  virtual int64_t sync_now(File file) = 0;
};

}  // namespace veredus::queue
