#include "dns/ares_resolver.h"

#include <algorithm>
#include <cassert>
#include <charconv>
#include <cstring>
#include <mutex>
#include <optional>
#include <utility>

#include <ares.h>
#include <arpa/inet.h>
#include <netdb.h>
#include <sys/random.h>

#include "dns/address.h"
#include "dns/answer.h"

namespace veredus::dns {
namespace {

constexpr size_t kProcessInFlight = 128;
constexpr size_t kLeastInFlight = 8;
constexpr size_t kMaxServers = 8;
constexpr int kEdnsSize = 1232;  // fits every path's MTU
constexpr int kInternet = 1;
constexpr int64_t kNever = INT64_MAX;
constexpr uint8_t kAuthenticData = 0x20;  // in byte 3 of a message

struct Server {
  IpAddress address;
  uint16_t port = 53;
};

// "192.0.2.1", "192.0.2.1:53", "2001:db8::1", "[2001:db8::1]:53".
std::optional<Server> parse_server(std::string_view text) {
  Server server;
  std::string_view host = text, port;
  if (text.starts_with('[')) {
    const size_t end = text.find(']');
    if (end == text.npos) return std::nullopt;
    host = text.substr(1, end - 1);
    port = text.substr(end + 1);
    if (!port.empty() && port[0] != ':') return std::nullopt;
  } else if (std::count(text.begin(), text.end(), ':') == 1) {
    host = text.substr(0, text.find(':'));
    port = text.substr(host.size());
  }
  if (!port.empty()) {
    port.remove_prefix(1);
    const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), server.port);
    if (error != std::errc() || end != port.data() + port.size() || server.port == 0)
      return std::nullopt;
  }
  const std::optional<IpAddress> address = IpAddress::parse(host);
  if (!address) return std::nullopt;
  server.address = *address;
  return server;
}

absl::Status failure(std::string message) {
  return absl::InvalidArgumentError(std::move(message));
}

bool is_loopback(const ares_addr_port_node& node) {
  if (node.family == AF_INET) return (ntohl(node.addr.addr4.s_addr) >> 24) == 127;
  static constexpr uint8_t kOne[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
  return std::memcmp(&node.addr.addr6, kOne, sizeof kOne) == 0;
}

int initialize_library() {
  static std::once_flag once;
  static int result = ARES_SUCCESS;
  std::call_once(once, [] { result = ares_library_init(ARES_LIB_INIT_ALL); });
  return result;
}

}  // namespace

// One question on its way: free, waiting, with c-ares, or done and about to be delivered.
struct AresResolver::Flight : ListNode<Flight> {
  AresResolver* resolver = nullptr;
  List<Query> asker;  // empty once cancelled
  std::string name;
  RecordType type = RecordType::a;
  bool edns = true;
  QueryStatus status = QueryStatus::unreachable;
  std::vector<uint8_t> raw;
};

size_t AresResolver::in_flight_share(unsigned shards) {
  assert(shards > 0);
  return std::max(kProcessInFlight / shards, kLeastInFlight);
}

absl::StatusOr<std::unique_ptr<AresResolver>> AresResolver::create(const Settings& settings,
                                                                   Host& host) {
  if (settings.servers.size() > kMaxServers) return failure("dns servers: more than 8");
  if (settings.timeout_ms < 50 || settings.timeout_ms > 60000)
    return failure("dns time-out: not 50–60000 ms");
  if (settings.tries < 1 || settings.tries > 10) return failure("dns tries: not 1–10");
  if (settings.max_in_flight < 1 || settings.max_in_flight > 256) {
    return failure("dns queries in flight: not 1–256 (c-ares loses answers above)");
  }
  std::unique_ptr<AresResolver> resolver(new AresResolver(settings, host));
  const absl::Status status = resolver->open();
  if (!status.ok()) return status;
  return resolver;
}

AresResolver::AresResolver(const Settings& settings, Host& host)
    : settings_(settings), host_(host), wake_mono_ns_(kNever) {}

AresResolver::~AresResolver() {
  closing_ = true;
  if (channel_ != nullptr) ares_destroy(channel_);
}

