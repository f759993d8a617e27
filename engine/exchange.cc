#include "engine/exchange.h"

#include <algorithm>
#include <cassert>

namespace veredus {

Mailbox::~Mailbox() {
  for (Message* message = take(); message != nullptr;) {
    std::unique_ptr<Message> owned(message);
    message = owned->next;
  }
}

Message* Mailbox::take() {
  Message* newest_first = head_.exchange(nullptr, std::memory_order_acquire);
  Message* oldest_first = nullptr;
  while (newest_first != nullptr) {
    Message* next = newest_first->next;
    newest_first->next = oldest_first;
    oldest_first = newest_first;
    newest_first = next;
  }
  return oldest_first;
}

Exchange::Exchange(unsigned shards, unsigned homes, uint32_t tickets_per_band)
    : durable_as_of_(homes),
      events_held_(homes),
      homes_(homes),
      durable_(std::make_unique<std::atomic<uint64_t>[]>(size_t{shards} * homes)),
      homes_in_doubt_(homes),
      shards_without_rates_(shards) {
  assert(shards > 0 && homes >= shards);
  places_.reserve(shards);
  for (unsigned i = 0; i < shards; ++i)
    places_.push_back(std::make_unique<Place>(tickets_per_band));
}

bool Exchange::anything_for(unsigned shard) {
  Place& place = *places_[shard];
  return !place.mailbox.empty() || !place.tickets.empty();
}

int64_t Exchange::durable_as_of() const {
  int64_t least = INT64_MAX;
  for (const Moment& moment : durable_as_of_)
    least = std::min(least, moment.ns.load(std::memory_order_acquire));
  return least;
}

void Exchange::name_tenant(uint32_t number, std::string name) {
  const std::scoped_lock lock(tenants_mutex_);
  if (tenants_.size() <= number) tenants_.resize(number + size_t{1});
  tenants_[number] = std::move(name);
}

std::string Exchange::tenant_name(uint32_t number) const {
  const std::scoped_lock lock(tenants_mutex_);
  return number < tenants_.size() ? tenants_[number] : std::string();
}

}  // namespace veredus
