#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "engine/io/ports.h"
#include "engine/messages.h"
#include "queue/ticket_queue.h"

namespace veredus {

// Messages for one shard: many producers, one consumer, no lock. Bounded by its users, each of
// which has at most a named number of questions open; answers are as many as questions.
class Mailbox {
 public:
  ~Mailbox();
  void push(std::unique_ptr<Message> message) {
    Message* mine = message.release();
    Message* head = head_.load(std::memory_order_relaxed);
    do {
      mine->next = head;
    } while (!head_.compare_exchange_weak(head, mine, std::memory_order_release,
                                          std::memory_order_relaxed));
  }
  // All that is there, oldest first; the caller owns the chain.
  Message* take();
  bool empty() const { return head_.load(std::memory_order_acquire) == nullptr; }

 private:
  std::atomic<Message*> head_{nullptr};
};

// Where the shards meet: per shard its mailbox and its lock-free priority queue of tickets; and the
// way back to intake. It knows which shard a home is on: there are as many homes as shards, or
// more, for journals outlive the number of shards.
class Exchange {
 public:
  Exchange(unsigned shards, unsigned homes, uint32_t tickets_per_band);

  unsigned shards() const { return static_cast<unsigned>(places_.size()); }
  unsigned homes() const { return homes_; }
  // Home n is on the shard of that number while there is one.
  unsigned shard_of_home(unsigned home) const { return home % shards(); }
  void set_wake(unsigned shard, io::Wake* wake) { places_[shard]->wake = wake; }
  // Where answers to intake go; called from any shard's thread.
  class Answers {
   public:
    virtual ~Answers() = default;
    virtual void answer(intake::AppendAnswer answer) = 0;
    // A place of the spool was found damaged after the start, in words.
    virtual void damage(std::string what) = 0;
    virtual void answer_question(QuestionAnswer) {}
    // Something that an operator should hear of.
    virtual void report(std::string) {}
  };
  void set_answers(Answers* answers) { answers_ = answers; }
  Answers& answers() { return *answers_; }

  void post(unsigned to, std::unique_ptr<Message> message) {
    places_[to]->mailbox.push(std::move(message));
    places_[to]->wake->wake();
  }
  void post_home(unsigned home, std::unique_ptr<Message> message) {
    message->home = static_cast<uint16_t>(home);
    post(shard_of_home(home), std::move(message));
  }
  // False when the band's ring there is full. The receiver is woken by wake(), once for many.
  bool push(unsigned to, const queue::Ticket& ticket) { return places_[to]->tickets.push(ticket); }
  void wake(unsigned to) { places_[to]->wake->wake(); }

  // Monotonic time up to which all that was settled at a home is durable. Written by its shard.
  void set_durable_as_of(unsigned home, int64_t mono_ns) {
    durable_as_of_[home].ns.store(mono_ns, std::memory_order_release);
  }
  // At all homes.
  int64_t durable_as_of() const;
  // Up to which of the messages of a shard that bring tickets home what they said is durable there:
  // said by the home, asked by the shard for the places of its attempt marks.
  void say_durable(unsigned home, unsigned shard, uint64_t message) {
    durable_[shard * homes_ + home].store(message, std::memory_order_release);
  }
  uint64_t durable(unsigned home, unsigned shard) const {
    return durable_[shard * homes_ + home].load(std::memory_order_acquire);
  }
  // What the attempt marks of earlier lives left in doubt: each home says once that all of its own
  // is durable, as outcomes.
  void doubts_are_durable() { homes_in_doubt_.fetch_sub(1, std::memory_order_acq_rel); }
  bool all_doubts_durable() const { return homes_in_doubt_.load(std::memory_order_acquire) == 0; }

  // The states of rates that earlier lives have left: each shard says once that its part is in the
  // file of this life.
  void rates_begun() { shards_without_rates_.fetch_sub(1, std::memory_order_acq_rel); }
  bool all_rates_begun() const {
    return shards_without_rates_.load(std::memory_order_acquire) == 0;
  }

  // Tenants have numbers; a few places want the name. Named by the control thread before any shard
  // hears of the number; asked by any shard.
  void name_tenant(uint32_t number, std::string name);
  std::string tenant_name(uint32_t number) const;

  // From which segment on a journal's events are kept for consumers that have not read them: said
  // by the control thread, asked by the home. UINT32_MAX: for nobody.
  void hold_events(unsigned home, uint32_t segment) {
    events_held_[home].from.store(segment, std::memory_order_release);
  }
  uint32_t events_held_from(unsigned home) const {
    return events_held_[home].from.load(std::memory_order_acquire);
  }

  // What of a source's addresses is not on this host now, as bits: kNoAddress says that none is
  // left to send from.
  static constexpr uint8_t kNoIpv4 = 1, kNoIpv6 = 2, kNoAddress = 4;
  uint8_t source_lacks(uint32_t source) const {
    return sources_lack_[source].load(std::memory_order_relaxed);
  }
  void set_source_lacks(uint32_t source, uint8_t bits) {
    sources_lack_[source].store(bits, std::memory_order_relaxed);
  }
  bool source_missing(uint32_t source) const { return (source_lacks(source) & kNoAddress) != 0; }

  Mailbox& mailbox(unsigned shard) { return places_[shard]->mailbox; }
  queue::TicketQueue& tickets(unsigned shard) { return places_[shard]->tickets; }
  // Asked by the shard itself: it is the queue's one consumer.
  bool anything_for(unsigned shard);

 private:
  struct alignas(64) Place {
    explicit Place(uint32_t tickets_per_band) : tickets(tickets_per_band) {}
    Mailbox mailbox;
    queue::TicketQueue tickets;
    io::Wake* wake = nullptr;
  };
  struct alignas(64) Moment {
    std::atomic<int64_t> ns{0};
  };
  struct alignas(64) Held {
    std::atomic<uint32_t> from{UINT32_MAX};
  };
  std::vector<std::unique_ptr<Place>> places_;
  std::vector<Moment> durable_as_of_;  // by home
  std::vector<Held> events_held_;      // by home
  const unsigned homes_;
  std::unique_ptr<std::atomic<uint64_t>[]> durable_;  // by shard, then home
  std::atomic<unsigned> homes_in_doubt_;
  std::atomic<unsigned> shards_without_rates_;
  mutable std::mutex tenants_mutex_;
  std::vector<std::string> tenants_;  // by number
  std::array<std::atomic<uint8_t>, kSourcesMax> sources_lack_{};
  Answers* answers_ = nullptr;
};

}  // namespace veredus
