#include "engine/control/http_server.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>
#include <ctime>

#include <microhttpd.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "engine/control/log.h"
#include "engine/intake/json_writer.h"

namespace veredus::control {
namespace {

constexpr size_t kConnectionBytes = 128 * 1024;  // header and buffer of one connection
constexpr size_t kStreamBlock = 64 * 1024;
constexpr int64_t kDiscardBytesMax =
    1 << 20;  // of a refused body that are read to keep the connection
constexpr int64_t kDiscardLimitNs = 60'000'000'000;  // after which one that goes on is cut off
constexpr int64_t kWaitMax_ms = 1000;

int64_t mono_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

bool same_secret(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  unsigned difference = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    difference |= static_cast<unsigned char>(a[i]) ^ static_cast<unsigned char>(b[i]);
  }
  return difference == 0;
}

// A page from elsewhere must not reach us through a name of its own (DNS rebinding).
bool is_local_host(std::string_view host) {
  if (const size_t colon = host.rfind(':'); colon != std::string_view::npos && host.back() != ']') {
    host = host.substr(0, colon);
  }
  return host == "localhost" || host == "[::1]" || host == "127.0.0.1";
}

std::string_view header(MHD_Connection* connection, const char* name) {
  const char* value = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
  return value == nullptr ? std::string_view() : std::string_view(value);
}

void log_of_mhd(void*, const char* format, va_list arguments) {
  std::array<char, 512> text{};
  vsnprintf(text.data(), text.size(), format, arguments);
  std::string_view line = text.data();
  while (line.ends_with('\n')) line.remove_suffix(1);
  log_line(LogLevel::info, std::string("http: ").append(line));
}

class Answered final : public HttpHandler {
 public:
  Answered(HttpCall& call, HttpAnswer answer) { call.answer(std::move(answer)); }
};

}  // namespace

bool HttpHandler::on_body(std::string_view) {
  return true;
}
bool HttpHandler::read(std::string&, size_t) {
  return false;
}

std::string_view HttpRequest::param(std::string_view name) const {
  for (const auto& [key, value] : query) {
    if (key == name) return value;
  }
  return {};
}

HttpAnswer error_answer(const HttpError& error) {
  HttpAnswer answer;
  answer.status = error.status;
  intake::JsonWriter json(answer.body);
  json.begin_object().key("error").begin_object();
  json.field("code", error.code);
  if (error.line >= 0) json.field("line", error.line);
  if (error.byte >= 0) json.field("byte", error.byte);
  json.field("reason", error.reason).field_if("hint", error.hint);
  json.end_object().end_object().newline();
  return answer;
}

std::unique_ptr<HttpHandler> reply(HttpCall& call, HttpAnswer answer) {
  return std::make_unique<Answered>(call, std::move(answer));
}

std::unique_ptr<HttpHandler> refuse(HttpCall& call, const HttpError& error) {
  return reply(call, error_answer(error));
}

// Who is at the other end of a connection; made when it is accepted.
struct HttpServer::Peer {
  bool tcp = false;
  PeerVerdict verdict;
};

// One request of one connection: between libmicrohttpd's callbacks and the handler's wishes.
class HttpServer::Request final : public HttpCall {
 public:
  Request(HttpServer& server, MHD_Connection* connection)
      : server_(server), connection_(connection) {
    server_.requests_.push_back(this);
  }
  ~Request() override {
    handler_.reset();
    std::erase(server_.requests_, this);
  }

  void answer(HttpAnswer answer) override {
    assert(!answered_);
    answer_ = std::move(answer);
    answered_ = true;
    resume();
  }
  void answer_stream(std::string content_type) override {
    streaming_ = true;
    answer_.content_type = std::move(content_type);
    answered_ = true;
    resume();
  }
  void resume() override {
    wanted_ = true;
    if (!suspended_) return;
    suspended_ = false;
    MHD_resume_connection(connection_);
  }

  void set_handler(std::unique_ptr<HttpHandler> handler) { handler_ = std::move(handler); }

  // The headers are there.
  MHD_Result on_headers(const HttpRequest& request) {
    has_body_ = request.has_body;
    const bool small = request.content_length >= 0 && request.content_length <= kDiscardBytesMax;
    // Answered before the body: the connection is closed behind it, unless the body is small.
    if (answered_ && has_body_ && !small) return queue();
    return MHD_YES;
  }

