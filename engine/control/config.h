#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <sys/types.h>

#include "absl/status/statusor.h"

namespace veredus::control {

// The configuration as one plain value: what config.toml says, every default filled in, every range
// checked. Times in nanoseconds, sizes in bytes. Made by load_config() or parse_config(); changed
// by nobody afterwards.
struct Config {
  std::string file;  // where it was read from; empty: defaults only

  // [node]
  std::string name;                    // in events; default: hostname
  std::string hostname;                // EHLO name; default: the host's fully qualified name
  std::vector<std::string> own_names;  // host names that are us, beside hostname
  std::string spool = "/var/spool/veredus";
  unsigned shards = 0;  // 0: one per core the process may run on
  bool pin = true;      // each shard's thread to one core
  std::vector<unsigned>
      pin_cores;  // which, in order of shards; empty: those the process may run on
  int64_t shutdown_limit_ns = 30'000'000'000;

  // [feed]
  std::string feed_socket = "/run/veredus/feed.sock";
  mode_t feed_mode = 0660;
  std::string
      feed_group;  // empty: `veredus` if there is such a group, else the group of the process
  // Who may talk to the feed socket. Empty: root, the engine's own user, and members of the
  // socket's group.
  std::vector<uid_t> feed_users;

  // [http]: the same calls on TCP, loopback only
  bool http_on = true;
  std::string http_address = "127.0.0.1";
  uint16_t http_port = 8025;
  std::string http_token_file;  // empty: /metrics and /healthz only

  // [dns]
  std::vector<std::string>
      dns_servers;  // "address" or "address:port" ("[v6]:port"); empty: /etc/resolv.conf
  int64_t dns_timeout_ns = 5'000'000'000;
  unsigned dns_tries = 3;
  bool dns_ipv6 = true;

  // [smtp]
  uint16_t smtp_port = 25;
  unsigned connections_per_site = 20;
  unsigned connections_total = 10000;
  unsigned messages_per_connection = 0;  // 0: any number
  unsigned recipients_per_transaction = 100;
  unsigned addresses_tried = 5;
  bool use_chunking = true;
  bool use_pipelining = true;
  std::vector<std::string> early_mail_hosts;
  int64_t idle_close_ns = 5'000'000'000;
  int64_t host_down_ns = 60'000'000'000;
  // RFC 5321 §4.5.3.2, in its order, after connect
  int64_t connect_limit_ns = 60'000'000'000;
  int64_t greeting_limit_ns = 300'000'000'000;
  int64_t ehlo_limit_ns = 300'000'000'000;
  int64_t mail_limit_ns = 300'000'000'000;
  int64_t rcpt_limit_ns = 300'000'000'000;
  int64_t data_limit_ns = 120'000'000'000;
  int64_t block_limit_ns = 180'000'000'000;
  int64_t dot_limit_ns = 600'000'000'000;
  // Of all of it, however the single replies come; see smtp::SessionLimits.
  int64_t setup_limit_ns = 600'000'000'000;
  int64_t transaction_limit_ns = 1'800'000'000'000;
  unsigned content_bytes_per_s_min = 500;
  bool trace_header = true;  // a Received field of ours

  // [[sources]]
  struct Source {
    std::string name = "default";
    std::string address;  // numeric; empty: the kernel chooses
    std::string ehlo;     // empty: hostname
  };
  std::vector<Source> sources = {Source{}};

  // [addresses]: numeric addresses that mail may go to although they are private, loopback, …
  std::vector<std::string> allow_addresses;  // CIDR blocks
  std::vector<std::string> own_addresses;    // ours, beside those of the interfaces

  // [retry]
  int64_t retry_initial_ns = 900'000'000'000;
  double retry_factor = 2.0;
  int64_t retry_cap_ns = 4 * 3600 * int64_t{1'000'000'000};
  double retry_jitter = 0.2;  // ± this part of the delay
  int64_t retry_max_age_ns = 5 * 86400 * int64_t{1'000'000'000};

  // [in_doubt]
  enum class InDoubt : uint8_t { retry, hold, assume_delivered };
  InDoubt in_doubt = InDoubt::retry;
  int64_t in_doubt_delay_ns = 600'000'000'000;
  // [[in_doubt.rules]]: the first that fits holds instead
  struct InDoubtRule {
    std::string match;   // MX host: its name, or ".example.net" for all below that
    std::string domain;  // of the recipient, likewise; one of the two is set
    std::optional<InDoubt> policy;
    std::optional<int64_t> delay_ns;
  };
  std::vector<InDoubtRule> in_doubt_rules;

  // [limits]
  uint64_t waiting_max = 50'000'000;  // recipients in the engine
  uint64_t batch_recipients_max = 1'000'000;
  uint64_t batch_line_bytes_max = 64ull << 20;
  uint64_t recipient_line_bytes_max = 64ull << 10;  // without `message`
  uint64_t message_bytes_max = 50ull << 20;
  // Of each tenant; 0: no bound.
  uint64_t tenant_waiting_max = 0;
  uint64_t tenant_bytes_max = 0;
  uint64_t spool_bytes_max = 0;  // of all journals; 0: no bound
  unsigned uploads_max = 64;     // batches being fed at a time
  int64_t erase_within_ns = 86400 * int64_t{1'000'000'000};
  int64_t remember_ns = 7 * 86400 * int64_t{1'000'000'000};  // idempotency, after the last outcome

  // [tenants.NAME]: what holds of this one instead of limits.tenant_…
  struct Tenant {
    std::string name;
    std::optional<uint64_t> waiting, bytes;
  };
  std::vector<Tenant> tenants;  // by name

  // [journal]
  uint32_t segment_bytes = 64u << 20;
  int64_t outcome_flush_ns = 5'000'000;
  bool accept_unreadable = false;

  // [events]: how long they are kept beyond what a start needs; what is reached first ends it
  int64_t events_keep_ns = 86400 * int64_t{1'000'000'000};
  uint64_t events_keep_bytes = 1ull << 30;  // per journal; 0: no bound of its own
  // That a consumer has not acknowledged.
  int64_t events_consumers_keep_ns = 7 * 86400 * int64_t{1'000'000'000};

  // [cache], per shard
  uint64_t page_cache_bytes = 64ull << 20;
  uint64_t content_cache_bytes = 256ull << 20;
};

// Reads one TOML file. Errors name file, line, column and what to do; an unknown key names the
// nearest known one.
absl::StatusOr<Config> load_config(const std::string& path);
// The same from text; `name` stands for the file in errors.
absl::StatusOr<Config> parse_config(std::string_view text, const std::string& name);
// Defaults only.
Config default_config();

// Every setting with its value as TOML, with unit and range as comments: what `check-config`
// prints.
std::string describe_config(const Config& config);

// Times and sizes as they are written in the file: "10m", "1h30m", "500ms"; "64MiB", "10kB",
// "1000".
std::optional<int64_t> parse_duration_ns(std::string_view text);
std::optional<uint64_t> parse_bytes(std::string_view text);
std::string duration_text(int64_t ns);
std::string bytes_text(uint64_t bytes);

}  // namespace veredus::control
