#include "engine/control/config.h"
#include "gtest/gtest.h"

// What is wrong in providers, groups, sources, pools and limits, and where: the whole message.

namespace veredus::control {
namespace {

std::string error_of(std::string_view text) {
  const absl::StatusOr<Config> config = parse_config(text, "a.toml");
  return config.ok() ? "was taken" : std::string(config.status().message());
}

constexpr std::string_view kRateRule =
    "write a rate up to 1000000000, as in \"100/s\", \"1000/min\", \"50000/h\" or \"1000000/d\", "
    "or \"none\" for no limit";
constexpr std::string_view kByteRateRule =
    "write a rate of bytes up to \"1024GiB\", as in \"10MiB/s\" or \"1GiB/h\", or \"none\" for no "
    "limit";
constexpr std::string_view kPatternRule =
    " is not a host name, or \".example.org\" for all below it";
constexpr std::string_view kAddressRule =
    "write a numeric address of this host, as in \"192.0.2.1\" or \"2001:db8::1\"";
constexpr std::string_view kRedirectRule =
    "write a numeric address and a port, as in \"127.0.0.1:2525\" or \"[::1]:2525\", or \"\" for "
    "none";
constexpr std::string_view kWindowRule =
    " (a window is written like \"Mo-Fr 08:00-20:00 Europe/Berlin\")";
constexpr std::string_view kWindowsRule =
    "write a window in quotes, as in \"Mo-Fr 08:00-20:00 Europe/Berlin\", or a list of such";

TEST(ConfigSendingErrors, WhatIsWrongAndWhere) {
  const auto text = [](std::string_view place, std::string_view what) {
    return std::string(place) + std::string(what);
  };
  const struct {
    std::string file, error;
  } kCases[] = {
      {"[providers.p]\nmx = [\"a.example\"]\nconections = 3\n",
       "a.toml:3:1: there is no setting in [providers.p] \"conections\": did you mean "
       "\"connections\"?"},
      {"[providers.p]\nmx = [\"a.example\"]\nconnections = -3\n",
       "a.toml:3:15: providers.p.connections: write a whole number from 0 to 100000"},
      {"[providers.p]\nmx = [\"a.example\"]\nmessage_rate = 100\n",
       text("a.toml:3:16: providers.p.message_rate: ", kRateRule)},
      {"[providers.p]\nmx = [\"a.example\"]\nmessage_rate = \"100/m\"\n",
       text("a.toml:3:16: providers.p.message_rate: ", kRateRule)},
      {"[providers.p]\nmx = [\"a.example\"]\nmessage_rate = \"1000000001/d\"\n",
       text("a.toml:3:16: providers.p.message_rate: ", kRateRule)},
      {"[providers.p]\nmx = [\"a.example\"]\ntenant_byte_rate = \"1025GiB/d\"\n",
       text("a.toml:3:20: providers.p.tenant_byte_rate: ", kByteRateRule)},
      {"[smtp]\nsite_byte_rate = \"10/parsec\"\n",
       text("a.toml:2:18: smtp.site_byte_rate: ", kByteRateRule)},
      {"[providers.p]\nmx = [\"a.example\", \"b c\"]\n",
       text("a.toml:2:20: providers.p.mx: \"b c\"", kPatternRule)},
      {"[providers.p]\ndomains = [\"\u00fc_x..example\"]\n",
       text("a.toml:2:12: providers.p.domains: \"\u00fc_x..example\"", kPatternRule)},
      {"[providers.p]\ndomains = [\".\"]\n",
       text("a.toml:2:12: providers.p.domains: \".\"", kPatternRule)},
      {"[providers.p]\nmx = \"a.example\"\n",
       "a.toml:2:6: providers.p.mx: write a list of texts in quotes, each a host name, or "
       "\".example.org\" for all below it"},
      {"[providers.p]\nconnections = 3\n",
       "a.toml:1:12: providers.p: say whom it fits: `mx`, `domains` or `sites`"},
      {"[providers.\"a b\"]\nmx = []\n",
       "a.toml:1:12: providers.a b: \"a b\" is no name: 1–128 of A–Z a–z 0–9 . _ : @ -"},
      {"[providers.p]\nmx = []\ngroups = [\"microsft\"]\n",
       "a.toml:3:10: providers.p.groups: there is no group \"microsft\": did you mean "
       "\"microsoft\"? (a heading [groups.microsft] makes it)"},
      {"[providers.p]\nmx = []\nretry = \"5m\"\n",
       "a.toml:3:9: providers.p.retry: write it as a table, headed [providers.p.retry]"},
      {"[providers.p]\nmx = []\n[providers.p.retry]\ninital = \"5m\"\n",
       "a.toml:4:1: there is no setting in [providers.p.retry] \"inital\": did you mean "
       "\"initial\"?"},
      {"[providers.p]\nmx = []\nretry.initial = \"5h\"\n",
       "a.toml:3:17: providers.p.retry.initial: 5h is more than retry.cap (4h): lower it, or say "
       "providers.p.retry.cap, too"},
      {"[providers.p]\nmx = []\nretry.cap = \"5m\"\n",
       "a.toml:3:13: providers.p.retry.cap: 5m is less than providers.p.retry.initial (15m): raise "
       "it, or lower that"},
      {"[retry]\nintervals = [\"5m\", \"5h\", \"6h\"]\n",
       "a.toml:2:13: retry.intervals: 5h is more than retry.cap (4h): lower it, or raise that"},
      {"[retry]\nintervals = [\"5m\", 6]\n",
       "a.toml:2:20: retry.intervals: write a time from \"1s\" to \"7d\", as in \"500ms\", "
       "\"30s\", "
       "\"10m\", \"1h30m\" or \"5d\""},
      {"[retry]\ngreylist = \"5m\"\n",
       "a.toml:2:12: retry.greylist: write a list of at most 30 times, as in [\"5m\", \"20m\", "
       "\"1h\"]"},
      {"[retry]\nhint_max = \"9s\"\n",
       "a.toml:2:12: retry.hint_max: 9s is too short: write \"10s\" or more, or \"0s\" for not at "
       "all"},
      {"[providers.p]\nmx = []\nretry.site_initial = \"1h\"\n",
       "a.toml:3:22: providers.p.retry.site_initial: 1h is more than retry.site_cap (30m): lower "
       "it, or say providers.p.retry.site_cap, too"},
      {"[retry]\nsite_initial = \"500ms\"\n",
       "a.toml:2:16: retry.site_initial: 500ms is too short: write \"1s\" or more, or \"0s\" for "
       "as "
       "long as host_down"},
      {"[providers.p]\nmx = []\nfamily = \"ipv5\"\n",
       "a.toml:3:10: providers.p.family: write \"prefer-ipv6\", \"prefer-ipv4\", \"ipv6-only\" or "
       "\"ipv4-only\""},
      {"[providers.p]\nmx = []\nfamily = \"ipv6-only\"\n[dns]\nipv6 = false\n",
       "a.toml:3:10: providers.p.family: \"ipv6-only\", and dns.ipv6 is false: no host would have "
       "an address"},
      {"[providers.p]\nmx = []\nin_doubt = true\n",
       "a.toml:3:12: providers.p.in_doubt: write \"retry\", \"hold\" or \"assume-delivered\""},
      {"[providers.p]\nmx = []\nwindows = \"Mo-Fr 8-20 Europe/Berlin\"\n",
       text("a.toml:3:11: providers.p.windows: \"Mo-Fr 8-20 Europe/Berlin\": \"8-20\" is no time "
            "of day, from 00:00 to 24:00",
            kWindowRule)},
      {"[smtp]\nwindows = [\"Mo-Fr 08:00-20:00\",\n  \"Xx 08:00-20:00\"]\n",
       text("a.toml:3:3: smtp.windows: \"Xx 08:00-20:00\": \"Xx\" is no day: Mo Tu We Th Fr Sa Su",
            kWindowRule)},
      {"[smtp]\nwindows = \"08:00-20:00 Europe/Berlim\"\n",
       text("a.toml:2:11: smtp.windows: \"08:00-20:00 Europe/Berlim\": there is no time zone "
            "\"Europe/Berlim\" (names are those of the IANA database, as in /usr/share/zoneinfo)",
            kWindowRule)},
      {"[smtp]\nwindows = \"\"\n", text("a.toml:2:11: smtp.windows: \"\": is empty", kWindowRule)},
      {"[smtp]\nwindows = \"Mo\"\n",
       text(
           "a.toml:2:11: smtp.windows: \"Mo\": the times are missing; 00:00-24:00 is the whole day",
           kWindowRule)},
      {"[smtp]\nwindows = 8\n", text("a.toml:2:11: smtp.windows: ", kWindowsRule)},
      {"[tenants.acme]\nwindows = [\"Mo 08:00-20:00\", 5]\n",
       text("a.toml:2:30: tenants.acme.windows: ", kWindowsRule)},
      {"[tenants.acme]\nwindow = \"Mo 08:00-20:00\"\n",
       "a.toml:2:1: there is no setting in [tenants.acme] \"window\": did you mean \"windows\"?"},
      {"[providers]\ngmail = 5\n",
       "a.toml:2:9: providers.gmail: write it as a table, headed [providers.gmail]"},
      {"[[providers]]\nname = \"p\"\n",
       "a.toml:1:1: providers: write each as a table of its own, headed [providers.NAME]"},
      {"[provider.p]\nmx = []\n",
       "a.toml:1:2: there is no table \"provider\": did you mean \"providers\"?"},
      {"[groups.g]\nmx = []\n",
       "a.toml:2:1: there is no setting in [groups.g] \"mx\"; known are connections "
       "connection_rate message_rate byte_rate"},
      {"[[sources]]\naddress = \"mail.example.org\"\n",
       text("a.toml:2:11: sources[0].address: ", kAddressRule)},
      {"[[sources]]\naddress = \"192.0.2.1\"\naddress6 = \"192.0.2.2\"\n",
       "a.toml:3:12: sources[0].address6: \"192.0.2.2\" is no IPv6 address: write an IPv4 one as "
       "`address`"},
      {"[[sources]]\naddress6 = \"2001:db8::1\"\n",
       "a.toml:2:12: sources[0].address6: is for the second address of a source whose `address` is "
       "IPv4: write a single one as `address`"},
      {"[[sources]]\nehlo = \"a b\"\n", "a.toml:2:8: sources[0].ehlo: \"a b\" is no host name"},
      {"[[sources]]\nadress6 = \"2001:db8::1\"\n",
       "a.toml:2:1: there is no setting in [[sources]] \"adress6\": did you mean \"address6\"?"},
      {"[[sources]]\nname = \"a\"\n[[sources]]\nehlo = \"b.example\"\nname = \"a\"\n",
       "a.toml:5:8: sources[1].name: \"a\" is there twice: give each source its own"},
      {"[pools.p]\nsources = []\n",
       "a.toml:2:11: pools.p.sources: name one source at least, as in sources = [\"a\"]"},
      {"[pools.p]\n",
       "a.toml:1:8: pools.p.sources: name one source at least, as in sources = [\"a\"]"},
      {"[pools.p]\nsources = [\"defualt\"]\n",
       "a.toml:2:11: pools.p.sources: there is no source \"defualt\": did you mean \"default\"?"},
      {"[pools.p]\nsources = {default = 0}\n",
       "a.toml:2:22: pools.p.sources.default: write a whole number from 1 to 1000"},
      {"[pools.p]\nsources = {default = 1001}\n",
       "a.toml:2:22: pools.p.sources.default: write a whole number from 1 to 1000"},
      {"[pools.p]\nsources = [\"default\", \"default\"]\n",
       "a.toml:2:11: pools.p.sources: \"default\" is there twice: give it a weight instead"},
      {"[pools.p]\nsources = \"default\"\n",
       "a.toml:2:11: pools.p.sources: write a list of sources, as in [\"a\", \"b\"], or a table of "
       "their weights, as in {a = 3, b = 1}"},
      {"[pools.p]\nsources = [\"default\"]\nstickey = true\n",
       "a.toml:3:1: there is no setting in [pools.p] \"stickey\": did you mean \"sticky\"?"},
      {"[tenants.acme]\nweight = 0\n",
       "a.toml:2:10: tenants.acme.weight: write a whole number from 1 to 1000"},
      {"[smtp]\nredirect = \"localhost:25\"\n",
       text("a.toml:2:12: smtp.redirect: ", kRedirectRule)},
      {"[smtp]\nredirect = \"127.0.0.1\"\n", text("a.toml:2:12: smtp.redirect: ", kRedirectRule)},
      {"[smtp]\nredirect = \"127.0.0.1:0\"\n", text("a.toml:2:12: smtp.redirect: ", kRedirectRule)},
      {"[smtp]\nredirect = \"127.0.0.1:70000\"\n",
       text("a.toml:2:12: smtp.redirect: ", kRedirectRule)},
      {"[smtp]\nconnection_age = \"2d\"\n",
       "a.toml:2:18: smtp.connection_age: write a time from \"0s\" to \"1d\", as in \"500ms\", "
       "\"30s\", \"10m\", \"1h30m\" or \"5d\""},
      {"[smtp]\nconnections_total = 10\n",
       "a.toml:2:21: smtp.connections_total: is less than smtp.connections_per_site"},
  };
  for (const auto& one : kCases) EXPECT_EQ(error_of(one.file), one.error) << one.file;
}

// Each is well; together they are too many.
TEST(ConfigSendingErrors, TooManySources) {
  std::string list;
  for (int i = 0; i < 4096; ++i) list += "[[sources]]\nname = \"s" + std::to_string(i) + "\"\n";
  EXPECT_EQ(error_of(list), "was taken");
  EXPECT_EQ(error_of(list + "[[sources]]\nname = \"t\"\n"),
            "a.toml:8194:8: sources[4096].name: there may be 4096 sources, not more");
}

TEST(ConfigSendingErrors, TooManyWindows) {
  std::string list = "[smtp]\nwindows = [";
  for (int i = 0; i < 100; ++i) list += "\"Mo 08:00-20:00\", ";
  EXPECT_EQ(error_of(list + "]\n"), "was taken");
  EXPECT_EQ(error_of(list + "\"Tu 08:00-20:00\"]\n"),
            "a.toml:2:11: smtp.windows: \"Tu 08:00-20:00\": there are more than 100 windows" +
                std::string(kWindowRule));
}

}  // namespace
}  // namespace veredus::control
