#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "dns/router.h"
#include "engine/context.h"
#include "engine/messages.h"
#include "queue/lease.h"

namespace veredus {

// The same on every run: nothing may depend on a seeded hash. FNV-1a, then mixed.
uint64_t stable_hash(std::string_view text);
inline unsigned shard_of_domain(std::string_view domain, unsigned shards) {
  return static_cast<unsigned>(stable_hash(domain) % shards);
}
inline unsigned shard_of_site(std::string_view key, unsigned shards) {
  return static_cast<unsigned>(stable_hash(key) / 7 % shards);
}

// What a shard decides for all: where the mail of its domains goes, which number its sites have,
// and who may hold how many of its sites' connections.
class Routes {
 public:
  Routes(ShardContext& shard, dns::Router& router);
  ~Routes();

  void ask(RouteAsk& ask);
  void ask_site(SiteAsk& ask);
  void lease_ask(const LeaseMessage& message);
  void lease_back(const LeaseMessage& message);

  size_t sites() const { return sites_.size(); }

 private:
  // One lookup that a home waits for.
  struct Asked : dns::RouteHandler {
    void on_route(const dns::Route& route) override;
    Routes* routes = nullptr;
    std::list<Asked>::iterator self;
    uint16_t home = 0;  // that asked
    uint32_t domain_id = 0;
    int64_t begun_mono_ns = 0;
    std::string domain;
  };
  struct OwnedSite {
    std::shared_ptr<const Site> site;
    queue::LeaseOwner leases;
  };

  void tell(uint16_t home, uint32_t domain_id, const dns::Route& route, uint32_t dns_us);
  void notify(const Site& site, const std::vector<queue::LeaseNotice>& notices);
  void send_lease(Message::Kind kind, uint32_t site, uint32_t holder, uint32_t count);

  ShardContext& shard_;
  dns::Router& router_;
  std::list<Asked> asked_;
  absl::flat_hash_map<std::string, uint32_t> numbers_;  // site key → its place in sites_
  std::vector<OwnedSite> sites_;
  std::vector<queue::LeaseNotice> notices_;
};

}  // namespace veredus