  MHD_Result on_data(const char* data, size_t* size) {
    bool go_on = true;
    if (!answered_ && !server_.closing_) {
      wanted_ = false;
      go_on = handler_->on_body(std::string_view(data, *size)) || wanted_;
    }
    *size = 0;
    if (server_.closing_) return MHD_NO;
    // Answered: libmicrohttpd takes no answer in the middle of a body, so the rest is read and
    // dropped.
    if (answered_ && discard_until_ns_ == 0) discard_until_ns_ = mono_ns() + kDiscardLimitNs;
    if (discard_until_ns_ != 0 && mono_ns() > discard_until_ns_) return MHD_NO;
    return go_on || answered_ ? MHD_YES : suspend();
  }

  MHD_Result on_complete() {
    if (!ended_) {
      ended_ = true;
      if (!answered_) handler_->on_end();
    }
    if (answered_) return queue();
    if (server_.closing_) return MHD_NO;
    return suspend();
  }

  // For the response's body; called by libmicrohttpd until it says that it is done.
  ssize_t read(char* into, size_t room) {
    if (sent_ == buffer_.size()) {
      buffer_.clear();
      sent_ = 0;
      while (buffer_.empty()) {
        wanted_ = false;
        if (server_.closing_ || finished_) return MHD_CONTENT_READER_END_OF_STREAM;
        finished_ = !handler_->read(buffer_, room);
        if (buffer_.empty() && !finished_ && !wanted_) {
          suspend();
          return 0;
        }
      }
    }
    const size_t length = std::min(room, buffer_.size() - sent_);
    std::memcpy(into, buffer_.data() + sent_, length);
    sent_ += length;
    return static_cast<ssize_t>(length);
  }

 private:
  MHD_Result suspend() {
    suspended_ = true;
    MHD_suspend_connection(connection_);
    return MHD_YES;
  }

  MHD_Result queue();

  HttpServer& server_;
  MHD_Connection* const connection_;
  std::unique_ptr<HttpHandler> handler_;
  HttpAnswer answer_;
  std::string buffer_;
  size_t sent_ = 0;
  int64_t discard_until_ns_ = 0;
  bool answered_ = false, streaming_ = false, finished_ = false;
  bool suspended_ = false, wanted_ = false, ended_ = false, has_body_ = false;
};

// libmicrohttpd's C side.
struct HttpServer::Callbacks {
  static MHD_Result on_access(void* cls, MHD_Connection* connection, const char* url,
                              const char* method, const char*, const char* data, size_t* size,
                              void** con_cls) {
    auto* server = static_cast<HttpServer*>(cls);
    auto* request = static_cast<Request*>(*con_cls);
    if (request == nullptr) {
      if (server->closing_) return MHD_NO;
      request = new Request(*server, connection);
      *con_cls = request;
      return begin(*server, *request, connection, url, method);
    }
    if (*size != 0) return request->on_data(data, size);
    return request->on_complete();
  }

  static MHD_Result begin(HttpServer& server, Request& call, MHD_Connection* connection,
                          const char* url, const char* method) {
    const MHD_ConnectionInfo* info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    const Peer* peer = static_cast<const Peer*>(info->socket_context);
    HttpRequest request;
    request.method = method;
    request.path = url;
    request.on_tcp = peer->tcp;
    request.content_type = header(connection, "Content-Type");
    MHD_get_connection_values(connection, MHD_GET_ARGUMENT_KIND, &add_query, &request);
    const std::string_view length = header(connection, "Content-Length");
    if (!length.empty()) {
      request.content_length = std::strtoll(std::string(length).c_str(), nullptr, 10);
    }
    request.has_body =
        request.content_length > 0 || !header(connection, "Transfer-Encoding").empty();
    std::unique_ptr<HttpHandler> refusal = admit(server, call, connection, *peer, request);
    call.set_handler(refusal != nullptr ? std::move(refusal) : server.route_(request, call));
    return call.on_headers(request);
  }

