#include <algorithm>

#include <grp.h>
#include <netinet/in.h>

#include "dns/address_policy.h"
#include "engine/control/config_syntax.h"
#include "engine/control/config_table.h"
#include "engine/control/settings.h"
#include "queue/journal.h"
#include "queue/names.h"

// What the types alone do not say.

namespace veredus::control {
namespace {

class Checker {
 public:
  explicit Checker(const Config& config) : config_(config) {}

  std::vector<ConfigFault> run() {
    node();
    feed();
    networks();
    verdict();
    content();
    tenants();
    in_doubt();
    relations();
    check_sending(config_, faults_);
    check_routes(config_, faults_);
    check_dkim(config_, faults_);
    return std::move(faults_);
  }

 private:
  void fault(std::string setting, std::string what) {
    faults_.push_back({std::move(setting), std::move(what)});
  }
  static std::string quoted(const std::string& text) { return "\"" + text + "\""; }

  void node() {
    if (!is_host_name(config_.hostname)) {
      fault("node.hostname",
            quoted(config_.hostname) + " is no host name: write it as in \"mail.example.org\"");
    }
    // After the host name, which it is where nothing is said.
    if (!queue::is_name(config_.name)) {
      fault("node.name", quoted(config_.name) + " is no name: 1–128 of A–Z a–z 0–9 . _ : @ -");
    }
    for (const std::string& name : config_.own_names) {
      if (!is_host_name(name)) fault("node.own_names", quoted(name) + " is no host name");
    }
    if (config_.spool.empty() || config_.spool.front() != '/') {
      fault("node.spool", quoted(config_.spool) + " is no absolute path: begin it with /");
    }
    if (!config_.pin_cores.empty() && config_.shards != 0 &&
        config_.pin_cores.size() < config_.shards) {
      fault("node.pin", "names " + std::to_string(config_.pin_cores.size()) + " cores for " +
                            std::to_string(config_.shards) + " shards: name one for each");
    }
  }

  void feed() {
    constexpr size_t kSocketPathMax = 107;  // sockaddr_un::sun_path with its NUL
    const std::string& path = config_.feed_socket;
    if (path.empty() || path.front() != '/' || path.size() > kSocketPathMax) {
      fault("feed.socket", quoted(path) + " is no absolute path of at most 107 bytes");
    }
    if (!config_.feed_group.empty() && getgrnam(config_.feed_group.c_str()) == nullptr) {
      fault("feed.group", "there is no group " + quoted(config_.feed_group) +
                              ": make it with `groupadd --system " + config_.feed_group +
                              "`, or name another");
    }
    absolute("http.token_file", config_.http_token_file);
    const std::string& listen = config_.http_address;
    if (config_.http_on && !(listen.starts_with("127.") && is_address(listen)) && listen != "::1") {
      fault("http.listen", quoted(listen) +
                               " is no loopback address: use 127.0.0.1 or [::1], and a proxy for "
                               "callers from elsewhere");
    }
  }

  // Or empty.
  void absolute(const char* setting, const std::string& path) {
    if (!path.empty() && path.front() != '/')
      fault(setting, quoted(path) + " is no absolute path: begin it with /");
  }

  void verdict() { absolute("verdict.rules", config_.verdict_rules); }

  void networks() {
    absolute("smtp.authorities", config_.authorities);
    if (config_.dns_servers.size() > 8) fault("dns.servers", "names more than 8 servers");
    for (const std::string& server : config_.dns_servers) {
      if (!is_server(server)) {
        fault("dns.servers",
              quoted(server) +
                  " is no numeric address with or without port: write \"192.0.2.1\", "
                  "\"127.0.0.1:5300\" or \"[::1]:5300\"");
      }
    }
    for (const std::string& block : config_.allow_addresses) {
      const auto cidr = dns::parse_cidr(block);
      if (!cidr.ok()) fault("addresses.allow", std::string(cidr.status().message()));
    }
    for (const std::string& address : config_.own_addresses) {
      if (!is_address(address)) {
        fault("addresses.own", quoted(address) + " is no numeric address");
      }
    }
    for (const std::string& host : config_.early_mail_hosts) {
      if (!is_host_pattern(host)) {
        fault("smtp.early_mail_hosts", quoted(host) + " is no host name");
      }
    }
  }

  void in_doubt() {
    for (size_t i = 0; i < config_.in_doubt_rules.size(); ++i) {
      const Config::InDoubtRule& rule = config_.in_doubt_rules[i];
      const std::string where = "in_doubt.rules[" + std::to_string(i) + "]";
      if (rule.match.empty() == rule.domain.empty()) {
        fault(where, "say either `match`, an MX host's name, or `domain`, the recipient's");
      }
      if (!rule.policy) {
        fault(where, "say its `policy`: \"retry\", \"hold\" or \"assume-delivered\"");
      }
      for (const auto& [key, text] : {std::pair(".match", rule.match), {".domain", rule.domain}}) {
        if (text.empty() || is_host_pattern(text)) continue;
        fault(where + key, quoted(text) + " is no host name, nor one with a dot in front");
      }
    }
  }

  // As Google takes it, which asked for the field first.
  void content() {
    const std::string& id = config_.feedback_id;
    const bool fits = std::all_of(id.begin(), id.end(), [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
             c == '.' || c == '_' || c == '-';
    });
    if (!id.empty() && (!fits || id.size() < 5 || id.size() > 15))
      fault("content.feedback_id", quoted(id) + " is none: 5–15 of A–Z a–z 0–9 . _ -");
  }

  void tenants() {
    for (const Config::Tenant& tenant : config_.tenants) {
      if (queue::is_name(tenant.name)) continue;
      fault("tenants." + tenant.name,
            quoted(tenant.name) + " is no name of a tenant: 1–128 of A–Z a–z 0–9 . _ : @ -");
    }
  }

  void relations() {
    if (config_.global.connections < config_.fallback.per_source.connections) {
      fault("smtp.connections_total", "is less than smtp.connections_per_site");
    }
    if (config_.global.connections < config_.shards) {
      fault("smtp.connections_total", "is less than node.shards: each shard needs one at least");
    }
    const uint64_t spool_min =
        uint64_t{queue::kSegmentsMin} * config_.segment_bytes * std::max(1u, shards_of(config_));
    if (config_.spool_bytes_max != 0 && config_.spool_bytes_max < spool_min) {
      fault("limits.spool", bytes_text(config_.spool_bytes_max) + " is less than " +
                                bytes_text(spool_min) + ": each journal, one per shard, needs " +
                                std::to_string(queue::kSegmentsMin) +
                                " files of journal.segment; raise it, or lower that");
    }
    if (config_.message_bytes_max > config_.batch_line_bytes_max) {
      fault("limits.message", "is more than limits.batch_line, which has to hold it");
    }
  }

  const Config& config_;
  std::vector<ConfigFault> faults_;
};

}  // namespace

std::vector<ConfigFault> check_config(const Config& config) {
  return Checker(config).run();
}

}  // namespace veredus::control
