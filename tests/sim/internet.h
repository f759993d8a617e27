#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <queue>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "dns/lookup.h"
#include "engine/io/ports.h"
#include "tests/sim/watcher.h"

// The simulated outside: time, the wires, mail servers that misbehave, and DNS. Everything happens
// in the order of one event queue, and every choice comes from one seed.
namespace veredus::sim {

class SimClock final : public io::Clock {
 public:
  int64_t mono_ns() override { return mono; }
  int64_t wall_ns() override { return mono + wall_minus_mono; }
  int64_t mono = 1'000'000'000;
  int64_t wall_minus_mono = 1'700'000'000'000'000'000;
};

// How the outside misbehaves. Probabilities, each per occasion.
struct Faults {
  double connect_refused = 0;
  double connect_silent = 0;        // never answers: the engine's time limit ends it
  double greeting_refused = 0;      // 421 or 554
  double mail_refused = 0;          // 451 or 550
  double recipient_later = 0;       // later_reply
  double recipient_never = 0;       // 550
  double recipients_too_many = 0;   // 452 after the first
  double data_refused = 0;          // 451 to DATA
  double content_later = 0;         // 451 to the end of data
  double content_never = 0;         // 554 to the end of data
  double shutdown_anywhere = 0;     // 421, closes
  double reset_anywhere = 0;        // connection reset, at any command
  double reset_before_reply = 0;    // content stored, the reply never leaves (RFC 1047)
  double stray_reply = 0;           // a second reply to the end of data
  bool first_hosts_silent = false;  // of every site: connects to them are not answered
  bool ipv6_too = false;            // hosts have an address of each family
  uint8_t silent_family = 0;        // connects to addresses of it are not answered
  uint8_t unreachable_family = 0;   // connects to addresses of it fail at once
  uint8_t slow_family = 0;          // … take a second
  uint8_t refusing_family = 0;      // addresses of it greet with a 554
  double dns_failure = 0;           // SERVFAIL or no answer
  bool dns_silent = false;          // queries are given up in the end
  double farewell_after_ehlo = 0;   // the reply to EHLO and a 421 in one piece
  // LIMITS (RFC 9422): stated, and a violation what is beyond; 0: not stated.
  uint32_t mail_max = 0, rcpt_max = 0;
  uint32_t messages_max = 0;  // per connection: 421 to the MAIL of the next one; 0: any number
  int64_t latency_min_ns = 50'000, latency_max_ns = 40'000'000;  // the second: beyond the first
  std::string later_reply = "450 4.2.1 later";
};

// What one server took for one recipient: the oracle's ledger, outside the engine.
struct Receipt {
  int64_t at_mono_ns = 0;
  uint32_t life = 0;         // of the engine: crashes so far
  std::string mark;          // X-Mark of the content
  uint64_t transaction = 0;  // of the server's, from 1 on
  std::string content;       // without dot-stuffing; with Internet::keeps_content
};

class Internet {
 public:
  Internet(uint64_t seed, SimClock& clock);
  ~Internet();

  Faults faults;
  bool chunking = true;  // what servers offer
  bool pipelining = true;
  bool eight_bit_mime = true;
  bool keeps_content = false;

  // Runs a function at a time (not before now). In order of time, then of arrival.
  void at(int64_t mono_ns, std::function<void()> what);
  void after(int64_t delay_ns, std::function<void()> what) {
    at(clock.mono + delay_ns, std::move(what));
  }
  // Time of the next event; INT64_MAX when there is none.
  int64_t next_event() const;
  // Runs everything due at or before now.
  void run_due();

  int64_t latency() {
    return faults.latency_min_ns +
           static_cast<int64_t>(random.below(static_cast<uint64_t>(faults.latency_max_ns)));
  }
  bool chance(double probability) { return probability > 0 && random.unit() < probability; }

  SimClock& clock;
  io::Random random;
  std::map<std::string, std::vector<Receipt>> ledger;  // by recipient
  uint64_t taken = 0;                                  // receipts in it
  uint32_t life = 0;
  uint64_t connections = 0, resets = 0;
  uint64_t connections6 = 0;  // of these to IPv6 addresses
  uint64_t transactions = 0;  // stored
  // By transaction: when the 250 for its content was handed to the engine. It never is when the
  // reply was withheld, was overtaken by a reset, or found the connection closed.
  std::map<uint64_t, int64_t> heard_at;
  std::vector<std::string> violations;  // what a server saw that must never be
  // Connections open to each site (the first three bytes of its hosts' addresses), over all shards
  // of the engine.
  std::map<uint32_t, uint32_t> open_by_site;
  uint32_t open_at_site_max = 0;            // the most that there ever were
  std::set<std::string> missing_addresses;  // of ours: connects from them fail
  std::set<std::string> routes_failed;      // domains whose MX were asked for in vain at some time
  Watcher* watcher = nullptr;

