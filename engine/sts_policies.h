#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "dns/cache.h"
#include "dns/list.h"
#include "dns/lookup.h"
#include "dns/router.h"
#include "engine/context.h"
#include "engine/tls/sts_port.h"

namespace veredus {

// The MTA-STS policies of the domains whose routes a shard decides (RFC 8461): found by their
// records, fetched elsewhere, and in force until their time is over, whatever the DNS says then.
//
// Whoever asks for a domain without a policy waits until it is known that there is none, but ten
// seconds at most, and not at all where it could not be had before: a policy host that does not
// answer must not hold its domain's mail, nor that of others behind it. A policy that is in force
// is given at once, while it is asked for anew behind it.
class StsPolicies {
 public:
  // Waits for an answer. A member of its owner; may be destroyed at any time.
  class Waiter : public dns::ListNode<Waiter> {
   public:
    virtual ~Waiter() = default;
    virtual void on_sts() = 0;  // ask again: it is known now
  };
  struct Found {
    std::shared_ptr<const tls::CachedSts> policy;  // null: none that could be had
    int64_t expires_mono_ns = 0;                   // ask again then
  };

  // `fetches`: null if nothing can be fetched; then no domain has a policy. All outlive it.
  StsPolicies(ShardContext& shard, dns::Router& router, dns::Lookups& lookups,
              tls::StsFetches* fetches);
  ~StsPolicies();
  StsPolicies(const StsPolicies&) = delete;
  StsPolicies& operator=(const StsPolicies&) = delete;

  // The policies that the last run has kept, of this shard's domains.
  void take_known();

  // `domain`: any text. False: waiter.on_sts() follows, never from inside this call.
  bool ask(std::string_view domain, Waiter& waiter, Found& found);

  // Each turn: whoever has waited long enough does without.
  void run();
  int64_t next_due_mono_ns() const;

  // A message of the port.
  void fetched(const tls::StsFetched& fetched);

  // In force; null: none.
  std::shared_ptr<const tls::CachedSts> policy_of(std::string_view domain) const;
  // All of them that ask for something.
  std::vector<std::shared_ptr<const tls::CachedSts>> all() const;
  // What went wrong for a domain; counted for the reports of RFC 8460.
  using OnFault = std::function<void(std::string_view domain, tls::StsFault, std::string_view why)>;
  void set_on_fault(OnFault on_fault) { on_fault_ = std::move(on_fault); }
  void note_fault(std::string_view domain, tls::StsFault fault, std::string_view why) {
    if (on_fault_) on_fault_(domain, fault, why);
  }

 private:
  static constexpr size_t kDomainsMax = 65536;    // looked at, with or without a policy
  static constexpr size_t kPoliciesMax = 131072;  // kept: none further is when they are so many
  static constexpr int64_t kSecond = 1'000'000'000;
  static constexpr int64_t kTtlMinNs = 60 * kSecond, kTtlMaxNs = 3600 * kSecond;
  static constexpr int64_t kFailedAgainNs = 300 * kSecond;  // §3.3: five minutes at least
  static constexpr int64_t kRefreshNs = 86400 * kSecond;    // §3.3: once a day, though unchanged
  static constexpr int64_t kUnderWayNs = 60 * kSecond;
  static constexpr int64_t kWaitNs = 10 * kSecond;
  static constexpr uint64_t kBytesMax = 64 << 20;  // of policies, about
  class Entry;
  struct Kept {
    std::shared_ptr<const tls::CachedSts> policy;
    int64_t expires_mono_ns = 0, refresh_mono_ns = 0;
  };

  const Kept* kept_of(std::string_view domain) const;
  void keep(tls::CachedSts cached, int64_t age_ns);
  void drop(const std::string& domain);
  static int64_t ttl_ns(const dns::Answer& answer, bool negative);

  ShardContext& shard_;
  dns::Router& router_;
  dns::Lookups& lookups_;
  tls::StsFetches* const fetches_;
  std::map<std::pair<int64_t, std::string>, Entry*> waited_for_;  // since when
  dns::NameCache<Entry> entries_;
  absl::flat_hash_map<std::string, Kept> kept_;
  std::set<std::pair<int64_t, std::string>> ends_;  // of these: when each is over
  uint64_t kept_bytes_ = 0;
  dns::Answer answer_;  // scratch
  uint64_t evicted_ = 0;
  OnFault on_fault_;
};

}  // namespace veredus
