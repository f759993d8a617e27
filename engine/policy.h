#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "engine/io/ports.h"
#include "engine/next_hops.h"
#include "engine/origin.h"
#include "engine/provider_index.h"
#include "engine/smtp/dialogue.h"
#include "queue/rate.h"
#include "queue/retry.h"

namespace veredus::mail {
class DkimIdentities;  // mail/dkim_identity.h, likewise
}
namespace veredus::queue {
struct DeliveryWindows;  // queue/delivery_window.h, which few need
}

namespace veredus {

struct EngineSettings;
struct Site;

// What a limit counts. The numbers are stored (queue/FORMAT.md), those of ScopeId::Kind, too.
enum class Resource : uint8_t { connections, connection_rate, message_rate, byte_rate };
inline constexpr size_t kResources = 4;
std::string_view name_of(Resource resource);  // "connection_rate"

// What a limit belongs to.
struct ScopeId {
  enum class Kind : uint8_t {
    site,                // of: site number; with: source. A site that no provider fits
    provider,            // of: provider; with: source
    source,              // of: source
    group,               // of: group of providers
    tenant_at_site,      // of: site number; with: tenant
    tenant_at_provider,  // of: provider; with: tenant
    global,
  };
  Kind kind = Kind::global;
  uint32_t of = 0;
  uint32_t with = 0;
  auto operator<=>(const ScopeId&) const = default;
  template <class H>
  friend H AbslHashValue(H h, const ScopeId& id) {
    return H::combine(std::move(h), id.kind, id.of, id.with);
  }
};

// Limits of one scope, e.g. of a provider with one source. Messages are counted by recipients.
struct LimitSettings {
  uint32_t connections = 0;                   // open at a time; 0: no limit
  std::array<queue::Rate, kResources> rates;  // by Resource; that of `connections` is not used
  std::array<Origin, kResources> origins;
  bool any() const;
  const queue::Rate& rate(Resource resource) const { return rates[static_cast<size_t>(resource)]; }
};

// Which of a host's addresses are dialled first, or only.
enum class AddressFamily : uint8_t { prefer_ipv6, prefer_ipv4, ipv6_only, ipv4_only };

// What to do with a recipient whose delivery is unknown (connection lost between the final dot and
// its reply).
enum class InDoubtPolicy : uint8_t { retry, hold, assume_delivered };

// What holds for some sites or domains instead; see in_doubt.h.
struct InDoubtRule {
  std::string mx_name;  // a host's whole name, or with a dot in front all names below it
  std::string domain;   // of the recipient; likewise. One of the two is set
  InDoubtPolicy policy = InDoubtPolicy::retry;
  int64_t delay_ns = 600'000'000'000;
  Origin policy_origin = {}, delay_origin = {};
};

// How mail is sent to some receiver. The first provider that fits a domain holds; Policy::fallback
// is for all others, each site on its own.
struct Provider {
  uint32_t id = 0;   // place in Policy::providers; the same after a reload
  std::string name;  // "" of the fallback
  // One of these fits: names, or with a dot in front all names below. `mx`: of the best of the
  // domain's mail hosts. `sites`: site keys, as `veredus sites` shows them.
  std::vector<std::string> mx, domains, sites;

