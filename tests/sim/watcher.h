#pragma once

#include <cstdint>
#include <string>

#include "engine/io/ports.h"

namespace veredus::sim {

// Who watches, from outside of the engine, what leaves by its network ports and what servers hear
// of it. Connections are numbered from 1, over all shards and lives.
class Watcher {
 public:
  virtual ~Watcher() = default;
  virtual void opened(uint64_t connection, const io::Endpoint& peer,
                      const io::Endpoint& source) = 0;
  // The engine was told that it is over, or has died.
  virtual void closed(uint64_t connection) = 0;
  // A server heard a MAIL that it accepts. `sent`: when it left the engine.
  virtual void transaction(uint64_t connection, int64_t sent_mono_ns) = 0;
  // Of the last transaction there: a RCPT, its content, and that it is over for the server.
  virtual void recipient(uint64_t connection, const std::string& to, bool accepted) = 0;
  virtual void content(uint64_t connection, uint64_t bytes) = 0;
  virtual void transaction_over(uint64_t connection) = 0;
};

}  // namespace veredus::sim
