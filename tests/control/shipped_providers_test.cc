#include <algorithm>
#include <set>

#include "engine/control/config_table.h"
#include "engine/control/settings.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

// What is shipped for known providers: that it reads, and whom it fits.

namespace veredus::control {
namespace {

std::shared_ptr<const Policy> shipped_policy() {
  const absl::StatusOr<Config> config = parse_config("", "a.toml");
  EXPECT_TRUE(config.ok()) << config.status().ToString();
  if (!config.ok()) return make_policy(EngineSettings{}, nullptr);
  const absl::StatusOr<EngineSettings> settings = engine_settings(*config);
  EXPECT_TRUE(settings.ok()) << settings.status().ToString();
  return make_policy(settings.ok() ? *settings : EngineSettings{}, nullptr);
}

TEST(ShippedProviders, WhomTheyFit) {
  const auto policy = shipped_policy();
  const struct {
    const char *domain, *mx, *provider;
  } kCases[] = {
      {"gmail.com", "gmail-smtp-in.l.google.com", "gmail"},
      {"GoogleMail.com", "gmail-smtp-in.l.google.com", "gmail"},
      {"corp.example", "aspmx.l.google.com", "google-workspace"},
      {"corp.example", "aspmx2.googlemail.com", "google-workspace"},
      {"corp.example", "smtp.google.com", "google-workspace"},
      {"yahoo.com", "mta5.am0.yahoodns.net", "yahoo"},
      {"aol.com", "mx-aol.mail.gm0.yahoodns.net", "yahoo"},
      {"att.net", "al-ip4-mx-vip1.prodigy.net", "att"},
      {"att.net", "mx-vzatt.mail.am0.yahoodns.net", "yahoo"},
      {"hotmail.com", "hotmail-com.olc.protection.outlook.com", "outlook"},
      {"corp.example", "corp-example.mail.protection.outlook.com", "microsoft365"},
      {"corp.example", "corp-example.a-v1.mx.microsoft", "microsoft365"},
      {"icloud.com", "mx01.mail.icloud.com", "icloud"},
      {"gmx.de", "mx00.emig.gmx.net", "gmx"},
      {"web.de", "mx-ha02.web.de", "gmx"},
      {"mail.com", "mx00.mail.com", "gmx"},
      {"t-online.de", "mx00.t-online.de", "t-online"},
      {"orange.fr", "smtp-in.orange.fr", "orange"},
      {"wanadoo.fr", "smtp-in.orange.fr", "orange"},
      {"free.fr", "mx1.free.fr", "free"},
      {"laposte.net", "smtpz4.laposte.net", "laposte"},
      {"comcast.net", "mx1a1.comcast.net", "comcast"},
      {"charter.net", "mx0.charter.net", "spectrum"},
      {"nyc.rr.com", "mx.example.net", "spectrum"},
      {"corp.example", "mx0a-00000000.pphosted.com", "proofpoint"},
      {"corp.example", "mx1-us1.ppe-hosted.com", "proofpoint"},
      {"corp.example", "eu-smtp-inbound-1.mimecast.com", "mimecast"},
      {"corp.example", "d1.a.ess.barracudanetworks.com", "barracuda"},
      {"corp.example", "mx1.hc1-01.eu.iphmx.com", "cisco"},
      {"corp.example", "mx.zoho.eu", "zoho"},
      {"yandex.ru", "mx.yandex.ru", "yandex"},
      {"corp.example", "mx.yandex.net", "yandex"},
      {"bk.ru", "mxs.mail.ru", "mail-ru"},
      {"qq.com", "mx1.qq.com", "qq"},
      {"163.com", "163mx01.mxmail.netease.com", "netease"},
      {"naver.com", "mx1.naver.com", "naver"},
      {"fastmail.com", "in1-smtp.messagingengine.com", "fastmail"},
      {"proton.me", "mail.protonmail.ch", "proton"},
      {"corp.example", "mx1.mail.ovh.net", "ovh"},
      {"corp.example", "mx00.kundenserver.de", "ionos"},
      {"corp.example", "mx00.ionos.co.uk", "ionos"},
      {"corp.example", "smtp.secureserver.net", "godaddy"},
      {"corp.example", "mx1.emailsrvr.com", "rackspace"},
      {"corp.example", "inbound-smtp.eu-west-1.amazonaws.com", "amazon-workmail"},
      // Somebody else's.
      {"corp.example", "mail.corp.example", ""},
      {"corp.example", "google.com.evil.example", ""},
      {"corp.example", "notgoogle.com", ""},
      {"corp.example", "ec2-192-0-2-1.compute.amazonaws.com", ""},
      {"corp.example", "c-192-0-2-1.hsd1.ma.comcast.net", ""},
  };
  std::set<std::string> named;
  for (const uint32_t id : policy->in_order) named.insert(policy->providers[id].name);
  for (const auto& one : kCases) {
    const Provider& found = policy->providers[policy->provider_of(one.domain, one.mx, one.mx)];
    EXPECT_EQ(found.name, one.provider) << one.domain << " at " << one.mx;
    named.erase(found.name);
  }
  EXPECT_THAT(named, testing::IsEmpty()) << "each has an example here";
}

// No pattern is there in vain: what one fits is not taken by a provider in front of it.
TEST(ShippedProviders, EveryPatternFits) {
  const auto policy = shipped_policy();
  const auto example = [](const std::string& pattern) {
    return pattern.starts_with('.') ? "a1.b-2" + pattern : pattern;
  };
  for (const uint32_t id : policy->in_order) {
    const Provider& provider = policy->providers[id];
    EXPECT_FALSE(provider.mx.empty() && provider.domains.empty()) << provider.name;
    for (const std::string& pattern : provider.mx) {
      EXPECT_EQ(policy->provider_of("corp.example", example(pattern), ""), id)
          << provider.name << ": " << pattern;
    }
    for (const std::string& pattern : provider.domains) {
      EXPECT_EQ(policy->provider_of(example(pattern), "mx.example.net", ""), id)
          << provider.name << ": " << pattern;
    }
  }
}

// Nothing to complain of, neither as an error nor as a warning, and nothing that only looks like a
// setting: each that stands there makes a difference.
TEST(ShippedProviders, NothingIsWrongWithThem) {
  const Config config = default_config();
  EXPECT_FALSE(config.providers.empty());
  EXPECT_EQ(check_config(config).size(), 0u);
  EXPECT_EQ(redirect_warning(config), "");
  EXPECT_TRUE(engine_settings(config).ok());
  const Config::ProviderRule unset{"", config.fallback, {}, {}};
  for (const Config::ProviderRule& rule : config.providers) {
    for (const SettingOf<Config::ProviderRule>& setting : provider_settings()) {
      const std::string name = "providers." + rule.name + "." + setting.name();
      const auto place = config.places.find(name);
      if (place == config.places.end()) continue;
      EXPECT_EQ(place->second.file, kShippedProvidersFile) << name;
      // That of all, said again, would hide a change of [smtp] for no reason; connections and
      // messages per connection are said of each.
      const bool of_each = setting.key == "connections" || setting.key == "messages_per_connection";
      EXPECT_TRUE(of_each || !same_value(setting, rule, unset)) << name;
    }
  }
  // The file on its own, as an operator who copied it would have it.
  const absl::StatusOr<Config> copied = parse_config(shipped_providers(), "copy.toml");
  ASSERT_TRUE(copied.ok()) << copied.status();
  EXPECT_EQ(copied->providers.size(), config.providers.size());
}

TEST(ShippedProviders, TheirNumbersAreCareful) {
  const auto policy = shipped_policy();
  EXPECT_GE(policy->in_order.size(), 30u);
  std::set<std::string> microsoft;
  for (const uint32_t id : policy->in_order) {
    const Provider& provider = policy->providers[id];
    EXPECT_TRUE(provider.per_source.connections >= 3 && provider.per_source.connections <= 50)
        << provider.name;
    EXPECT_TRUE(provider.messages_per_connection >= 20 && provider.messages_per_connection <= 100)
        << provider.name;
    EXPECT_EQ(provider.origins.at("connections").file, kShippedProvidersFile) << provider.name;
    for (const uint32_t group : provider.groups) {
      EXPECT_EQ(policy->groups[group].name, "microsoft");
      microsoft.insert(provider.name);
    }
  }
  EXPECT_EQ(microsoft, (std::set<std::string>{"outlook", "microsoft365"}));
}

}  // namespace
}  // namespace veredus::control
