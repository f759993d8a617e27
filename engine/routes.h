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
#include "engine/sts_policies.h"

namespace veredus {

// The same on every run: nothing may depend on a seeded hash. FNV-1a, then mixed.
uint64_t stable_hash(std::string_view text);
inline unsigned shard_of_domain(std::string_view domain, unsigned shards) {
  return static_cast<unsigned>(stable_hash(domain) % shards);
}
inline unsigned shard_of_site(std::string_view key, unsigned shards) {
  return static_cast<unsigned>(stable_hash(key) / 7 % shards);
}

// What a shard decides for all: where the mail of its domains goes, and which number its sites
// have.
class Routes {
 public:
  Routes(ShardContext& shard, dns::Router& router, StsPolicies& sts);
  ~Routes();

  void ask(RouteAsk& ask);
  void ask_site(SiteAsk& ask);
  // Each turn. Staging: mail goes without what the DNS takes long to say.
  void run();
  int64_t next_due_mono_ns() const;

  size_t sites() const { return sites_.size(); }
  // Of a site that has its number from here.
  const std::string& key_of(uint32_t site) const {
    return sites_[site / shard_.exchange.shards()]->key;
  }

 private:
  static constexpr int64_t kStagingWaitNs = 2'000'000'000;
  static constexpr int64_t kStagingAgainNs = 30'000'000'000;
  static constexpr int64_t kStaticNs = 3600'000'000'000;  // asked again then, or after a reload
  // One lookup that a home waits for.
  struct Asked : dns::RouteHandler, StsPolicies::Waiter {
    void on_route(const dns::Route& route) override;
    void on_sts() override;
    Routes* routes = nullptr;
    std::list<Asked>::iterator self;
    uint16_t home = 0;  // that asked
    uint32_t domain_id = 0;
    int64_t begun_mono_ns = 0;
    bool late = false;  // stands in late_: the home waits no more
    std::string domain;
    std::unique_ptr<SiteAsk> ask;  // while its policy is looked for
  };

  std::unique_ptr<SiteAsk> static_site(std::string_view domain) const;
  void route_known(Asked& asked, const dns::Route& route);
  std::unique_ptr<SiteAsk> site_of(const Asked& asked, const dns::Route& route);
  void name_provider(std::string_view domain, SiteAsk& ask) const;
  bool wants_policy(const Asked& asked) const;
  static bool put_under(const tls::StsPolicy& policy, Site& site);
  void post(Asked& asked);
  void send(Asked& asked);
  void tell_late(Asked& asked);
  void tell_outside(const Asked& asked);
  std::unique_ptr<RouteTold> no_route(const Asked& asked, int64_t expires_mono_ns) const;
  uint32_t us_since(const Asked& asked) const;
  bool staging() const { return shard_.policy->redirect.family != 0; }

  ShardContext& shard_;
  dns::Router& router_;
  StsPolicies& sts_;
  std::list<Asked> asked_, late_;                       // the last one is the oldest
  int64_t answered_mono_ns_ = 0;                        // when the DNS last knew something
  int64_t silent_until_mono_ns_ = 0;                    // it does not answer: it is not asked
  absl::flat_hash_map<std::string, uint32_t> numbers_;  // site key → its place in sites_
  std::vector<std::shared_ptr<const Site>> sites_;
};

}  // namespace veredus
