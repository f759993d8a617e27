#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "engine/io/ports.h"
#include "queue/disk.h"

namespace veredus::sim {

// How the disk misbehaves. Probabilities, each per call.
struct DiskFaults {
  double write_error = 0;   // EIO; part of it may have been written
  double write_short = 0;
  double sync_error = 0;    // EIO; what was dirty is lost to later syncs
  double create_error = 0;  // ENOSPC
};

// What is on the simulated disk: shared by all views, and left over when the process dies.
class SimStorage {
 public:
  explicit SimStorage(uint64_t seed) : random(seed) {}

  // The power goes: of what was not synced, each sector (512 bytes or 4 KiB, as the seed says) is kept or lost on its
  // own, so that writes are dropped, torn and reordered. Synced bytes stay. With `page_cache` only the process dies: all
  // that was written stays.
  void crash(bool page_cache);
  // Bit rot: flips a bit.
  void corrupt(const std::string& path, uint64_t offset) { files_.at(path)->bytes[offset] ^= 0x10; }
  uint64_t unsynced_sectors() const;

  DiskFaults faults;
  io::Random random;

 private:
  friend class SimDisk;
  static constexpr uint64_t kSector = 512;
  struct FileData {
    std::string bytes;    // as a reader sees it
    std::string durable;  // as it is after a crash
    std::set<uint64_t> dirty;  // sectors in which they may differ
    bool created = false;      // its creation is durable
  };
  std::map<std::string, std::shared_ptr<FileData>> files_;
};

// One view of it: a shard's, or a blocking reader's. Completions become ready after a while and are run by the owner.
class SimDisk final : public queue::Disk {
 public:
  // Calls a function after some delay, as the world says.
  using Later = std::function<void(std::function<void()>)>;
  SimDisk(SimStorage& storage, Later later) : storage_(storage), later_(std::move(later)) {}
  ~SimDisk() override { *alive_ = false; }

  void create(std::string_view path, uint64_t bytes, queue::DiskOperation& op) override;
  void open(std::string_view path, queue::DiskOperation& op) override;
  void write(File file, uint64_t offset, std::span<const uint8_t> bytes, queue::DiskOperation& op) override;
  void sync(File file, queue::DiskOperation& op) override;
  void read(File file, uint64_t offset, std::span<uint8_t> bytes, queue::DiskOperation& op) override;
  void remove(std::string_view path, queue::DiskOperation& op) override;
  void close(File file) override;
  std::vector<Entry> list_now(std::string_view directory) override;
  int64_t open_now(std::string_view path) override;
  int64_t read_now(File file, uint64_t offset, std::span<uint8_t> bytes) override;
  int64_t sync_now(File file) override;

  // Delivers what has completed.
  void run_ready();
  bool ready() const { return !ready_.empty(); }
  std::function<void()> on_ready;

 private:
  using FileData = SimStorage::FileData;
  void finish(queue::DiskOperation& op, std::function<int64_t()> effect);
  File handle_of(std::shared_ptr<FileData> data);
  static void put(FileData& data, uint64_t offset, std::span<const uint8_t> bytes);

  SimStorage& storage_;
  Later later_;
  std::map<File, std::shared_ptr<FileData>> open_;
  File next_handle_ = 3;
  std::vector<std::pair<queue::DiskOperation*, int64_t>> ready_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace veredus::sim
