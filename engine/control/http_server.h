#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <sys/types.h>

#include "absl/status/status.h"
#include "engine/control/http_sockets.h"

struct MHD_Daemon;

namespace veredus::control {

// HTTP/1.1 on a Unix socket and on a loopback TCP port, on libmicrohttpd, one thread for all:
// connections, what the handlers do, and what other threads post here run one after the other, so
// nothing of it is locked.

struct HttpRequest {
  std::string method;
  std::string path;  // unescaped, without the query
  std::vector<std::pair<std::string, std::string>> query;
  std::string content_type;
  int64_t content_length = -1;  // -1: not said (chunked)
  bool on_tcp = false;          // else the Unix socket, whose peer has been checked
  bool has_body = false;

  std::string_view param(std::string_view name) const;  // "" when it is not there
};

struct HttpAnswer {
  unsigned status = 200;
  std::string content_type = "application/json";
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;
};

// What a request's handler may do with its connection. Lives as long as the handler.
class HttpCall {
 public:
  virtual ~HttpCall() = default;
  // Once: the answer. At any time after the handler was made, also after on_end().
  virtual void answer(HttpAnswer answer) = 0;
  // Instead of answer(): 200 with a body of unknown length, from read() of the handler.
  virtual void answer_stream(std::string content_type) = 0;
  // Goes on after on_body() held the peer up, or read() had nothing.
  virtual void resume() = 0;
};

// One request. Destroyed when the connection is done with it, or gone.
class HttpHandler {
 public:
  virtual ~HttpHandler() = default;
  // A piece of the request's body. False: the peer is held up until resume().
  virtual bool on_body(std::string_view bytes);
  // The body is complete (or there is none).
  virtual void on_end() {}
  // After answer_stream(): appends at most about `room` bytes. False: the end.  Nothing appended:
  // wait for resume().
  virtual bool read(std::string& out, size_t room);
};

class HttpServer {
 public:
  struct Options {
    FeedSocketOptions feed;
    bool tcp = false;
    std::string tcp_address = "127.0.0.1";
    uint16_t tcp_port = 0;            // 0: any free one (tests)
    std::string tcp_token;            // empty: nothing but what is open to all
    unsigned connections_max = 1024;  // per listener; further ones wait in the kernel
    unsigned silence_limit_s = 60;    // a connection that says nothing, or takes nothing, is closed
  };
  // Makes the handler of a request, never null; a refusal is a handler that answers at once.
  using Route = std::function<std::unique_ptr<HttpHandler>(const HttpRequest&, HttpCall&)>;
  // Paths that TCP callers may see without a token.
  using IsOpen = std::function<bool(const HttpRequest&)>;

  HttpServer(Options options, Route route, IsOpen is_open);
  ~HttpServer();

  // Binds and listens. The error says what is in the way and what to do.
  absl::Status listen();
  uint16_t tcp_port() const { return tcp_.port; }

  // Runs `work` on the server's thread soon. Any thread.
  void post(std::function<void()> work);
  // Called on the server's thread at least this often while it runs.
  void set_tick(int64_t every_ns, std::function<void()> tick);

  // The loop. Returns when stop() was called (any thread) and its connections are closed.
  void run();
  void stop();
  // No new connections from now on; those open go on. On the server's thread.
  void stop_listening();
  size_t connections() const { return connections_; }

 private:
  class Request;
  struct Peer;
  struct Callbacks;
  friend struct Callbacks;

  MHD_Daemon* start_daemon(int fd, bool tcp);
  int64_t wait_ms() const;
  void run_posted();

  const Options options_;
  const Route route_;
  const IsOpen is_open_;
  ListenSocket unix_, tcp_;
  MHD_Daemon* unix_daemon_ = nullptr;
  MHD_Daemon* tcp_daemon_ = nullptr;
  int wake_fd_ = -1;
  std::vector<Request*> requests_;
  size_t connections_ = 0;
  bool closing_ = false;

  int64_t tick_every_ns_ = 0;
  int64_t next_tick_ns_ = 0;
  std::function<void()> tick_;

  std::mutex posted_mutex_;
  std::vector<std::function<void()>> posted_;
  bool stop_ = false;  // under posted_mutex_
};

// {"error":{"code":…,"line":…,"byte":…,"reason":…,"hint":…}}; line and byte only where they are
// known.
struct HttpError {
  unsigned status = 400;
  std::string code;
  std::string reason;
  std::string hint;
  int64_t line = -1;
  int64_t byte = -1;
};
HttpAnswer error_answer(const HttpError& error);
// Handlers that only say this.
std::unique_ptr<HttpHandler> reply(HttpCall& call, HttpAnswer answer);
std::unique_ptr<HttpHandler> refuse(HttpCall& call, const HttpError& error);

}  // namespace veredus::control
