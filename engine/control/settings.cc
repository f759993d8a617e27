#include "engine/control/settings.h"

#include <cstring>
#include <set>

#include <ifaddrs.h>
#include <netinet/in.h>
#include <sched.h>

namespace veredus::control {
namespace {

// Every address that this host's interfaces have now.
std::vector<dns::IpAddress> interface_addresses() {
  std::vector<dns::IpAddress> found;
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) return found;
  for (const ifaddrs* item = list; item != nullptr; item = item->ifa_next) {
    if (item->ifa_addr == nullptr) continue;
    dns::IpAddress address;
    if (item->ifa_addr->sa_family == AF_INET) {
      const auto* v4 = reinterpret_cast<const sockaddr_in*>(item->ifa_addr);
      std::memcpy(address.bytes.data(), &v4->sin_addr, 4);
    } else if (item->ifa_addr->sa_family == AF_INET6) {
      const auto* v6 = reinterpret_cast<const sockaddr_in6*>(item->ifa_addr);
      address.family = dns::IpAddress::Family::v6;
      std::memcpy(address.bytes.data(), &v6->sin6_addr, 16);
    } else {
      continue;
    }
    found.push_back(address);
  }
  freeifaddrs(list);
  return found;
}

absl::StatusOr<dns::AddressPolicy> address_policy(const Config& config) {
  std::vector<dns::Cidr> allow;
  for (const std::string& block : config.allow_addresses) {
    absl::StatusOr<dns::Cidr> cidr = dns::parse_cidr(block);
    if (!cidr.ok()) return cidr.status();
    allow.push_back(*cidr);
  }
  std::vector<dns::IpAddress> own = interface_addresses();
  for (const std::string& text : config.own_addresses) {
    if (const auto address = dns::IpAddress::parse(text)) own.push_back(*address);
  }
  return dns::AddressPolicy(std::move(allow), std::move(own));
}

void set_dialogue(const Config& config, smtp::DialogueSettings& dialogue) {
  dialogue.ehlo_name = config.hostname;
  dialogue.use_pipelining = config.use_pipelining;
  dialogue.use_chunking = config.use_chunking;
  const auto limit = [&dialogue](smtp::Phase phase) -> int64_t& {
    return dialogue.time_limit_ns[static_cast<size_t>(phase)];
  };
  limit(smtp::Phase::connect) = config.connect_limit_ns;
  limit(smtp::Phase::greeting) = config.greeting_limit_ns;
  limit(smtp::Phase::ehlo) = config.ehlo_limit_ns;
  limit(smtp::Phase::helo) = config.ehlo_limit_ns;
  limit(smtp::Phase::mail) = config.mail_limit_ns;
  limit(smtp::Phase::rcpt) = config.rcpt_limit_ns;
  limit(smtp::Phase::data) = config.data_limit_ns;
  limit(smtp::Phase::body) = config.block_limit_ns;
  limit(smtp::Phase::end_of_data) = config.dot_limit_ns;
}

std::vector<std::string> own_names(const Config& config) {
  std::set<std::string> names(config.own_names.begin(), config.own_names.end());
  names.insert(config.hostname);
  for (const Config::Source& source : config.sources) {
    if (!source.ehlo.empty()) names.insert(source.ehlo);
  }
  return {names.begin(), names.end()};
}

InDoubtPolicy in_doubt_of(Config::InDoubt policy) {
  switch (policy) {
    case Config::InDoubt::retry:
      return InDoubtPolicy::retry;
    case Config::InDoubt::hold:
      return InDoubtPolicy::hold;
    case Config::InDoubt::assume_delivered:
      break;
  }
  return InDoubtPolicy::assume_delivered;
}

}  // namespace

