#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/extent_reader.h"
#include "queue/batch.h"
#include "queue/due_wheel.h"
#include "queue/ticket.h"

namespace veredus {

// Reads the addresses of a home's recipients back from its journal, to compare them: records do not
// hold them. Candidates are added, then read page by page, a part each turn. One thread.
class AddressSearch {
 public:
  struct Named {
    uint32_t slot = queue::kNoSlot;
    uint16_t generation = 0;
  };
  // So many are worth reading together.
  static constexpr size_t kAtOnce = 16384;

  // `disk` outlives it.
  AddressSearch(queue::Disk& disk, std::string directory) : reader_(disk, std::move(directory)) {}

  // `place`: of its ticket. Not between begin() and the end of reading.
  void add(Named who, const queue::Ticket& place) { candidates_.push_back({who, place}); }
  size_t size() const { return candidates_.size(); }
  // All that were added are to be read.
  void begin();
  // Up to about so many bytes: tell(who, address) for each, or lost(who) when it cannot be read.
  // True: all were told, and others may be added. False: more, in another turn; with `waiting` it
  // is the disk that brings it.
  template <class Tell, class Lost>
  bool read(uint64_t bytes, bool& waiting, Tell&& tell, Lost&& lost) {
    waiting = false;
    std::string_view page;
    size_t first = 0, end = 0;
    while (wanted_ > 0 && bytes > 0) {
      if (!next_page(page, first, end)) {
        waiting = true;
        return false;
      }
      bytes -= std::min<uint64_t>(bytes, candidates_[first].place.page_bytes);
      for (size_t i = first; i < end; ++i) {
        std::string_view address;
        const Candidate& candidate = candidates_[i];
        address_at(page, candidate, address) ? tell(candidate.who, address) : lost(candidate.who);
      }
    }
    if (wanted_ > 0) return false;
    candidates_.clear();
    return true;
  }
  // Whether the disk is at work for it: it must not go now.
  bool busy() const { return reader_.busy(); }
  void forget();

 private:
  struct Candidate {
    Named who;
    queue::Ticket place;
  };
  bool next_page(std::string_view& page, size_t& first, size_t& end);
  static bool address_at(std::string_view page, const Candidate& candidate,
                         std::string_view& address);

  ExtentReader reader_;
  std::vector<Candidate> candidates_;
  size_t wanted_ = 0;  // pages that the reader was asked for, not given
};

}  // namespace veredus
