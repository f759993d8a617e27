#include "engine/control/config.h"

#include <fstream>

#include <unistd.h>

#include "engine/control/config_table.h"
#include "engine/control/settings.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace veredus::control {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

Config good(std::string_view text) {
  const absl::StatusOr<Config> config = parse_config(text, "a.toml");
  EXPECT_TRUE(config.ok()) << config.status().ToString();
  return config.ok() ? *config : Config{};
}

std::string error_of(std::string_view text) {
  const absl::StatusOr<Config> config = parse_config(text, "a.toml");
  EXPECT_FALSE(config.ok()) << "was taken: " << text;
  return std::string(config.status().message());
}

TEST(Config, EmptyFileIsAllDefaults) {
  const Config config = good("");
  EXPECT_EQ(config.spool, "/var/spool/veredus");
  EXPECT_EQ(config.fallback.per_source.connections, 20u);
  EXPECT_EQ(config.fallback.idle_close_ns, 5 * kSecond);
  EXPECT_EQ(config.fallback.dialogue.time_limit_ns[9], 10 * kMinute);
  EXPECT_FALSE(config.hostname.empty());
  EXPECT_EQ(config.name, config.hostname);
  EXPECT_EQ(config.sources.size(), 1u);
  EXPECT_EQ(config.http_port, 8025);
}

TEST(Config, ReadsEverySortOfSetting) {
  const Config config = good(R"(
[node]
hostname = "mail.example.org"
pin = [1, 3]
shards = 2
[feed]
mode = "0600"
users = [0, "root", 1001]
[http]
listen = "[::1]:9000"
[smtp]
idle_close = "1m30s"
use_chunking = false
messages_per_connection = 0
[retry]
factor = 3
jitter = 0.5
[in_doubt]
policy = "assume-delivered"
[addresses]
allow = ["127.0.0.0/8"]
[dns]
servers = ["127.0.0.1:5300", "[::1]:53"]
[journal]
segment = 1048576
[[sources]]
name = "a"
address = "192.0.2.1"
[[sources]]
name = "b"
ehlo = "b.example.org"
)");
  EXPECT_EQ(config.pin_cores, (std::vector<unsigned>{1, 3}));
  EXPECT_EQ(config.feed_mode, 0600u);
  EXPECT_EQ(config.feed_users, (std::vector<uid_t>{0, 0, 1001}));
  EXPECT_EQ(config.http_address, "::1");
  EXPECT_EQ(config.http_port, 9000);
  EXPECT_EQ(config.fallback.idle_close_ns, 90 * kSecond);
  EXPECT_FALSE(config.fallback.dialogue.use_chunking);
  EXPECT_EQ(config.fallback.retry.factor, 3.0);
  EXPECT_EQ(config.in_doubt, Config::InDoubt::assume_delivered);
  EXPECT_EQ(config.segment_bytes, 1048576u);
  ASSERT_EQ(config.sources.size(), 2u);
  EXPECT_EQ(config.sources[1].ehlo, "b.example.org");
}

