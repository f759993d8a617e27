#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <thread>

#include <sysexits.h>
#include <unistd.h>

#include "tools/veredus/client.h"
#include "tools/veredus/commands.h"

namespace veredus::tools {
namespace {

constexpr std::string_view kCursorHead = "{\"v\":1,\"type\":\"cursor\",\"cursor\":\"";

// Prints lines as they become complete, and keeps the last cursor.
class Printer {
 public:
  Printer(const EventsOptions& options, std::string socket, std::string cursor)
      : options_(options), socket_(std::move(socket)), cursor_(std::move(cursor)) {}

  bool take(std::string_view bytes) {
    rest_ += bytes;
    size_t begin = 0;
    for (size_t end = rest_.find('\n'); end != std::string::npos; end = rest_.find('\n', begin)) {
      const std::string_view line = std::string_view(rest_).substr(begin, end + 1 - begin);
      begin = end + 1;
      if (!print(line)) return false;
    }
    rest_.erase(0, begin);
    return true;
  }
  const std::string& cursor() const { return cursor_; }
  uint64_t events() const { return events_; }
  // Says as the consumer up to where all is printed.
  bool acknowledge() {
    if (options_.consumer.empty() || cursor_ == acknowledged_) return true;
    const std::string body = "{\"cursor\":\"" + cursor_ + "\"}";
    const std::string path = "/v1/consumers/" + url_escape(options_.consumer) + "/ack";
    absl::StatusOr<Client> client = Client::connect(socket_);
    const absl::StatusOr<Response> answer =
        client.ok()
            ? client->post(
                  path, body.size(), [&] { return std::string_view(body); }, [](uint64_t) {})
            : client.status();
    last_ack_ = std::chrono::steady_clock::now();
    if (answer.ok() && answer->status == 200) {
      acknowledged_ = cursor_;
      return true;
    }
    complain("consumer " + options_.consumer + ": not acknowledged: " +
             (answer.ok() ? error_text(answer->body) : std::string(answer.status().message())));
    return false;
  }
  // A lost connection may have cut a line.
  void forget_rest() { rest_.clear(); }

 private:
  bool print(std::string_view line) {
    const bool is_cursor = line.starts_with(kCursorHead);
    if (is_cursor) {
      const size_t end = line.find('"', kCursorHead.size());
      cursor_ = line.substr(kCursorHead.size(), end - kCursorHead.size());
    } else {
      ++events_;
    }
    if (is_cursor && !options_.cursors) {
      if (std::fflush(stdout) != 0 || !save()) return false;
      if (std::chrono::steady_clock::now() - last_ack_ >= std::chrono::seconds(1))
        static_cast<void>(acknowledge());  // the next one says more
      return true;
    }
    return std::fwrite(line.data(), 1, line.size(), stdout) == line.size();
  }

  // What was printed before is out; so whoever starts again with this file misses nothing.
  bool save() {
    if (options_.state_file.empty()) return true;
    const std::string next = options_.state_file + ".new";
    std::ofstream out(next, std::ios::trunc);
    out << cursor_ << '\n';
    out.close();
    if (!out || std::rename(next.c_str(), options_.state_file.c_str()) != 0) {
      complain(options_.state_file + ": cannot be written");
      return false;
    }
    return true;
  }

  const EventsOptions& options_;
  const std::string socket_;
  std::string cursor_;
  std::string acknowledged_;
  std::chrono::steady_clock::time_point last_ack_{};
  std::string rest_;
  uint64_t events_ = 0;
};

std::string path_of(const EventsOptions& options, const std::string& cursor, uint64_t seen) {
  std::string path = "/v1/events?follow=" + std::string(options.follow ? "1" : "0");
  const auto add = [&path](const char* name, const std::string& value) {
    if (!value.empty()) path += std::string("&") + name + "=" + url_escape(value);
  };
  add("after", cursor);
  add("consumer", options.consumer);
  add("tenant", options.tenant);
  add("batch", options.batch);
  add("campaign", options.campaign);
  if (!options.type.empty()) path += "&type=" + options.type;
  if (options.limit != 0) path += "&limit=" + std::to_string(options.limit - seen);
  return path;
}

}  // namespace

int run_events(const Common& common, const EventsOptions& options) {
  const std::string socket = socket_of(common);
  if (socket.empty()) return EX_CONFIG;
  std::string after = options.after;
  if (after.empty() && !options.state_file.empty()) {
    std::ifstream in(options.state_file);
    std::getline(in, after);
  }
  Printer printer(options, socket, after);
  for (;;) {
    absl::StatusOr<Client> client = Client::connect(socket);
    absl::StatusOr<Response> answer =
        client.ok() ? client->stream(path_of(options, printer.cursor(), printer.events()),
                                     [&](std::string_view bytes) { return printer.take(bytes); })
                    : client.status();
    printer.forget_rest();
    std::fflush(stdout);
    if (std::ferror(stdout) != 0) return EX_IOERR;
    const bool acknowledged = printer.acknowledge();
    if (answer.ok() && answer->status != 200) {
      complain(error_text(answer->body));
      return answer->status == 400 ? EX_USAGE : answer->status == 403 ? EX_NOPERM : EX_UNAVAILABLE;
    }
    if (!options.follow || (options.limit != 0 && printer.events() >= options.limit)) {
      if (answer.ok()) return acknowledged ? EX_OK : EX_UNAVAILABLE;
      complain(std::string(answer.status().message()));
      return exit_status_of(answer.status());
    }
    // Following goes on over restarts of the engine.
    if (!answer.ok() && !absl::IsUnavailable(answer.status())) {
      complain(std::string(answer.status().message()));
      return exit_status_of(answer.status());
    }
    std::this_thread::sleep_for(std::chrono::seconds(1));
  }
}

}  // namespace veredus::tools
