#include "engine/control/engine_settings.h"

#include <algorithm>
#include <cstring>

#include <ifaddrs.h>
#include <netinet/in.h>
#include <sched.h>
#include <unistd.h>

namespace veredus::control {

namespace {

// Cores that this process may run on, in order.
std::vector<unsigned> allowed_cores() {
  cpu_set_t set;
  std::vector<unsigned> cores;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return cores;
  for (unsigned core = 0; core < CPU_SETSIZE; ++core) {
    if (CPU_ISSET(core, &set)) cores.push_back(core);
  }
  return cores;
}

// The addresses of this host's interfaces: mail that would be sent there would come back to us.
std::vector<dns::IpAddress> interface_addresses() {
  std::vector<dns::IpAddress> addresses;
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) return addresses;
  for (const ifaddrs* each = list; each != nullptr; each = each->ifa_next) {
    if (each->ifa_addr == nullptr) continue;
    dns::IpAddress address;
    if (each->ifa_addr->sa_family == AF_INET) {
      std::memcpy(address.bytes.data(),
                  &reinterpret_cast<const sockaddr_in*>(each->ifa_addr)->sin_addr, 4);
    } else if (each->ifa_addr->sa_family == AF_INET6) {
      address.family = dns::IpAddress::Family::v6;
      std::memcpy(address.bytes.data(),
                  &reinterpret_cast<const sockaddr_in6*>(each->ifa_addr)->sin6_addr, 16);
    } else {
      continue;
    }
    addresses.push_back(address);
  }
  freeifaddrs(list);
  return addresses;
}

absl::Status wrong(const Config& config, const std::string& what) {
  return absl::InvalidArgumentError(
      (config.file.empty() ? std::string("configuration") : config.file) + ": " + what);
}

void dialogue_settings(const Config& config, smtp::DialogueSettings& dialogue) {
  dialogue.ehlo_name = config.hostname;
  dialogue.use_pipelining = config.use_pipelining;
  dialogue.use_chunking = config.use_chunking;
  const auto limit = [&](smtp::Phase phase, int64_t ns) {
    dialogue.time_limit_ns[static_cast<size_t>(phase)] = ns;
  };
  limit(smtp::Phase::greeting, config.greeting_limit_ns);
  limit(smtp::Phase::ehlo, config.ehlo_limit_ns);
  limit(smtp::Phase::helo, config.ehlo_limit_ns);
  limit(smtp::Phase::mail, config.mail_limit_ns);
  limit(smtp::Phase::rcpt, config.rcpt_limit_ns);
  limit(smtp::Phase::data, config.data_limit_ns);
  limit(smtp::Phase::body, config.block_limit_ns);
  limit(smtp::Phase::end_of_data, config.dot_limit_ns);
}

}  // namespace

absl::StatusOr<EngineSettings> engine_settings(const Config& config) {
  EngineSettings settings;
  settings.hostname = config.hostname;
  settings.node = config.name;
  settings.own_names = config.own_names;
  settings.own_names.push_back(config.hostname);
  for (const Config::Source& source : config.sources) {
    if (!source.ehlo.empty()) settings.own_names.push_back(source.ehlo);
  }
  for (std::string& name : settings.own_names) {
    std::transform(name.begin(), name.end(), name.begin(),
                   [](unsigned char c) { return c >= 'A' && c <= 'Z' ? c + 32 : c; });
  }
  settings.smtp_port = config.smtp_port;
  settings.connections_per_site = config.connections_per_site;
  settings.connections_total = config.connections_total;
  settings.messages_per_connection = config.messages_per_connection;
  settings.recipients_per_transaction = config.recipients_per_transaction;
  settings.addresses_tried = config.addresses_tried;
  settings.idle_close_ns = config.idle_close_ns;
  settings.connect_limit_ns = config.connect_limit_ns;
  settings.host_down_ns = config.host_down_ns;
  settings.early_mail_hosts = config.early_mail_hosts;
  dialogue_settings(config, settings.dialogue);

  settings.sources.clear();
  for (const Config::Source& source : config.sources) {
    SourceSettings made;
    made.name = source.name;
    made.ehlo = source.ehlo;
    if (!source.address.empty() && !io::parse_address(source.address, made.address)) {
      return wrong(config, "sources: `" + source.address + "` of source `" + source.name +
                               "` is no address: write it in numbers, as 192.0.2.1 or 2001:db8::1");
    }
    settings.sources.push_back(std::move(made));
  }

  std::vector<dns::Cidr> allow;
  for (const std::string& text : config.allow_addresses) {
    absl::StatusOr<dns::Cidr> block = dns::parse_cidr(text);
    if (!block.ok())
      return wrong(config, "addresses.allow: " + std::string(block.status().message()));
    allow.push_back(*block);
  }
  std::vector<dns::IpAddress> own = interface_addresses();
  for (const std::string& text : config.own_addresses) {
    const auto address = dns::IpAddress::parse(text);
    if (!address) return wrong(config, "addresses.own: `" + text + "` is no address");
    own.push_back(*address);
  }
  settings.address_policy = dns::AddressPolicy(std::move(allow), std::move(own));

  settings.retry.initial_ns = config.retry_initial_ns;
  settings.retry.factor = config.retry_factor;
  settings.retry.cap_ns = config.retry_cap_ns;
  settings.retry.jitter = config.retry_jitter;
  settings.retry.max_age_ns = config.retry_max_age_ns;
  if (absl::Status sound = queue::validate(settings.retry); !sound.ok()) {
    return wrong(config, "retry: " + std::string(sound.message()));
  }
  switch (config.in_doubt) {
    case Config::InDoubt::retry:
      settings.in_doubt = InDoubtPolicy::retry;
      break;
    case Config::InDoubt::hold:
      settings.in_doubt = InDoubtPolicy::hold;
      break;
    case Config::InDoubt::assume_delivered:
      settings.in_doubt = InDoubtPolicy::assume_delivered;
      break;
  }
  settings.in_doubt_delay_ns = config.in_doubt_delay_ns;
  settings.render.hostname = config.hostname;
  settings.render.node = config.name;
  settings.render.trace = config.trace_header;
  settings.waiting_max = config.waiting_max;
  settings.page_cache_bytes = config.page_cache_bytes;
  settings.content_cache_bytes = config.content_cache_bytes;
  settings.journal.segment_bytes = config.segment_bytes;
  settings.outcome_flush_ns = config.outcome_flush_ns;
  return settings;
}

absl::StatusOr<EngineOptions> engine_options(const Config& config) {
  EngineOptions options;
  const std::vector<unsigned> allowed = allowed_cores();
  options.shards = config.shards != 0
                       ? config.shards
                       : std::max<unsigned>(1, static_cast<unsigned>(allowed.size()));
  if (config.pin) options.cores = config.pin_cores.empty() ? allowed : config.pin_cores;
  options.spool = config.spool;
  options.dns.servers = config.dns_servers;
  options.dns.timeout_ms = static_cast<int>(config.dns_timeout_ns / 1'000'000);
  options.dns.tries = static_cast<int>(config.dns_tries);
  return options;
}

}  // namespace veredus::control
