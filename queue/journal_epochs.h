#pragma once

#include <cstdint>
#include <map>

#include "queue/journal_format.h"

namespace veredus::queue {

// Which groups count: what is known of a journal's epochs, from segment headers and groups alike.
//
// An epoch begins at every start, and when a file had to be sealed. Its mark voids all that was not
// durable by then.
class Epochs {
 public:
  void learn(const EpochMark& mark);
  bool is_void(uint32_t epoch, uint64_t sequence) const { return sequence >= live_end(epoch); }
  uint32_t highest() const { return marks_.empty() ? 0 : marks_.rbegin()->first; }

  // The sequence that follows `sequence`, which counts: the next number, or, behind the end of its
  // epoch, the first of the next epoch that has any.
  uint64_t after(uint64_t sequence) const;
  // The lowest sequence that counts.
  uint64_t lowest() const;

 private:
  uint64_t live_end(uint32_t epoch) const;
  void settle() const;
  struct Known {
    uint64_t cut, first;
    mutable uint64_t live_end;  // lowest cut of the epochs behind it
  };
  std::map<uint32_t, Known> marks_;
  mutable bool settled_ = true;
};

}  // namespace veredus::queue
