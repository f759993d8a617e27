#include <cstdio>
#include <fstream>

#include <unistd.h>

#include "engine/control/config.h"
#include "engine/control/config_syntax.h"
#include "engine/control/reload.h"
#include "engine/control/settings.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/control/config_text.h"

// [routes.NAME]: next hops, what is said to them, and passwords, which nobody is shown.

namespace veredus::control {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;
using ::testing::UnorderedElementsAre;

TEST(ConfigRoutes, EverySetting) {
  const EngineSettings settings = settings_of(R"([routes.relay]
domains = ["example.org", ".Example.net", "*"]
hosts = ["Relay.example:587", "[2001:db8::1]:465", "2001:db8::2", "192.0.2.1", "[192.0.2.2]"]
port = 26
tls = "required"
auth = {user = "us", password = "pä\"ss", mechanism = "login", allow_in_clear = true}
[routes.bare]
domains = [".b.example"]
hosts = ["r.example"]
[routes.implicit]
domains = ["c.example"]
hosts = ["r.example", "r.example:466"]
tls = "implicit"
[smtp]
port = 2525
)");
  ASSERT_EQ(settings.routes.size(), 3u);
  const StaticRoute& relay = settings.routes[0];
  EXPECT_EQ(relay.name, "relay");
  EXPECT_THAT(relay.domains, ElementsAre("example.org", ".Example.net", "*"));
  EXPECT_THAT(relay.hops, ElementsAre(NextHop{"relay.example", 587}, NextHop{"2001:db8::1", 465},
                                      NextHop{"2001:db8::2", 26}, NextHop{"192.0.2.1", 26},
                                      NextHop{"192.0.2.2", 26}));
  EXPECT_EQ(relay.tls, smtp::TlsUse::required);
  EXPECT_FALSE(relay.implicit_tls);
  ASSERT_NE(relay.credentials, nullptr);
  EXPECT_EQ(relay.credentials->user, "us");
  EXPECT_EQ(relay.credentials->password, "pä\"ss");
  EXPECT_EQ(relay.credentials->mechanism, smtp::Credentials::Mechanism::login);
  EXPECT_TRUE(relay.credentials->allow_in_clear);
  EXPECT_EQ(at(relay.origin), "routes.relay a.toml:1");
  EXPECT_EQ(at(relay.credentials_origin), "routes.relay.auth a.toml:6");
  EXPECT_THAT(settings.routes[1].hops, ElementsAre(NextHop{"r.example", 2525}));
  EXPECT_EQ(settings.routes[1].tls, std::nullopt);
  EXPECT_EQ(settings.routes[1].credentials, nullptr);
  EXPECT_THAT(settings.routes[2].hops,
              ElementsAre(NextHop{"r.example", 465}, NextHop{"r.example", 466}));
  EXPECT_TRUE(settings.routes[2].implicit_tls);
}

// What is not said of TLS is as the provider has it; but no password goes in clear by that.
TEST(ConfigRoutes, ItsTls) {
  const EngineSettings settings = settings_of(R"([routes.a]
domains = ["a.example"]
hosts = ["r.example"]
auth.user = "us"
auth.password = "p"
)");
  smtp::DialogueSettings dialogue;
  dialogue.tls = smtp::TlsUse::opportunistic;
  apply_route(settings.routes[0], dialogue);
  EXPECT_EQ(dialogue.tls, smtp::TlsUse::required);
  EXPECT_EQ(dialogue.credentials, settings.routes[0].credentials);
  StaticRoute bare;
  dialogue = {};
  dialogue.tls = smtp::TlsUse::opportunistic;
  apply_route(bare, dialogue);
  EXPECT_EQ(dialogue.tls, smtp::TlsUse::opportunistic);
  bare.implicit_tls = true;
  apply_route(bare, dialogue);
  EXPECT_EQ(dialogue.tls, smtp::TlsUse::required);
  EXPECT_TRUE(dialogue.implicit_tls);
}

TEST(ConfigRoutes, WhatIsWrongAndWhere) {
  const std::string host =
      " is no host name or numeric address, with or without port, as in "
      "\"relay.example.org:587\" or \"[2001:db8::1]:465\"";
  const std::string hosts =
      "write a list of hosts, each with or without port, as in [\"relay.example.org:587\", "
      "\"[2001:db8::1]:465\", \"192.0.2.1\"]";
  const std::string route = "[routes.a]\ndomains = [\"a.example\"]\nhosts = [\"r.example\"]\n";
  const struct {
    std::string file, error;
  } kCases[] = {
      {"routes = 3\n",
       "a.toml:1:10: routes: write each as a table of its own, headed [routes.NAME]"},
      {"[routes.a]\nhost = [\"r.example\"]\n",
       "a.toml:2:1: there is no setting in [routes.a] \"host\": did you mean \"hosts\"?"},
      {"[routes.a]\nhosts = [\"r.example\"]\n",
       "a.toml:1:9: routes.a: say whose mail it has: `domains`, as in [\"example.org\", "
       "\".example.net\"], or [\"*\"] for all others"},
      {"[routes.a]\ndomains = [\"a b\"]\n",
       "a.toml:2:12: routes.a.domains: \"a b\" is not a domain, \".example.org\" for all below it, "
       "or \"*\" for all others"},
      {"[routes.a]\ndomains = [\"a.example\"]\n",
       "a.toml:1:9: routes.a: name one host at least, as in hosts = [\"relay.example.org:587\"]"},
      {"[routes.a]\ndomains = [\"a.example\"]\nhosts = []\n",
       "a.toml:3:9: routes.a.hosts: name one host at least, as in hosts = "
       "[\"relay.example.org:587\"]"},
      {"[routes.a]\nhosts = \"r.example\"\n", "a.toml:2:9: routes.a.hosts: " + hosts},
      {"[routes.a]\nhosts = [1]\n", "a.toml:2:10: routes.a.hosts: " + hosts},
      {"[routes.a]\nhosts = [\"r.example:0\"]\n",
       "a.toml:2:10: routes.a.hosts: \"r.example:0\"" + host},
      {"[routes.a]\nhosts = [\"r.example:65536\"]\n",
       "a.toml:2:10: routes.a.hosts: \"r.example:65536\"" + host},
      {"[routes.a]\nhosts = [\"x\", \"300.1.1.1\"]\n",
       "a.toml:2:15: routes.a.hosts: \"300.1.1.1\"" + host},
      {"[routes.a]\nhosts = [\"[r.example]:25\"]\n",
       "a.toml:2:10: routes.a.hosts: \"[r.example]:25\"" + host},
      {"[routes.a]\nport = 65536\n",
       "a.toml:2:8: routes.a.port: write a whole number from 0 to 65535"},
      {"[routes.a]\ntls = \"yes\"\n",
       "a.toml:2:7: routes.a.tls: write \"as-provider\", \"none\", \"opportunistic\", \"required\" "
       "or \"implicit\""},
      {route + "[routes.b]\ndomains = [\"A.example\"]\nhosts = [\"r.example\"]\n",
       "a.toml:5:11: routes.b.domains: \"A.example\" is of routes.a, too"},
      {"[routes.a]\ndomains = [\"*\", \"*\"]\nhosts = [\"r.example\"]\n",
       "a.toml:2:11: routes.a.domains: \"*\" is there twice"},
      {"[routes.a]\ndomains = [\"a.example\"]\nhosts = [\"r.example\", \"R.example\"]\n",
       "a.toml:3:9: routes.a.hosts: \"r.example\" is there twice with the same port"},
      {"[node]\nhostname = \"R.example\"\n" + route,
       "a.toml:5:9: routes.a.hosts: \"r.example\" is this host itself, to which mail would come "
       "back: name another, or by its loopback address a program that listens here"},
      {route + "auth = 3\n",
       "a.toml:4:8: routes.a.auth: write it as a table, headed "
       "[routes.a.auth]"},
      {route + "auth = {usr = \"x\"}\n",
       "a.toml:4:9: there is no setting in [routes.a.auth] \"usr\": did you mean \"user\"?"},
      {route + "auth = {user = \"x\"}\n",
       "a.toml:4:16: routes.a.auth.user: has no password: say auth.password, or "
       "auth.password_file"},
      {route + "auth = {password = \"hush\"}\n",
       "a.toml:4:20: routes.a.auth.password: is of no use without auth.user: say that, too"},
      {route + "auth = {user = \"x\", password = 7}\n",
       "a.toml:4:32: routes.a.auth.password: write the password, in quotes"},
      {route + "auth = {user = \"x\", password = \"hu\\nsh\"}\n",
       "a.toml:4:32: routes.a.auth.password: must be of 1 to 1024 bytes, without NUL and ends of "
       "lines"},
      {route + "auth = {user = \"x\", password = \"hush\", password_file = \"/a\"}\n",
       "a.toml:4:56: routes.a.auth.password_file: says the same as auth.password: say one"},
      {route + "auth = {user = \"x\", password_file = \"a\"}\n",
       "a.toml:4:37: routes.a.auth.password_file: \"a\" is no absolute path: begin it with /"},
      {route + "tls = \"opportunistic\"\nauth = {user = \"x\", password = \"hush\"}\n",
       "a.toml:4:7: routes.a.tls: \"opportunistic\" is not enough to send a password: write "
       "\"required\" or \"implicit\", or auth.allow_in_clear = true"},
      {route + "auth = {user = \"x\", password = \"y\", mechanism = \"cram-md5\"}\n",
       "a.toml:4:49: routes.a.auth.mechanism: write \"any\", \"plain\" or \"login\""},
  };
  for (const auto& one : kCases) {
    const absl::StatusOr<Config> config = parse_config(one.file, "a.toml");
    EXPECT_EQ(config.ok() ? "was taken" : std::string(config.status().message()), one.error)
        << one.file;
    EXPECT_THAT(std::string(config.status().message()), Not(HasSubstr("hush")));
  }
}

constexpr std::string_view kWithPassword = R"([routes.relay]
domains = ["a.example"]
hosts = ["r.example:587"]
auth = {user = "us", password = "hush-hush"}
)";

