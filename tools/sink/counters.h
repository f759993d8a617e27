// What one thread of the sink counts. One writer; others only read.
#pragma once

#include <atomic>
#include <cstdint>

namespace veredus::sink {

class Counter {
 public:
  void set(uint64_t n) { value_.store(n, std::memory_order_relaxed); }
  void add(uint64_t n = 1) {
    value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  void sub(uint64_t n = 1) { add(0 - n); }
  uint64_t get() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

struct alignas(64) Counters {
  Counter connections;     // accepted
  Counter open;            // open now
  Counter messages;        // stored
  Counter recipients;      // of stored messages
  Counter bytes;           // content octets of stored messages as they came over the wire
  Counter refused;         // replies of 400 and above
  Counter resets;          // connections that we reset
  Counter drops;           // connections that we dropped
  Counter noreply;         // recipients stored whose reply did not leave
  Counter greylisted;      // recipients
  Counter lost;            // connections that ended within a transaction, by the peer
  Counter after_dot;       // commands but QUIT together with an end of data (or BDAT LAST)
  Counter early;           // commands or content ahead of a reply that had to be waited for
  Counter tls;             // sessions whose handshake was finished
  Counter tls_resumed;     // of them, resumed
  Counter tls_broken;      // connections that ended within the handshake, or by nonsense under TLS
  Counter tls_messages;    // of messages, those that came under TLS
  Counter last_ns;         // CLOCK_MONOTONIC when the last message was stored; not a sum
  Counter store_failures;  // a message file or the ledger could not be written
};

}  // namespace veredus::sink
