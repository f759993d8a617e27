#include "engine/control/settings.h"

#include <cstring>
#include <set>

#include <ifaddrs.h>
#include <netinet/in.h>
#include <sched.h>

#include "absl/strings/str_cat.h"
#include "engine/smtp/reply_rules.h"

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

std::vector<std::string> own_names(const Config& config) {
  std::set<std::string> names(config.own_names.begin(), config.own_names.end());
  names.insert(config.hostname);
  for (const SourceSettings& source : config.sources) {
    if (!source.ehlo.empty()) names.insert(source.ehlo);
  }
  return {names.begin(), names.end()};
}

// "default" is there, whether something is said of it or not.
std::vector<std::string> pool_names(const Config& config) {
  std::vector<std::string> names = {"default"};
  for (const Config::Pool& pool : config.pools) {
    if (pool.name != "default") names.push_back(pool.name);
  }
  return names;
}

// A fault in the file is told with its place there; that there is none, with that of the setting.
absl::Status take_reply_rules(const Config& config, EngineSettings& settings) {
  if (config.verdict_rules.empty()) return absl::OkStatus();
  auto rules = smtp::ReplyRules::load(config.verdict_rules);
  if (rules.ok()) settings.reply_rules = *std::move(rules);
  if (!absl::IsNotFound(rules.status())) return rules.status();
  return setting_fault(config, "verdict.rules", rules.status().message());
}

mail::Findings findings_of(const std::vector<std::string>& names) {
  mail::Findings findings;
  for (const std::string& name : names) {
    if (const auto found = mail::finding_named(name)) findings.add(*found);
  }
  return findings;
}

intake::AdmissionSettings admission_settings(const Config& config) {
  intake::AdmissionSettings settings;
  settings.each = {config.admission, findings_of(config.admission_ignore)};
  for (const Config::Tenant& tenant : config.tenants) {
    if (!tenant.admission && !tenant.admission_ignore) continue;
    intake::AdmissionRules& rules = settings.of[tenant.name];
    rules.mode = tenant.admission.value_or(settings.each.mode);
    rules.ignore = findings_of(tenant.admission_ignore.value_or(config.admission_ignore));
  }
  return settings;
}

}  // namespace

absl::StatusOr<EngineSettings> engine_settings(const Config& config, const KeyOptions& keys) {
  EngineSettings settings;
  settings.hostname = config.hostname;
  settings.node = config.name;
  settings.own_names = own_names(config);
  set_sending(config, settings);
  if (absl::Status status = queue::validate(settings.retry); !status.ok()) return status;
  for (const Provider& provider : settings.providers) {
    if (absl::Status status = queue::validate(provider.retry); !status.ok()) {
      return absl::InvalidArgumentError("providers." + provider.name + "." +
                                        std::string(status.message()));
    }
  }

  if (absl::Status status = set_routes(config, settings); !status.ok()) return status;
  if (absl::Status status = set_dkim(config, keys, settings); !status.ok()) return status;
  if (absl::Status status = take_reply_rules(config, settings); !status.ok()) return status;

  absl::StatusOr<dns::AddressPolicy> policy = address_policy(config);
  if (!policy.ok()) return policy.status();
  settings.address_policy = *std::move(policy);
  settings.router.ask_ipv6 = config.dns_ipv6;
  settings.router.tlsa_port = config.smtp_port;
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

absl::Status setting_fault(const Config& config, const std::string& setting,
                           absl::string_view what) {
  const Origin at = origin_of(config, setting);
  const std::string place = at.line == 0 ? "" : at.file + ":" + std::to_string(at.line) + ": ";
  return absl::InvalidArgumentError(absl::StrCat(place, setting, ": ", what));
}

intake::IntakeSettings intake_settings(const Config& config, const EngineSettings& engine) {
  intake::IntakeSettings settings;
  settings.feed.dkim = engine.dkim;
  settings.feed.origin = mail::message_id_origin(engine.render);
  intake::FeedLimits& limits = settings.feed.limits;
  limits.recipients_max = static_cast<uint32_t>(config.batch_recipients_max);
  limits.batch_line_bytes = config.batch_line_bytes_max;
  limits.recipient_line_bytes = config.recipient_line_bytes_max;
  limits.message_bytes = config.message_bytes_max;
  limits.pools = pool_names(config);
  settings.feed.own_names = own_names(config);
  settings.feed.feedback_sender = config.feedback_id;
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
  settings.feed.admission = admission_settings(config);
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
