#include <cstdio>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/control/config.h"
#include "engine/control/config_table.h"
#include "engine/control/reload.h"
#include "engine/control/settings.h"
#include "engine/control/small_file.h"
#include "engine/mail/dkim_identity.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/control/config_text.h"

// [dkim.NAME]: who signs, and the files in which the keys are.

namespace veredus::control {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// A file with a new key, of this test alone.
class KeyFile {
 public:
  explicit KeyFile(const std::string& name)
      : path_(::testing::TempDir() + "dkim_" + std::to_string(getpid()) + "_" + name) {
    write_key();
  }
  ~KeyFile() { std::remove(path_.c_str()); }
  const std::string& path() const { return path_; }

  void write_key() {
    std::remove(path_.c_str());
    EVP_PKEY* const key = EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519");
    std::FILE* const file = std::fopen(path_.c_str(), "w");
    EXPECT_EQ(PEM_write_PKCS8PrivateKey(file, key, nullptr, nullptr, 0, nullptr, nullptr), 1);
    std::fclose(file);
    EVP_PKEY_free(key);
    chmod(path_.c_str(), 0640);
  }
  void write(const std::string& text) const { std::ofstream(path_) << text; }

 private:
  const std::string path_;
};

std::string identity(const std::string& name, const std::string& more, const KeyFile& key) {
  return "[dkim." + name + "]\nkey_file = \"" + key.path() + "\"\n" + more;
}

TEST(ConfigDkim, EverySetting) {
  const KeyFile key("every");
  const EngineSettings settings =
      settings_of(identity("news", R"(domain = "News.Example"
selector = "S2026"
canonicalization = "relaxed/simple"
lifetime = "14d"
also_sign = ["X-Campaign", "from"]
)",
                           key) +
                  identity("idn", "domain = \"bücher.example\"\nselector = \"a.b\"\n", key));
  ASSERT_NE(settings.dkim, nullptr);
  const mail::DkimIdentity* const news = settings.dkim->named("news");
  ASSERT_NE(news, nullptr);
  EXPECT_EQ(news->domain, "news.example");
  EXPECT_EQ(news->selector, "s2026");
  EXPECT_TRUE(news->relaxed_header);
  EXPECT_FALSE(news->relaxed_body);
  EXPECT_EQ(news->lifetime_ns, 14 * kDay);
  EXPECT_THAT(news->signed_fields, Contains("x-campaign"));
  EXPECT_EQ(std::count(news->signed_fields.begin(), news->signed_fields.end(), "from"), 1);
  const mail::DkimIdentity* const idn = settings.dkim->named("idn");
  ASSERT_NE(idn, nullptr);
  EXPECT_EQ(idn->domain, "xn--bcher-kva.example");
  EXPECT_TRUE(idn->relaxed_header && idn->relaxed_body);
  EXPECT_EQ(idn->lifetime_ns, 0);
}

TEST(ConfigDkim, NobodySignsByDefault) {
  EXPECT_EQ(settings_of("").dkim, nullptr);
}

TEST(ConfigDkim, WhatIsWrongIsNamed) {
  const struct {
    std::string text, told;
  } kCases[] = {
      {"[dkim.a]\nselector = \"s\"\nkey_file = \"/k\"\n",
       "dkim.a: say whose mail it signs: domain"},
      {"[dkim.a]\ndomain = \"e.example\"\nkey_file = \"/k\"\n",
       "dkim.a: say where its key is published: selector"},
      {"[dkim.a]\ndomain = \"e.example\"\nselector = \"s\"\n", "say where its key lies: key_file"},
      {"[dkim.a]\ndomain = \"e.example\"\nselector = \"s\"\nkey_file = \"k.pem\"\n",
       "is no absolute path"},
      {"[dkim.a]\ndomain = \"e example\"\nselector = \"s\"\nkey_file = \"/k\"\n", "is no domain"},
      {"[dkim.a]\ndomain = \"e.example\"\nselector = \"s t\"\nkey_file = \"/k\"\n",
       "is no name of the DNS"},
      {"[dkim.a]\ndomain = \"e.example\"\nselector = \"s\"\nkey_file = \"/k\"\n"
       "[dkim.b]\ndomain = \"E.example\"\nselector = \"S\"\nkey_file = \"/k\"\n",
       "dkim.b.selector: is that of dkim.a, too"},
      {"[dkim.a]\ncanonicalization = \"nofws\"\n", "\"relaxed/relaxed\""},
      {"[dkim.a]\nlifetime = \"91d\"\n", "dkim.a.lifetime"},
      {"[dkim.a]\nalso_sign = [\"X Y\"]\n", "dkim.a.also_sign"},
      {"[dkim.a]\nkeyfile = \"/k\"\n", "did you mean \"key_file\"?"},
      {"[dkim.\"a b\"]\ndomain = \"e.example\"\nselector = \"s\"\nkey_file = \"/k\"\n",
       "is no name"},
  };
  for (const auto& one : kCases) {
    const absl::StatusOr<Config> config = parse_config(one.text, "a.toml");
    ASSERT_FALSE(config.ok()) << one.text;
    EXPECT_THAT(std::string(config.status().message()), HasSubstr("a.toml:")) << one.text;
    EXPECT_THAT(std::string(config.status().message()), HasSubstr(one.told)) << one.text;
  }
}

