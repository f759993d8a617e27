#pragma once

#include <cassert>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "dns/list.h"

namespace veredus::dns {

// Entries by name, at most `max`. An entry is either pinned (being looked up: it stays) or settled:
// then it may be evicted, the least recently used first. Entry derives ListNode<Entry> and has
// `std::string name`, constructor (Owner&) and `void reset()`, which makes it as new but may keep
// its memory. Addresses of entries are stable.
template <class Entry>
class NameCache {
 public:
  explicit NameCache(size_t max) : max_(max) { assert(max > 0); }

  size_t size() const { return entries_.size(); }

  Entry* find(std::string_view name) {
    auto found = entries_.find(name);
    return found == entries_.end() ? nullptr : found->second.get();
  }

  // A new pinned entry; nullptr if all entries are pinned. `evicted` counts one up if one had to
  // go.
  template <class Owner>
  Entry* insert(std::string_view name, Owner& owner, uint64_t& evicted) {
    std::unique_ptr<Entry> entry;
    if (entries_.size() < max_) {
      entry = std::make_unique<Entry>(owner);
    } else {
      Entry* oldest = settled_.front();
      if (oldest == nullptr) return nullptr;
      auto found = entries_.find(std::string_view(oldest->name));
      entry = std::move(found->second);
      entries_.erase(found);
      settled_.remove(*entry);
      entry->reset();
      ++evicted;
    }
    entry->name = name;
    Entry* result = entry.get();
    entries_.emplace(std::string_view(result->name), std::move(entry));
    return result;
  }

  // Marks as used just now.
  void touch(Entry& entry) {
    if (settled_.back() == &entry || !static_cast<ListNode<Entry>&>(entry).linked()) return;
    settled_.remove(entry);
    settled_.push_back(entry);
  }
  void settle(Entry& entry) { settled_.push_back(entry); }
  void pin(Entry& entry) { settled_.remove(entry); }

 private:
  struct Hash {
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };

  const size_t max_;
  List<Entry> settled_;  // least recently used first
  absl::flat_hash_map<std::string_view, std::unique_ptr<Entry>, Hash,
                      std::equal_to<std::string_view>>
      entries_;
};

}  // namespace veredus::dns
