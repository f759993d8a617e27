#include "engine/control/config_table.h"

#include "engine/control/config_sending_table.h"
#include "engine/control/config_special.h"
#include "engine/control/config_syntax.h"
#include "engine/control/config_windows.h"

// The settings of the tables that are not lists: [node] … [cache].

namespace veredus::control {
namespace {

constexpr const char* kHostName = "a host name, as in \"mail.example.org\"";
constexpr const char* kFeedbackId = "5–15 of A–Z a–z 0–9 . _ -";
constexpr const char* kAddress = "a numeric address, as in \"192.0.2.1\" or \"2001:db8::1\"";

template <auto... Path>
constexpr auto in = &member<Config, Path...>;

using Duration = DurationKind<Config>;
using Bytes = BytesKind<Config, uint64_t>;
using SmallBytes = BytesKind<Config, uint32_t>;
using Count = CountKind<Config, unsigned>;
using BigCount = CountKind<Config, uint64_t>;
using Port = CountKind<Config, uint16_t>;
using Flag = FlagKind<Config>;
using Text = TextKind<Config>;
using Texts = TextsKind<Config>;

void add_host(SettingList<Config>& out) {
  out.insert(
      out.end(),
      {
          {"node", "name", Text{in<&Config::name>, "1–128 of A–Z a–z 0–9 . _ : @ -"},
           "this node's name in events (default: hostname)"},
          {"node", "hostname", Text{in<&Config::hostname>, kHostName},
           "what we call ourselves in EHLO (default: the host's full name)"},
          {"node", "own_names", Texts{in<&Config::own_names>, kHostName},
           "further names that are this host: cut from MX lists"},
          {"node", "spool", Text{in<&Config::spool>, "an absolute path"},
           "directory of the journals"},
          {"node", "shards", Count{in<&Config::shards>, 0, 256, "one per core"},
           "threads that deliver"},
          {"node", "pin", kPinSpecial, "true, false, or the list of cores, one per shard"},
          {"node", "shutdown_limit", Duration{in<&Config::shutdown_limit_ns>, 0, 10 * kMinute},
           "time for open transactions to finish when stopped"},

          {"feed", "socket",
           Text{in<&Config::feed_socket>, "an absolute path of at most 107 bytes"},
           "Unix socket for feeders"},
          {"feed", "mode", kModeSpecial, "access to the socket, octal"},
          {"feed", "group", Text{in<&Config::feed_group>, "a group of this host"},
           "group of the socket (default: veredus, if there is such a group)"},
          {"feed", "users", kUsersSpecial,
           "names or uids allowed to connect (default: root, the engine's user, the socket's "
           "group)"},

          {"http", "listen", kListenSpecial, "loopback address and port, or \"off\""},
          {"http", "token_file", Text{in<&Config::http_token_file>, "an absolute path, or empty"},
           "file with the token that TCP callers must show (default: only /metrics and /healthz "
           "answer)"},

          {"dns", "servers", Texts{in<&Config::dns_servers>, "\"address\" or \"address:port\""},
           "resolvers (default: those of /etc/resolv.conf)"},
          {"dns", "timeout", Duration{in<&Config::dns_timeout_ns>, 100 * kMs, kMinute},
           "for one query, first try"},
          {"dns", "tries", Count{in<&Config::dns_tries>, 1, 10, nullptr}, "per server"},
          {"dns", "trust_ad", Flag{in<&Config::dns_trust_ad>},
           "believe resolvers that are not on loopback that they have validated an answer; such on "
           "loopback always are (DANE)"},
          {"dns", "ipv6", Flag{in<&Config::dns_ipv6>}, "ask for IPv6 addresses and use them"},
      });
}

void add_smtp(SettingList<Config>& out) {
  out.push_back(
      {"smtp", "port", Port{in<&Config::smtp_port>, 1, 65535, nullptr}, "of the receiving hosts"});
  constexpr LimitNames kSite = {
      {"connections_per_site", "site_connection_rate", "site_message_rate", "site_byte_rate"},
      {"open at a time to a site that no provider fits, from each source",
       "connections opened to such a site, from each source",
       "recipients of such a site, from each source",
       "of messages to such a site, from each source"},
      1,
      10'000};
  add_limits<Config, &Config::fallback, &Provider::per_source>("smtp", kSite, out);
  constexpr LimitNames kSiteTenant = {
      {"site_tenant_connections", "", "site_tenant_message_rate", "site_tenant_byte_rate"},
      {"transactions at a time to such a site, of each tenant from all sources", "",
       "recipients of such a site, of each tenant from all sources",
       "of messages to such a site, of each tenant from all sources"},
      0,
      100'000};
  add_limits<Config, &Config::fallback, &Provider::per_tenant>("smtp", kSiteTenant, out);
  constexpr LimitNames kTotal = {
      {"connections_total", "connection_rate", "message_rate", "byte_rate"},
      {"of the process", "connections opened by the process", "recipients, of the process",
       "of messages, of the process"},
      1,
      1'000'000};
  add_limits<Config, &Config::global>("smtp", kTotal, out);
  add_sending<Config, &Config::fallback>("smtp", out);
  out.push_back({"smtp", "windows", windows_kind<Config, &Config::windows>(), kWindowsHelp,
                 Applies::at_reload});
  out.insert(out.end(),
             {
                 {"smtp", "early_mail_hosts",
                  Texts{in<&Config::early_mail_hosts>,
                        "a host name, or \".example.org\" for all below it"},
                  "MX hosts known to take the next MAIL before they answered the end of data",
                  Applies::at_reload},
                 {"smtp", "authorities", Text{in<&Config::authorities>, "an absolute path"},
                  "file of certificates, in PEM, of those who vouch for receivers (MTA-STS)"},
                 {"smtp", "mta_sts_port", Port{in<&Config::sts_port>, 1, 65535, nullptr},
                  "of the hosts that policies are fetched from; another than 443 is for tests"},
                 {"smtp", "trace_header", Flag{in<&Config::trace_header>},
                  "put a Received field of ours in front of each message"},
                 {"smtp", "redirect", kRedirectSpecial,
                  "staging: \"address:port\" that ALL mail goes to, none to its recipients' hosts; "
                  "\"\": no",
                  Applies::at_reload},
             });
}

void add_in_doubt(SettingList<Config>& out) {
  out.insert(
      out.end(),
      {
          {"in_doubt", "policy",
           ChoiceKind<Config>{
               kInDoubtWords,
               [](const Config& config) { return static_cast<size_t>(config.in_doubt); },
               [](Config& config, size_t word) {
                 config.in_doubt = static_cast<InDoubtPolicy>(word);
               }},
           "when the connection is lost between the final dot and its reply", Applies::at_reload},
          {"in_doubt", "delay",
           Duration{in<&Config::fallback, &Provider::in_doubt_delay_ns>, kInDoubtDelayMin,
                    kInDoubtDelayMax},
           "before such a recipient is tried again", Applies::at_reload},
      });
}

void add_verdict(SettingList<Config>& out) {
  out.push_back({"verdict", "rules", Text{in<&Config::verdict_rules>, "an absolute path, or empty"},
                 "file of rules for replies, looked at before those shipped", Applies::at_reload});
}

void add_addresses(SettingList<Config>& out) {
  out.insert(out.end(),
             {
                 {"addresses", "allow",
                  Texts{in<&Config::allow_addresses>, "a block, as in \"10.0.0.0/8\""},
                  "loopback, private or other special addresses that mail may go to all the same"},
                 {"addresses", "own", Texts{in<&Config::own_addresses>, kAddress},
                  "addresses that are this host, beside those of its interfaces"},
             });
}

void add_content(SettingList<Config>& out) {
  out.push_back({"content", "feedback_id", Text{in<&Config::feedback_id>, kFeedbackId},
                 "who sends, as the last field of Feedback-ID in messages made from parts "
                 "(campaign:tenant:batch:this); \"\": they get no such field",
                 Applies::at_reload});
}

void add_intake(SettingList<Config>& out) {
  out.insert(
      out.end(),
      {
          {"limits", "waiting", BigCount{in<&Config::waiting_max>, 1, 1'000'000'000, nullptr},
           "recipients in the engine; beyond it feeders are told 503", Applies::at_reload},
          {"limits", "batch_recipients",
           BigCount{in<&Config::batch_recipients_max>, 1, 100'000'000, nullptr},
           "lines of one batch; beyond it 413", Applies::at_reload},
          {"limits", "batch_line", Bytes{in<&Config::batch_line_bytes_max>, kKiB, kGiB},
           "the first line of a batch", Applies::at_reload},
          {"limits", "recipient_line",
           Bytes{in<&Config::recipient_line_bytes_max>, kKiB, 16 * kMiB},
           "a recipient's line, without its message", Applies::at_reload},
          {"limits", "message", Bytes{in<&Config::message_bytes_max>, kKiB, kGiB}, "one message",
           Applies::at_reload},
          {"limits", "uploads", Count{in<&Config::uploads_max>, 1, 1024, nullptr},
           "batches being fed at a time; further ones are told 503", Applies::at_reload},
          {"limits", "spool", Bytes{in<&Config::spool_bytes_max>, 0, kSpoolBytesMax},
           "of the journals on disk, 0: what the disk takes; beyond it feeders are told 503"},
          {"limits", "tenant_waiting",
           BigCount{in<&Config::tenant_waiting_max>, 0, kTenantWaitingMax, "no bound"},
           "recipients of one tenant in the engine; beyond it its feeder is told 429",
           Applies::at_reload},
          {"limits", "tenant_bytes", Bytes{in<&Config::tenant_bytes_max>, 0, kTenantBytesMax},
           "of one tenant's unfinished batches in the spool, 0: no bound; likewise",
           Applies::at_reload},
          {"limits", "remember", Duration{in<&Config::remember_ns>, kHour, 90 * kDay},
           "how long after its last outcome a batch sent again gets the stored answer",
           Applies::at_reload},
          {"limits", "erase_within",
           Duration{in<&Config::erase_within_ns>, 10 * kSecond, 30 * kDay},
           "by when the journals have forgotten whom POST /v1/cancel names; longer if events are "
           "kept"},
      });
}

void add_admission(SettingList<Config>& out) {
  out.insert(
      out.end(),
      {
          {"admission", "mode",
           ChoiceKind<Config>{
               kAdmissionWords,
               [](const Config& config) { return static_cast<size_t>(config.admission); },
               [](Config& config, size_t word) {
                 config.admission = static_cast<intake::AdmissionMode>(word);
               }},
           "what is done about messages that receivers would not like: nothing, tell, mend and "
           "tell, refuse",
           Applies::at_reload},
          {"admission", "ignore", Texts{in<&Config::admission_ignore>, kFindingName, is_finding},
           "what is not looked for, by name", Applies::at_reload},
      });
}

void add_spool(SettingList<Config>& out) {
  out.insert(
      out.end(),
      {
          {"journal", "segment", SmallBytes{in<&Config::segment_bytes>, kMiB, kGiB},
           "size of the journals' files"},
          {"journal", "outcome_flush", Duration{in<&Config::outcome_flush_ns>, 0, kSecond},
           "longest wait of an outcome for its sync"},
          {"journal", "accept_unreadable", Flag{in<&Config::accept_unreadable>},
           "start though parts of the journals cannot be read: what lies there is lost"},

          {"events", "keep", Duration{in<&Config::events_keep_ns>, 0, 90 * kDay},
           "how long they can be read, unless keep_bytes or a full disk ends it"},
          {"events", "keep_bytes", Bytes{in<&Config::events_keep_bytes>, 0, 1000 * 1000 * kGiB},
           "per journal, 0: no bound of its own"},
          {"events", "consumers_keep",
           Duration{in<&Config::events_consumers_keep_ns>, 0, 90 * kDay},
           "how long those are kept that a consumer has not acknowledged"},

          {"cache", "pages", Bytes{in<&Config::page_cache_bytes>, kMiB, 64 * kGiB},
           "per shard, of recipients read back"},
          {"cache", "contents", Bytes{in<&Config::content_cache_bytes>, kMiB, 64 * kGiB},
           "per shard, of messages read back"},
      });
}

SettingList<Config> make_settings() {
  SettingList<Config> out;
  add_host(out);
  add_smtp(out);
  add_addresses(out);
  add_retry<Config, &Config::fallback>(out);
  add_in_doubt(out);
  add_verdict(out);
  add_content(out);
  add_intake(out);
  add_admission(out);
  add_spool(out);
  return out;
}

}  // namespace

bool is_finding(std::string_view name) {
  return mail::finding_named(name).has_value();
}

Settings<Config> all_settings() {
  static const SettingList<Config> all = make_settings();
  return all;
}

}  // namespace veredus::control
