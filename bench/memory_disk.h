// A disk for benchmarks of whole engines: what is written costs one copy, as it does on the way to
// the page cache, and making and removing files costs the shard nothing, as they do where threads
// of the kernel do it. It keeps what was written while its process lives, and never fails.
#pragma once

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <sys/mman.h>

#include "queue/disk.h"

namespace veredus::bench {

// What the views of all shards share.
class MemoryStorage {
 public:
  struct File {
    explicit File(uint64_t size)
        : bytes(size),
          memory(static_cast<uint8_t*>(mmap(nullptr, size, PROT_READ | PROT_WRITE,
                                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0))) {}
    ~File() { munmap(memory, bytes); }
    File(const File&) = delete;
    File& operator=(const File&) = delete;
    const uint64_t bytes;
    uint8_t* const memory;
  };
  // Files of this size have been written with zeros when they are made, as they have in the
  // product. To be called where nothing is measured, again and again.
  void keep_ready(uint64_t bytes) {
    while (ready.size() < 2) {
      ready.push_back(std::make_unique<File>(bytes));
      std::memset(ready.back()->memory, 0, bytes);
    }
  }
  int32_t make(std::string_view path, uint64_t bytes) {
    paths[std::string(path)] = static_cast<int32_t>(files.size());
    if (!ready.empty() && ready.back()->bytes == bytes) {
      files.push_back(std::move(ready.back()));
      ready.pop_back();
    } else {
      files.push_back(std::make_unique<File>(bytes));
    }
    return static_cast<int32_t>(files.size() - 1);
  }

  std::map<std::string, int32_t, std::less<>> paths;
  std::vector<std::unique_ptr<File>> ready;
  // By handle. The memory of removed files stays: giving it back would be somebody's turn.
  std::vector<std::unique_ptr<File>> files;
};

class MemoryDisk final : public queue::Disk {
 public:
  static constexpr int64_t kLatencyNs = 200'000;
  static constexpr int64_t kCreateNs = 5'000'000;

  // `storage` outlives the disk; `now_ns` is the simulated clock.
  MemoryDisk(MemoryStorage& storage, const int64_t& now_ns) : storage_(storage), now_ns_(now_ns) {}

  void create(std::string_view path, uint64_t bytes, queue::DiskOperation& op) override {
    later(op, storage_.make(path, bytes), kCreateNs);
  }
  void open(std::string_view path, queue::DiskOperation& op) override { later(op, open_now(path)); }
  void write(File file, uint64_t offset, std::span<const uint8_t> bytes,
             queue::DiskOperation& op) override {
    std::memcpy(of(file).memory + offset, bytes.data(), bytes.size());
    later(op, static_cast<int64_t>(bytes.size()));
  }
  void sync(File, queue::DiskOperation& op) override { later(op, 0); }
  void read(File file, uint64_t offset, std::span<uint8_t> bytes,
            queue::DiskOperation& op) override {
    later(op, read_now(file, offset, bytes));
  }
  void remove(std::string_view path, queue::DiskOperation& op) override {
    storage_.paths.erase(std::string(path));
    later(op, 0);
  }
  void close(File) override {}
  int64_t list_now(std::string_view directory, std::vector<Entry>& entries) override {
    entries.clear();
    for (const auto& [path, file] : storage_.paths) {
      const size_t slash = path.rfind('/');
      if (path.substr(0, slash == std::string::npos ? 0 : slash) == directory)
        entries.push_back({path.substr(slash + 1), of(file).bytes});
    }
    return 0;
  }
  int64_t open_now(std::string_view path) override {
    const auto found = storage_.paths.find(path);
    return found == storage_.paths.end() ? -ENOENT : found->second;
  }
  int64_t read_now(File file, uint64_t offset, std::span<uint8_t> bytes) override {
    const MemoryStorage::File& from = of(file);
    if (offset >= from.bytes) return 0;
    const uint64_t count = std::min<uint64_t>(bytes.size(), from.bytes - offset);
    std::memcpy(bytes.data(), from.memory + offset, count);
    return static_cast<int64_t>(count);
  }
  int64_t sync_now(File) override { return 0; }
  int64_t map_now(std::string_view path, uint64_t bytes, std::span<uint8_t>& memory) override {
    memory = {of(storage_.make(path, bytes)).memory, bytes};
    return 0;
  }
  void unmap(std::span<uint8_t>) override {}

  // Completes what is due. Operations take equally long but for create: they are few at a time.
  void run() {
    for (size_t i = 0; i < pending_.size();) {
      if (pending_[i].due_ns > now_ns_) {
        ++i;
        continue;
      }
      const Pending done = pending_[i];
      pending_.erase(pending_.begin() + static_cast<std::ptrdiff_t>(i));
      done.op->on_disk_done(done.result);
    }
  }
  int64_t next_due_ns() const {
    int64_t next = INT64_MAX;
    for (const Pending& each : pending_) next = std::min(next, each.due_ns);
    return next;
  }

 private:
  struct Pending {
    queue::DiskOperation* op;
    int64_t result;
    int64_t due_ns;
  };
  void later(queue::DiskOperation& op, int64_t result, int64_t latency_ns = kLatencyNs) {
    pending_.push_back({&op, result, now_ns_ + latency_ns});
  }
  MemoryStorage::File& of(File file) const { return *storage_.files[static_cast<size_t>(file)]; }

  MemoryStorage& storage_;
  const int64_t& now_ns_;
  std::vector<Pending> pending_;
};

}  // namespace veredus::bench