TEST(ConfigDkim, AKeyThatCannotBeUsedIsNamedWithItsFile) {
  const KeyFile key("bad");
  const std::string text = identity("a", "domain = \"e.example\"\nselector = \"s\"\n", key);
  const auto told = [&](const std::string& of) {
    const absl::StatusOr<EngineSettings> settings = engine_settings(good(of));
    return std::string(settings.ok() ? "fine" : settings.status().message());
  };
  EXPECT_EQ(told(text), "fine");
  const std::string where = "a.toml:2: dkim.a.key_file: " + key.path() + ": ";
  chmod(key.path().c_str(), 0644);
  EXPECT_THAT(told(text), HasSubstr(where + "everybody may read or write this private key"));
  chmod(key.path().c_str(), 0640);
  key.write("no key\n");
  EXPECT_THAT(told(text), HasSubstr(where));
  key.write(std::string(100 << 10, 'x'));
  EXPECT_THAT(told(text), HasSubstr(where + "has more than 65536 bytes"));
  std::remove(key.path().c_str());
  EXPECT_THAT(told(text), HasSubstr(where + "cannot be read: No such file"));
}

// Two identities, each with a key of its own, as a running engine has them.
class RunningKeys : public ::testing::Test {
 protected:
  RunningKeys() : config(good(text())), settings(*engine_settings(config)) {}

  std::string text() const {
    return identity("a", "domain = \"a.example\"\nselector = \"s\"\n", key_a) +
           identity("b", "domain = \"b.example\"\nselector = \"s\"\n", key_b);
  }
  std::shared_ptr<const mail::DkimKey> key_of(const char* name) const {
    return settings.dkim->named(name)->key;
  }
  static std::string name_of_test() {
    return ::testing::UnitTest::GetInstance()->current_test_info()->name();
  }

  KeyFile key_a{name_of_test() + "_a"}, key_b{name_of_test() + "_b"};
  const Config config;
  EngineSettings settings;
};

// Also when that was before anybody looked: while the engine read its spool.
TEST_F(RunningKeys, OneThatWasReplacedSinceItWasReadIsTakenUp) {
  const auto a = key_of("a"), b = key_of("b");
  const auto before = settings.dkim;
  KeyLook look = look_at_keys(config, settings);
  EXPECT_FALSE(look.changed);
  EXPECT_EQ(settings.dkim, before);
  key_a.write_key();
  look = look_at_keys(config, settings);
  EXPECT_TRUE(look.changed);
  EXPECT_THAT(look.faults, IsEmpty());
  EXPECT_NE(key_of("a")->public_record(), a->public_record());
  EXPECT_EQ(key_of("b"), b);
  EXPECT_FALSE(look_at_keys(config, settings).changed);
}

TEST_F(RunningKeys, ABadOneStaysAsItWasAndHoldsUpNoOther) {
  const std::function<void()> kSpoilings[] = {
      [this] { key_a.write("no key\n"); },
      [this] { key_a.write("-----BEGIN PRIVATE KEY-----\nMC4C"); },
      [this] { key_a.write(""); },
      [this] { std::remove(key_a.path().c_str()); },
      [this] { key_a.write_key(), chmod(key_a.path().c_str(), 0644); },
  };
  for (const auto& spoil : kSpoilings) {
    const auto a = key_of("a"), b = key_of("b");
    spoil();
    key_b.write_key();
    const KeyLook look = look_at_keys(config, settings);
    EXPECT_TRUE(look.changed);
    ASSERT_EQ(look.faults.size(), 1u);
    EXPECT_EQ(look.faults[0].file, key_a.path());
    EXPECT_THAT(look.faults[0].what, HasSubstr("a.toml:2: dkim.a.key_file: " + key_a.path()));
    EXPECT_EQ(key_of("a"), a);
    EXPECT_NE(key_of("b"), b);
    // Tried again each time, and known for the same.
    const KeyLook again = look_at_keys(config, settings);
    EXPECT_FALSE(again.changed);
    EXPECT_EQ(again.faults, look.faults);
    key_a.write_key();
    EXPECT_TRUE(look_at_keys(config, settings).changed);
    EXPECT_NE(key_of("a"), a);
  }
}