 private:
  struct Event {
    int64_t mono_ns;
    uint64_t number;
    std::function<void()> what;
    bool operator>(const Event& other) const {
      return mono_ns != other.mono_ns ? mono_ns > other.mono_ns : number > other.number;
    }
  };
  std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
  uint64_t next_number_ = 0;
};

// One server's side of a connection. Speaks SMTP as a table of its own: it shares no code with the
// engine.
class ServerSide : public std::enable_shared_from_this<ServerSide> {
 public:
  // How it reaches the client; null when the client has gone.
  struct Client {
    // The bytes of a reply, and the transaction that they confirm (0: none).
    std::function<void(std::string, uint64_t)> data;
    std::function<void(int)> ended;
  };
  ServerSide(Internet& internet, std::shared_ptr<Client> client)
      : internet_(internet),
        client_(std::move(client)),
        life_(internet.life),
        connection_(internet.connections) {}
  void start(bool refuses);
  // `sent`: when they left the client.
  void receive(std::string_view bytes, int64_t sent_mono_ns);

 private:
  void command(std::string line);
  void end_of_content();
  void transaction_over();
  void reply(const std::string& text, bool last = false, uint64_t confirms = 0);
  void reset();
  bool misbehaves();

  Internet& internet_;
  std::shared_ptr<Client> client_;
  const uint32_t life_;  // of the engine that connected: bytes may arrive when that one is dead
  const uint64_t connection_;  // number
  int64_t sent_mono_ns_ = 0;   // of the bytes in hand
  std::string buffer_;
  std::string content_;
  std::vector<std::string> recipients_;
  int64_t replies_until_ = 0;  // replies leave in order
  uint64_t chunk_left_ = 0;
  bool in_data_ = false, in_chunk_ = false, chunk_last_ = false, have_mail_ = false, dead_ = false;
  uint32_t messages_ = 0, mails_ = 0;
};

// The network port of one shard.
class SimNetwork final : public io::Network {
 public:
  explicit SimNetwork(Internet& internet) : internet_(internet) {}

  io::Socket connect(const io::Endpoint& peer, const io::Endpoint& source,
                     io::SocketEvents& events) override;
  void send(io::Socket socket, std::span<const iovec> pieces) override;
  uint64_t sent_so_far(io::Socket) const override { return 0; }
  void close(io::Socket socket, bool abort) override;
  size_t open_sockets() const override { return open_; }
  bool has_address(const io::Endpoint& source) override {
    return !internet_.missing_addresses.contains(io::to_text(source));
  }

  // Delivers what has completed, in order. From the shard's reap().
  void run_ready();
  bool ready() const { return !ready_.empty(); }
  // The process dies: no callback reaches it any more.
  void forget();

  size_t descriptors_max = 1'000'000;
  std::function<void()> on_ready;  // something has become ready

 private:
  struct Wire {
    io::SocketEvents* events = nullptr;
    std::shared_ptr<ServerSide> server;
    std::shared_ptr<ServerSide::Client> client;
    int64_t bytes_until = 0;  // bytes arrive in order
    uint32_t site = 0;
    uint64_t number = 0;
    bool closing = false, ended = false;
  };
  void ready(std::function<void()> what);
  void complete(const std::shared_ptr<Wire>& wire, int64_t delay_ns,
                std::function<void(Wire&)> what);

  Internet& internet_;
  std::vector<std::shared_ptr<Wire>> wires_;
  std::vector<io::Socket> free_;
  std::vector<std::function<void()>> ready_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  size_t open_ = 0;
};

// The DNS double: answers raw queries. dN.sim has MX mxS.sim (preference 10) with S = site_of(N),
// and mxS-b.sim (20); their addresses are 10.S.S.1 and 10.S.S.2, and
// 2a00::10.S.S.1 and 2a00::10.S.S.2 with Faults::ipv6_too.
class SimLookups final : public dns::Lookups {
 public:
  SimLookups(Internet& internet, std::function<uint32_t(uint32_t)> site_of)
      : internet_(internet), site_of_(std::move(site_of)) {}
  ~SimLookups() override;
  void query(std::string_view name, dns::RecordType type, dns::Query& query) override;
  void cancel(dns::Query& query) override;
  void run_ready();
  bool ready() const { return !ready_.empty(); }
  std::function<void()> on_ready;

 private:
  struct Asked {
    dns::Query* query;  // null: cancelled
    std::string answer;
    dns::QueryStatus status = dns::QueryStatus::answered;
  };
  std::string answer(std::string_view name, dns::RecordType type);

  Internet& internet_;
  std::function<uint32_t(uint32_t)> site_of_;
  std::vector<std::shared_ptr<Asked>> asked_;
  std::vector<std::shared_ptr<Asked>> ready_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace veredus::sim