// What an operator gets wrong, and where the error points him.
TEST(Config, ErrorsNamePlaceAndRemedy) {
  EXPECT_THAT(error_of("[smtp]\n  prot = 25\n"),
              AllOf(StartsWith("a.toml:2:3: "), HasSubstr("\"prot\""),
                    HasSubstr("did you mean \"port\"?")));
  EXPECT_THAT(error_of("[stmp]\nport = 25\n"),
              AllOf(StartsWith("a.toml:1:"), HasSubstr("did you mean \"smtp\"?")));
  EXPECT_THAT(error_of("[smtp]\nport = 70000\n"),
              AllOf(StartsWith("a.toml:2:8: "), HasSubstr("smtp.port"), HasSubstr("1 to 65535")));
  EXPECT_THAT(error_of("[retry]\ninitial = 900\n"),
              AllOf(StartsWith("a.toml:2:11: "), HasSubstr("\"10m\"")));
  EXPECT_THAT(error_of("[retry]\ninitial = \"30m1h\"\n"), HasSubstr("write a time"));
  EXPECT_THAT(error_of("[retry]\ninitial = \"5h\"\n"), HasSubstr("retry.initial"));
  EXPECT_THAT(error_of("[retry]\njitter = nan\n"), HasSubstr("write a number"));
  EXPECT_THAT(error_of("[node]\npin = \"yes\"\n"), HasSubstr("true, false, or a list"));
  EXPECT_THAT(error_of("[node\n"), AllOf(StartsWith("a.toml:1:"), HasSubstr("not TOML")));
  EXPECT_THAT(error_of("[feed]\nusers = [\"nobody-of-that-name\"]\n"), HasSubstr("no user"));
  EXPECT_THAT(error_of("[feed]\ngroup = \"no-such-group\"\n"),
              AllOf(StartsWith("a.toml:2:"), HasSubstr("groupadd")));
  EXPECT_THAT(error_of("[http]\nlisten = \"0.0.0.0:80\"\n"), HasSubstr("no loopback address"));
  EXPECT_THAT(error_of("[addresses]\nallow = [\"127.0.0.0/33\"]\n"), StartsWith("a.toml:2:"));
  EXPECT_THAT(error_of("[dns]\nservers = [\"dns.example.org\"]\n"), StartsWith("a.toml:2:"));
  EXPECT_THAT(error_of("[[sources]]\nadress = \"192.0.2.1\"\n"),
              AllOf(StartsWith("a.toml:2:1: "), HasSubstr("did you mean \"address\"?")));
  EXPECT_THAT(error_of("[[sources]]\nname = \"a\"\n[[sources]]\nname = \"a\"\n"),
              AllOf(StartsWith("a.toml:4:"), HasSubstr("twice")));
  EXPECT_THAT(error_of("[limits]\nremember = \"91d\"\n"),
              AllOf(StartsWith("a.toml:2:12: "), HasSubstr("\"1h\" to \"90d\"")));
  EXPECT_THAT(error_of("[tenants.acme]\nwaiting = -1\n"),
              AllOf(StartsWith("a.toml:2:11: "), HasSubstr("tenants.acme.waiting")));
  EXPECT_THAT(error_of("[tenants.acme]\nbytes = \"much\"\n"),
              AllOf(StartsWith("a.toml:2:9: "), HasSubstr("write a size")));
  EXPECT_THAT(error_of("[tenants.acme]\nwating = 5\n"),
              AllOf(StartsWith("a.toml:2:1: "), HasSubstr("did you mean \"waiting\"?")));
  EXPECT_THAT(error_of("[tenants]\nacme = 5\n"), HasSubstr("[tenants.acme]"));
  EXPECT_THAT(error_of("[tenants.\"a b\"]\nwaiting = 5\n"),
              AllOf(StartsWith("a.toml:1:"), HasSubstr("no name of a tenant")));
  EXPECT_THAT(error_of("[in_doubt]\ndelay = \"500ms\"\n"), HasSubstr("\"1s\""));
}

TEST(Config, DescriptionReadsBackAsTheSameConfiguration) {
  const Config config = good(
      "[node]\nhostname = \"a.example\"\n[smtp]\nidle_close = \"1500ms\"\nport = 2525\n"
      "[retry]\nfactor = 1.5\n[feed]\nusers = [7]\n[limits]\nmessage = 1000000\n"
      "[[sources]]\nname = \"x\"\n");
  const std::string text = describe_config(config);
  const absl::StatusOr<Config> again = parse_config(text, "a.toml");
  ASSERT_TRUE(again.ok()) << again.status().ToString() << "\n" << text;
  EXPECT_EQ(describe_config(*again), text);
  EXPECT_EQ(again->fallback.idle_close_ns, 1500 * kMs);
  EXPECT_EQ(again->message_bytes_max, 1000000u);
  EXPECT_EQ(again->sources[0].name, "x");
}

TEST(Config, FeedbackId) {
  EXPECT_EQ(intake_settings(default_config(), EngineSettings{}).feed.feedback_sender, "");
  const Config config = good("[content]\nfeedback_id = \"acme-news.1\"\n");
  EXPECT_EQ(intake_settings(config, EngineSettings{}).feed.feedback_sender, "acme-news.1");
}

TEST(Config, TheSpoolHasRoomForEachJournal) {
  const std::string two = "[node]\nshards = 2\n[journal]\nsegment = \"1MiB\"\n[limits]\nspool = ";
  EXPECT_EQ(default_config().spool_bytes_max, 0u);
  EXPECT_EQ(good(two + "\"16MiB\"\n").spool_bytes_max, 16u << 20);
  EXPECT_EQ(good(two + "0\n").spool_bytes_max, 0u);
  EXPECT_THAT(error_of(two + "16777215\n"),
              AllOf(StartsWith("a.toml:6:"), HasSubstr("less than 16MiB"), HasSubstr("8 files")));
  EXPECT_THAT(error_of("[node]\nshards = 2\n[limits]\nspool = \"1GB\"\n"),
              HasSubstr("less than 1GiB"));
  EXPECT_EQ(engine_settings(good(two + "\"20MiB\"\n"))->spool_bytes_max, 20u << 20);
}

