#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "queue/disk.h"

namespace veredus::sim {

// The calls of the port that can fail.
enum class DiskCall : uint8_t {
  create,
  open,
  write,
  sync,
  read,
  remove,
  list_now,
  open_now,
  read_now,
  sync_now,
  map_now,
};
constexpr uint32_t bit(DiskCall call) {
  return 1u << static_cast<unsigned>(call);
}

// How the disk misbehaves. Probabilities, each per call; latencies in nanoseconds of whatever clock
// drives run().
struct DiskFaults {
  double write_error = 0;   // -EIO; a part may have been taken all the same
  double write_short = 0;   // takes less than asked
  double sync_error = 0;    // -EIO; what was not written may never be, though later syncs succeed
  double create_error = 0;  // -EIO
  double create_full = 0;   // -ENOSPC
  double read_error = 0;    // -EIO, asynchronous reads and opens only
  double remove_error = 0;  // -EIO
  uint64_t capacity_bytes = UINT64_MAX;  // of all files together; beyond it create gives -ENOSPC
  bool power_cuts_keep = false;          // a disk that forgets nothing
  uint32_t sector_bytes = 512;           // what a crash keeps, drops or tears as one
  int64_t latency_min_ns = 20'000;
  int64_t latency_max_ns = 300'000;
  int64_t create_latency_max_ns = 30'000'000;  // zeroing takes time
  // The call number `fail_call` (1: the next one that can fail, blocking ones included) and the
  // `fail_count` - 1 after it give -fail_errno, or with 0 a short result where there can be one: if
  // they are of `fail_kinds`. 0: none.
  uint64_t fail_call = 0;
  uint64_t fail_count = 1;
  int fail_errno = 5;  // EIO
  uint32_t fail_kinds = UINT32_MAX;
  uint64_t fail_first = 0;  // the call with this number of SimStorage::calls fails beside these
};

class SimDisk;

// What power cuts met and what they did, counted by writes. A write that is partly kept although
// something before it was lost counts as torn and as reordered.
struct PowerCuts {
  uint64_t cuts = 0;
  uint64_t met = 0;      // unsynced writes: done but not synced, or under way
  uint64_t dropped = 0;  // nothing of it is left
  uint64_t torn = 0;     // a part of it is left
  uint64_t reordered =
      0;  // something of it is left, while an earlier one to the same file lost some
  uint64_t mapped_lost = 0;  // sectors of mapped memory; not counted in the others
  uint64_t damaged() const { return dropped + torn + reordered; }
};

// The disk of one simulated host. It outlives crashes; the SimDisks are how shards and readers see
// it. What was synced stays; what was written but not synced is at the crash's mercy.
class SimStorage {
 public:
  explicit SimStorage(uint64_t seed, DiskFaults disk_faults = {});
  ~SimStorage();

  DiskFaults faults;  // may be changed at any time

  // Power cut: everything not synced is kept, dropped or torn, sector by sector; operations under
  // way are forgotten (their owners may go without a close), having been done, half done or not at
  // all; handles are void.
  void crash();
  // The process is killed, the host lives on: what was written stays to be read, synced or not.
  void kill();
  // Everything written so far becomes durable.
  void settle();
  // Writes that a power cut would meet now.
  uint64_t unsynced() const;

  // Flips a bit on the disk, below everything (bit rot). False when there is no such byte.
  bool corrupt(std::string_view path, uint64_t offset);
  // Up to where something was ever written to a file.
  uint64_t written(std::string_view path) const;
  // Hand-made images and inspection. put() is durable at once; get() gives what a read would.
  void put(std::string_view path, std::string bytes);
  std::string get(std::string_view path) const;
  bool exists(std::string_view path) const;
  void erase(std::string_view path);
  std::vector<std::string> paths() const;

  // Files that were removed are kept for who looks back (SimDisk::look_back).
  bool keep_removed = false;
  // Told of each, with its bytes.
  std::function<void(const std::string& path, const std::string& bytes)> on_removed;
  // Sizes of all files there ever were, by path.
  std::map<std::string, uint64_t> sizes_ever() const;

  uint64_t calls = 0;  // that could have failed
  // Where they came from, in the order of their numbers, if `notes_calls`.
  struct Called {
    DiskCall call;
    const void* from;  // return address
    bool failed;
  };
  bool notes_calls = false;
  // Beyond these the planned failure ends, so that who reads without end comes to one.
  uint64_t calls_max = UINT64_MAX;
  uint64_t spun = 0;  // calls beyond calls_max
  std::vector<Called> called;
  uint64_t faults_injected = 0;
  uint64_t syncs = 0;
  PowerCuts power_cuts;