absl::StatusOr<EngineSettings> engine_settings(const Config& config) {
  EngineSettings settings;
  settings.hostname = config.hostname;
  settings.node = config.name;
  settings.own_names = own_names(config);
  settings.smtp_port = config.smtp_port;
  settings.connections_per_site = config.connections_per_site;
  settings.connections_total = config.connections_total;
  settings.messages_per_connection = config.messages_per_connection;
  settings.recipients_per_transaction = config.recipients_per_transaction;
  settings.addresses_tried = config.addresses_tried;
  settings.idle_close_ns = config.idle_close_ns;
  settings.session_limits.connect_ns = config.connect_limit_ns;
  settings.session_limits.setup_ns = config.setup_limit_ns;
  settings.session_limits.transaction_ns = config.transaction_limit_ns;
  settings.session_limits.content_bytes_per_s = config.content_bytes_per_s_min;
  settings.host_down_ns = config.host_down_ns;
  settings.early_mail_hosts = config.early_mail_hosts;
  set_dialogue(config, settings.dialogue);

  settings.sources.clear();
  for (const Config::Source& source : config.sources) {
    SourceSettings made;
    made.name = source.name;
    made.ehlo = source.ehlo;
    if (!source.address.empty() && !io::parse_address(source.address, made.address)) {
      return absl::InvalidArgumentError("sources: " + source.address + " is no numeric address");
    }
    settings.sources.push_back(std::move(made));
  }

  settings.retry.initial_ns = config.retry_initial_ns;
  settings.retry.factor = config.retry_factor;
  settings.retry.cap_ns = config.retry_cap_ns;
  settings.retry.jitter = config.retry_jitter;
  settings.retry.max_age_ns = config.retry_max_age_ns;
  if (absl::Status status = queue::validate(settings.retry); !status.ok()) return status;
  settings.in_doubt = in_doubt_of(config.in_doubt);
  settings.in_doubt_delay_ns = config.in_doubt_delay_ns;
  for (const Config::InDoubtRule& rule : config.in_doubt_rules) {
    settings.in_doubt_rules.push_back({rule.match, rule.domain,
                                       in_doubt_of(rule.policy.value_or(config.in_doubt)),
                                       rule.delay_ns.value_or(config.in_doubt_delay_ns)});
  }
  settings.retry.in_doubt_ns = config.in_doubt_delay_ns;

  absl::StatusOr<dns::AddressPolicy> policy = address_policy(config);
  if (!policy.ok()) return policy.status();
  settings.address_policy = *std::move(policy);
  settings.router.ask_ipv6 = config.dns_ipv6;
  settings.render.hostname = config.hostname;
  settings.render.node = config.name;
  settings.render.trace = config.trace_header;

  settings.page_cache_bytes = config.page_cache_bytes;
  settings.content_cache_bytes = config.content_cache_bytes;
  settings.journal.segment_bytes = config.segment_bytes;
  settings.journal.accept_unreadable = config.accept_unreadable;
  settings.spool_bytes_max = config.spool_bytes_max;
  settings.outcome_flush_ns = config.outcome_flush_ns;
  settings.erase_within_ns = config.erase_within_ns;
  settings.events.keep_ns = config.events_keep_ns;
  settings.events.keep_bytes = config.events_keep_bytes;
  settings.events.consumers_keep_ns = config.events_consumers_keep_ns;
  return settings;
}

intake::IntakeSettings intake_settings(const Config& config) {
  intake::IntakeSettings settings;
  intake::FeedLimits& limits = settings.feed.limits;
  limits.recipients_max = static_cast<uint32_t>(config.batch_recipients_max);
  limits.batch_line_bytes = config.batch_line_bytes_max;
  limits.recipient_line_bytes = config.recipient_line_bytes_max;
  limits.message_bytes = config.message_bytes_max;
  settings.feed.own_names = own_names(config);
  settings.uploads_max = config.uploads_max;
  settings.waiting_max = config.waiting_max;
  settings.remember_ns = config.remember_ns;
  intake::TenantQuota& each = settings.quotas.each;
  each.waiting = config.tenant_waiting_max;
  each.bytes = config.tenant_bytes_max;
  for (const Config::Tenant& tenant : config.tenants) {
    intake::TenantQuota& quota = settings.quotas.of[tenant.name];
    quota.waiting = tenant.waiting.value_or(each.waiting);
    quota.bytes = tenant.bytes.value_or(each.bytes);
    quota.own_waiting = tenant.waiting.has_value();
    quota.own_bytes = tenant.bytes.has_value();
  }
  return settings;
}

std::vector<unsigned> cores_of(const Config& config) {
  if (!config.pin) return {};
  if (!config.pin_cores.empty()) return config.pin_cores;
  std::vector<unsigned> cores;
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) != 0) return cores;
  for (unsigned core = 0; core < CPU_SETSIZE; ++core) {
    if (CPU_ISSET(core, &set)) cores.push_back(core);
  }
  return cores;
}

unsigned shards_of(const Config& config) {
  if (config.shards != 0) return config.shards;
  if (!config.pin_cores.empty()) return static_cast<unsigned>(config.pin_cores.size());
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  const int count = CPU_COUNT(&set);
  return count < 1 ? 1 : count > 256 ? 256 : static_cast<unsigned>(count);
}

}  // namespace veredus::control
