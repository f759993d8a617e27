#pragma once

#include <functional>
#include <string>
#include <vector>

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/dns/message.h"
#include "tests/dns/poll_host.h"

namespace veredus::dns::testing {

// A name server over UDP in the test's own loop. It keeps every query; `reply` says what is sent
// back, message by message, with the query's id put in unless it is told otherwise.
class StubServer {
 public:
  using Reply = std::function<std::vector<Bytes>(const Bytes& query)>;

  StubServer(PollHost& host, Reply reply, const std::string& ip = "127.0.0.1")
      : host_(host), reply_(std::move(reply)) {
    fd_ = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    inet_pton(AF_INET, ip.c_str(), &address.sin_addr);
    EXPECT_EQ(bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    socklen_t size = sizeof address;
    getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size);
    name = ip + ':' + std::to_string(ntohs(address.sin_port));
    host_.serve(fd_, [this] { receive(); });
  }
  ~StubServer() {
    host_.stop_serving(fd_);
    close(fd_);
  }
  StubServer(const StubServer&) = delete;
  StubServer& operator=(const StubServer&) = delete;

  // The answer of `message` to this query: its id is put in.
  static Bytes to(const Bytes& query, const Message& message) {
    Bytes raw = message.bytes();
    raw[0] = query[0];
    raw[1] = query[1];
    return raw;
  }
  // Sends something later, to whoever asked with `query`.
  void send(size_t query, const Message& message) {
    const Bytes raw = to(queries[query], message);
    sendto(fd_, raw.data(), raw.size(), 0, reinterpret_cast<sockaddr*>(&askers_[query]),
           sizeof askers_[query]);
  }
  std::string asked(size_t query) const {
    Name name_asked;
    uint16_t type = 0;
    EXPECT_TRUE(parse_question(queries[query], name_asked, type));
    return std::string(name_asked.view());
  }

  std::string name;  // "ip:port"
  std::vector<Bytes> queries;

 private:
  void receive() {
    uint8_t buffer[1500];
    sockaddr_in from{};
    socklen_t size = sizeof from;
    ssize_t got;
    while ((got = recvfrom(fd_, buffer, sizeof buffer, 0, reinterpret_cast<sockaddr*>(&from),
                           &size)) > 0) {
      queries.emplace_back(buffer, buffer + got);
      askers_.push_back(from);
      for (const Bytes& raw : reply_(Bytes(queries.back()))) {
        sendto(fd_, raw.data(), raw.size(), 0, reinterpret_cast<sockaddr*>(&from), size);
      }
    }
  }

  PollHost& host_;
  Reply reply_;
  int fd_;
  std::vector<sockaddr_in> askers_;
};

}  // namespace veredus::dns::testing
