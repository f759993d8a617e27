#include "engine/address_search.h"

#include <algorithm>
#include <tuple>

#include "queue/extent.h"

namespace veredus {

static bool same_page(const queue::Ticket& a, const queue::Ticket& b) {
  return a.segment == b.segment && a.page_offset == b.page_offset;
}

void AddressSearch::begin() {
  const auto key = [](const Candidate& each) {
    return std::tuple(each.place.segment, each.place.page_offset, each.place.entry_offset);
  };
  std::sort(candidates_.begin(), candidates_.end(),
            [&](const Candidate& a, const Candidate& b) { return key(a) < key(b); });
  for (size_t i = 0; i < candidates_.size(); ++i) {
    const queue::Ticket& place = candidates_[i].place;
    if (i > 0 && same_page(candidates_[i - 1].place, place)) continue;
    reader_.want(i, {place.home, place.segment, place.page_offset, place.page_bytes});
    ++wanted_;
  }
}

// The candidates on it are those from `first` to `end`. False: the disk is awaited.
bool AddressSearch::next_page(std::string_view& page, size_t& first, size_t& end) {
  ExtentReader::Got got;
  if (!reader_.next(got)) return false;
  --wanted_;
  first = end = got.token;
  const queue::Ticket& place = candidates_[first].place;
  while (end < candidates_.size() && same_page(candidates_[end].place, place)) ++end;
  const bool sound = got.status.ok() && queue::check_page(got.payload).ok();
  page = sound ? got.payload : std::string_view();
  return true;
}

bool AddressSearch::address_at(std::string_view page, const Candidate& candidate,
                               std::string_view& address) {
  queue::Entry entry;
  uint32_t next = 0;
  if (page.empty() || !queue::read_entry_head(page, candidate.place.entry_offset, entry, next).ok())
    return false;
  address = entry.to;
  return true;
}

void AddressSearch::forget() {
  reader_.forget_wanted();
  candidates_.clear();
  wanted_ = 0;
}

}  // namespace veredus