  // Null: may go on.
  static std::unique_ptr<HttpHandler> admit(HttpServer& server, HttpCall& call,
                                            MHD_Connection* connection, const Peer& peer,
                                            const HttpRequest& request) {
    if (!peer.tcp) {
      if (peer.verdict.allowed) return nullptr;
      log_line(LogLevel::warning, "refused " + peer.verdict.who + " at " +
                                      server.options_.feed.path + ": not allowed by feed.users");
      return refuse(call, {403, "not_allowed", peer.verdict.who + " may not use this socket",
                           "add the user to the socket's group or to feed.users"});
    }
    if (!is_local_host(header(connection, "Host"))) {
      return refuse(call, {403, "wrong_host", "the Host header names no address of this listener",
                           "call it as localhost, 127.0.0.1 or [::1]"});
    }
    if (server.is_open_(request)) return nullptr;
    const std::string& token = server.options_.tcp_token;
    const std::string_view shown = header(connection, "Authorization");
    constexpr std::string_view kBearer = "Bearer ";
    if (!token.empty() && shown.starts_with(kBearer) &&
        same_secret(shown.substr(kBearer.size()), token)) {
      return nullptr;
    }
    return refuse(call,
                  {401, "token", token.empty() ? "no token is configured" : "wrong or no token",
                   token.empty() ? "set http.token_file, or use the Unix socket"
                                 : "send the header Authorization: Bearer TOKEN"});
  }

  static MHD_Result add_query(void* cls, MHD_ValueKind, const char* key, const char* value) {
    static_cast<HttpRequest*>(cls)->query.emplace_back(key, value == nullptr ? "" : value);
    return MHD_YES;
  }

  static void on_completed(void*, MHD_Connection*, void** con_cls, MHD_RequestTerminationCode) {
    delete static_cast<Request*>(*con_cls);
    *con_cls = nullptr;
  }

  static void on_connection(void* cls, MHD_Connection* connection, void** socket_context,
                            MHD_ConnectionNotificationCode code, bool tcp) {
    auto* server = static_cast<HttpServer*>(cls);
    if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
      delete static_cast<Peer*>(*socket_context);
      *socket_context = nullptr;
      --server->connections_;
      return;
    }
    ++server->connections_;
    auto* peer = new Peer;
    peer->tcp = tcp;
    if (!tcp) {
      const int fd =
          MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
      peer->verdict = judge_peer(fd, server->options_.feed, server->unix_.group);
    }
    *socket_context = peer;
  }
  static void on_unix(void* cls, MHD_Connection* connection, void** context,
                      MHD_ConnectionNotificationCode code) {
    on_connection(cls, connection, context, code, false);
  }
  static void on_tcp(void* cls, MHD_Connection* connection, void** context,
                     MHD_ConnectionNotificationCode code) {
    on_connection(cls, connection, context, code, true);
  }

  static ssize_t on_read(void* cls, uint64_t, char* into, size_t room) {
    return static_cast<Request*>(cls)->read(into, room);
  }
};

MHD_Result HttpServer::Request::queue() {
  MHD_Response* response =
      streaming_ ? MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, kStreamBlock,
                                                     &Callbacks::on_read, this, nullptr)
                 : MHD_create_response_from_buffer(answer_.body.size(), answer_.body.data(),
                                                   MHD_RESPMEM_PERSISTENT);
  MHD_add_response_header(response, "Content-Type", answer_.content_type.c_str());
  for (const auto& [name, value] : answer_.headers) {
    MHD_add_response_header(response, name.c_str(), value.c_str());
  }
  const MHD_Result queued =
      MHD_queue_response(connection_, streaming_ ? 200 : answer_.status, response);
  MHD_destroy_response(response);
  return queued;
}

HttpServer::HttpServer(Options options, Route route, IsOpen is_open)
    : options_(std::move(options)), route_(std::move(route)), is_open_(std::move(is_open)) {
  wake_fd_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
}

HttpServer::~HttpServer() {
  assert(requests_.empty());
  if (unix_daemon_ != nullptr) MHD_stop_daemon(unix_daemon_);
  if (tcp_daemon_ != nullptr) MHD_stop_daemon(tcp_daemon_);
  close(wake_fd_);
}

MHD_Daemon* HttpServer::start_daemon(int fd, bool tcp) {
  return MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, nullptr,
                          nullptr, &Callbacks::on_access, this,                            //
                          MHD_OPTION_EXTERNAL_LOGGER, &log_of_mhd, nullptr,                //
                          MHD_OPTION_LISTEN_SOCKET, fd,                                    //
                          MHD_OPTION_CONNECTION_LIMIT, options_.connections_max,           //
                          MHD_OPTION_CONNECTION_TIMEOUT, options_.silence_limit_s,         //
                          MHD_OPTION_CONNECTION_MEMORY_LIMIT, kConnectionBytes,            //
                          MHD_OPTION_NOTIFY_COMPLETED, &Callbacks::on_completed, nullptr,  //
                          MHD_OPTION_NOTIFY_CONNECTION,
                          tcp ? &Callbacks::on_tcp : &Callbacks::on_unix, this,  //
                          MHD_OPTION_STRICT_FOR_CLIENT, 1,                       //
                          MHD_OPTION_END);
}

