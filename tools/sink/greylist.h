// Greylisting as many servers do it, by recipient: refused at first, taken some time later.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

namespace veredus::sink {

// Shared by all threads.
class Greylist {
 public:
  explicit Greylist(int64_t wait_ns) : wait_ns_(wait_ns) {}

  bool on() const { return wait_ns_ > 0; }

  // True: take it. At kMaxRecipients new recipients are no longer noted but taken at once.
  bool passes(std::string_view recipient, int64_t mono_ns) {
    std::lock_guard lock(mutex_);
    if (first_seen_.size() >= kMaxRecipients) {
      auto known = first_seen_.find(std::string(recipient));
      return known == first_seen_.end() || mono_ns - known->second >= wait_ns_;
    }
    auto [entry, fresh] = first_seen_.try_emplace(std::string(recipient), mono_ns);
    return !fresh && mono_ns - entry->second >= wait_ns_;
  }

 private:
  static constexpr size_t kMaxRecipients = 10'000'000;

  int64_t wait_ns_;
  std::mutex mutex_;
  std::unordered_map<std::string, int64_t> first_seen_;
};

}  // namespace veredus::sink
