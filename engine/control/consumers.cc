#include "engine/control/consumers.h"

#include <algorithm>
#include <utility>

#include "engine/control/log.h"

namespace veredus::control {

Consumers::Consumers(EngineView& view) : view_(view) {
  for (const queue::Consumer& found : view_.consumers_at_start()) {
    absl::StatusOr<EventCursor> cursor = decode_cursor(found.cursor);
    if (!cursor.ok()) {
      log_line(LogLevel::error, "consumer " + found.name + " begins again at the oldest event: " +
                                    std::string(cursor.status().message()));
      cursor = EventCursor{};
    }
    known_[found.name] = {found.cursor, *std::move(cursor), found.acked_wall_ns};
  }
  hold();
}

Consumers::~Consumers() {
  *self_ = nullptr;
}

bool Consumers::is_name(std::string_view name) {
  return !name.empty() && name.size() <= 128 && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
           std::string_view("._:@-").find(c) != std::string_view::npos;
  });
}

const Consumers::Known* Consumers::find(const std::string& name) const {
  const auto found = known_.find(name);
  return found == known_.end() ? nullptr : &found->second;
}

const Consumers::Known& Consumers::begin(const std::string& name, const EventCursor* at,
                                         int64_t wall_ns) {
  Known& known = known_[name];
  known.acked_wall_ns = wall_ns;
  if (at != nullptr) {
    known.cursor = *at;
  } else {
    known.cursor.streams.resize(view_.journals());
    for (unsigned journal = 0; journal < view_.journals(); ++journal) {
      StreamCursor& stream = known.cursor.streams[journal];
      stream.next = stream.back = {view_.events_from(journal), 0, 0};
    }
  }
  known.cursor_text = encode_cursor(known.cursor);
  hold();
  view_.store_consumer({name, known.cursor_text, wall_ns}, [name](const absl::Status& status) {
    if (!status.ok()) {
      log_line(LogLevel::error, "consumer " + name + " is forgotten when the engine ends: " +
                                    std::string(status.message()));
    }
  });
  return known;
}

void Consumers::acknowledge(const std::string& name, const std::string& cursor_text,
                            EventCursor cursor, int64_t wall_ns, Done done) {
  if (find(name) == nullptr) begin(name, &cursor, wall_ns);
  const auto stored =
      [self = self_, name, done = std::move(done),
       known = Known{cursor_text, std::move(cursor), wall_ns}](const absl::Status& status) {
        if (*self != nullptr && status.ok()) {
          // One that was removed meanwhile was so before this was stored.
          (*self)->known_[name] = known;
          (*self)->hold();
        }
        done(status);
      };
  view_.store_consumer({name, cursor_text, wall_ns}, stored);
}

void Consumers::remove(const std::string& name, int64_t wall_ns, Done done) {
  view_.store_consumer({name, "", wall_ns},
                       [self = self_, name, done = std::move(done)](const absl::Status& status) {
                         if (*self != nullptr && status.ok()) {
                           (*self)->known_.erase(name);
                           (*self)->hold();
                         }
                         done(status);
                       });
}

// Of each journal what the one that is furthest behind has not passed. A journal that a cursor does
// not know is newer: of that all.
void Consumers::hold() {
  for (unsigned journal = 0; journal < view_.journals(); ++journal) {
    uint32_t from = UINT32_MAX;
    for (const auto& [name, known] : known_) {
      const auto& streams = known.cursor.streams;
      from = std::min(from, journal < streams.size() ? std::min(streams[journal].next.segment,
                                                                streams[journal].back.segment)
                                                     : 0);
    }
    view_.hold_events(journal, from);
  }
}

}  // namespace veredus::control
