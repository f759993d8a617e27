#pragma once

#include <string_view>

namespace veredus::smtp {

class Session;
struct Outgoing;

// Somebody who looks on at what sessions say and hear (SessionWorld::trace). Calls only record: a
// session must not be used from inside them. What they are given is there during the call.
class SessionTrace {
 public:
  virtual ~SessionTrace() = default;
  // It is being dialled; TCP is there; TLS is.
  virtual void dialled(const Session& session) = 0;
  virtual void connected(const Session& session) = 0;
  virtual void secured(const Session& session) = 0;
  // Whole lines, as the dialogue has written them; they may lie in our buffers for a moment yet.
  virtual void said(const Session& session, std::string_view commands) = 0;
  virtual void content_begins(const Session& session, const Outgoing& outgoing) = 0;
  // As it came, cut anywhere; before the dialogue knows of it.
  virtual void heard(const Session& session, std::string_view bytes) = 0;
  // How it fails, in words; then, or without that, its end.
  virtual void failed(const Session& session, std::string_view why) = 0;
  virtual void closed(const Session& session) = 0;
};

}  // namespace veredus::smtp
