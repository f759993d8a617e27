#include <algorithm>
#include <variant>

#include "engine/control/config_special.h"
#include "engine/control/config_table.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/control/config_text.h"

// Every key refuses what it cannot be: the whole message, with file, line and column. Beside the
// tables here: config_sending_errors_test.cc.

namespace veredus::control {
namespace {

using ::testing::IsEmpty;

std::string error_of(const std::string& text) {
  const absl::StatusOr<Config> config = parse_config(text, "a.toml");
  return config.ok() ? "was taken" : std::string(config.status().message());
}

// A value as it stands in the file, and what is said of it.
struct Refused {
  std::string value, what;
  size_t column = 0;  // of what is wrong, within the value
};

// By kind: what it is not, and what is beyond its range on both sides.
template <class Of>
struct Refuse {
  std::string name;
  std::vector<Refused>& out;

  void both(const std::string& what, std::initializer_list<std::string> values) const {
    for (const std::string& value : values) out.push_back({value, what});
  }
  void operator()(const DurationKind<Of>& kind) const {
    const std::string what = "write a time from \"" + duration_text(kind.min) + "\" to \"" +
                             duration_text(kind.max) +
                             "\", as in \"500ms\", \"30s\", \"10m\", \"1h30m\" or \"5d\"";
    both(what, {"5", "\"5\"", "\"" + duration_text(kind.max + kMs) + "\""});
    if (kind.min > 0) both(what, {"\"" + duration_text(kind.min - kMs) + "\""});
  }
  void operator()(const DurationsKind<Of>& kind) const {
    std::string many = "[";
    for (size_t i = 0; i <= kind.count_max; ++i) many += "\"1s\",";
    both("write a list of at most " + std::to_string(kind.count_max) +
             " times, as in [\"5m\", \"20m\", \"1h\"]",
         {"\"5m\"", many + "]"});
    out.push_back({"[\"5m\", \"" + duration_text(kind.max + kMs) + "\"]",
                   "write a time from \"" + duration_text(kind.min) + "\" to \"" +
                       duration_text(kind.max) +
                       "\", as in \"500ms\", \"30s\", \"10m\", \"1h30m\" or \"5d\"",
                   7});
  }
  template <class T>
  void operator()(const BytesKind<Of, T>& kind) const {
    const std::string what = "write a size from \"" + bytes_text(kind.min) + "\" to \"" +
                             bytes_text(kind.max) + "\", as in \"64MiB\"";
    both(what, {"true", "-1", "\"1 apple\"", std::to_string(kind.max + 1)});
    if (kind.min > 0) both(what, {std::to_string(kind.min - 1)});
  }
  template <class T>
  void operator()(const CountKind<Of, T>& kind) const {
    const std::string what =
        "write a whole number from " + std::to_string(kind.min) + " to " + std::to_string(kind.max);
    both(what, {"\"1\"", "1.5", "-1", std::to_string(kind.max + 1)});
    if (kind.min > 0) both(what, {std::to_string(kind.min - 1)});
  }
  void operator()(const RealKind<Of>& kind) const {
    both("write a number from " + real_text(kind.min) + " to " + real_text(kind.max),
         {"\"1\"", "nan", "inf", real_text(kind.max + 0.125), real_text(kind.min - 0.125)});
  }
  void operator()(const FlagKind<Of>&) const { both("write true or false", {"1", "\"true\""}); }
  void operator()(const TextKind<Of>& kind) const {
    both("write " + std::string(kind.rule) + ", in quotes", {"1", "[\"a\"]"});
  }
  void operator()(const TextsKind<Of>& kind) const {
    const std::string what = "write a list of texts in quotes, each " + std::string(kind.rule);
    both(what, {"\"a\""});
    out.push_back({"[1]", what, 1});
    if (kind.fits != nullptr) {
      out.push_back({"[\"\"]", "\"\" is not " + std::string(kind.rule), 1});
    }
  }
  void operator()(const RateKind<Of>& kind) const {
    both(kind.bytes
             ? "write a rate of bytes up to \"1024GiB\", as in \"10MiB/s\" or \"1GiB/h\", or "
               "\"none\" for no limit"
             : "write a rate up to 1000000000, as in \"100/s\", \"1000/min\", \"50000/h\" or "
               "\"1000000/d\", or \"none\" for no limit",
         {"100", "\"100\"", "\"100/parsec\"", kind.bytes ? "\"1025GiB/s\"" : "\"1000000001/s\""});
  }
  void operator()(const ChoiceKind<Of>& kind) const {
    std::string what = "write ";
    for (size_t i = 0; i < kind.words.size(); ++i) {
      if (i > 0) what += i + 1 == kind.words.size() ? " or " : ", ";
      what += "\"" + std::string(kind.words[i]) + "\"";
    }
    both(what, {"1", "\"\"", "\"" + std::string(kind.words[0]) + " \""});
  }
  void operator()(const SpecialKind<Of>&) const {
    const struct {
      std::string key;
      std::vector<Refused> refused;
    } kSpecial[] = {
        {"pin",
         {{"1", "write true, false, or a list of core numbers, as in [0, 2]"},
          {"[]", "write true, false, or a list of core numbers, as in [0, 2]"},
          {"[0, -1]", "write core numbers from 0 to 4095", 4},
          {"[4096]", "write core numbers from 0 to 4095", 1}}},
        {"mode",
         {{"0660", ""},  // no TOML at all
          {"660", "write octal permissions in quotes, as in \"0660\""},
          {"\"0668\"", "write octal permissions in quotes, as in \"0660\""},
          {"\"66\"", "write octal permissions in quotes, as in \"0660\""},
          {"\"4660\"", "write octal permissions in quotes, as in \"0660\""}}},
        {"users",
         {{"\"root\"", "write a list of user names or uids, as in [\"feeder\", 1001]"},
          {"[0, -1]", "write user names in quotes, or uids", 4},
          {"[true]", "write user names in quotes, or uids", 1},
          {"[\"nobody-of-that-name\"]", "there is no user \"nobody-of-that-name\" on this host",
           1}}},
        {"listen",
         {{"8025", "write \"off\" or \"address:port\", as in \"127.0.0.1:8025\""},
          {"\"127.0.0.1\"", "write \"off\" or \"address:port\", as in \"127.0.0.1:8025\""}}},
        {"redirect",
         {{"25",
           "write a numeric address and a port, as in \"127.0.0.1:2525\" or \"[::1]:2525\", or "
           "\"\" for none"}}},
        {"windows",
         {{"5",
           "write a window in quotes, as in \"Mo-Fr 08:00-20:00 Europe/Berlin\", or a list of "
           "such"}}},
        {"address",
         {{"1", "write a numeric address of this host, as in \"192.0.2.1\" or \"2001:db8::1\""}}},
        {"address6",
         {{"\"::g\"",
           "write a numeric address of this host, as in \"192.0.2.1\" or \"2001:db8::1\""}}},
    };
    for (const auto& special : kSpecial) {
      if (special.key == name)
        out.insert(out.end(), special.refused.begin(), special.refused.end());
    }
  }
};

// `heading`: as it is written. `called`: as errors call it.
template <class Of>
void refuses(Settings<Of> settings, const std::string& heading, const std::string& called) {
  for (const SettingOf<Of>& setting : settings) {
    std::vector<Refused> refused;
    std::visit(Refuse<Of>{std::string(setting.key), refused}, setting.kind);
    EXPECT_FALSE(refused.empty()) << setting.name();
    const bool sub_table = !called.empty() && !setting.table.empty();
    const std::string key = sub_table ? setting.name() : std::string(setting.key);
    const std::string name = called.empty() ? setting.name() : called + "." + key;
    const std::string head = called.empty() ? "[" + std::string(setting.table) + "]" : heading;
    for (const Refused& one : refused) {
      const std::string file = head + "\n# Something\n" + key + " = " + one.value + "\n";
      const std::string place = "a.toml:3:" + std::to_string(key.size() + 4 + one.column) + ": ";
      if (one.what.empty()) {
        EXPECT_THAT(error_of(file), testing::StartsWith("a.toml:3:")) << file;
      } else {
        EXPECT_EQ(error_of(file), place + name + ": " + one.what) << file;
      }
    }
    // Mistyped it is not known, and what was meant is.
    const std::string slip = std::string(setting.key) + "x";
    const std::string error = error_of(
        head + "\n" + (sub_table ? std::string(setting.table) + "." : "") + slip + " = 1\n");
    EXPECT_THAT(error, testing::StartsWith("a.toml:2:")) << error;
    EXPECT_THAT(error, testing::HasSubstr("\"" + slip + "\": did you mean \"" +
                                          std::string(setting.key) + "\"?"));
  }
}

TEST(ConfigRefused, EveryKey) {
  refuses(all_settings(), "", "");
  refuses(provider_settings(), "[providers.p]", "providers.p");
  // Of one that is shipped, too.
  refuses(provider_settings(), "[providers.gmail]", "providers.gmail");
  refuses(group_settings(), "[groups.g]", "groups.g");
  refuses(source_settings(), "[[sources]]", "sources[0]");
}

// What the types alone do not say: each is a fault of its own.
TEST(ConfigRefused, WhatIsWrongAndWhere) {
  constexpr const char* kName = " is no name: 1–128 of A–Z a–z 0–9 . _ : @ -";
  const struct {
    std::string file, error;
  } kCases[] = {
      {"[node]\nname = \"a b\"\n", "2:8: node.name: \"a b\"" + std::string(kName)},
      {"[node]\nhostname = \"a b\"\n",
       "2:12: node.hostname: \"a b\" is no host name: write it as in \"mail.example.org\""},
      {"[node]\nown_names = [\"a.example\", \"b c\"]\n",
       "2:13: node.own_names: \"b c\" is no host name"},
      {"[node]\nspool = \"spool\"\n",
       "2:9: node.spool: \"spool\" is no absolute path: begin it with /"},
      {"[node]\nshards = 3\npin = [0, 1]\n",
       "3:7: node.pin: names 2 cores for 3 shards: name one for each"},
      {"[verdict]\nrules = \"replies.toml\"\n",
       "2:9: verdict.rules: \"replies.toml\" is no absolute path: begin it with /"},
      {"[content]\nfeedback_id = \"a:b:c\"\n",
       "2:15: content.feedback_id: \"a:b:c\" is none: 5–15 of A–Z a–z 0–9 . _ -"},
      {"[content]\nfeedback_id = \"news\"\n",
       "2:15: content.feedback_id: \"news\" is none: 5–15 of A–Z a–z 0–9 . _ -"},
      {"[feed]\nsocket = \"feed.sock\"\n",
       "2:10: feed.socket: \"feed.sock\" is no absolute path of at most 107 bytes"},
      {"[feed]\nsocket = \"/" + std::string(107, 'a') + "\"\n",
       "2:10: feed.socket: \"/" + std::string(107, 'a') +
           "\" is no absolute path of at most 107 bytes"},
      {"[feed]\ngroup = \"no-such-group\"\n",
       "2:9: feed.group: there is no group \"no-such-group\": make it with `groupadd --system "
       "no-such-group`, or name another"},
      {"[http]\ntoken_file = \"token\"\n",
       "2:14: http.token_file: \"token\" is no absolute path: begin it with /"},
      {"[http]\nlisten = \"0.0.0.0:80\"\n",
       "2:10: http.listen: \"0.0.0.0\" is no loopback address: use 127.0.0.1 or [::1], and a proxy "
       "for callers from elsewhere"},
      {"[dns]\nservers = [\"dns.example.org\"]\n",
       "2:11: dns.servers: \"dns.example.org\" is no numeric address with or without port: write "
       "\"192.0.2.1\", \"127.0.0.1:5300\" or \"[::1]:5300\""},
      {"[dns]\nservers = "
       "[\"::1\",\"::2\",\"::3\",\"::4\",\"::5\",\"::6\",\"::7\",\"::8\",\"::9\"]\n",
       "2:11: dns.servers: names more than 8 servers"},
      {"[addresses]\nown = [\"localhost\"]\n",
       "2:7: addresses.own: \"localhost\" is no numeric address"},
      {"[smtp]\nearly_mail_hosts = [\"a b\"]\n",
       "2:20: smtp.early_mail_hosts: \"a b\" is no host name"},
      {"[smtp]\nfamily = \"ipv6-only\"\n[dns]\nipv6 = false\n",
       "2:10: smtp.family: \"ipv6-only\", and dns.ipv6 is false: no host would have an address"},
      {"[smtp]\nconnections_total = 3\nconnections_per_site = 2\n[node]\nshards = 4\n",
       "2:21: smtp.connections_total: is less than node.shards: each shard needs one at least"},
      {"[[in_doubt.rules]]\npolicy = \"hold\"\n",
       "1:1: in_doubt.rules[0]: say either `match`, an MX host's name, or `domain`, the "
       "recipient's"},
      {"[[in_doubt.rules]]\nmatch = \"a.b\"\ndomain = \"a.b\"\npolicy = \"hold\"\n",
       "1:1: in_doubt.rules[0]: say either `match`, an MX host's name, or `domain`, the "
       "recipient's"},
      {"[[in_doubt.rules]]\nmatch = \"a.b\"\n",
       "1:1: in_doubt.rules[0]: say its `policy`: \"retry\", \"hold\" or \"assume-delivered\""},
      {"[[in_doubt.rules]]\nmatch = \"a b\"\npolicy = \"hold\"\n",
       "2:9: in_doubt.rules[0].match: \"a b\" is no host name, nor one with a dot in front"},
      {"[[in_doubt.rules]]\npolicy = \"hold\"\ndomain = \"a b\"\n",
       "3:10: in_doubt.rules[0].domain: \"a b\" is no host name, nor one with a dot in front"},
      {"[[in_doubt.rules]]\ndomain = 5\n",
       "2:10: in_doubt.rules[0].domain: write a text, in quotes"},
      {"[[in_doubt.rules]]\nmatch = 5\n", "2:9: in_doubt.rules[0].match: write a text, in quotes"},
      {"[[in_doubt.rules]]\npolicy = \"drop\"\n",
       "2:10: in_doubt.rules[0].policy: write \"retry\", \"hold\" or \"assume-delivered\""},
      {"[[in_doubt.rules]]\ndelay = \"2d\"\n",
       "2:9: in_doubt.rules[0].delay: write a time from \"1s\" to \"1d\", as in \"500ms\", "
       "\"30s\", "
       "\"10m\", \"1h30m\" or \"5d\""},
      {"[[in_doubt.rules]]\nmach = \"a.b\"\n",
       "2:1: there is no setting in [[in_doubt.rules]] \"mach\": did you mean \"match\"?"},
      {"[in_doubt]\nrules = 5\n",
       "2:9: in_doubt.rules: write each as a table of its own, headed [[in_doubt.rules]]"},
      {"[tenants.\"a b\"]\nwaiting = 5\n",
       "1:10: tenants.a b: \"a b\" is no name of a tenant: 1–128 of A–Z a–z 0–9 . _ : @ -"},
      {"[tenants.a]\nwaiting = -1\n",
       "2:11: tenants.a.waiting: write a whole number from 0 to 1000000000"},
      {"[tenants.a]\nbytes = true\n",
       "2:9: tenants.a.bytes: write a size from \"0B\" to \"1000000GiB\", as in \"64MiB\""},
      {"[tenants.a]\nweight = 1001\n",
       "2:10: tenants.a.weight: write a whole number from 1 to 1000"},
      {"[tenants]\na = 5\n", "2:5: tenants.a: write it as a table, headed [tenants.a]"},
      {"tenants = 5\n", "1:11: tenants: write each as a table of its own, headed [tenants.NAME]"},
      {"sources = 5\n", "1:11: sources: write each as a table of its own, headed [[sources]]"},
      {"[groups.\"a b\"]\n", "1:9: groups.a b: \"a b\"" + std::string(kName)},
      {"[pools.\"a b\"]\nsources = [\"default\"]\n",
       "1:8: pools.a b: \"a b\"" + std::string(kName)},
      {"[pools.p]\nsources = [\"default\"]\nsticky = 1\n",
       "3:10: pools.p.sticky: write true or false"},
      {"[pools.p]\nsources = [5]\n", "2:12: pools.p.sources: write the names of sources in quotes"},
      {"[[sources]]\nname = \"a b\"\n", "2:8: sources[0].name: \"a b\"" + std::string(kName)},
      {"[limits]\nspool = \"1MiB\"\n[node]\nshards = 1\n",
       "2:9: limits.spool: 1MiB is less than 512MiB: each journal, one per shard, needs 8 files of "
       "journal.segment; raise it, or lower that"},
      {"[limits]\nmessage = \"65MiB\"\n",
       "2:11: limits.message: is more than limits.batch_line, which has to hold it"},
      {"smtp = 5\n", "1:8: smtp: write it as a table, headed [smtp]"},
      // What is dates to TOML is nothing to us.
      {"[smtp]\nport = 2026-01-01\n", "2:8: smtp.port: write a whole number from 1 to 65535"},
  };
  for (const auto& one : kCases) EXPECT_EQ(error_of(one.file), "a.toml:" + one.error) << one.file;
}

// Whatever the retry policy itself refuses is told with its name: no value gets by.
TEST(ConfigRefused, WhatTheRetryPolicyRefuses) {
  Config config = good("[providers.p]\nmx = []\nretry.factor = 3\n");
  EXPECT_THAT(check_config(config), IsEmpty());
  config.providers[0].sending.retry.factor = 11;
  std::vector<ConfigFault> faults = check_config(config);
  ASSERT_EQ(faults.size(), 1u);
  EXPECT_EQ(faults[0].setting, "providers.p.retry.factor");
  EXPECT_EQ(faults[0].what, "is out of range: 1 … 10");
  config.fallback.retry.max_age_ns = 0;
  faults = check_config(config);
  ASSERT_FALSE(faults.empty());
  EXPECT_EQ(faults[0].setting, "retry.max_age");
  EXPECT_EQ(faults[0].what, "is out of range: 1 min … 30 days");
}

// A fault in what is shipped is told like one of the operator's: by that file's name and line.
TEST(ConfigRefused, InTheShippedFile) {
  const std::string_view shipped = shipped_providers();
  const size_t heading = shipped.find("[providers.orange]");
  ASSERT_NE(heading, std::string_view::npos);
  const size_t at = shipped.find("connection_rate", heading);
  ASSERT_NE(at, std::string_view::npos);
  const auto line =
      1 + std::count(shipped.begin(), shipped.begin() + static_cast<ptrdiff_t>(at), '\n');
  const auto error = [&](const std::string& instead) {
    std::string text(shipped);
    text.replace(at, text.find('\n', at) - at, instead);
    const absl::StatusOr<Config> config = parse_config(text, kShippedProvidersFile);
    return config.ok() ? "was taken" : std::string(config.status().message());
  };
  const std::string place = "providers.toml:" + std::to_string(line) + ":";
  EXPECT_EQ(error("connection_rate = \"1000/h\""), "was taken");
  EXPECT_EQ(error("connexion_rate = \"1000/h\""),
            place +
                "1: there is no setting in [providers.orange] \"connexion_rate\": did you mean "
                "\"connection_rate\"?");
  EXPECT_EQ(error("connection_rate = 1000"),
            place +
                "19: providers.orange.connection_rate: write a rate up to 1000000000, as in "
                "\"100/s\", \"1000/min\", \"50000/h\" or \"1000000/d\", or \"none\" for no limit");
  EXPECT_EQ(error("groups = [\"orang\"]"),
            place +
                "10: providers.orange.groups: there is no group \"orang\"; known are microsoft "
                "(a heading [groups.orang] makes it)");
}

}  // namespace
}  // namespace veredus::control
