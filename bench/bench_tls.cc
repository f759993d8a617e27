// What TLS costs a session: memory while it is idle, and CPU of handshakes and of content, against
// bare OpenSSL in the same run.
//
//   idle_memory      heap per smtp::Session that is idle after traffic under TLS 1.3, its share of
//                    what all keep for resumption included; the server's part is counted out
//   handshake        client's CPU of one: full, and resumed, as a TlsChannel and as a bare SSL with
//                    memory BIOs
//   write            client's CPU to encrypt so many bytes, likewise
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>
#include <malloc.h>
#include <time.h>

#include "engine/smtp/session.h"
#include "tests/io/tls_server.h"

namespace veredus {
namespace {

using test::TlsServer;
using test::TlsServerContext;

int64_t cpu_ns() {
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return time.tv_sec * 1'000'000'000 + time.tv_nsec;
}
// CPU time of what is done while one lives.
class Counted {
 public:
  explicit Counted(int64_t& sum) : sum_(sum), begun_(cpu_ns()) {}
  ~Counted() { sum_ += cpu_ns() - begun_; }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;

 private:
  int64_t& sum_;
  const int64_t begun_;
};

// -------------------------------------------------------------------------------------------------
// memory

// The kernel of one session: what it sent, and nothing more.
class OneSocket final : public io::Network {
 public:
  io::Socket connect(const io::Endpoint&, const io::Endpoint&, io::SocketEvents& events) override {
    events_.push_back(&events);
    sent_.emplace_back();
    return static_cast<io::Socket>(events_.size() - 1);
  }
  void send(io::Socket socket, std::span<const iovec> pieces) override {
    for (const iovec& piece : pieces)
      sent_[socket].append(static_cast<const char*>(piece.iov_base), piece.iov_len);
  }
  uint64_t sent_so_far(io::Socket) const override { return 0; }
  void close(io::Socket, bool) override {}
  size_t open_sockets() const override { return events_.size(); }
  bool has_address(const io::Endpoint&) override { return true; }

  io::SocketEvents& events(size_t socket) { return *events_[socket]; }
  std::string take(size_t socket) { return std::exchange(sent_[socket], {}); }

 private:
  std::vector<io::SocketEvents*> events_;
  std::vector<std::string> sent_;
};

class Sessions final : private smtp::SessionOwner {
 public:
  Sessions() { settings_.tls = smtp::TlsUse::required; }

  // Connected, under TLS, so many messages sent, idle.
  void open(size_t number, TlsServerContext& context, size_t messages) {
    smtp::Session& session =
        sessions_.emplace_back(world_, static_cast<smtp::SessionOwner&>(*this));
    const io::Endpoint peer{{127, 0, uint8_t(number >> 8), uint8_t(number)}, 25, 4};
    session.dial(peer, {}, settings_);
    network_.events(number).on_connected(0);
    hear(number, "220 mx.test\r\n");
    hear(number, "250-mx.test\r\n250 STARTTLS\r\n");
    network_.take(number);  // what was said in clear
    hear(number, "220 go ahead\r\n");
    TlsServer server(context);
    const auto say = [&](std::string_view text) {
      if (!text.empty()) server.say(text);
      for (bool more = true; more;) {
        const std::string up = network_.take(number), down = (server.receive(up), server.take());
        if (!down.empty()) hear(number, down);
        more = !up.empty() || !down.empty();
      }
    };
    say({});
    say("250-mx.test\r\n250-PIPELINING\r\n250 CHUNKING\r\n");
    for (size_t i = 0; i < messages; ++i) {
      session.offer(mail_);
      world_.submitted();
      network_.events(number).on_sent(0);
      say("250 ok\r\n250 ok\r\n250 taken\r\n");
    }
    if (!session.idle() || session.tls() == nullptr) std::abort();
  }