TEST(ConfigRoutes, ThePasswordIsNotShown) {
  const std::string shown = describe_config(good(kWithPassword));
  EXPECT_THAT(shown, Not(HasSubstr("hush")));
  EXPECT_THAT(shown, HasSubstr("[routes.relay]\ndomains = [\"a.example\"]\n"
                               "hosts = [\"r.example:587\"]\nauth.user = \"us\"\n"
                               "# auth.password is set, and not shown\n"));
  for (const char* key : {"domains", "hosts", "port", "tls", "auth.user", "auth.password",
                          "auth.password_file", "auth.mechanism", "auth.allow_in_clear"})
    EXPECT_THAT(shown, HasSubstr("\n#   " + std::string(key) + " ")) << "default and range";
}

TEST(ConfigRoutes, AReloadNamesWhatChanged) {
  const auto applied = [](std::string_view before, std::string_view after) {
    const absl::StatusOr<ReloadPlan> plan = plan_reload(good(before), good(after));
    EXPECT_TRUE(plan.ok()) << plan.status();
    EXPECT_THAT(plan->needs_restart, IsEmpty());
    return plan->applied;
  };
  EXPECT_THAT(applied("", kWithPassword), ElementsAre("routes.relay"));
  EXPECT_THAT(applied(kWithPassword, ""), ElementsAre("routes.relay"));
  EXPECT_THAT(applied(kWithPassword, kWithPassword), IsEmpty());
  EXPECT_THAT(applied(kWithPassword, R"([routes.relay]
domains = ["b.example"]
hosts = ["r.example:588"]
tls = "implicit"
auth = {user = "you", password = "p"}
)"),
              UnorderedElementsAre("routes.relay.domains", "routes.relay.hosts", "routes.relay.tls",
                                   "routes.relay.auth.user"));
}