// With several servers a server that fails (SERVFAIL, REFUSED) is passed over for the next; with
// one its answer is the answer, at once. Which of the two can only be known once /etc/resolv.conf
// has been read.
absl::Status AresResolver::open() {
  if (const int code = initialize_library(); code != ARES_SUCCESS) {
    return absl::InternalError(std::string("c-ares: ") + ares_strerror(code));
  }
  int servers = static_cast<int>(settings_.servers.size());
  for (int round = 0; round < 2; ++round) {
    ares_options options{};
    options.flags = ARES_FLAG_EDNS | ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES;
    if (servers == 1) options.flags |= ARES_FLAG_NOCHECKRESP;
    options.ednspsz = kEdnsSize;
    options.timeout = settings_.timeout_ms;
    options.tries = settings_.tries;
    options.sock_state_cb = &AresResolver::on_socket;
    options.sock_state_cb_data = this;
    const int code =
        ares_init_options(&channel_, &options,
                          ARES_OPT_FLAGS | ARES_OPT_EDNSPSZ | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES |
                              ARES_OPT_SOCK_STATE_CB | ARES_OPT_NOROTATE);
    if (code != ARES_SUCCESS) {
      channel_ = nullptr;
      return absl::InternalError(std::string("c-ares: ") + ares_strerror(code));
    }
    if (const absl::Status status = set_servers(); !status.ok()) return status;
    int found = 0;
    if (const absl::Status status = inspect_servers(found); !status.ok()) return status;
    if (found == 0) return failure("dns servers: none given, and none in /etc/resolv.conf");
    if ((found == 1) == (servers == 1)) break;
    servers = found;
    ares_destroy(std::exchange(channel_, nullptr));
  }
  return absl::OkStatus();
}

absl::Status AresResolver::set_servers() {
  if (settings_.servers.empty()) return absl::OkStatus();
  std::vector<ares_addr_port_node> nodes;
  for (const std::string& text : settings_.servers) {
    const std::optional<Server> server = parse_server(text);
    if (!server) {
      return failure("dns server " + text +
                     ": not an address; write it like 127.0.0.1:53 or [::1]:53");
    }
    ares_addr_port_node node{};
    const bool four = server->address.family == IpAddress::Family::v4;
    node.family = four ? AF_INET : AF_INET6;
    std::memcpy(&node.addr, server->address.bytes.data(), server->address.size());
    node.udp_port = node.tcp_port = server->port;
    nodes.push_back(node);
  }
  for (size_t i = 0; i + 1 < nodes.size(); ++i) nodes[i].next = &nodes[i + 1];
  const int code = ares_set_servers_ports(channel_, nodes.data());
  if (code == ARES_SUCCESS) return absl::OkStatus();
  return absl::InternalError(std::string("c-ares: ") + ares_strerror(code));
}

// The AD bit is the server's word: it counts only if nobody can stand between us and it (RFC 6698
// §A.3).
absl::Status AresResolver::inspect_servers(int& count) {
  ares_addr_port_node* nodes = nullptr;
  if (const int code = ares_get_servers_ports(channel_, &nodes); code != ARES_SUCCESS) {
    return absl::InternalError(std::string("c-ares: ") + ares_strerror(code));
  }
  count = 0;
  bool all_loopback = true;
  for (const ares_addr_port_node* node = nodes; node != nullptr; node = node->next) {
    ++count;
    all_loopback = all_loopback && is_loopback(*node);
  }
  believe_ad_ = settings_.trust_ad || all_loopback;
  ares_free_data(nodes);
  return absl::OkStatus();
}

void AresResolver::query(std::string_view name, RecordType type, Query& query) {
  assert(!query.linked());
  const bool at_once = in_flight_ < settings_.max_in_flight && waiting_.empty();
  if (!at_once && waiting_count_ >= settings_.max_waiting) {
    refused_.push_back(query);
    return wake(host_.mono_ns());
  }
  if (free_.empty()) {
    flights_.emplace_back().resolver = this;
    free_.push_back(flights_.back());
  }
  Flight& flight = *free_.pop_front();
  flight.name = name;
  flight.type = type;
  flight.edns = true;
  flight.asker.push_back(query);
  if (!at_once) {
    waiting_.push_back(flight);
    ++waiting_count_;
    return;
  }
  start(flight);
  if (!done_.empty()) return wake(host_.mono_ns());
  arm();
}

// A flight goes on without its asker: what c-ares has begun cannot be taken back singly, and one
// that waits is dropped when its turn comes.
void AresResolver::cancel(Query& query) {
  query.unlink();
}

void AresResolver::start(Flight& flight) {
  ++in_flight_;
  unsigned char* message = nullptr;
  int size = 0;
  const int code =
      ares_create_query(flight.name.c_str(), kInternet, static_cast<int>(flight.type), random_id(),
                        /*rd=*/1, &message, &size, flight.edns ? kEdnsSize : 0);
  if (code != ARES_SUCCESS) return finish(flight, code, {});
  message[3] |= kAuthenticData;
  ares_send(channel_, message, size, &AresResolver::on_finished, &flight);
  ares_free_string(message);
}

