#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "dns/address_policy.h"
#include "dns/router.h"
#include "engine/io/ports.h"
#include "engine/mail/template.h"
#include "engine/policy.h"
#include "engine/smtp/dialogue.h"
#include "queue/journal.h"
#include "queue/retry.h"

namespace veredus::mail {
class DkimIdentities;  // mail/dkim_identity.h, which few need
}

namespace veredus {

// How long segments are kept for readers of events, beside what a start needs: what is reached
// first ends it.
struct EventSettings {
  int64_t keep_ns = 0;      // since a segment was complete
  uint64_t keep_bytes = 0;  // per journal; 0: no bound of its own
  int64_t consumers_keep_ns = 7 * 86400 * int64_t{1'000'000'000};  // not passed by a consumer
};

// Everything the shards are told at start. Read by all threads, changed by none.
struct EngineSettings {
  std::string hostname = "localhost";  // EHLO name, `by` of the trace field
  std::string node = "veredus";
  std::vector<std::string>
      own_names;  // host names that are us: cut from MX lists, recognised in trace fields

  uint16_t smtp_port = 25;
  unsigned connections_per_site = 20;
  unsigned connections_total = 10000;    // of the process
  unsigned messages_per_connection = 0;  // 0: any number
  unsigned recipients_per_transaction = 100;
  unsigned addresses_tried = 5;  // of a site's hosts, per dialling (Postfix: 5)
  int64_t idle_close_ns = 5'000'000'000;
  smtp::SessionLimits session_limits;
  int64_t host_down_ns =
      60'000'000'000;           // a host that could not be reached is passed over that long
  int64_t site_initial_ns = 0;  // before a dead site is dialled again; 0: host_down_ns
  std::vector<std::string>
      early_mail_hosts;  // MX hosts known to take a next MAIL before the end-of-data reply; a name,
                         // or with a dot in front all below it
  smtp::DialogueSettings dialogue;
  std::shared_ptr<const smtp::ReplyRules>
      reply_rules;  // by which replies are judged; null: shipped
  AddressFamily family = AddressFamily::prefer_ipv6;
  bool dane = true, mta_sts = true;  // as Provider has them
  unsigned idle_max = 0;             // connections of a lane that may idle; 0: any number
  int64_t connection_age_ns = 0;     // 0: no bound
  std::vector<SourceSettings> sources = {SourceSettings{}};
  // What holds beside, or instead of, what is said above. See policy.h; ids are given when it is
  // resolved: groups and members name others by their place in these lists.
  std::vector<Provider> providers;  // in order of matching; the fallback is made of the above
  std::vector<ProviderGroup> groups;
  std::vector<SourcePool> pools;  // without one named "default" that is all sources, equally
  std::vector<TenantPolicy> tenants;
  LimitSettings fallback_limits;  // rates, and origins, for sites that no provider fits
  LimitSettings fallback_per_tenant;
  std::shared_ptr<const queue::DeliveryWindows> windows;        // null: always open
  std::map<std::string, Origin, std::less<>> fallback_origins;  // as Provider::origins
  std::vector<StaticRoute> routes;
  LimitSettings global_limits;  // rates; connections are connections_total
  std::string redirect_host;
  io::Endpoint redirect;
  Origin redirect_origin;

  queue::RetryPolicy retry;
  InDoubtPolicy in_doubt = InDoubtPolicy::retry;
  int64_t in_doubt_delay_ns = 600'000'000'000;
  std::vector<InDoubtRule> in_doubt_rules;  // the first that fits

  std::shared_ptr<const mail::DkimIdentities> dkim;  // who signs; null: nobody
  dns::AddressPolicy address_policy;
  dns::RouterSettings router;
  mail::RenderSettings render;

  uint32_t tickets_max = 65536;  // per band and shard, rounded up to a power of two
  uint64_t page_cache_bytes = 64u << 20;
  uint64_t content_cache_bytes = 256u << 20;
  queue::JournalOptions journal;
  uint64_t spool_bytes_max = 0;  // of all journals together, each its share; 0: no bound
  // Somebody who asked to be forgotten is gone from the journals in that time, or when the events
  // of him need not be kept any more, if that is later.
  int64_t erase_within_ns = 86400 * int64_t{1'000'000'000};
  EventSettings events;
  std::string boot_id;              // of the host, since it was started; empty: not known
  uint32_t rate_states = 4096;      // per shard: rates whose state is kept over a restart, ≥ 1
  uint32_t attempt_marks = 65536;   // per shard: recipients whose outcome is not durable yet
  uint32_t swept_per_turn = 32768;  // records that checkpoints and reclaim look at
  int64_t outcome_flush_ns = 5'000'000;  // outcomes wait at most that long for their sync
  // What is known of a domain or a lane is forgotten when no mail went there for so long.
  int64_t forgotten_after_ns = 3'600'000'000'000;
};

}  // namespace veredus