class PasswordFile : public testing::Test {
 protected:
  PasswordFile() : path_(testing::TempDir() + "password." + std::to_string(getpid())) {}
  ~PasswordFile() override { std::remove(path_.c_str()); }
  absl::StatusOr<EngineSettings> settings_with(const std::string& content) {
    std::ofstream(path_) << content;
    return settings();
  }
  absl::StatusOr<EngineSettings> settings() {
    return engine_settings(
        good("[routes.a]\ndomains = [\"a.example\"]\nhosts = [\"r\"]\n"
             "auth = {user = \"us\", password_file = \"" +
             path_ + "\"}\n"));
  }
  const std::string path_;
};

TEST_F(PasswordFile, ItsFirstLineIsThePassword) {
  for (const char* content : {"a b", "a b\n", "a b\r\n", "a b\nmore\n"}) {
    const auto settings = settings_with(content);
    ASSERT_TRUE(settings.ok()) << settings.status();
    EXPECT_EQ(settings->routes[0].credentials->password, "a b") << content;
  }
}

TEST_F(PasswordFile, WhatIsNoPassword) {
  const std::string where = "a.toml:4: routes.a.auth.password_file: " + path_ + ": ";
  EXPECT_THAT(std::string(settings().status().message()),
              StartsWith(where + "cannot be read: No such file"));
  for (const std::string& content :
       {std::string(), std::string("\nx"), std::string("a\0b", 3), std::string(1025, 'a')}) {
    EXPECT_THAT(std::string(settings_with(content).status().message()),
                StartsWith(where + "its first line is no password of 1 to 1024 bytes"));
  }
}

}  // namespace
}  // namespace veredus::control