void AresResolver::on_finished(void* flight, int status, int /*timeouts*/, unsigned char* raw,
                               int size) {
  Flight& self = *static_cast<Flight*>(flight);
  if (self.resolver->closing_) return;
  self.resolver->finish(self, status, {raw, raw == nullptr ? 0 : static_cast<size_t>(size)});
}

// Notes how a flight ended. It is delivered later: c-ares is still on the stack.
void AresResolver::finish(Flight& flight, int status, std::span<const uint8_t> raw) {
  --in_flight_;
  flight.raw.assign(raw.begin(), raw.end());
  if (status == ARES_SUCCESS && flight.raw.size() >= 12) {
    flight.status = QueryStatus::answered;
  } else {
    flight.status = status == ARES_ETIMEOUT ? QueryStatus::timed_out : QueryStatus::unreachable;
  }
  if (flight.status == QueryStatus::answered) {
    if (!believe_ad_) flight.raw[3] &= static_cast<uint8_t>(~kAuthenticData);
    if (flight.edns && (flight.raw[3] & 15) == kRcodeFormatError) {
      flight.edns = false;  // a server from before EDNS (RFC 6891 §7): once more without
      return start(flight);
    }
  }
  done_.push_back(flight);
}

// Hands out what is done and starts what waits. What comes to an end meanwhile is for the next
// turn: so an asker who asks again from on_answer() cannot keep us here.
void AresResolver::deliver() {
  List<Query> refused;
  List<Flight> done;
  while (Query* query = refused_.pop_front()) refused.push_back(*query);
  while (Flight* flight = done_.pop_front()) done.push_back(*flight);
  while (Query* query = refused.pop_front()) query->on_answer(QueryStatus::refused, {});
  while (Flight* flight = done.pop_front()) {
    Query* asker = flight->asker.pop_front();
    if (asker != nullptr) asker->on_answer(flight->status, flight->raw);
    free_.push_back(*flight);
  }
  while (!waiting_.empty() && in_flight_ < settings_.max_in_flight) {
    Flight& next = *waiting_.pop_front();
    --waiting_count_;
    if (next.asker.empty()) {
      free_.push_back(next);
    } else {
      start(next);
    }
  }
  if (!refused_.empty() || !done_.empty()) wake(host_.mono_ns());
  arm();
}

void AresResolver::on_ready(int fd, bool readable, bool writable) {
  ares_process_fd(channel_, readable ? fd : ARES_SOCKET_BAD, writable ? fd : ARES_SOCKET_BAD);
  deliver();
}

void AresResolver::on_timer() {
  wake_mono_ns_ = kNever;
  ares_process_fd(channel_, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
  deliver();
}

// All queries have the same first time-out, so one begun later never ends sooner: while a wake-up
// is armed there is no need to ask c-ares, which looks through all its queries for an answer.
void AresResolver::arm() {
  if (in_flight_ == 0 || wake_mono_ns_ != kNever) return;
  timeval limit{settings_.timeout_ms / 1000, settings_.timeout_ms % 1000 * 1000};
  timeval left{};
  const timeval* until = ares_timeout(channel_, &limit, &left);
  // c-ares counts in whole microseconds and compares strictly: a little later, or it would be woken
  // for nothing.
  wake(host_.mono_ns() + (int64_t{until->tv_sec} * 1'000'000 + until->tv_usec) * 1000 + 1'000'000);
}

void AresResolver::wake(int64_t at_mono_ns) {
  if (at_mono_ns >= wake_mono_ns_) return;
  wake_mono_ns_ = at_mono_ns;
  host_.wake_at(at_mono_ns);
}

void AresResolver::on_socket(void* self, int fd, int readable, int writable) {
  Host& host = static_cast<AresResolver*>(self)->host_;
  if (readable == 0 && writable == 0) return host.unwatch(fd);
  host.watch(fd, readable != 0, writable != 0);
}

uint16_t AresResolver::random_id() {
  if (ids_.empty()) {
    ids_.resize(64);
    const ssize_t got = getrandom(ids_.data(), ids_.size() * sizeof ids_[0], 0);
    assert(got == static_cast<ssize_t>(
                      ids_.size() * sizeof ids_[0]));  // ≤ 256 bytes: always whole (getrandom(2))
    (void)got;
  }
  const uint16_t id = ids_.back();
  ids_.pop_back();
  return id;
}

}  // namespace veredus::dns
