#include "engine/control/http_server.h"

#include <atomic>
#include <chrono>
#include <cstring>
#include <thread>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace veredus::control {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

// A client that says what it is told and reads until the end, or until `until` was seen.
class Client {
 public:
  static Client unix_socket(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    Client client(AF_UNIX);
    EXPECT_EQ(connect(client.fd_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    return client;
  }
  static Client tcp(uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    Client client(AF_INET);
    EXPECT_EQ(connect(client.fd_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    return client;
  }
  Client(Client&& other) noexcept : fd_(other.fd_), got_(std::move(other.got_)) { other.fd_ = -1; }
  ~Client() {
    if (fd_ >= 0) close(fd_);
  }

  void say(const std::string& text) {
    ASSERT_EQ(send(fd_, text.data(), text.size(), MSG_NOSIGNAL), static_cast<ssize_t>(text.size()));
  }
  std::string hear(const std::string& until = "") {
    std::array<char, 4096> chunk{};
    while (until.empty() || got_.find(until) == std::string::npos) {
      const ssize_t n = recv(fd_, chunk.data(), chunk.size(), 0);
      if (n <= 0) break;
      got_.append(chunk.data(), static_cast<size_t>(n));
    }
    return std::exchange(got_, "");
  }
  int fd() const { return fd_; }

 private:
  explicit Client(int family) : fd_(socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const timeval limit{10, 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  }
  int fd_;
  std::string got_;
};

std::string request(const std::string& method, const std::string& path, const std::string& body,
                    const std::string& headers = "") {
  return method + " " + path + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + headers +
         (body.empty() ? "" : "Content-Length: " + std::to_string(body.size()) + "\r\n") + "\r\n" +
         body;
}

// What the handlers of this test did, seen from outside.
struct Seen {
  std::atomic<int> alive{0};
  std::atomic<size_t> body_bytes{0};
  std::atomic<HttpCall*> held{nullptr};
};

class TestHandler final : public HttpHandler {
 public:
  TestHandler(Seen& seen, const HttpRequest& request, HttpCall& call)
      : seen_(seen), call_(call), path_(request.path), word_(request.param("word")) {
    ++seen_.alive;
    if (path_ == "/early") call_.answer({409, "text/plain", "early", {{"Retry-After", "7"}}});
    if (path_ == "/stream" || path_ == "/endless") call_.answer_stream("text/plain");
  }
  ~TestHandler() override { --seen_.alive; }

  bool on_body(std::string_view bytes) override {
    body_ += bytes;
    seen_.body_bytes += bytes.size();
    if (path_ == "/middle") {
      if (!std::exchange(refused_, true)) call_.answer({400, "text/plain", "in the middle", {}});
      return true;
    }
    if (path_ == "/paused") {
      seen_.held = &call_;
      return false;
    }
    return true;
  }
  void on_end() override {
    if (path_ == "/later") {
      seen_.held = &call_;
    } else {
      call_.answer({200, "text/plain", word_ + body_, {}});
    }
  }
  bool read(std::string& out, size_t) override {
    if (path_ == "/endless") {
      if (pieces_++ % 2 == 0) out += "begun\n";
      seen_.held = &call_;
      return true;
    }
    if (++pieces_ % 2 == 0) {  // nothing for now
      seen_.held = &call_;
      return true;
    }
    out += "piece " + std::to_string(pieces_) + "\n";
    return pieces_ < 5;
  }

 private:
  Seen& seen_;
  HttpCall& call_;
  const std::string path_;
  const std::string word_;
  std::string body_;
  int pieces_ = 0;
  bool refused_ = false;
};

class HttpServerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::array<char, 64> name{};
    std::strcpy(name.data(), "/tmp/veredus-http-XXXXXX");
    directory_ = mkdtemp(name.data());
    options_.feed.path = directory_ + "/run/feed.sock";
    options_.tcp = true;
    options_.tcp_token = "secret";
  }
  void TearDown() override {
    stop();
    std::system(("rm -rf " + directory_).c_str());
  }
  void start() {
    server_ = std::make_unique<HttpServer>(
        options_,
        [this](const HttpRequest& r, HttpCall& c) {
          return std::make_unique<TestHandler>(seen_, r, c);
        },
        [](const HttpRequest& r) { return r.path == "/open"; });
    ASSERT_TRUE(server_->listen().ok());
    thread_ = std::thread([this] { server_->run(); });
  }
  void stop() {
    if (!thread_.joinable()) return;
    server_->stop();
    thread_.join();
  }
  // Lets what is held go on, from the server's thread.
  void let_go(const std::function<void(HttpCall&)>& how) {
    for (int i = 0; i < 1000 && seen_.held == nullptr; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    HttpCall* call = seen_.held.exchange(nullptr);
    ASSERT_NE(call, nullptr);
    server_->post([call, how] { how(*call); });
  }
  Client connect_unix() { return Client::unix_socket(options_.feed.path); }
  std::string ask(const std::string& text) {
    Client client = connect_unix();
    client.say(text);
    return client.hear();
  }

  std::string directory_;
  HttpServer::Options options_;
  Seen seen_;
  std::unique_ptr<HttpServer> server_;
  std::thread thread_;
};

TEST_F(HttpServerTest, AnswersWithBodyAndQuery) {
  start();
  EXPECT_THAT(ask(request("POST", "/echo?word=ab%20c", "body")),
              AllOf(StartsWith("HTTP/1.1 200"), HasSubstr("\r\n\r\nab cbody")));
  EXPECT_THAT(ask("POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: "
                  "chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"),
              HasSubstr("\r\n\r\nabcde"));
}

TEST_F(HttpServerTest, SeveralRequestsOnOneConnection) {
  start();
  Client client = connect_unix();
  client.say("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\none");
  EXPECT_THAT(client.hear("one"), StartsWith("HTTP/1.1 200"));
  client.say("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\ntwo");
  EXPECT_THAT(client.hear("two"), StartsWith("HTTP/1.1 200"));
}

TEST_F(HttpServerTest, AnswerMayComeLaterFromAnotherThread) {
  start();
  Client client = connect_unix();
  client.say(request("POST", "/later", "x"));
  let_go([](HttpCall& call) { call.answer({202, "text/plain", "at last", {}}); });
  EXPECT_THAT(client.hear(), AllOf(StartsWith("HTTP/1.1 202"), HasSubstr("at last")));
}

TEST_F(HttpServerTest, HeldBodyIsNotRead) {
  start();
  constexpr size_t kBytes = 8 << 20;
  Client client = connect_unix();
  std::thread sender(
      [&client] { client.say(request("POST", "/paused", std::string(kBytes, 'x'))); });
  size_t last = 0;
  for (int pauses = 0; pauses < 5; ++pauses) {
    for (int i = 0; i < 1000 && seen_.held == nullptr; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    // While it is held nothing more comes in, however much the peer has to say.
    const size_t now = seen_.body_bytes;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    EXPECT_EQ(seen_.body_bytes, now);
    EXPECT_GT(now, last);
    EXPECT_LT(now, kBytes);
    last = now;
    let_go([](HttpCall& call) { call.resume(); });
  }
  std::atomic<bool> done{false};
  std::thread helper([&] {
    while (!done) {
      if (HttpCall* call = seen_.held.exchange(nullptr)) server_->post([call] { call->resume(); });
      std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
  });
  sender.join();
  const std::string answer = client.hear();
  done = true;
  helper.join();
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200"));
  EXPECT_EQ(seen_.body_bytes, kBytes);
}

TEST_F(HttpServerTest, RefusalBeforeTheBodyArrives) {
  start();
  EXPECT_THAT(ask(request("POST", "/early", "small")),
              AllOf(StartsWith("HTTP/1.1 409"), HasSubstr("Retry-After: 7"), HasSubstr("early")));
  // A large body is not waited for.
  EXPECT_THAT(ask("POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\nab"),
              StartsWith("HTTP/1.1 409"));
}

TEST_F(HttpServerTest, RefusalInTheMiddleOfTheBody) {
  start();
  EXPECT_THAT(ask(request("POST", "/middle", std::string(1 << 20, 'x'))),
              AllOf(StartsWith("HTTP/1.1 400"), HasSubstr("in the middle")));
}

TEST_F(HttpServerTest, StreamsPieceByPiece) {
  start();
  Client client = connect_unix();
  client.say(request("GET", "/stream", ""));
  EXPECT_THAT(client.hear("piece 1\n"), StartsWith("HTTP/1.1 200"));
  let_go([](HttpCall& call) { call.resume(); });
  EXPECT_THAT(client.hear("piece 3\n"), HasSubstr("piece 3"));
  let_go([](HttpCall& call) { call.resume(); });
  EXPECT_THAT(client.hear(), AllOf(HasSubstr("piece 5"), HasSubstr("\r\n0\r\n")));
}

TEST_F(HttpServerTest, LostPeerEndsItsHandler) {
  start();
  {
    Client client = connect_unix();
    client.say(request("GET", "/endless", ""));
    client.hear("begun");
    EXPECT_EQ(seen_.alive, 1);
  }
  for (int i = 0; i < 400 && seen_.alive != 0; ++i) {
    if (HttpCall* call = seen_.held.exchange(nullptr)) server_->post([call] { call->resume(); });
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  EXPECT_EQ(seen_.alive, 0);
}

TEST_F(HttpServerTest, AFeederThatFallsSilentIsCutOffAndOthersAreNot) {
  options_.silence_limit_s = 1;
  start();
  Client slow = connect_unix();
  slow.say("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nab");
  while (seen_.alive == 0) std::this_thread::yield();
  EXPECT_THAT(ask(request("GET", "/echo?word=alive", "")), HasSubstr("alive"));
  EXPECT_EQ(slow.hear(), "");
  for (int i = 0; i < 400 && seen_.alive != 0; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  EXPECT_EQ(seen_.alive, 0);
}

TEST_F(HttpServerTest, StopEndsThoseThatWait) {
  start();
  Client endless = connect_unix();
  endless.say(request("GET", "/endless", ""));
  endless.hear("begun");
  Client later = connect_unix();
  later.say(request("POST", "/later", "x"));
  Client paused = connect_unix();
  paused.say("POST /paused HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nab");
  while (seen_.alive < 3 || seen_.body_bytes < 3) std::this_thread::yield();
  stop();
  EXPECT_EQ(seen_.alive, 0);
  EXPECT_EQ(later.hear(), "");
  EXPECT_NE(access(options_.feed.path.c_str(), F_OK), 0) << "the socket is taken away";
}

TEST_F(HttpServerTest, OtherUsersAreRefused) {
  options_.feed.users = {geteuid() + 1};
  start();
  EXPECT_THAT(ask(request("GET", "/echo", "")),
              AllOf(StartsWith("HTTP/1.1 403"), HasSubstr("\"code\":\"not_allowed\""),
                    HasSubstr("uid " + std::to_string(geteuid()))));
  EXPECT_EQ(seen_.alive, 0);
}

TEST_F(HttpServerTest, ListedUsersAreTaken) {
  options_.feed.users = {geteuid()};
  options_.feed.mode = 0600;
  start();
  EXPECT_THAT(ask(request("GET", "/echo", "")), StartsWith("HTTP/1.1 200"));
  struct stat found {};
  ASSERT_EQ(stat(options_.feed.path.c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 0777, 0600u);
}

TEST_F(HttpServerTest, TcpNeedsTheToken) {
  start();
  const auto ask_tcp = [this](const std::string& text) {
    Client client = Client::tcp(server_->tcp_port());
    client.say(text);
    return client.hear();
  };
  EXPECT_THAT(ask_tcp(request("GET", "/echo", "")),
              AllOf(StartsWith("HTTP/1.1 401"), HasSubstr("\"hint\"")));
  EXPECT_THAT(ask_tcp(request("GET", "/echo", "", "Authorization: Bearer secreT\r\n")),
              StartsWith("HTTP/1.1 401"));
  EXPECT_THAT(ask_tcp(request("GET", "/echo", "", "Authorization: Bearer secret\r\n")),
              StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(ask_tcp(request("GET", "/open", "")), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(ask_tcp("GET /open HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n"),
              AllOf(StartsWith("HTTP/1.1 403"), HasSubstr("wrong_host")));
}

TEST_F(HttpServerTest, WithoutTokenTcpShowsOnlyWhatIsOpen) {
  options_.tcp_token = "";
  start();
  Client client = Client::tcp(server_->tcp_port());
  client.say(request("GET", "/echo", "", "Authorization: Bearer \r\n"));
  EXPECT_THAT(client.hear(), StartsWith("HTTP/1.1 401"));
}

TEST_F(HttpServerTest, TakesThePlaceOfADeadSocketOnly) {
  start();
  HttpServer second(
      options_, [](const HttpRequest&, HttpCall&) { return nullptr; },
      [](const HttpRequest&) { return true; });
  const absl::Status status = second.listen();
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(std::string(status.message()), HasSubstr("another program answers"));
  stop();

  // What a killed engine leaves behind.
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, options_.feed.path.c_str(), options_.feed.path.size() + 1);
  const int left = socket(AF_UNIX, SOCK_STREAM, 0);
  ASSERT_EQ(bind(left, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  close(left);
  start();
  EXPECT_THAT(ask(request("GET", "/echo", "")), StartsWith("HTTP/1.1 200"));
}

TEST_F(HttpServerTest, AFileInTheWayIsLeftAlone) {
  ASSERT_EQ(mkdir((directory_ + "/run").c_str(), 0755), 0);
  std::fclose(std::fopen(options_.feed.path.c_str(), "w"));
  const absl::StatusOr<ListenSocket> made = listen_on_unix(options_.feed);
  EXPECT_FALSE(made.ok());
  EXPECT_EQ(access(options_.feed.path.c_str(), F_OK), 0);
}

TEST_F(HttpServerTest, NonsenseIsAnsweredAndSurvived) {
  start();
  for (const std::string& text :
       {std::string("\r\n\r\n\r\n"), std::string("GET\r\n\r\n"), std::string(300'000, 'a'),
        std::string("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n"),
        std::string(
            "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")}) {
    Client client = connect_unix();
    send(client.fd(), text.data(), text.size(), MSG_NOSIGNAL);
  }
  EXPECT_THAT(ask(request("GET", "/echo?word=alive", "")), HasSubstr("alive"));
}

}  // namespace
}  // namespace veredus::control
