#pragma once

#include <cerrno>
#include <cstdint>
#include <deque>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "queue/disk.h"

namespace veredus::queue {

// Takes everything, keeps nothing, at no cost: for what is measured beside the disk. Reads give
// nothing.
class NullDisk final : public Disk {
 public:
  void create(std::string_view, uint64_t, DiskOperation& op) override {
    done_.emplace_back(&op, 3);
  }
  void open(std::string_view, DiskOperation& op) override { done_.emplace_back(&op, 3); }
  void write(File, uint64_t, std::span<const uint8_t> bytes, DiskOperation& op) override {
    done_.emplace_back(&op, static_cast<int64_t>(bytes.size()));
  }
  void sync(File, DiskOperation& op) override { done_.emplace_back(&op, 0); }
  void read(File, uint64_t, std::span<uint8_t>, DiskOperation& op) override {
    done_.emplace_back(&op, 0);
  }
  void remove(std::string_view, DiskOperation& op) override { done_.emplace_back(&op, 0); }
  void close(File) override {}
  int64_t list_now(std::string_view, std::vector<Entry>&) override { return 0; }
  int64_t open_now(std::string_view) override { return -ENOENT; }
  int64_t read_now(File, uint64_t, std::span<uint8_t>) override { return 0; }
  int64_t sync_now(File) override { return 0; }
  int64_t map_now(std::string_view, uint64_t, std::span<uint8_t>&) override { return -ENOSYS; }
  void unmap(std::span<uint8_t>) override {}

  // Completes what was begun, and what that begins.
  void run() {
    while (!done_.empty()) {
      const auto [op, result] = done_.front();
      done_.pop_front();
      op->on_disk_done(result);
    }
  }

 private:
  std::deque<std::pair<DiskOperation*, int64_t>> done_;
};

}  // namespace veredus::queue
