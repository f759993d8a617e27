#include "tools/veredus/client.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <limits>
#include <system_error>
#include <utility>

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace veredus::tools {
namespace {

constexpr size_t kLineMax = 64 * 1024;
constexpr size_t kErrorBodyMax = 16 << 20;

absl::Status lost(const std::string& what) {
  return absl::UnavailableError("connection to the engine lost " + what);
}

std::string reason(int error) {
  return std::generic_category().message(error);
}

bool same_name(std::string_view line, std::string_view name) {
  if (line.size() <= name.size() || line[name.size()] != ':') return false;
  return std::equal(name.begin(), name.end(), line.begin(), [](char a, char b) {
    return a == (b >= 'A' && b <= 'Z' ? static_cast<char>(b + 32) : b);
  });
}

std::string_view value_of(std::string_view line) {
  line.remove_prefix(line.find(':') + 1);
  while (line.starts_with(' ')) line.remove_prefix(1);
  return line;
}

int64_t number_of(std::string_view text, int base = 10) {
  int64_t number = -1;
  std::from_chars(text.data(), text.data() + text.size(), number, base);
  return number;
}

}  // namespace

absl::StatusOr<Client> Client::connect(const std::string& socket_path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (socket_path.size() >= sizeof address.sun_path) {
    return absl::InvalidArgumentError(socket_path + ": a socket's path has at most 107 bytes");
  }
  std::memcpy(address.sun_path, socket_path.c_str(), socket_path.size() + 1);
  Client client(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (client.fd_ < 0) return absl::InternalError("socket: " + reason(errno));
  if (::connect(client.fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    if (errno == EACCES || errno == EPERM) {
      return absl::PermissionDeniedError(socket_path + ": " + reason(errno) +
                                         "; be a member of the socket's group, or root");
    }
    return absl::UnavailableError("no engine answers at " + socket_path + ": " + reason(errno) +
                                  "; is `veredus serve` running, and --socket right?");
  }
  return client;
}

Client::Client(Client&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), in_(std::move(other.in_)) {}

Client& Client::operator=(Client&& other) noexcept {
  if (fd_ >= 0) close(fd_);
  fd_ = std::exchange(other.fd_, -1);
  in_ = std::move(other.in_);
  return *this;
}

Client::~Client() {
  if (fd_ >= 0) close(fd_);
}

// Stops early, with `answered`, when the engine has something to say.
absl::Status Client::send_all(std::string_view bytes, bool& answered) {
  while (!bytes.empty()) {
    pollfd wait{fd_, POLLIN | POLLOUT, 0};
    if (poll(&wait, 1, -1) < 0 && errno != EINTR) return lost(reason(errno));
    if ((wait.revents & POLLIN) != 0) {
      answered = true;
      return absl::OkStatus();
    }
    if ((wait.revents & POLLOUT) == 0 && (wait.revents & (POLLERR | POLLHUP)) == 0) continue;
    const ssize_t sent = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0) {
      if (errno == EINTR || errno == EAGAIN) continue;
      return lost("while sending: " + reason(errno));
    }
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
  return absl::OkStatus();
}

absl::Status Client::fill() {
  std::array<char, 65536> chunk{};
  for (;;) {
    const ssize_t got = recv(fd_, chunk.data(), chunk.size(), 0);
    if (got > 0) {
      in_.append(chunk.data(), static_cast<size_t>(got));
      return absl::OkStatus();
    }
    if (got == 0) return lost("before its answer was complete");
    if (errno != EINTR) return lost("while reading: " + reason(errno));
  }
}

absl::StatusOr<std::string> Client::line() {
  for (;;) {
    const size_t end = in_.find('\n');
    if (end != std::string::npos) {
      std::string text = in_.substr(0, end);
      in_.erase(0, end + 1);
      if (!text.empty() && text.back() == '\r') text.pop_back();
      return text;
    }
    if (in_.size() > kLineMax) return absl::InternalError("an answer that is not HTTP");
    if (absl::Status status = fill(); !status.ok()) return status;
  }
}

// False: the taker has had enough.
absl::StatusOr<bool> Client::pass(const std::function<bool(std::string_view)>& take,
                                  uint64_t bytes) {
  while (bytes > 0) {
    if (in_.empty()) {
      if (absl::Status status = fill(); !status.ok()) return status;
    }
    const size_t piece = static_cast<size_t>(std::min<uint64_t>(bytes, in_.size()));
    const bool more = take(std::string_view(in_).substr(0, piece));
    in_.erase(0, piece);
    bytes -= piece;
    if (!more) return false;
  }
  return true;
}

absl::Status Client::body(const std::function<bool(std::string_view)>& take, int64_t length,
                          bool chunked) {
  if (!chunked) {
    if (length >= 0) return pass(take, static_cast<uint64_t>(length)).status();
    while (fill().ok()) {
      if (!pass(take, in_.size()).value_or(false)) break;
    }
    return absl::OkStatus();
  }
  for (;;) {
    absl::StatusOr<std::string> head = line();
    if (!head.ok()) return head.status();
    const int64_t size = number_of(*head, 16);
    if (size < 0) return absl::InternalError("an answer that is not HTTP");
    absl::StatusOr<bool> more = pass(take, static_cast<uint64_t>(size));
    if (!more.ok()) return more.status();
    if (!*more) return absl::OkStatus();
    absl::StatusOr<std::string> tail = line();
    if (!tail.ok()) return tail.status();
    if (size == 0) return absl::OkStatus();
  }
}

absl::StatusOr<Response> Client::response(const std::function<bool(std::string_view)>* on_bytes) {
  Response out;
  int64_t length = -1;
  bool chunked = false;
  do {  // 100 Continue may come first
    absl::StatusOr<std::string> first = line();
    if (!first.ok()) return first.status();
    if (!first->starts_with("HTTP/1.") || first->size() < 12) {
      return absl::InternalError("an answer that is not HTTP");
    }
    out.status = static_cast<int>(number_of(std::string_view(*first).substr(9, 3)));
    for (;;) {
      absl::StatusOr<std::string> header = line();
      if (!header.ok()) return header.status();
      if (header->empty()) break;
      if (same_name(*header, "content-length")) length = number_of(value_of(*header));
      if (same_name(*header, "retry-after")) {
        out.retry_after_s = static_cast<int>(number_of(value_of(*header)));
      }
      if (same_name(*header, "transfer-encoding")) chunked = value_of(*header) == "chunked";
    }
  } while (out.status == 100);
  absl::Status status;
  if (on_bytes != nullptr && out.status == 200) {
    status = body(*on_bytes, length, chunked);
  } else {
    status = body(
        [&out](std::string_view bytes) {
          out.body += bytes;
          return out.body.size() < kErrorBodyMax;
        },
        length, chunked);
  }
  if (!status.ok()) return status;
  return out;
}

absl::StatusOr<Response> Client::call(const std::string& method, const std::string& path,
                                      std::string_view body) {
  bool answered = false;
  std::string request = method + " " + path + " HTTP/1.1\r\nHost: localhost\r\n";
  if (!body.empty()) {
    request +=
        "Content-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) + "\r\n";
  }
  request += "\r\n";
  request += body;
  if (absl::Status status = send_all(request, answered); !status.ok()) return status;
  return response(nullptr);
}

absl::StatusOr<Response> Client::stream(const std::string& path,
                                        const std::function<bool(std::string_view)>& on_bytes) {
  bool answered = false;
  const std::string head =
      "GET " + path + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
  if (absl::Status status = send_all(head, answered); !status.ok()) return status;
  return response(&on_bytes);
}

absl::StatusOr<Response> Client::post(const std::string& path, uint64_t bytes,
                                      const std::function<std::string_view()>& read,
                                      const std::function<void(uint64_t)>& sent) {
  bool answered = false;
  const std::string head = "POST " + path +
                           " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\n"
                           "Content-Length: " +
                           std::to_string(bytes) + "\r\n\r\n";
  absl::Status status = send_all(head, answered);
  for (uint64_t done = 0; status.ok() && done < bytes && !answered;) {
    const std::string_view piece = read();
    if (piece.empty()) return absl::DataLossError("the input ended before its time");
    status = send_all(piece, answered);
    done += piece.size();
    sent(done);
  }
  // After a failed send an answer may be there all the same: it says why.
  absl::StatusOr<Response> answer = response(nullptr);
  if (!answer.ok() && !status.ok()) return status;
  return answer;
}

std::string url_escape(std::string_view text) {
  constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       std::string_view("-._~:@").find(c) != std::string_view::npos;
    if (plain) {
      out += c;
    } else {
      out += {'%', kHex[byte >> 4], kHex[byte & 15]};
    }
  }
  return out;
}

}  // namespace veredus::tools
