#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <sys/types.h>

#include "absl/status/statusor.h"
#include "engine/intake/admission_gate.h"
#include "engine/policy.h"

namespace veredus::control {

// Where something stands in a file; line and column from 1.
struct FilePlace {
  std::string file;
  uint32_t line = 0, column = 0;
};

// How mail is sent where nothing is said of it.
Provider default_sending();
LimitSettings default_global_limits();

// The configuration as one plain value: what config.toml says, every default filled in, every range
// checked. Times in nanoseconds, sizes in bytes. Made by load_config() or parse_config(); changed
// by nobody afterwards.
struct Config {
  std::string file;  // where it was read from; empty: defaults only
  // Where those settings stand that are set: "smtp.port", "providers.gmail.retry.initial",
  // "sources[0].address"; and headings: "providers.gmail". Those shipped are in
  // kShippedProvidersFile.
  std::map<std::string, FilePlace, std::less<>> places;

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
  std::string authorities = "/etc/ssl/certs/ca-certificates.crt";
  uint16_t sts_port = 443;
  bool dns_trust_ad = false;
  bool dns_ipv6 = true;

  // [smtp], [retry], [in_doubt] delay: how mail is sent where no provider says otherwise. Limits:
  // for each site and source.
  Provider fallback = default_sending();
  std::vector<std::string> windows;  // as queue::parse_windows() takes them; none: always open
  LimitSettings global = default_global_limits();  // of the process
  uint16_t smtp_port = 25;
  std::vector<std::string> early_mail_hosts;
  bool trace_header = true;   // a Received field of ours
  std::string redirect_host;  // staging: all mail goes to this one, a numeric address; empty: no
  io::Endpoint redirect;      // the same, with its port

  // [verdict]: a file of rules for replies, looked at before those shipped; empty: none
  std::string verdict_rules;

  // [[sources]], with names of their own; ids are not set
  std::vector<SourceSettings> sources = {SourceSettings{}};
  // [pools.NAME]
  struct Pool {
    std::string name;
    std::vector<std::pair<std::string, uint32_t>> sources;  // with their weights
    bool sticky = false;
  };
  std::vector<Pool> pools;

  // [providers.NAME]: what holds of some receivers instead of [smtp], [retry], [in_doubt]; in order
  // of matching: those that only the file has, in its order, then those that are shipped.
  struct ProviderRule {
    std::string name;
    Provider sending;                 // of its settings those that are in `places`
    std::vector<std::string> groups;  // by name
    std::vector<std::string> windows;
  };
  std::vector<ProviderRule> providers;
  // [groups.NAME]
  std::vector<ProviderGroup> groups;

  // [routes.NAME]: where the mail of some domains goes instead of to their mail hosts
  struct Route {
    enum class Tls : uint8_t { as_provider, none, opportunistic, required, implicit };
    std::string name;
    std::vector<std::string> domains;  // as StaticRoute has them
    std::vector<NextHop> hosts;        // in order of preference; port 0: none was said
    uint16_t port = 0;                 // of those; 0: 465 with implicit TLS, else smtp.port
    Tls tls = Tls::as_provider;
    enum class Verify : uint8_t { with_auth, never, always };
    Verify verify = Verify::with_auth;
    // Whether certificates must show that it is the host: by whom the password is not told.
    bool verifies() const {
      return verify == Verify::always ||
             (verify == Verify::with_auth && !auth.user.empty() && !auth.allow_in_clear);
    }
    // What we say we are there; user empty: nothing. Without what is in the file.
    smtp::Credentials auth;
    std::string password_file;
  };
  std::vector<Route> routes;

  // [dkim.NAME]: a signing identity (RFC 6376)
  struct Dkim {
    enum class Canonicalization : uint8_t {  // of header / body
      relaxed_relaxed,
      relaxed_simple,
      simple_relaxed,
      simple_simple,
    };
    std::string name;
    std::string domain, selector;  // d=, s=
    std::string key_file;          // PEM
    Canonicalization canonicalization = Canonicalization::relaxed_relaxed;
    int64_t lifetime_ns = 0;             // x=; 0: none
    std::vector<std::string> also_sign;  // names of header fields, beside the usual ones
  };
  std::vector<Dkim> dkim;

  // [addresses]: numeric addresses that mail may go to although they are private, loopback, …
  std::vector<std::string> allow_addresses;  // CIDR blocks
  std::vector<std::string> own_addresses;    // ours, beside those of the interfaces

  // [in_doubt]
  using InDoubt = InDoubtPolicy;
  InDoubt in_doubt = InDoubt::retry;
  // [[in_doubt.rules]]: the first that fits holds instead
  struct InDoubtRule {
    std::string match;   // MX host: its name, or ".example.net" for all below that
    std::string domain;  // of the recipient, likewise; one of the two is set
    std::optional<InDoubt> policy;
    std::optional<int64_t> delay_ns;
    bool operator==(const InDoubtRule&) const = default;
  };
  std::vector<InDoubtRule> in_doubt_rules;

  // [content]
  std::string feedback_id;  // last field of Feedback-ID; empty: messages get no such field

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

  // [admission]: what is done about what the admission check finds of messages that are fed
  intake::AdmissionMode admission = intake::AdmissionMode::warn;
  std::vector<std::string> admission_ignore;  // names of findings

  // [tenants.NAME]: what holds of this one instead of limits.tenant_… and [admission], and its
  // share
  struct Tenant {
    std::string name;
    std::optional<uint64_t> waiting, bytes;
    std::optional<uint32_t> weight;  // 1 … 1000; none: 1
    std::vector<std::string> windows;
    std::optional<intake::AdmissionMode> admission;
    std::optional<std::vector<std::string>> admission_ignore;
  };
  std::vector<Tenant> tenants;

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
// Defaults only: those shipped for known providers are among them.
Config default_config();

// What is shipped for known providers, as TOML; origins and places name it so.
inline constexpr const char* kShippedProvidersFile = "providers.toml";
std::string_view shipped_providers();

// Every setting with its value as TOML, with unit and range as comments: what `check-config`
// prints.
std::string describe_config(const Config& config);

// With smtp.redirect: what must be said loudly, and where it is set; else empty.
std::string redirect_warning(const Config& config);

// Times and sizes as they are written in the file: "10m", "1h30m", "500ms"; "64MiB", "10kB",
// "1000".
std::optional<int64_t> parse_duration_ns(std::string_view text);
std::optional<uint64_t> parse_bytes(std::string_view text);
std::string duration_text(int64_t ns);
std::string bytes_text(uint64_t bytes);
std::string real_text(double number);
// Rates: "100/s", "1000/min", "50000/h", "1000000/d", "none"; with `bytes`, "10MiB/s".
std::optional<queue::Rate> parse_rate(std::string_view text, bool bytes);
std::string rate_text(const queue::Rate& rate, bool bytes);

}  // namespace veredus::control
