#pragma once

#include <array>
#include <string_view>
#include <vector>

#include "engine/control/config_table.h"

// Settings that stand in several places of the file, e.g. in [smtp] and in each provider: once,
// with their units and ranges. `Path` leads from an Of to what they are members of.

namespace veredus::control {

template <class Of>
using SettingList = std::vector<SettingOf<Of>>;

// How the limits of a scope are called there. By Resource.
struct LimitNames {
  std::array<std::string_view, kResources> keys, help;
  uint64_t connections_min = 0, connections_max = 1'000'000;
};

template <class Of, Resource Which, auto... Path>
const queue::Rate& rate_in(const Of& of) {
  return member<Of, Path...>(of).rates[static_cast<size_t>(Which)];
}

// Path: to a LimitSettings.
template <class Of, auto... Path>
void add_limits(std::string_view table, const LimitNames& names, SettingList<Of>& out) {
  constexpr Applies kLive = Applies::at_reload;
  out.push_back({table, names.keys[0],
                 CountKind<Of, uint32_t>{member<Of, Path..., &LimitSettings::connections>,
                                         names.connections_min, names.connections_max,
                                         names.connections_min == 0 ? "no limit" : nullptr},
                 names.help[0], kLive});
  if (!names.keys[1].empty()) {  // of tenants: connections are not theirs
    out.push_back({table, names.keys[1],
                   RateKind<Of>{rate_in<Of, Resource::connection_rate, Path...>, false},
                   names.help[1], kLive});
  }
  out.push_back({table, names.keys[2],
                 RateKind<Of>{rate_in<Of, Resource::message_rate, Path...>, false}, names.help[2],
                 kLive});
  out.push_back({table, names.keys[3],
                 RateKind<Of>{rate_in<Of, Resource::byte_rate, Path...>, true}, names.help[3],
                 kLive});
}

template <class Of, smtp::Phase Which, auto... Path>
const int64_t& time_limit_in(const Of& of) {
  return member<Of, Path..., &Provider::dialogue>(of).time_limit_ns[static_cast<size_t>(Which)];
}

// One of some words, which stand in the order of the enumeration.
template <class Of, auto Find>
ChoiceKind<Of> choice_kind(std::span<const std::string_view> words) {
  using Choice = std::remove_cvref_t<decltype(Find(std::declval<const Of&>()))>;
  return {words, [](const Of& of) { return static_cast<size_t>(Find(of)); },
          [](Of& of, size_t word) { Field<Of, Choice>(Find).in(of) = static_cast<Choice>(word); }};
}

// How a session goes on. Path: to a Provider.
template <class Of, auto... Path>
void add_sending(std::string_view table, SettingList<Of>& out) {
  const auto add = [table, &out](std::string_view key, const auto& kind, std::string_view help) {
    out.push_back({table, key, kind, help, Applies::at_reload});
  };
  using Count = CountKind<Of, unsigned>;
  using Duration = DurationKind<Of>;
  using smtp::Phase, smtp::SessionLimits, smtp::DialogueSettings;
  add("messages_per_connection",
      Count{member<Of, Path..., &Provider::messages_per_connection>, 0, 1'000'000, "any number"},
      "before QUIT");
  add("recipients_per_transaction",
      Count{member<Of, Path..., &Provider::recipients_per_transaction>, 1, 100, nullptr},
      "of one domain, with the same content");
  add("addresses_tried", Count{member<Of, Path..., &Provider::addresses_tried>, 1, 32, nullptr},
      "of a site's hosts before it waits");
  add("family", choice_kind<Of, &member<Of, Path..., &Provider::family>>(kFamilyWords),
      "which of a host's addresses are dialled first, or only");
  add("use_chunking",
      FlagKind<Of>{member<Of, Path..., &Provider::dialogue, &DialogueSettings::use_chunking>},
      "BDAT where it is offered");
  add("use_pipelining",
      FlagKind<Of>{member<Of, Path..., &Provider::dialogue, &DialogueSettings::use_pipelining>},
      "where it is offered");
  add("tls",
      choice_kind<Of, &member<Of, Path..., &Provider::dialogue, &DialogueSettings::tls>>(kTlsWords),
      "opportunistic: where it is offered; required: or not at all");
  add("dane", FlagKind<Of>{member<Of, Path..., &Provider::dane>},
      "TLSA records that are validated hold for hosts that have them (RFC 7672)");
  add("mta_sts", FlagKind<Of>{member<Of, Path..., &Provider::mta_sts>},
      "policies of recipients' domains hold (RFC 8461)");
  add("idle_close", Duration{member<Of, Path..., &Provider::idle_close_ns>, 0, 10 * kMinute},
      "how long an idle connection is kept");
  add("idle_max", Count{member<Of, Path..., &Provider::idle_max>, 0, 100'000, "any number"},
      "connections of a shard to a site that may be idle");
  add("connection_age",
      Duration{member<Of, Path..., &Provider::connection_age_ns>, 0, kDay, "no bound"},
      "after which a connection gets no further message");
  add("host_down", Duration{member<Of, Path..., &Provider::host_down_ns>, kSecond, kHour},
      "how long a host that could not be reached is passed over");
  add("connect_limit",
      Duration{member<Of, Path..., &Provider::session_limits, &SessionLimits::connect_ns>, kSecond,
               10 * kMinute},
      "for the connection");
  add("greeting_limit", Duration{time_limit_in<Of, Phase::greeting, Path...>, kSecond, kHour},
      "for the greeting (RFC 5321: 5 minutes)");
  add("ehlo_limit", Duration{time_limit_in<Of, Phase::ehlo, Path...>, kSecond, kHour},
      "for the reply to EHLO or HELO");
  add("tls_limit", Duration{time_limit_in<Of, Phase::tls, Path...>, kSecond, kHour},
      "for the TLS handshake");
  add("auth_limit", Duration{time_limit_in<Of, Phase::auth, Path...>, kSecond, kHour},
      "for each reply to AUTH");
  add("mail_limit", Duration{time_limit_in<Of, Phase::mail, Path...>, kSecond, kHour},
      "for the reply to MAIL (RFC 5321: 5 minutes)");
  add("rcpt_limit", Duration{time_limit_in<Of, Phase::rcpt, Path...>, kSecond, kHour},
      "for the reply to RCPT (RFC 5321: 5 minutes)");
  add("data_limit", Duration{time_limit_in<Of, Phase::data, Path...>, kSecond, kHour},
      "for the reply to DATA (RFC 5321: 2 minutes)");
  add("block_limit", Duration{time_limit_in<Of, Phase::body, Path...>, kSecond, kHour},
      "for a block of content to be taken (RFC 5321: 3 minutes)");
  add("dot_limit", Duration{time_limit_in<Of, Phase::end_of_data, Path...>, kSecond, kHour},
      "for the reply to the end of data (RFC 5321: 10 minutes)");
  add("setup_limit",
      Duration{member<Of, Path..., &Provider::session_limits, &SessionLimits::setup_ns>, kSecond,
               kHour},
      "from dialling until a message may be sent, however the single replies come");
  add("transaction_limit",
      Duration{member<Of, Path..., &Provider::session_limits, &SessionLimits::transaction_ns>,
               kSecond, kDay},
      "from MAIL to the reply to the end of data, without the time for the content");
  add("content_bytes_per_second",
      CountKind<Of, uint32_t>{
          member<Of, Path..., &Provider::session_limits, &SessionLimits::content_bytes_per_s>, 1,
          1'000'000'000, nullptr},
      "the time for the content is what it takes at this rate");
}

// When to try again. Path: to a Provider.
template <class Of, auto... Path>
void add_retry(SettingList<Of>& out) {
  const auto add = [&out](std::string_view key, const auto& kind, std::string_view help) {
    out.push_back({"retry", key, kind, help, Applies::at_reload});
  };
  using queue::RetryPolicy;
  using Duration = DurationKind<Of>;
  using Durations = DurationsKind<Of>;
  add("initial",
      Duration{member<Of, Path..., &Provider::retry, &RetryPolicy::initial_ns>, kSecond, kDay},
      "before the second attempt");
  add("factor",
      RealKind<Of>{member<Of, Path..., &Provider::retry, &RetryPolicy::factor>, 1.0, 10.0},
      "growth per attempt");
  add("intervals",
      Durations{member<Of, Path..., &Provider::retry, &RetryPolicy::intervals_ns>, kSecond,
                7 * kDay, queue::kDelaysMax},
      "instead of initial and factor: after the first attempt, the second, …; the last one stays");
  add("cap",
      Duration{member<Of, Path..., &Provider::retry, &RetryPolicy::cap_ns>, kSecond, 7 * kDay},
      "longest delay");
  add("jitter", RealKind<Of>{member<Of, Path..., &Provider::retry, &RetryPolicy::jitter>, 0.0, 0.9},
      "each delay is spread over ± this share of it");
  add("greylist",
      Durations{member<Of, Path..., &Provider::retry, &RetryPolicy::greylist_ns>, kSecond, 7 * kDay,
                queue::kDelaysMax},
      "the same for who is greylisted, as far as the list goes; []: as everybody else");
  add("hint_max",
      Duration{member<Of, Path..., &Provider::retry, &RetryPolicy::hint_max_ns>, 0, 7 * kDay,
               "not at all"},
      "\"try again in …\" of a reply is respected up to this, from 10s on");
  add("max_age",
      Duration{member<Of, Path..., &Provider::retry, &RetryPolicy::max_age_ns>, kMinute, 30 * kDay},
      "after which a recipient expires, unless the feeder says");
  add("site_initial",
      Duration{member<Of, Path..., &Provider::site_initial_ns>, 0, kDay, "as long as host_down"},
      "before a site that cannot be reached is dialled again; doubles each time");
  add("site_cap",
      Duration{member<Of, Path..., &Provider::retry, &RetryPolicy::site_cap_ns>, kSecond, kDay},
      "longest such pause; host_down, where that is longer");
}

}  // namespace veredus::control