 private:
  friend class SimDisk;
  struct Dirty {
    uint64_t number;
    uint64_t offset;
    std::string bytes;
    uint64_t asked;  // more than `bytes` when it was under way at a crash, and not all was taken
  };
  // Bytes beyond those stored are zero: segments are large and mostly empty.
  struct File {
    uint64_t size = 0;
    std::string cached;   // as the processes see it
    std::string durable;  // as it lies on the disk
    std::vector<Dirty> dirty;
    bool mapped = false;  // then `cached` is the memory, whose place must not change
  };
  static void store(std::string& bytes, uint64_t offset, std::string_view what);
  bool chance(double probability);
  uint64_t below(uint64_t n) { return n == 0 ? 0 : random_() % n; }
  bool planned_failure(DiskCall call, const void* from);
  void tear(File& file);
  void tear_memory(File& file, uint64_t temper, uint64_t keep_percent);
  uint64_t keep_sectors(File& file, const Dirty& write, uint64_t keep_percent);
  int32_t handle_for(std::shared_ptr<File> file);
  File* file_of(int32_t handle);
  std::shared_ptr<File> find(std::string_view path) const;
  uint64_t used_bytes() const;
  void forget_operations(bool power_cut);
  void remove_file(std::string_view path);

  std::mt19937_64 random_;
  std::map<std::string, std::shared_ptr<File>, std::less<>> files_;
  std::map<std::string, std::shared_ptr<File>, std::less<>> removed_;
  std::map<int32_t, std::shared_ptr<File>> handles_;
  int32_t next_handle_ = 3;
  uint64_t next_write_ = 1;
  std::vector<SimDisk*> views_;
};

// One view. Operations complete in run(), in the order of their random latencies, or singly in
// complete_one().
class SimDisk final : public queue::Disk {
 public:
  explicit SimDisk(SimStorage& storage);
  // A view for those who judge: its blocking calls neither fail nor count.
  struct Faultless {};
  SimDisk(SimStorage& storage, Faultless);
  ~SimDisk() override;

  // Completes what is due by now; what is started by that is due later. How many were completed.
  size_t run(int64_t now_ns);
  // Completes any one operation, in seeded random choice. False when there is none.
  bool complete_one();
  size_t pending() const { return pending_.size(); }
  int64_t next_due_ns() const;  // INT64_MAX: nothing is pending
  // The blocking calls see removed files, too: for an oracle that reads what once was there.
  void look_back() { looks_back_ = true; }

  void create(std::string_view path, uint64_t bytes, queue::DiskOperation& op) override;
  void open(std::string_view path, queue::DiskOperation& op) override;
  void write(File file, uint64_t offset, std::span<const uint8_t> bytes,
             queue::DiskOperation& op) override;
  void sync(File file, queue::DiskOperation& op) override;
  void read(File file, uint64_t offset, std::span<uint8_t> bytes,
            queue::DiskOperation& op) override;
  void remove(std::string_view path, queue::DiskOperation& op) override;
  void close(File file) override;
  int64_t list_now(std::string_view directory, std::vector<Entry>& entries) override;
  int64_t open_now(std::string_view path) override;
  int64_t read_now(File file, uint64_t offset, std::span<uint8_t> bytes) override;
  int64_t sync_now(File file) override;
  int64_t map_now(std::string_view path, uint64_t bytes, std::span<uint8_t>& memory) override;
  void unmap(std::span<uint8_t>) override {}

 private:
  friend class SimStorage;
  using Kind = DiskCall;
  struct Pending {
    Kind kind = Kind::create;
    const void* from = nullptr;
    int64_t due_ns = 0;
    uint64_t order = 0;  // of the start
    queue::DiskOperation* op = nullptr;
    std::string path;
    uint64_t offset = 0;  // or the bytes of a create
    File handle = -1;
    std::shared_ptr<SimStorage::File> file;
    std::span<const uint8_t> out;
    std::span<uint8_t> in;
    uint64_t up_to = 0;  // sync: the last write it covers
    size_t sum = 0;      // write: of the bytes, which must not change meanwhile
  };
  Pending& start(Kind kind, const void* from, queue::DiskOperation& op, File handle = -1);
  bool fails_now(Kind kind, const void* from);
  int64_t failure(Pending& done);
  void complete(size_t index);
  int64_t effect(Pending& done);
  int64_t effect_create(Pending& done);
  int64_t effect_write(Pending& done);
  int64_t effect_sync(Pending& done);

  SimStorage& storage_;
  std::vector<Pending> pending_;
  bool faultless_ = false;
  int64_t now_ns_ = 0;
  uint64_t next_order_ = 0;
  bool looks_back_ = false;
};

}  // namespace veredus::sim
