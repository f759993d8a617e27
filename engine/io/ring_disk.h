#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "engine/io/filer.h"
#include "engine/io/ports.h"
#include "engine/io/ring.h"
#include "engine/io/spool_files.h"
#include "queue/disk.h"

namespace veredus::io {

// The disk of one shard: write, read and sync on its ring; create, open and remove on the filer's
// thread. Answers come from Ring::run_collected(). A sync covers the writes that have been
// answered; order a write before a sync by waiting.
class RingDisk final : public queue::Disk {
 public:
  // All outlive it. `wake` is the shard's own.
  RingDisk(Ring& ring, Filer& filer, Wake& wake) : ring_(ring), filer_(filer), wake_(wake) {}
  // Abandons the ring when operations are under way; those with the filer are not waited for: it
  // has gone before.
  ~RingDisk() override;

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

  size_t under_way() const { return under_way_; }
  size_t records() const { return calls_.size(); }  // the most that were ever under way

 private:
  struct Call final : Operation {
    void on_complete(int32_t result, uint32_t flags) override;
    RingDisk* disk = nullptr;
    queue::DiskOperation* op = nullptr;
    Filer::Job job;
  };
  Call& take_call(queue::DiskOperation& op);
  void file_job(Filer::Kind kind, std::string_view path, uint64_t bytes, queue::DiskOperation& op);

  Ring& ring_;
  Filer& filer_;
  Wake& wake_;
  size_t under_way_ = 0;
  std::deque<Call> calls_;  // grows with need: bounded by the operations of the users
  std::vector<Call*> free_;
};

// The disk for readers that are not a shard: the calls that end in _now, and close. The
// asynchronous calls are a bug.
class BlockingDisk final : public queue::Disk {
 public:
  explicit BlockingDisk(SpoolFiles files) : files_(std::move(files)) {}

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

 private:
  const SpoolFiles files_;
};

}  // namespace veredus::io