  LimitSettings per_source;              // of each source; of the fallback: for each site × source
  LimitSettings per_tenant;              // of each tenant, over all sources
  std::vector<uint32_t> groups;          // in Policy::groups
  unsigned messages_per_connection = 0;  // 0: any number
  unsigned recipients_per_transaction = 100;
  unsigned addresses_tried = 5;  // of a site's hosts, per dialling
  int64_t idle_close_ns = 5'000'000'000;
  unsigned idle_max = 0;          // connections of a lane that may idle; 0: any number
  int64_t connection_age_ns = 0;  // a connection gets no further transaction then; 0: no bound
  int64_t host_down_ns = 60'000'000'000;
  int64_t site_initial_ns = 0;  // of the retry policy; 0: as long as host_down_ns
  bool dane = true;             // TLSA records of its hosts hold (RFC 7672), …
  bool mta_sts = true;  // … and policies of its domains (RFC 8461); neither where TLS is `none`
  AddressFamily family = AddressFamily::prefer_ipv6;
  smtp::SessionLimits session_limits;
  smtp::DialogueSettings dialogue;  // without EHLO name: that is the source's
  queue::RetryPolicy retry;
  std::optional<InDoubtPolicy> in_doubt;  // none: as [in_doubt] has it
  int64_t in_doubt_delay_ns = 600'000'000'000;
  std::shared_ptr<const queue::DeliveryWindows> windows;  // mail may go there; null: always
  std::map<std::string, Origin, std::less<>> origins;     // by setting ("host_down"), where known
  bool removed = false;                                   // by a reload: fits nobody
};

// Providers that share limits, e.g. all that one company runs.
struct ProviderGroup {
  uint32_t id = 0;
  std::string name;
  LimitSettings limits;
};

// Over all reloads: what a reload removes keeps its place.
inline constexpr uint32_t kSourcesMax = 4096;

// One address (of each family) to send from, and how it introduces itself.
struct SourceSettings {
  std::string name = "default";
  io::Endpoint address;   // family 0: the kernel chooses
  io::Endpoint address6;  // of the other family, if it has both; family 0: none
  std::string ehlo;       // empty: the host's name
  LimitSettings limits;
  Origin address_origin;  // of both
  uint32_t id = 0;        // place in Policy::sources; the same after a reload
  bool removed = false;   // by a reload: nothing new goes out by it
};

struct SourcePool {
  struct Member {
    uint32_t source = 0;  // id
    uint32_t weight = 1;  // share of the mail, 1 … 1000
  };
  uint32_t id = 0;
  std::string name;
  std::vector<Member> members;
  bool sticky = false;  // each tenant keeps to one of the sources while that works
  bool removed = false;
};

struct TenantPolicy {
  std::string name;
  uint32_t weight = 1;  // share where tenants compete, 1 … 1000
  Origin weight_origin;
  // Its mail may go out, where the receiver's windows are open, too; null: always.
  std::shared_ptr<const queue::DeliveryWindows> windows;
  Origin windows_origin;
};

// All rules of sending, resolved: immutable, shared by the shards. A reload makes a new one and
// hands it to each of them; ids stay.
struct Policy {
  uint64_t version = 1;
  std::vector<Provider> providers;  // by id; [0] is the fallback
  std::vector<uint32_t> in_order;   // ids of those that are matched, in order
  ProviderIndex index;              // over these
  std::vector<ProviderGroup> groups;
  std::vector<SourceSettings> sources;
  std::vector<SourcePool> pools;  // by id; [0] is "default"
  std::map<std::string, TenantPolicy, std::less<>> tenants;
  // Bounds of the retry policies of all providers, for whose receiver is not known (yet): the
  // longest wait after each attempt and the greatest age, and the shortest age.
  queue::RetryPolicy loosest_retry, strictest_retry;
  std::vector<StaticRoute> routes;  // by id
  RouteIndex route_index;
  LimitSettings global;       // of the process
  std::string redirect_host;  // staging: all mail goes there; empty: it goes where it should
  io::Endpoint redirect;
  Origin redirect_origin;
  InDoubtPolicy in_doubt = InDoubtPolicy::retry;        // where neither a rule nor a provider says
  std::vector<InDoubtRule> in_doubt_rules;              // the first that fits
  std::vector<std::string> early_mail_hosts;            // as EngineSettings has them
  std::shared_ptr<const smtp::ReplyRules> reply_rules;  // null: those shipped
  std::shared_ptr<const mail::DkimIdentities> dkim;     // who signs; null: nobody

  // The id of the first provider that fits; 0: none does, the fallback holds. `mx`: the best of the
  // domain's hosts; `site_key`: as dns::site_key() has it.
  uint32_t provider_of(std::string_view domain, std::string_view mx,
                       std::string_view site_key) const;
  // What holds for a site.
  const Provider& provider_of(const Site& site) const;
  const LimitSettings& limits_of(const ScopeId& id) const;
  // By which the domain's mail goes; null: as the DNS says.
  const StaticRoute* route_of(std::string_view domain) const;
  // That the site is of, with just these hosts; null: by the DNS, or it is another one now.
  const StaticRoute* route_of(const Site& site) const;
  // The same by the site's key.
  const StaticRoute* route_of_key(std::string_view site_key) const;
  const SourcePool* pool_named(std::string_view name) const;  // nullptr: there is none
  uint32_t weight_of(std::string_view tenant) const;
};

// A site that cannot be reached is tried again when its hosts are not passed over any more, unless
// somebody said when. Makes the retry policy agree; twice is as good as once.
void set_site_clock(Provider& provider);

// Whether there are places for all sources. `before`: as make_policy() has it.
absl::Status sources_have_places(const EngineSettings& settings, const Policy* before);

// Resolves what was configured; its sources have places. `before`: the policy in force, whose ids
// are kept.
std::shared_ptr<const Policy> make_policy(const EngineSettings& settings, const Policy* before);

}  // namespace veredus
