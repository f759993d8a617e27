#include "engine/control/config_table.h"

namespace veredus::control {
namespace {

constexpr const char* kHostName = "a host name, as in \"mail.example.org\"";
constexpr const char* kAddress = "a numeric address, as in \"192.0.2.1\" or \"2001:db8::1\"";

constexpr Setting kSettings[] = {
    {"node", "name", TextSetting{&Config::name, "1–128 of A–Z a–z 0–9 . _ : @ -"},
     "this node's name in events (default: hostname)"},
    {"node", "hostname", TextSetting{&Config::hostname, kHostName},
     "what we call ourselves in EHLO (default: the host's full name)"},
    {"node", "own_names", TextsSetting{&Config::own_names, kHostName},
     "further names that are this host: cut from MX lists"},
    {"node", "spool", TextSetting{&Config::spool, "an absolute path"}, "directory of the journals"},
    {"node", "shards", CountSetting{&Config::shards, 0, 256, "one per core"},
     "threads that deliver"},
    {"node", "pin", SpecialSetting::pin, "true, false, or the list of cores, one per shard"},
    {"node", "shutdown_limit", DurationSetting{&Config::shutdown_limit_ns, 0, 10 * kMinute},
     "time for open transactions to finish when stopped"},

    {"feed", "socket", TextSetting{&Config::feed_socket, "an absolute path of at most 107 bytes"},
     "Unix socket for feeders"},
    {"feed", "mode", SpecialSetting::mode, "access to the socket, octal"},
    {"feed", "group", TextSetting{&Config::feed_group, "a group of this host"},
     "group of the socket (default: veredus, if there is such a group)"},
    {"feed", "users", SpecialSetting::users,
     "names or uids allowed to connect (default: root, the engine's user, the socket's group)"},

    {"http", "listen", SpecialSetting::listen, "loopback address and port, or \"off\""},
    {"http", "token_file", TextSetting{&Config::http_token_file, "an absolute path, or empty"},
     "file with the token that TCP callers must show (default: only /metrics and /healthz answer)"},

    {"dns", "servers", TextsSetting{&Config::dns_servers, "\"address\" or \"address:port\""},
     "resolvers (default: those of /etc/resolv.conf)"},
    {"dns", "timeout", DurationSetting{&Config::dns_timeout_ns, 100 * kMs, kMinute},
     "for one query, first try"},
    {"dns", "tries", CountSetting{&Config::dns_tries, 1, 10, nullptr}, "per server"},
    {"dns", "ipv6", FlagSetting{&Config::dns_ipv6}, "ask for IPv6 addresses and use them"},

    {"smtp", "port", PortSetting{&Config::smtp_port, 1, 65535, nullptr}, "of the receiving hosts"},
    {"smtp", "connections_per_site", CountSetting{&Config::connections_per_site, 1, 10000, nullptr},
     "over all shards"},
    {"smtp", "connections_total", CountSetting{&Config::connections_total, 1, 1000000, nullptr},
     "of the process"},
    {"smtp", "messages_per_connection",
     CountSetting{&Config::messages_per_connection, 0, 1000000, "any number"}, "before QUIT"},
    {"smtp", "recipients_per_transaction",
     CountSetting{&Config::recipients_per_transaction, 1, 100, nullptr},
     "of one domain, with the same content"},
    {"smtp", "addresses_tried", CountSetting{&Config::addresses_tried, 1, 32, nullptr},
     "of a site's hosts before it waits"},
    {"smtp", "use_chunking", FlagSetting{&Config::use_chunking}, "BDAT where it is offered"},
    {"smtp", "use_pipelining", FlagSetting{&Config::use_pipelining}, "where it is offered"},
    {"smtp", "early_mail_hosts",
     TextsSetting{&Config::early_mail_hosts, "a host name, or \".example.org\" for all below it"},
     "MX hosts known to take the next MAIL before they answered the end of data"},
    {"smtp", "idle_close", DurationSetting{&Config::idle_close_ns, 0, 5 * kMinute},
     "how long an idle connection is kept"},
    {"smtp", "host_down", DurationSetting{&Config::host_down_ns, kSecond, kHour},
     "how long a host that could not be reached is passed over"},
    {"smtp", "connect_limit", DurationSetting{&Config::connect_limit_ns, kSecond, 10 * kMinute},
     "for the connection"},
    {"smtp", "greeting_limit", DurationSetting{&Config::greeting_limit_ns, kSecond, kHour},
     "for the greeting (RFC 5321: 5 minutes)"},
    {"smtp", "ehlo_limit", DurationSetting{&Config::ehlo_limit_ns, kSecond, kHour},
     "for the reply to EHLO or HELO"},
    {"smtp", "mail_limit", DurationSetting{&Config::mail_limit_ns, kSecond, kHour},
     "for the reply to MAIL (RFC 5321: 5 minutes)"},
    {"smtp", "rcpt_limit", DurationSetting{&Config::rcpt_limit_ns, kSecond, kHour},
     "for the reply to RCPT (RFC 5321: 5 minutes)"},
    {"smtp", "data_limit", DurationSetting{&Config::data_limit_ns, kSecond, kHour},
     "for the reply to DATA (RFC 5321: 2 minutes)"},
    {"smtp", "block_limit", DurationSetting{&Config::block_limit_ns, kSecond, kHour},
     "for a block of content to be taken (RFC 5321: 3 minutes)"},
    {"smtp", "dot_limit", DurationSetting{&Config::dot_limit_ns, kSecond, kHour},
     "for the reply to the end of data (RFC 5321: 10 minutes)"},
    {"smtp", "setup_limit", DurationSetting{&Config::setup_limit_ns, kSecond, kHour},
     "from dialling until a message may be sent, however the single replies come"},
    {"smtp", "transaction_limit", DurationSetting{&Config::transaction_limit_ns, kSecond, kDay},
     "from MAIL to the reply to the end of data, without the time for the content"},
    {"smtp", "content_bytes_per_second",
     CountSetting{&Config::content_bytes_per_s_min, 1, 1'000'000'000, nullptr},
     "the time for the content is what it takes at this rate"},
    {"smtp", "trace_header", FlagSetting{&Config::trace_header},
     "put a Received field of ours in front of each message"},

    {"addresses", "allow", TextsSetting{&Config::allow_addresses, "a block, as in \"10.0.0.0/8\""},
     "loopback, private or other special addresses that mail may go to all the same"},
    {"addresses", "own", TextsSetting{&Config::own_addresses, kAddress},
     "addresses that are this host, beside those of its interfaces"},

    {"retry", "initial", DurationSetting{&Config::retry_initial_ns, kSecond, kDay},
     "before the second attempt"},
    {"retry", "factor", RealSetting{&Config::retry_factor, 1.0, 10.0}, "growth per attempt"},
    {"retry", "cap", DurationSetting{&Config::retry_cap_ns, kSecond, 7 * kDay}, "longest delay"},
    {"retry", "jitter", RealSetting{&Config::retry_jitter, 0.0, 0.9},
     "each delay is spread over ± this share of it"},
    {"retry", "max_age", DurationSetting{&Config::retry_max_age_ns, kMinute, 30 * kDay},
     "after which a recipient expires, unless the feeder says"},

    {"in_doubt", "policy", SpecialSetting::in_doubt,
     "when the connection is lost between the final dot and its reply"},
    {"in_doubt", "delay", DurationSetting{&Config::in_doubt_delay_ns, kSecond, kDay},
     "before such a recipient is tried again"},

    {"limits", "waiting", BigCountSetting{&Config::waiting_max, 1, 1'000'000'000, nullptr},
     "recipients in the engine; beyond it feeders are told 503"},
    {"limits", "batch_recipients",
     BigCountSetting{&Config::batch_recipients_max, 1, 100'000'000, nullptr},
     "lines of one batch; beyond it 413"},
    {"limits", "batch_line", BytesSetting{&Config::batch_line_bytes_max, kKiB, kGiB},
     "the first line of a batch"},
    {"limits", "recipient_line", BytesSetting{&Config::recipient_line_bytes_max, kKiB, 16 * kMiB},
     "a recipient's line, without its message"},
    {"limits", "message", BytesSetting{&Config::message_bytes_max, kKiB, kGiB}, "one message"},
    {"limits", "uploads", CountSetting{&Config::uploads_max, 1, 1024, nullptr},
     "batches being fed at a time; further ones are told 503"},

    {"journal", "segment", SmallBytesSetting{&Config::segment_bytes, kMiB, kGiB},
     "size of the journals' files"},
    {"journal", "outcome_flush", DurationSetting{&Config::outcome_flush_ns, 0, kSecond},
     "longest wait of an outcome for its sync"},

    {"cache", "pages", BytesSetting{&Config::page_cache_bytes, kMiB, 64 * kGiB},
     "per shard, of recipients read back"},
    {"cache", "contents", BytesSetting{&Config::content_cache_bytes, kMiB, 64 * kGiB},
     "per shard, of messages read back"},
};

}  // namespace

std::span<const Setting> all_settings() {
  return kSettings;
}

}  // namespace veredus::control