TEST(Config, RulesForThoseInDoubt) {
  const Config config = good(
      "[in_doubt]\npolicy = \"hold\"\n"
      "[[in_doubt.rules]]\nmatch = \".mail.protection.outlook.com\"\npolicy = \"retry\"\n"
      "delay = \"1h\"\n[[in_doubt.rules]]\ndomain = \"example.org\"\npolicy = \"hold\"\n");
  const std::string text = describe_config(config);
  const Config again = good(text);
  EXPECT_EQ(describe_config(again), text);
  ASSERT_EQ(again.in_doubt_rules.size(), 2u);
  EXPECT_EQ(again.in_doubt_rules[0].match, ".mail.protection.outlook.com");
  EXPECT_EQ(again.in_doubt_rules[0].policy, Config::InDoubt::retry);
  EXPECT_EQ(again.in_doubt_rules[0].delay_ns, kHour);
  EXPECT_EQ(again.in_doubt_rules[1].domain, "example.org");
  EXPECT_EQ(again.in_doubt_rules[1].delay_ns, std::nullopt);

  const std::string head = "[[in_doubt.rules]]\n";
  EXPECT_THAT(error_of(head + "policy = \"hold\"\n"),
              AllOf(StartsWith("a.toml:1:"), HasSubstr("`match`")));
  EXPECT_THAT(error_of(head + "match = \"mx.example.net\"\n"),
              AllOf(StartsWith("a.toml:1:"), HasSubstr("`policy`")));
  EXPECT_THAT(error_of(head + "match = \"a b\"\npolicy = \"hold\"\n"),
              AllOf(StartsWith("a.toml:2:9: "), HasSubstr("no host name")));
  EXPECT_THAT(error_of(head + "match = \"a.b\"\npolicy = \"wait\"\n"),
              AllOf(StartsWith("a.toml:3:10: "), HasSubstr("in_doubt.rules[0].policy")));
  EXPECT_THAT(error_of(head + "domain = \"a.b\"\ndelay = \"500ms\"\n"), HasSubstr("\"1s\""));
  EXPECT_THAT(error_of(head + "mach = \"a.b\"\n"), HasSubstr("did you mean \"match\"?"));
}

TEST(Config, TenantsReadAndReadBack) {
  const Config config = good(
      "[limits]\ntenant_waiting = 1000\n[tenants.acme]\nwaiting = 5\nbytes = \"1GiB\"\n"
      "[tenants.\"b.c\"]\nbytes = 0\n");
  const std::string text = describe_config(config);
  const Config again = good(text);
  EXPECT_EQ(describe_config(again), text);
  EXPECT_EQ(again.tenant_waiting_max, 1000u);
  ASSERT_EQ(again.tenants.size(), 2u);
  EXPECT_EQ(again.tenants[0].name, "acme");
  EXPECT_EQ(again.tenants[0].waiting, 5u);
  EXPECT_EQ(again.tenants[0].bytes, kGiB);
  EXPECT_EQ(again.tenants[1].name, "b.c");
  EXPECT_EQ(again.tenants[1].waiting, std::nullopt);
  EXPECT_EQ(again.tenants[1].bytes, 0u);
}

TEST(Config, DefaultsLieInTheirRanges) {
  for (const Setting& setting : all_settings()) {
    if (const auto* kind = std::get_if<DurationKind<Config>>(&setting.kind)) {
      const Config defaults;
      const int64_t value = kind->field.in(defaults);
      EXPECT_TRUE(value >= kind->min && value <= kind->max) << setting.key;
    }
  }
  EXPECT_TRUE(parse_config(describe_config(default_config()), "a.toml").ok());
}

TEST(Config, UnreadableFilesAreNamed) {
  const absl::StatusOr<Config> none = load_config("/nonexistent/veredus.toml");
  ASSERT_FALSE(none.ok());
  EXPECT_THAT(std::string(none.status().message()), StartsWith("/nonexistent/veredus.toml: "));
  // A directory opens, but cannot be read: not to be taken for an empty file.
  EXPECT_FALSE(load_config("/tmp").ok());
}

TEST(Units, Durations) {
  EXPECT_EQ(parse_duration_ns("0s"), 0);
  EXPECT_EQ(parse_duration_ns("500ms"), 500 * kMs);
  EXPECT_EQ(parse_duration_ns("10m"), 10 * kMinute);
  EXPECT_EQ(parse_duration_ns("1h30m"), 90 * kMinute);
  EXPECT_EQ(parse_duration_ns("2w"), 14 * kDay);
  for (const char* wrong : {"", "10", "m", "10 m", "-1s", "1.5h", "10mm", "1m1m", "99999999d"}) {
    EXPECT_FALSE(parse_duration_ns(wrong).has_value()) << wrong;
  }
  EXPECT_EQ(duration_text(90 * kMinute + 500 * kMs), "1h30m500ms");
}

TEST(Units, Sizes) {
  EXPECT_EQ(parse_bytes("64MiB"), 64 * kMiB);
  EXPECT_EQ(parse_bytes("10 kB"), 10000u);
  EXPECT_EQ(parse_bytes("77"), 77u);
  for (const char* wrong : {"", "MiB", "-1", "1.5MiB", "5 apples", "99999999999GiB"}) {
    EXPECT_FALSE(parse_bytes(wrong).has_value()) << wrong;
  }
  EXPECT_EQ(bytes_text(64 * kMiB), "64MiB");
  EXPECT_EQ(bytes_text(1000), "1000B");
}

}  // namespace
}  // namespace veredus::control
