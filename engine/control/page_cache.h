#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <tuple>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "queue/bytes.h"
#include "queue/extent.h"
#include "queue/journal.h"

namespace veredus::control {

// Pages read back for their recipients' fields; the least lately used go first.
class PageCache {
 public:
  explicit PageCache(size_t bytes_max) : bytes_max_(bytes_max) {}
  using Bytes = std::shared_ptr<const std::string>;

  // `at.length`: the most that the page can have, if known; else 0.
  absl::StatusOr<Bytes> get(queue::JournalReader& reader, queue::Location at) {
    const Key key{at.journal, at.segment, at.offset};
    if (const auto found = pages_.find(key); found != pages_.end()) {
      order_.splice(order_.begin(), order_, found->second.used);
      return found->second.bytes;
    }
    const uint32_t room = at.length == 0 ? kPageBytesMax : at.length;
    auto bytes = std::make_shared<std::string>();
    at.length = queue::kPageHeaderBytes;
    if (absl::Status status = reader.read(at, *bytes); !status.ok()) return status;
    if (bytes->size() < queue::kPageHeaderBytes) return absl::DataLossError("page cut off");
    at.length = queue::load_number<uint32_t>(bytes->data() + 4);
    if (at.length < queue::kPageHeaderBytes || at.length > room) {
      return absl::DataLossError("page with an impossible length");
    }
    if (absl::Status status = reader.read(at, *bytes); !status.ok()) return status;
    if (absl::Status status = queue::check_page(*bytes); !status.ok()) return status;
    order_.push_front(key);
    pages_[key] = {bytes, order_.begin()};
    held_ += bytes->size();
    while (held_ > bytes_max_ && order_.size() > 1) {
      held_ -= pages_[order_.back()].bytes->size();
      pages_.erase(order_.back());
      order_.pop_back();
    }
    return Bytes(bytes);
  }

 private:
  static constexpr uint32_t kPageBytesMax = 1u << 30;
  using Key = std::tuple<uint16_t, uint32_t, uint32_t>;
  struct Held {
    Bytes bytes;
    std::list<Key>::iterator used;
  };
  absl::flat_hash_map<Key, Held> pages_;
  std::list<Key> order_;
  const size_t bytes_max_;
  size_t held_ = 0;
};

}  // namespace veredus::control
