#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "engine/control/engine_view.h"
#include "engine/control/event_cursor.h"

namespace veredus::control {

// Readers of events that have a name and say how far they have come: where each is, and up to where
// the journals keep segments for them. On the control thread.
class Consumers {
 public:
  static constexpr size_t kConsumersMax = 64;
  static constexpr size_t kCursorBytesMax = 64 * 1024;  // of its text: all of them are said again
                                                        // by every checkpoint

  // `view` outlives it. Begins with those that the engine knew at its start.
  explicit Consumers(EngineView& view);
  ~Consumers();

  struct Known {
    std::string cursor_text;
    EventCursor cursor;
    int64_t acked_wall_ns = 0;
  };
  static bool is_name(std::string_view name);
  const Known* find(const std::string& name) const;
  const std::map<std::string, Known>& all() const { return known_; }
  bool has_room() const { return known_.size() < kConsumersMax; }

  // A new one, at once, so that nothing goes from now on; null: at the oldest event that is kept.
  const Known& begin(const std::string& name, const EventCursor* at, int64_t wall_ns);
  // Answered when it is durable; from then on what lies before may go.
  using Done = std::function<void(absl::Status)>;
  void acknowledge(const std::string& name, const std::string& cursor_text, EventCursor cursor,
                   int64_t wall_ns, Done done);
  void remove(const std::string& name, int64_t wall_ns, Done done);

 private:
  void hold();

  EngineView& view_;
  std::map<std::string, Known> known_;
  // The engine's answers may come when this is gone.
  std::shared_ptr<Consumers*> self_ = std::make_shared<Consumers*>(this);
};

}  // namespace veredus::control
