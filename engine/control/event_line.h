#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "queue/batch.h"
#include "queue/extent.h"
#include "queue/order.h"
#include "queue/outcome.h"

namespace veredus::control {

// What all events of a reader share, and what tells one from the next.
struct EventHead {
  std::string_view node;
  unsigned stream = 0;
  uint64_t seq = 0;
};

// One line each, with its line end. `batch` null: it is not known any more, its fields are left
// out; `entry` null: the recipient could not be read back (damage), likewise.
// `sender`: the reverse-path, slots replaced; of a known recipient.
void append_accepted(const EventHead& head, const queue::Batch* batch, const queue::Entry& entry,
                     std::string_view sender, std::string& out);
void append_outcome(const EventHead& head, const queue::Batch* batch, const queue::Entry* entry,
                    std::string_view sender, const queue::Outcome& outcome, std::string& out);
// Given, or when it has ended: `state` says which.
void append_order(const EventHead& head, const queue::Order& order, std::string& out);
// What is missing: the events from `from_seq` to `head.seq`; or, with 0, some behind `head.seq`,
// and nobody knows how many.
void append_gap(const EventHead& head, uint64_t from_seq, std::string_view reason,
                std::string& out);
// Where to go on: `{"v":1,"type":"cursor","cursor":"…"}`.
void append_cursor_line(std::string_view cursor, std::string& out);

std::string_view type_name(queue::OutcomeType type);

}  // namespace veredus::control