 private:
  struct Mail : smtp::Outgoing {
    Mail() {
      recipients = {"ada@example.org"};
      content.push_back({body.data(), body.size()});
      transaction.recipients = recipients;
      transaction.size = body.size();
    }
    std::string body = "Subject: s\r\n\r\n" + std::string(20'000, 'x') + "\r\n";
  };

  void hear(size_t number, std::string_view bytes) {
    network_.events(number).on_received(bytes);
    world_.submitted();
    network_.events(number).on_sent(0);
    world_.submitted();
  }
  io::TlsPeer tls_peer(const smtp::Session&) override { return {"mx.test"}; }
  void on_session_ready(smtp::Session&) override {}
  void on_session_outcome(smtp::Session&, smtp::Outgoing* outgoing, const smtp::Outcome& outcome,
                          std::string_view) override {
    if (outgoing == nullptr || outcome.verdict.result != smtp::Result::delivered) std::abort();
  }
  void on_outgoing_free(smtp::Session&, smtp::Outgoing& outgoing) override {
    outgoing.content = {{mail_.body.data(), mail_.body.size()}};
  }
  void on_session_closing(smtp::Session&) override {}
  void on_session_gone(smtp::Session&) override {}

  int64_t now_ = 1'000'000'000;
  OneSocket network_;
  io::TimerWheel timers_{now_};
  smtp::DialogueSettings settings_;
  smtp::SessionWorld world_{network_, timers_, now_};
  Mail mail_;
  std::deque<smtp::Session> sessions_;
};

void idle_memory(benchmark::State& state) {
  const auto count = static_cast<size_t>(state.range(0));
  TlsServerContext context;
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  for (auto _ : state) {
    { Sessions().open(0, context, 10); }  // what is made once
    const size_t before = mallinfo2().uordblks;
    auto sessions = std::make_unique<Sessions>();
    for (size_t i = 0; i < count; ++i) sessions->open(i, context, 10);
    const double bytes = static_cast<double>(mallinfo2().uordblks - before);
    state.counters["bytes/session"] = bytes / static_cast<double>(count);
  }
}
BENCHMARK(idle_memory)->Arg(5000)->Iterations(1)->Unit(benchmark::kMillisecond);

// -------------------------------------------------------------------------------------------------
// CPU of the client's part

// OpenSSL with memory BIOs, and nothing around it.
struct BareClient {
  BareClient(SSL_CTX* context, SSL_SESSION* resume)
      : ssl(SSL_new(context)), in(BIO_new(BIO_s_mem())), out(BIO_new(BIO_s_mem())) {
    SSL_set_bio(ssl, in, out);
    SSL_set_tlsext_host_name(ssl, "mx.test");
    if (resume != nullptr) SSL_set_session(ssl, resume);
    SSL_set_connect_state(ssl);
  }
  ~BareClient() {
    SSL_set_quiet_shutdown(ssl, 1);
    SSL_shutdown(ssl);
    SSL_free(ssl);
  }
  std::string step(std::string_view bytes) {
    if (!bytes.empty()) BIO_write(in, bytes.data(), static_cast<int>(bytes.size()));
    char some[4096];
    if (SSL_do_handshake(ssl) == 1) {
      while (SSL_read(ssl, some, sizeof some) > 0) {
      }
    }
    ERR_clear_error();
    std::string sent(BIO_ctrl_pending(out), '\0');
    if (!sent.empty()) BIO_read(out, sent.data(), static_cast<int>(sent.size()));
    return sent;
  }
  SSL* ssl;
  BIO *in, *out;
};

template <class Make, class Step, class Check>
void handshakes(benchmark::State& state, Make&& make, Step&& step, Check&& check) {
  TlsServerContext server_context;
  int64_t spent = 0;
  for (auto _ : state) {
    TlsServer server(server_context);
    const int64_t before = spent;
    auto client = [&] {
      const Counted counted(spent);
      return make();
    }();
    std::string down;
    for (bool more = true; more;) {
      const std::string up = [&] {
        const Counted counted(spent);
        return step(*client, down);
      }();
      server.receive(up);
      down = server.take();
      more = !up.empty() || !down.empty();
    }
    check(*client);
    {
      const Counted counted(spent);
      client.reset();
    }
    state.SetIterationTime(static_cast<double>(spent - before) * 1e-9);
  }
}

// Arg: 1 resumed.
void channel_handshake(benchmark::State& state) {
  io::TlsContext context;
  int64_t number = 0;
  const bool resumed = state.range(0) == 1;
  handshakes(
      state,
      [&] {
        const std::string key = resumed ? "a" : std::to_string(number);
        return std::make_unique<io::TlsChannel>(context, io::TlsPeer{"mx.test"}, key, 0);
      },
      [](io::TlsChannel& client, std::string_view down) {
        std::string plaintext;
        if (!down.empty()) client.receive(down, plaintext);
        return client.take_output();
      },
      [&](io::TlsChannel& client) {
        if (number++ > 0 && client.resumed() != resumed) state.SkipWithError("resumed or not");
      });
}
BENCHMARK(channel_handshake)->Arg(0)->Arg(1)->UseManualTime()->Unit(benchmark::kMicrosecond);

void bare_handshake(benchmark::State& state) {
  const std::unique_ptr<SSL_CTX, void (*)(SSL_CTX*)> context(SSL_CTX_new(TLS_client_method()),
                                                             SSL_CTX_free);
  static SSL_SESSION* kept = nullptr;
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(context.get(), [](SSL*, SSL_SESSION* session) {
    SSL_SESSION_free(std::exchange(kept, session));
    return 1;
  });
  const bool resumed = state.range(0) == 1;
  handshakes(
      state, [&] { return std::make_unique<BareClient>(context.get(), resumed ? kept : nullptr); },
      [](BareClient& client, std::string_view down) { return client.step(down); },
      [](BareClient&) {});
  SSL_SESSION_free(std::exchange(kept, nullptr));
}
BENCHMARK(bare_handshake)->Arg(0)->Arg(1)->UseManualTime()->Unit(benchmark::kMicrosecond);

// Arg: bytes.
void channel_write(benchmark::State& state) {
  io::TlsContext context;
  TlsServerContext server_context;
  io::TlsChannel client(context, io::TlsPeer{"mx.test"}, "a", 0);
  TlsServer server(server_context);
  std::string plaintext;
  for (int i = 0; i < 4; ++i) {
    server.receive(client.take_output());
    client.receive(server.take(), plaintext);
  }
  const std::string text(static_cast<size_t>(state.range(0)), 'x');
  std::vector<iovec> pieces;  // as content is: constant pieces and what is put between them
  for (size_t at = 0; at < text.size(); at += 1000)
    pieces.push_back(
        {const_cast<char*>(text.data() + at), std::min<size_t>(1000, text.size() - at)});
  std::string ciphertext;
  for (auto _ : state) {
    ciphertext.clear();
    if (!client.send(pieces, ciphertext)) return state.SkipWithError("not open");
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(channel_write)->Arg(2 << 10)->Arg(10 << 10)->Arg(100 << 10);

void bare_write(benchmark::State& state) {
  const std::unique_ptr<SSL_CTX, void (*)(SSL_CTX*)> context(SSL_CTX_new(TLS_client_method()),
                                                             SSL_CTX_free);
  TlsServerContext server_context;
  BareClient client(context.get(), nullptr);
  TlsServer server(server_context);
  std::string down;
  for (int i = 0; i < 4; ++i) {
    server.receive(client.step(down));
    down = server.take();
  }
  const std::string text(static_cast<size_t>(state.range(0)), 'x');
  for (auto _ : state) {
    if (SSL_write(client.ssl, text.data(), static_cast<int>(text.size())) <= 0)
      return state.SkipWithError("not open");
    static_cast<void>(BIO_reset(client.out));
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(bare_write)->Arg(2 << 10)->Arg(10 << 10)->Arg(100 << 10);

}  // namespace
}  // namespace veredus

BENCHMARK_MAIN();
