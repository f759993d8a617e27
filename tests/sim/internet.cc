#include "tests/sim/internet.h"

#include <cassert>
#include <cerrno>
#include <utility>

namespace veredus::sim {

Internet::Internet(uint64_t seed, SimClock& the_clock) : clock(the_clock), random(seed) {}
Internet::~Internet() = default;

void Internet::at(int64_t mono_ns, std::function<void()> what) {
  events_.push({std::max(mono_ns, clock.mono), next_number_++, std::move(what)});
}

int64_t Internet::next_event() const {
  return events_.empty() ? INT64_MAX : events_.top().mono_ns;
}

void Internet::run_due() {
  while (!events_.empty() && events_.top().mono_ns <= clock.mono) {
    const std::function<void()> what = std::move(const_cast<Event&>(events_.top()).what);
    events_.pop();
    what();
  }
}

// -------------------------------------------------------------------------------------------------
// network

void SimNetwork::ready(std::function<void()> what) {
  ready_.push_back(std::move(what));
  if (on_ready) on_ready();
}

void SimNetwork::run_ready() {
  for (const std::function<void()>& what : std::exchange(ready_, {})) what();
}

void SimNetwork::forget() {
  *alive_ = false;
  alive_ = std::make_shared<bool>(true);
  for (const std::shared_ptr<Wire>& wire : wires_) {
    if (wire == nullptr) continue;
    if (wire->client != nullptr) *wire->client = {};
    wire->events = nullptr;
    --internet_.open_by_site[wire->site];
    if (internet_.watcher != nullptr) internet_.watcher->closed(wire->number);
  }
  wires_.clear();
  free_.clear();
  ready_.clear();
  open_ = 0;
}

// Something becomes ready for the owner after a while, unless the wire or the process is gone by
// then.
void SimNetwork::complete(const std::shared_ptr<Wire>& wire, int64_t delay_ns,
                          std::function<void(Wire&)> what) {
  internet_.after(delay_ns, [this, alive = alive_, wire, what = std::move(what)] {
    if (!*alive) return;
    ready([wire, what] {
      if (wire->events != nullptr) what(*wire);
    });
  });
}

io::Socket SimNetwork::connect(const io::Endpoint& peer, const io::Endpoint& source,
                               io::SocketEvents& events) {
  if (open_ >= descriptors_max) return io::kNoSocket;
  ++open_;
  ++internet_.connections;
  io::Socket socket;
  if (free_.empty()) {
    socket = static_cast<io::Socket>(wires_.size());
    wires_.emplace_back();
  } else {
    socket = free_.back();
    free_.pop_back();
  }
  auto wire = std::make_shared<Wire>();
  wires_[socket] = wire;
  wire->events = &events;
  const size_t at = peer.family == 6 ? 12 : 0;
  wire->site =
      uint32_t{peer.address[at]} << 16 | uint32_t{peer.address[at + 1]} << 8 | peer.address[at + 2];
  internet_.open_at_site_max =
      std::max(internet_.open_at_site_max, ++internet_.open_by_site[wire->site]);
  wire->number = internet_.connections;
  if (internet_.watcher != nullptr) internet_.watcher->opened(wire->number, peer, source);
  if (internet_.faults.first_hosts_silent && peer.address[3] == 1) return socket;
  if (internet_.chance(internet_.faults.connect_silent)) return socket;
  if (peer.family == 6) ++internet_.connections6;
  if (internet_.faults.silent_family == peer.family) return socket;
  if (internet_.faults.unreachable_family == peer.family) {
    complete(wire, 0, [](Wire& it) {
      if (!it.closing) it.events->on_connected(ENETUNREACH);
    });
    return socket;
  }
  if (internet_.chance(internet_.faults.connect_refused)) {
    complete(wire, internet_.latency(), [](Wire& it) {
      if (!it.closing) it.events->on_connected(ECONNREFUSED);
    });
    return socket;
  }
  wire->client = std::make_shared<ServerSide::Client>();
  wire->client->data = [this, wire](std::string bytes, uint64_t confirms) {
    complete(wire, 0, [this, bytes = std::move(bytes), confirms](Wire& it) {
      if (it.closing || it.ended) return;
      if (confirms != 0) internet_.heard_at[confirms] = internet_.clock.mono;
      it.events->on_received(bytes);
    });
  };
  wire->client->ended = [this, wire](int error) {
    complete(wire, 0, [error](Wire& it) {
      if (it.closing || std::exchange(it.ended, true)) return;
      it.events->on_ended(error);
    });
  };
  wire->server = std::make_shared<ServerSide>(internet_, wire->client);
  const bool slow = internet_.faults.slow_family == peer.family;
  const int64_t latency = internet_.latency() + (slow ? 1'000'000'000 : 0);
  complete(wire, latency, [](Wire& it) {
    if (!it.closing) it.events->on_connected(0);
  });
  internet_.after(latency + 1,
                  [server = wire->server, refuses = internet_.faults.refusing_family ==
                                                    peer.family] { server->start(refuses); });
  return socket;
}

void SimNetwork::send(io::Socket socket, std::span<const iovec> pieces) {
  const std::shared_ptr<Wire> wire = wires_[socket];
  std::string bytes;
  for (const iovec& piece : pieces)
    bytes.append(static_cast<const char*>(piece.iov_base), piece.iov_len);
  wire->bytes_until = std::max(wire->bytes_until + 1, internet_.clock.mono + internet_.latency());
  // Cut somewhere: a server must not see our sends as they were.
  const size_t cut = bytes.size() < 2 ? bytes.size() : 1 + internet_.random.below(bytes.size() - 1);
  internet_.at(wire->bytes_until, [server = wire->server, part = bytes.substr(0, cut),
                                   sent = internet_.clock.mono] { server->receive(part, sent); });
  if (cut < bytes.size()) {
    internet_.at(wire->bytes_until, [server = wire->server, part = bytes.substr(cut),
                                     sent = internet_.clock.mono] { server->receive(part, sent); });
  }
  complete(wire, static_cast<int64_t>(internet_.random.below(1'000'000)),
           [](Wire& it) { it.events->on_sent(0); });
}

void SimNetwork::close(io::Socket socket, bool) {
  const std::shared_ptr<Wire> wire = wires_[socket];
  wire->closing = true;
  if (wire->client != nullptr) *wire->client = {};
  complete(wire, static_cast<int64_t>(internet_.random.below(2'000'000)), [this, socket](Wire& it) {
    io::SocketEvents* const events = std::exchange(it.events, nullptr);
    it.server = nullptr;
    wires_[socket] = nullptr;
    free_.push_back(socket);
    --open_;
    --internet_.open_by_site[it.site];
    if (internet_.watcher != nullptr) internet_.watcher->closed(it.number);
    events->on_closed();
  });
}

// -------------------------------------------------------------------------------------------------
// DNS

SimLookups::~SimLookups() {
  *alive_ = false;
}

void SimLookups::query(std::string_view name, dns::RecordType type, dns::Query& query) {
  auto asked = std::make_shared<Asked>();
  asked->query = &query;
  if (internet_.chance(internet_.faults.dns_failure)) {
    if (type == dns::RecordType::mx) internet_.routes_failed.emplace(name);
    asked->status =
        internet_.chance(0.5) ? dns::QueryStatus::timed_out : dns::QueryStatus::answered;
    if (asked->status == dns::QueryStatus::answered) asked->answer = answer("", type);
  } else {
    asked->answer = answer(name, type);
  }
  asked_.push_back(asked);
  constexpr int64_t kGivenUpNs = 20'000'000'000;
  if (internet_.faults.dns_silent) asked->status = dns::QueryStatus::timed_out;
  internet_.after(internet_.faults.dns_silent ? kGivenUpNs : internet_.latency() / 4,
                  [this, alive = alive_, asked] {
                    if (!*alive || asked->query == nullptr) return;
                    std::erase(asked_, asked);
                    ready_.push_back(asked);
                    if (on_ready) on_ready();
                  });
}

void SimLookups::cancel(dns::Query& query) {
  for (const auto* list : {&asked_, &ready_}) {
    for (const std::shared_ptr<Asked>& asked : *list) {
      if (asked->query == &query) asked->query = nullptr;
    }
  }
  std::erase_if(asked_, [](const auto& asked) { return asked->query == nullptr; });
}

void SimLookups::run_ready() {
  for (const std::shared_ptr<Asked>& asked : std::exchange(ready_, {})) {
    if (asked->query == nullptr) continue;
    dns::Query* const query = std::exchange(asked->query, nullptr);
    query->on_answer(asked->status, {reinterpret_cast<const uint8_t*>(asked->answer.data()),
                                     asked->answer.size()});
  }
}

namespace {

void put16(std::string& out, unsigned value) {
  out.push_back(static_cast<char>(value >> 8));
  out.push_back(static_cast<char>(value));
}
void put_name(std::string& out, std::string_view name) {
  while (!name.empty()) {
    const size_t dot = std::min(name.find('.'), name.size());
    out.push_back(static_cast<char>(dot));
    out.append(name.substr(0, dot));
    name.remove_prefix(std::min(dot + 1, name.size()));
  }
  out.push_back(0);
}
void put_record(std::string& out, std::string_view owner, unsigned type, const std::string& data) {
  put_name(out, owner);
  put16(out, type);
  put16(out, 1);
  put16(out, 0);
  put16(out, 300);  // seconds to live
  put16(out, static_cast<unsigned>(data.size()));
  out.append(data);
}

}  // namespace

// A raw message (RFC 1035 §4). An empty name: SERVFAIL.
std::string SimLookups::answer(std::string_view name, dns::RecordType type) {
  std::string records;
  unsigned count = 0;
  bool exists = false;
  if (name.starts_with("d") && name.ends_with(".sim")) {
    exists = true;
    const uint32_t site = site_of_(static_cast<uint32_t>(std::stoul(std::string(name.substr(1)))));
    if (type == dns::RecordType::mx) {
      for (const bool second : {false, true}) {
        std::string data;
        put16(data, second ? 20 : 10);
        put_name(data, "mx" + std::to_string(site) + (second ? "-b.sim" : ".sim"));
        put_record(records, name, 15, data);
        ++count;
      }
    }
  } else if (name.starts_with("mx")) {
    exists = true;
    const bool six = type == dns::RecordType::aaaa && internet_.faults.ipv6_too;
    if (type == dns::RecordType::a || six) {
      const uint32_t site = static_cast<uint32_t>(std::stoul(std::string(name.substr(2))));
      const std::string data = {10, static_cast<char>(site >> 8), static_cast<char>(site),
                                name.find("-b") == std::string_view::npos ? '\1' : '\2'};
      const std::string before = six ? std::string("\x2a") + std::string(11, '\0') : "";
      put_record(records, name, six ? 28 : 1, before + data);
      ++count;
    }
  }
  const unsigned rcode = name.empty() ? 2 : exists ? 0 : 3;
  std::string message;
  put16(message, 1);
  put16(message, 0x8180 | rcode);
  put16(message, 1);
  put16(message, count);
  put16(message, 0);
  put16(message, 0);
  put_name(message, name.empty() ? std::string_view("x.sim") : name);
  put16(message, static_cast<unsigned>(type));
  put16(message, 1);
  return message + records;
}

}  // namespace veredus::sim
