#include "engine/control/config_sending_table.h"

#include "dns/route.h"
#include "engine/control/config_special.h"
#include "engine/control/config_syntax.h"
#include "engine/control/config_windows.h"
#include "queue/names.h"

// The settings of [providers.NAME], [groups.NAME] and [[sources]].

namespace veredus::control {
namespace {

using Rule = Config::ProviderRule;

bool is_site_key(std::string_view text) {
  return !text.empty() && text.size() <= dns::kMaxSiteKey;
}

ChoiceKind<Rule> in_doubt_kind() {
  return {
      kInDoubtWords,
      [](const Rule& rule) {
        return static_cast<size_t>(rule.sending.in_doubt.value_or(InDoubtPolicy::retry));
      },
      [](Rule& rule, size_t word) { rule.sending.in_doubt = static_cast<InDoubtPolicy>(word); }};
}

SettingList<Rule> make_provider_settings() {
  SettingList<Rule> out;
  const auto add = [&out](std::string_view key, const auto& kind, std::string_view help) {
    out.push_back({"", key, kind, help, Applies::at_reload});
  };
  using Texts = TextsKind<Rule>;
  add("mx", Texts{member<Rule, &Rule::sending, &Provider::mx>, kHostPattern, is_host_pattern},
      "fits domains whose best mail host is one of these");
  add("domains",
      Texts{member<Rule, &Rule::sending, &Provider::domains>, kHostPattern, is_host_pattern},
      "fits recipients' domains");
  add("sites",
      Texts{member<Rule, &Rule::sending, &Provider::sites>,
            "a site as events name it, as in \"mx1.example.org,mx2.example.org\"", is_site_key},
      "fits whole sites");
  add("groups",
      Texts{member<Rule, &Rule::groups>, "the name of a group, as in [groups.NAME]",
            queue::is_name},
      "whose limits hold, too");
  constexpr LimitNames kPerSource = {
      {"connections", "connection_rate", "message_rate", "byte_rate"},
      {"open at a time, from each source", "connections opened, from each source",
       "recipients, from each source", "of messages, from each source"},
      0,
      100'000};
  add_limits<Rule, &Rule::sending, &Provider::per_source>("", kPerSource, out);
  constexpr LimitNames kPerTenant = {
      {"tenant_connections", "", "tenant_message_rate", "tenant_byte_rate"},
      {"transactions at a time, of each tenant from all sources", "",
       "recipients, of each tenant from all sources",
       "of messages, of each tenant from all sources"},
      0,
      100'000};
  add_limits<Rule, &Rule::sending, &Provider::per_tenant>("", kPerTenant, out);
  add_sending<Rule, &Rule::sending>("", out);
  add("early_mail",
      FlagKind<Rule>{member<Rule, &Rule::sending, &Provider::dialogue,
                            &smtp::DialogueSettings::allow_early_mail>},
      "its hosts take the next MAIL before they answered the end of data");
  add("in_doubt", in_doubt_kind(),
      "when the connection is lost between the final dot and its reply");
  add("in_doubt_delay",
      DurationKind<Rule>{member<Rule, &Rule::sending, &Provider::in_doubt_delay_ns>,
                         kInDoubtDelayMin, kInDoubtDelayMax},
      "before such a recipient is tried again");
  add("windows", windows_kind<Rule, &Rule::windows>(), kWindowsHelp);
  add_retry<Rule, &Rule::sending>(out);
  return out;
}

SettingList<ProviderGroup> make_group_settings() {
  SettingList<ProviderGroup> out;
  constexpr LimitNames kNames = {{"connections", "connection_rate", "message_rate", "byte_rate"},
                                 {"open at a time from all sources, to all providers of the group",
                                  "connections opened, to all of them",
                                  "recipients, to all of them", "of messages, to all of them"}};
  add_limits<ProviderGroup, &ProviderGroup::limits>("", kNames, out);
  return out;
}

SettingList<SourceSettings> make_source_settings() {
  using Source = SourceSettings;
  SettingList<Source> out;
  const auto add = [&out](std::string_view key, const auto& kind, std::string_view help) {
    out.push_back({"", key, kind, help, Applies::at_reload});
  };
  add("name", TextKind<Source>{member<Source, &Source::name>, "1–128 of A–Z a–z 0–9 . _ : @ -"},
      "in events and pools");
  add("address", kAddressSpecial, "to send from (default: the kernel chooses)");
  add("address6", kAddress6Special, "the IPv6 one, where `address` is IPv4");
  add("ehlo",
      TextKind<Source>{member<Source, &Source::ehlo>, "a host name, as in \"mail.example.org\""},
      "what it calls itself in EHLO (default: node.hostname)");
  constexpr LimitNames kNames = {{"connections", "connection_rate", "message_rate", "byte_rate"},
                                 {"open at a time, to all", "connections opened, to all",
                                  "recipients, to all", "of messages, to all"}};
  add_limits<Source, &Source::limits>("", kNames, out);
  return out;
}

}  // namespace

Settings<Rule> provider_settings() {
  static const SettingList<Rule> all = make_provider_settings();
  return all;
}

Settings<ProviderGroup> group_settings() {
  static const SettingList<ProviderGroup> all = make_group_settings();
  return all;
}

Settings<SourceSettings> source_settings() {
  static const SettingList<SourceSettings> all = make_source_settings();
  return all;
}

std::string top_name(std::string_view provider_setting) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 9> kOtherwise = {{
      {"connections", "smtp.connections_per_site"},
      {"connection_rate", "smtp.site_connection_rate"},
      {"message_rate", "smtp.site_message_rate"},
      {"byte_rate", "smtp.site_byte_rate"},
      {"tenant_connections", "smtp.site_tenant_connections"},
      {"tenant_message_rate", "smtp.site_tenant_message_rate"},
      {"tenant_byte_rate", "smtp.site_tenant_byte_rate"},
      {"in_doubt", "in_doubt.policy"},
      {"in_doubt_delay", "in_doubt.delay"},
  }};
  for (const auto& [setting, top] : kOtherwise) {
    if (setting == provider_setting) return std::string(top);
  }
  const bool retry = provider_setting.starts_with("retry.");
  const std::string_view table = retry ? "retry" : "smtp";
  if (retry) provider_setting.remove_prefix(table.size() + 1);
  for (const Setting& setting : all_settings()) {
    if (setting.table == table && setting.key == provider_setting) return setting.name();
  }
  return "";
}

}  // namespace veredus::control