absl::Status HttpServer::listen() {
  const auto failed = [] {
    return absl::InternalError("libmicrohttpd did not start (see the lines before)");
  };
  absl::StatusOr<ListenSocket> made = listen_on_unix(options_.feed);
  if (!made.ok()) return made.status();
  unix_ = *made;
  unix_daemon_ = start_daemon(unix_.fd, false);
  if (unix_daemon_ == nullptr) return failed();
  if (!options_.tcp) return absl::OkStatus();
  made = listen_on_tcp(options_.tcp_address, options_.tcp_port);
  if (!made.ok()) return made.status();
  tcp_ = *made;
  tcp_daemon_ = start_daemon(tcp_.fd, true);
  return tcp_daemon_ == nullptr ? failed() : absl::OkStatus();
}

void HttpServer::stop_listening() {
  for (auto [daemon, socket] : {std::pair{unix_daemon_, &unix_}, std::pair{tcp_daemon_, &tcp_}}) {
    if (daemon == nullptr || socket->fd < 0) continue;
    MHD_quiesce_daemon(daemon);
    close(socket->fd);
    socket->fd = -1;
  }
  if (unix_daemon_ != nullptr) unlink(options_.feed.path.c_str());
}

void HttpServer::post(std::function<void()> work) {
  {
    const std::lock_guard<std::mutex> lock(posted_mutex_);
    posted_.push_back(std::move(work));
  }
  const uint64_t one = 1;
  const ssize_t written = write(wake_fd_, &one, sizeof one);
  (void)written;  // only full counters fail, and those wake, too
}

void HttpServer::stop() {
  {
    const std::lock_guard<std::mutex> lock(posted_mutex_);
    stop_ = true;
  }
  post([] {});
}

void HttpServer::set_tick(int64_t every_ns, std::function<void()> tick) {
  tick_every_ns_ = every_ns;
  tick_ = std::move(tick);
  next_tick_ns_ = mono_ns() + tick_every_ns_;
}

void HttpServer::run_posted() {
  std::vector<std::function<void()>> work;
  {
    const std::lock_guard<std::mutex> lock(posted_mutex_);
    work.swap(posted_);
  }
  for (const std::function<void()>& item : work) item();
}

int64_t HttpServer::wait_ms() const {
  int64_t wait = kWaitMax_ms;
  for (MHD_Daemon* daemon : {unix_daemon_, tcp_daemon_}) {
    MHD_UNSIGNED_LONG_LONG limit = 0;
    if (daemon != nullptr && MHD_get_timeout(daemon, &limit) == MHD_YES) {
      wait = std::min(wait, static_cast<int64_t>(limit));
    }
  }
  if (tick_) wait = std::min(wait, (next_tick_ns_ - mono_ns()) / 1'000'000 + 1);
  return std::max<int64_t>(wait, 0);
}

void HttpServer::run() {
  assert(unix_daemon_ != nullptr);
  std::vector<pollfd> fds = {{wake_fd_, POLLIN, 0}};
  for (MHD_Daemon* daemon : {unix_daemon_, tcp_daemon_}) {
    if (daemon == nullptr) continue;
    fds.push_back({MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd, POLLIN, 0});
  }
  for (bool stop = false; !stop;) {
    poll(fds.data(), fds.size(), static_cast<int>(wait_ms()));
    uint64_t count = 0;
    const ssize_t got = ::read(wake_fd_, &count, sizeof count);
    (void)got;
    {
      const std::lock_guard<std::mutex> lock(posted_mutex_);
      stop = stop_;
    }
    run_posted();
    if (tick_ && mono_ns() >= next_tick_ns_) {
      next_tick_ns_ = mono_ns() + tick_every_ns_;
      tick_();
    }
    MHD_run(unix_daemon_);
    if (tcp_daemon_ != nullptr) MHD_run(tcp_daemon_);
  }
  stop_listening();
  // Those that wait must be let go before their daemon; what was not answered yet is cut off.
  closing_ = true;
  for (Request* request : requests_) request->resume();
  MHD_run(unix_daemon_);
  MHD_stop_daemon(unix_daemon_);
  unix_daemon_ = nullptr;
  if (tcp_daemon_ != nullptr) {
    MHD_run(tcp_daemon_);
    MHD_stop_daemon(tcp_daemon_);
    tcp_daemon_ = nullptr;
  }
}

}  // namespace veredus::control
