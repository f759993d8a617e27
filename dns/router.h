#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "dns/answer.h"
#include "dns/cache.h"
#include "dns/list.h"
#include "dns/lookup.h"
#include "dns/reading.h"
#include "dns/route.h"

namespace veredus::dns {

struct RouterSettings {
  size_t max_routes = 65536;  // domains held: cached and being looked up. The least recently used
                              // cached one is evicted
  size_t max_hosts = 65536;   // hosts with addresses, likewise
  size_t max_mx_hosts = 20;   // of one route, 1–kMaxMxHosts: the best by (preference, name)
  size_t max_addresses =
      16;  // of one host, 2–kMaxHostAddresses, both families; one may use what the other leaves
  bool ask_ipv6 = true;    // false: no AAAA queries
  uint16_t tlsa_port = 0;  // of mail hosts, whose TLSA records are asked for; 0: they are not
  // How long an answer is believed, in seconds; times to live of answers are brought between these.
  int64_t min_ttl_s = 30;
  int64_t max_ttl_s = 86400;
  int64_t min_negative_ttl_s = 10;
  int64_t max_negative_ttl_s = 900;
  int64_t unproven_negative_ttl_s =
      60;  // negative answers without SOA record, which have no time of their own
  int64_t temporary_ttl_s = 15;  // server failures, time-outs, nonsense
  int64_t busy_ttl_s = 1;        // our own queue of lookups is full
};

// Waits for a route or for addresses. A member of its owner; may be destroyed, or ask again, at any
// time.
class RouteHandler : public ListNode<RouteHandler> {
 public:
  virtual ~RouteHandler() = default;
  // `route` is valid during the call.
  virtual void on_route(const Route& route) = 0;
};
class AddressHandler : public ListNode<AddressHandler> {
 public:
  virtual ~AddressHandler() = default;
  virtual void on_addresses(const Addresses& addresses) = 0;
};

// Routes of domains and addresses of hosts, for one shard, with a bounded cache. Whoever asks for
// what is being looked up joins that lookup: no question is under way twice. Server failures,
// time-outs and bad answers are `temporary`, never "there is no MX". Not thread-safe; no clock of
// its own.
class Router {
 public:
  // `mono_ns`: the time now. `lookups` outlives the router.
  Router(Lookups& lookups, RouterSettings settings, std::function<int64_t()> mono_ns);
  ~Router();
  Router(const Router&) = delete;
  Router& operator=(const Router&) = delete;

  // The route of `domain`, if it is known at `mono_ns`; else nullptr. Valid until the next call of
  // this object or of its `lookups`. A text that is no name has a route, too: no_such_domain.
  const Route* cached(std::string_view domain, int64_t mono_ns);
  // Likewise, but asks when it is not known: then nullptr, and one handler.on_route() follows
  // unless it is unlinked before. The handler is not called when a route is returned.
  const Route* resolve(std::string_view domain, RouteHandler& handler);

  // The same for the addresses of a host (of an MX name, or of the domain itself).
  const Addresses* cached_addresses(std::string_view host, int64_t mono_ns);
  const Addresses* addresses(std::string_view host, AddressHandler& handler);

  struct Counters {
    uint64_t hits = 0;     // answered from the cache
    uint64_t joined = 0;   // joined a lookup under way
    uint64_t misses = 0;   // lookups begun
    uint64_t queries = 0;  // questions sent
    uint64_t evicted = 0;
    uint64_t overloaded = 0;  // told "later" because everything in the cache was being looked up
  };
  const Counters& counters() const { return counters_; }
  size_t routes() const { return routes_.size(); }
  size_t hosts() const { return hosts_.size(); }

 private:
  class RouteEntry;
  class HostEntry;

  Reading read(QueryStatus status, std::span<const uint8_t> raw, std::string_view name,
               RecordType type);
  void ask(std::string_view name, RecordType type, Query& query);
  int64_t expiry(int64_t ttl_s) const;
  int64_t positive_ttl(uint32_t ttl_s) const;
  int64_t negative_ttl(const Answer& answer) const;

  Lookups& lookups_;
  const RouterSettings settings_;
  const std::function<int64_t()> mono_ns_;
  Counters counters_;
  NameCache<RouteEntry> routes_;
  NameCache<HostEntry> hosts_;
  Answer answer_;  // scratch
  Route no_name_, overloaded_route_;
  Addresses no_host_, overloaded_host_;
};

}  // namespace veredus::dns