// What has failed for another reason than the file: no descriptor was left, say.
TEST_F(RunningKeys, OneThatCouldNotBeReadIsTriedAgain) {
  const auto a = key_of("a");
  key_a.write_key();
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit none{0, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  KeyLook look = look_at_keys(config, settings);
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  ASSERT_EQ(look.faults.size(), 1u);
  EXPECT_THAT(look.faults[0].what, HasSubstr("Too many open files"));
  EXPECT_EQ(key_of("a"), a);
  look = look_at_keys(config, settings);
  EXPECT_TRUE(look.changed);
  EXPECT_THAT(look.faults, IsEmpty());
  EXPECT_NE(key_of("a"), a);
}

// What a reload does.
TEST_F(RunningKeys, WhoseFilesAreAsTheyWereStay) {
  key_b.write_key();
  const EngineSettings after = *engine_settings(config, {settings.dkim.get(), nullptr});
  EXPECT_EQ(after.dkim->named("a")->key, key_of("a"));
  EXPECT_NE(after.dkim->named("b")->key, key_of("b"));
  chmod(key_a.path().c_str(), 0644);
  EXPECT_FALSE(engine_settings(config, {settings.dkim.get(), nullptr}).ok());
}

TEST_F(RunningKeys, WhatIsReplacedGoes) {
  const std::weak_ptr<const mail::DkimKey> a = key_of("a"), b = key_of("b");
  key_a.write_key();
  look_at_keys(config, settings);
  EXPECT_TRUE(a.expired());
  settings =
      *engine_settings(good(identity("a", "domain = \"a.example\"\nselector = \"s\"\n", key_a)),
                       {settings.dkim.get(), nullptr});
  EXPECT_TRUE(b.expired());
}

// For `veredus render`, which may be called by somebody who must not read keys.
TEST_F(RunningKeys, WhoWouldSignIsKnownWithoutThem) {
  std::remove(key_a.path().c_str());
  std::vector<std::string> missing;
  const auto made = engine_settings(config, {nullptr, &missing});
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_THAT(missing, ElementsAre(HasSubstr("dkim.a.key_file: " + key_a.path())));
  EXPECT_EQ(made->dkim->named("a")->key, nullptr);
  EXPECT_NE(made->dkim->named("b")->key, nullptr);
  EXPECT_EQ(made->dkim->for_author("a.example").size(), 1u);
}

TEST(ConfigDkim, CheckConfigShowsWhatItSays) {
  const KeyFile key("shown");
  const std::string text = identity("a", "domain = \"e.example\"\nselector = \"s\"\n", key);
  const std::string shown = describe_config(good(text));
  EXPECT_THAT(shown, HasSubstr("\n[dkim.a]\n"));
  EXPECT_THAT(shown, HasSubstr("key_file = \"" + key.path() + "\""));
  EXPECT_EQ(describe_config(good(shown)), shown);
}

TEST(ConfigDkim, AReloadNamesWhatHasChanged) {
  const auto plan = [](const std::string& before, const std::string& after) {
    const absl::StatusOr<ReloadPlan> made = plan_reload(good(before), good(after));
    EXPECT_TRUE(made.ok());
    return made.ok() ? made->applied : std::vector<std::string>{"none"};
  };
  const std::string a = "[dkim.a]\ndomain = \"e.example\"\nselector = \"s\"\nkey_file = \"/k\"\n";
  EXPECT_THAT(plan(a, a), IsEmpty());
  EXPECT_THAT(plan(a, a + "lifetime = \"1d\"\n"), ElementsAre("dkim.a.lifetime"));
  EXPECT_THAT(plan(a, ""), ElementsAre("dkim.a"));
  EXPECT_THAT(plan("", a), ElementsAre("dkim.a"));
}

TEST(SmallFile, ItsMarkTellsAnotherFile) {
  KeyFile key("mark");
  const std::string before = file_mark(key.path());
  EXPECT_EQ(file_mark(key.path()), before);
  EXPECT_EQ(read_small_file(key.path(), 1'000)->mark, before);
  key.write_key();
  EXPECT_NE(file_mark(key.path()), before);
  EXPECT_EQ(file_mark(key.path() + ".none"), "");
}

}  // namespace
}  // namespace veredus::control
