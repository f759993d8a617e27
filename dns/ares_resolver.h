#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "dns/lookup.h"

struct ares_channeldata;

namespace veredus::dns {

// Lookups on c-ares, driven by a loop that somebody else runs. Its sockets are non-blocking; it
// starts no thread. Raw answers with EDNS (1232 bytes) and the AD bit (RFC 6840 §5.7); what does
// not fit is asked again over TCP. Ids are from the kernel's random source (RFC 5452 §9.2). The
// process must ignore SIGPIPE.
class AresResolver final : public Lookups {
 public:
  // The loop it lives in. Outlives the resolver. Calls come from inside the resolver's own calls
  // (constructor and destructor included); the loop must not call back from inside them.
  class Host {
   public:
    virtual ~Host() = default;
    // Call on_ready() whenever `fd` is ready in one of these ways, until the next watch() or
    // unwatch() of it.
    virtual void watch(int fd, bool readable, bool writable) = 0;
    // The descriptor is closed right after this, and its number may come back as another socket.
    virtual void unwatch(int fd) = 0;
    // Call on_timer() once when this time has come; replaces an earlier wish.
    virtual void wake_at(int64_t mono_ns) = 0;
    virtual int64_t mono_ns() = 0;
  };

  struct Settings {
    // "192.0.2.1", "127.0.0.1:5353", "2001:db8::1", "[::1]:53"; at most 8. None: those of
    // /etc/resolv.conf.
    std::vector<std::string> servers;
    int timeout_ms = 2000;  // for the first try at a server, 50–60000; doubled each time round
    int tries = 3;          // at each server, 1–10
    size_t max_in_flight = 128;  // 1–256. c-ares collapses far above; see in_flight_share()
    size_t max_waiting = 8192;   // queries behind those; beyond it the answer is `refused`
    bool trust_ad = false;       // true: the AD bit counts though a server is not on loopback
  };

  // What each of `shards` resolvers may have in flight so that the process has at most 128 (but
  // each at least 8).
  static size_t in_flight_share(unsigned shards);

  static absl::StatusOr<std::unique_ptr<AresResolver>> create(const Settings& settings, Host& host);
  ~AresResolver() override;

  void query(std::string_view name, RecordType type, Query& query) override;
  void cancel(Query& query) override;

  // Answers are delivered from inside these two. The resolver must not be destroyed from
  // on_answer().
  void on_ready(int fd, bool readable, bool writable);
  void on_timer();

  size_t in_flight() const { return in_flight_; }
  size_t waiting() const { return waiting_count_; }

 private:
  struct Flight;

  AresResolver(const Settings& settings, Host& host);
  absl::Status open();
  absl::Status set_servers();
  absl::Status inspect_servers(int& count);
  void start(Flight& flight);
  void finish(Flight& flight, int status, std::span<const uint8_t> raw);
  void deliver();
  void wake(int64_t at_mono_ns);
  void arm();
  uint16_t random_id();
  static void on_socket(void* self, int fd, int readable, int writable);
  static void on_finished(void* flight, int status, int timeouts, unsigned char* raw, int size);

  const Settings settings_;
  Host& host_;
  ares_channeldata* channel_ = nullptr;
  bool closing_ = false;
  bool believe_ad_ = false;
  size_t in_flight_ = 0;
  size_t waiting_count_ = 0;
  int64_t wake_mono_ns_;
  std::deque<Flight> flights_;  // grows with need: those in flight, waiting, and done in this turn
  List<Flight> free_, waiting_, done_;
  List<Query> refused_;
  std::vector<uint16_t> ids_;
};

}  // namespace veredus::dns
