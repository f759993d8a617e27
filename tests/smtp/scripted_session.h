#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/smtp/session.h"

// A session over a network and a clock of the test's own.
namespace veredus::smtp {

inline constexpr int64_t kSecond = 1'000'000'000;
inline constexpr int64_t kMinute = 60 * kSecond;

// Does nothing by itself: the test plays the kernel and the peer.
class ScriptedNetwork final : public io::Network {
 public:
  io::Socket connect(const io::Endpoint&, const io::Endpoint&,
                     io::SocketEvents& socket_events) override {
    if (no_sockets) return io::kNoSocket;
    events = &socket_events;
    ++open;
    return 7;
  }
  void send(io::Socket socket, std::span<const iovec> pieces) override {
    EXPECT_EQ(socket, 7u);
    EXPECT_FALSE(sending) << "one send at a time";
    EXPECT_FALSE(closing);
    sending = true;
    std::string bytes;
    for (const iovec& piece : pieces)
      bytes.append(static_cast<const char*>(piece.iov_base), piece.iov_len);
    sends.push_back(bytes);
    wire += bytes;
  }
  uint64_t sent_so_far(io::Socket) const override { return 0; }
  void close(io::Socket, bool) override {
    EXPECT_FALSE(closing);
    closing = true;
  }
  bool has_address(const io::Endpoint&) override { return true; }
  size_t open_sockets() const override { return open; }

  io::SocketEvents* events = nullptr;
  std::vector<std::string> sends;
  std::string wire;
  size_t open = 0;
  bool no_sockets = false, sending = false, closing = false;
};

struct Heard {
  const Outgoing* outgoing;
  uint16_t recipient;
  Result result;
  Phase stage;
  Reason reason;
  int64_t at_ns;
};

class SessionTest : public testing::Test, protected SessionOwner {
 protected:
  SessionTest() { settings_.ehlo_name = "mta.test"; }

  void on_session_ready(Session&) override { ++ready_; }
  void on_session_outcome(Session&, Outgoing* outgoing, const Outcome& outcome,
                          std::string_view) override {
    heard_.push_back(
        {outgoing, outcome.recipient, outcome.verdict.result, outcome.stage, outcome.reason, now_});
  }
  void on_outgoing_free(Session&, Outgoing& outgoing) override { freed_.push_back(&outgoing); }
  void on_session_closing(Session&) override { ++closings_; }
  void on_session_gone(Session&) override { ++gone_; }

  // The end of a turn: what was queued is the kernel's.
  void submit() { world_.submitted(); }
  void sent(int error = 0) {
    ASSERT_TRUE(network_.sending);
    network_.sending = false;
    network_.events->on_sent(error);
    submit();
  }
  void hear(std::string_view bytes) {
    network_.events->on_received(bytes);
    submit();
  }
  void closed() {
    ASSERT_TRUE(network_.closing);
    network_.closing = network_.sending = false;
    --network_.open;
    network_.events->on_closed();
  }
  void pass(int64_t ns) {
    const int64_t until = now_ + ns;
    while (now_ < until) {
      now_ = std::min(until, now_ + kSecond / 4);
      timers_.advance(now_, 1000);
      submit();
    }
  }
  void dial() { ASSERT_TRUE(session_.dial({{192, 0, 2, 1}, 25, 4}, {}, settings_)); }
  void connect() {
    dial();
    network_.events->on_connected(0);
    submit();
  }
  // Connected, greeted, EHLO answered: idle.
  void be_idle(std::string_view capabilities = "") {
    connect();
    hear("220 mx.test\r\n");
    sent();
    hear("250-mx.test\r\n" + std::string(capabilities) + "250 ENHANCEDSTATUSCODES\r\n");
    ASSERT_EQ(ready_, 1);
    network_.sends.clear();
    network_.wire.clear();
  }
  struct Mail : Outgoing {
    explicit Mail(std::vector<std::string_view> to,
                  std::string text = "Subject: s\r\n\r\nHello\r\n")
        : body(std::move(text)) {
      recipients = std::move(to);
      reverse_path = "a@b.test";
      content.push_back({body.data(), body.size()});
      transaction.reverse_path = reverse_path;
      transaction.recipients = recipients;
      transaction.size = body.size();
    }
    std::string body;
  };
  void offer(Outgoing& mail) {
    session_.offer(mail);
    submit();
  }
  // The one thing that was heard is a time-out there, `limit_ns` after `since_ns` and less than a
  // second later.
  void expect_time_out(int64_t since_ns, int64_t limit_ns, Phase stage) {
    pass(since_ns + limit_ns - now_ - 1);
    EXPECT_THAT(heard_, testing::IsEmpty()) << "too early";
    pass(kSecond);
    ASSERT_FALSE(heard_.empty()) << "no time-out";
    EXPECT_EQ(heard_[0].reason, Reason::timed_out);
    EXPECT_EQ(heard_[0].stage, stage);
    EXPECT_TRUE(network_.closing);
    closed();
    EXPECT_EQ(gone_, 1);
  }

  int64_t now_ = kSecond;
  ScriptedNetwork network_;
  io::TimerWheel timers_{kSecond};
  DialogueSettings settings_;
  SessionWorld world_{network_, timers_, now_};
  Session session_{world_, *this};
  std::vector<Heard> heard_;
  std::vector<Outgoing*> freed_;
  int ready_ = 0, closings_ = 0, gone_ = 0;
};

}  // namespace veredus::smtp
