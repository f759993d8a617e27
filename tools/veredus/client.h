#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace veredus::tools {

// A small blocking HTTP/1.1 client for the feed socket: one connection, one request at a time.

struct Response {
  int status = 0;
  std::string body;
  int retry_after_s = 0;  // of the header; 0: none
};

class Client {
 public:
  // Unavailable: nobody answers there; PermissionDenied: we may not.
  static absl::StatusOr<Client> connect(const std::string& socket_path);
  Client(Client&& other) noexcept;
  Client& operator=(Client&& other) noexcept;
  ~Client();

  absl::StatusOr<Response> get(const std::string& path) { return call("GET", path, ""); }
  // With a small body, in JSON, or none.
  absl::StatusOr<Response> call(const std::string& method, const std::string& path,
                                std::string_view body);
  // The body of a 200 goes to `on_bytes` as it comes, until the end or until it returns false; that
  // of any other answer into Response::body.
  absl::StatusOr<Response> stream(const std::string& path,
                                  const std::function<bool(std::string_view)>& on_bytes);

  // POST of `bytes` bytes, given piece by piece by `read` (empty: it has failed). An answer that
  // comes before the end of the body ends it. `sent` hears how many bytes have gone out so far.
  absl::StatusOr<Response> post(const std::string& path, uint64_t bytes,
                                const std::function<std::string_view()>& read,
                                const std::function<void(uint64_t)>& sent);

 private:
  explicit Client(int fd) : fd_(fd) {}
  absl::Status send_all(std::string_view bytes, bool& answered);
  absl::Status fill();
  absl::StatusOr<std::string> line();
  absl::StatusOr<Response> response(const std::function<bool(std::string_view)>* on_bytes);
  absl::Status body(const std::function<bool(std::string_view)>& take, int64_t length,
                    bool chunked);
  absl::StatusOr<bool> pass(const std::function<bool(std::string_view)>& take, uint64_t bytes);

  int fd_;
  std::string in_;  // received, not yet used
};

// Escaped for a query or a path.
std::string url_escape(std::string_view text);

}  // namespace veredus::tools
