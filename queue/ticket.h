#pragma once

#include <cstdint>
#include <type_traits>

namespace veredus::queue {

// Most priority bands anything in Veredus has. A band is a coarse cut of the feeder's priority
// (0–100, higher first): the lock-free queue keeps one ring per band.
inline constexpr unsigned kBands = 4;

// Band 0 goes first.  100–75 → 0, 74–51 → 1, 50–25 → 2 (the default priority 50 lives here), 24–0
// → 3.
constexpr uint8_t band_of(unsigned priority) {
  return priority >= 75 ? 0 : priority > 50 ? 1 : priority >= 25 ? 2 : 3;
}

// A ticket is the permission to attempt one recipient now. It travels from the recipient's home
// shard to the shard that owns the lane, and comes back exactly once: with an outcome, or unsent.
// It carries numbers only; what it names may be gone, `generation` tells.
struct Ticket {
  uint32_t slot = 0;          // of the record at home
  uint32_t batch = 0;         // handle in the table of batches, the same on every shard
  uint32_t segment = 0;       // of home's journal: where the recipient's page lies …
  uint32_t page_offset = 0;   // … bytes from the start of the segment
  uint32_t entry_offset = 0;  // bytes from the start of the page
  uint32_t page_bytes = 0;    // length of the page
  uint32_t site = 0;          // site number, assigned by the site's owner
  uint32_t queued_ms = 0;     // monotonic milliseconds when it left home (phase timing `queued`)
  uint32_t share = 0;         // number at home of those who share its line (tenant and pool)
  uint16_t generation = 0;    // of the slot
  uint16_t home = 0;          // shard
  uint16_t attempt = 0;       // 1 for the first
  uint8_t band = 0;           // < kBands
  uint8_t flags = 0;
  uint16_t source = 0;  // that it is to be sent from
  uint16_t rules = 0;   // version of the rules of sending that it left home by, modulo 2^16
};

static_assert(sizeof(Ticket) == 48);
static_assert(std::is_trivially_copyable_v<Ticket>);

}  // namespace veredus::queue
