// Which policy a domain has, by its record, by what could be fetched, and by what is kept.

#include "engine/sts_policies.h"

#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/tls_results.h"
#include "tests/dns/message.h"
#include "tests/dns/scripted_lookups.h"

namespace veredus {
namespace {

using dns::RecordType;
using dns::testing::Bytes;
using dns::testing::Message;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr int64_t kSecond = 1'000'000'000;
constexpr std::string_view kRecord = "_mta-sts.a.org";
constexpr std::string_view kHost = "mta-sts.a.org";

struct Fetches final : tls::StsFetches {
  void fetch(uint16_t, tls::StsFetch fetch) override { asked.push_back(std::move(fetch)); }
  void keep(const tls::CachedSts& cached) override { kept.push_back(cached); }
  const std::vector<tls::CachedSts>& known() const override { return before; }
  std::vector<tls::StsFetch> asked;
  std::vector<tls::CachedSts> kept, before;
};

struct Waiter final : StsPolicies::Waiter {
  void on_sts() override { ++calls; }
  int calls = 0;
};

class StsPoliciesTest : public testing::Test {
 protected:
  StsPoliciesTest() {
    shard_.mono_ns = 1'000 * kSecond;
    shard_.wall_ns = 1'700'000'000 * kSecond;
    make();
  }
  void make() {
    policies_ = std::make_unique<StsPolicies>(shard_, router_, lookups_, &fetches_);
    policies_->set_on_fault([this](std::string_view domain, tls::StsFault fault, std::string_view) {
      faults_.push_back(std::string(domain) + " " + std::string(name_of(type_of(fault))));
    });
    policies_->take_known();
  }
  void pass(int64_t seconds) {
    shard_.mono_ns += seconds * kSecond;
    shard_.wall_ns += seconds * kSecond;
  }
  bool ask() { return policies_->ask("A.org", waiter_, found_); }
  std::string mode() {
    return found_.policy == nullptr ? "" : tls::sts_mode_text(found_.policy->policy.mode);
  }
  int64_t seconds() const { return (found_.expires_mono_ns - shard_.mono_ns) / kSecond; }
  void record(const std::string& text, uint32_t ttl_s = 600) {
    Bytes data = {static_cast<uint8_t>(text.size())};
    data.insert(data.end(), text.begin(), text.end());
    Message message(kRecord, RecordType::txt);
    message.record({0xC0, 12}, 16, ttl_s, data);
    ASSERT_TRUE(lookups_.give(message));
  }
  void no_record(unsigned rcode = dns::kRcodeNameError) {
    Message message(kRecord, RecordType::txt, rcode);
    ASSERT_TRUE(lookups_.give(message.soa("a.org", 300, 300)));
  }
  void address(const std::string& text = "45.33.1.1") {
    Message four(kHost, RecordType::a), six(kHost, RecordType::aaaa);
    ASSERT_TRUE(lookups_.give(four.address(kHost, 60, text)));
    ASSERT_TRUE(lookups_.give(six));
  }
  static tls::StsPolicy policy(tls::StsMode mode, uint32_t max_age_s = 604'800) {
    return {mode, max_age_s, {{false, "mx.a.org"}}};
  }
  void fetched(tls::StsPolicy policy) {
    policies_->fetched({"a.org", tls::StsFault::none, policy, ""});
  }
  void have(tls::StsMode mode, uint32_t max_age_s = 604'800) {
    ASSERT_FALSE(ask());
    record("v=STSv1; id=1;");
    address();
    fetched(policy(mode, max_age_s));
    ASSERT_TRUE(ask());
  }

  EngineSettings settings_;
  Exchange exchange_{1, 1, 16};
  io::Random random_{1};
  Counters counters_;
  ShardContext shard_{
      0, 1, settings_, exchange_, random_, counters_, 0, 0, make_policy(settings_, nullptr)};
  dns::testing::ScriptedLookups lookups_;
  dns::Router router_{lookups_, settings_.router, [this] { return shard_.mono_ns; }};
  Fetches fetches_;
  std::unique_ptr<StsPolicies> policies_;
  Waiter waiter_;
  StsPolicies::Found found_;
  std::vector<std::string> faults_;
};

TEST_F(StsPoliciesTest, FoundFetchedAndKept) {
  EXPECT_FALSE(ask());
  record("v=STSv1; id=20261130;");
  EXPECT_EQ(waiter_.calls, 0) << "it waits";
  address();
  ASSERT_THAT(fetches_.asked, SizeIs(1));
  EXPECT_EQ(fetches_.asked[0].domain, "a.org");
  ASSERT_THAT(fetches_.asked[0].addresses, SizeIs(1));
  EXPECT_EQ(fetches_.asked[0].addresses[0].to_string(), "45.33.1.1");
  fetched(policy(tls::StsMode::enforce));
  EXPECT_EQ(waiter_.calls, 1);
  EXPECT_TRUE(ask());
  EXPECT_EQ(mode(), "enforce");
  EXPECT_EQ(seconds(), 600);
  ASSERT_THAT(fetches_.kept, SizeIs(1));
  EXPECT_EQ(fetches_.kept[0].id, "20261130");
  EXPECT_EQ(fetches_.kept[0].fetched_wall_s, 1'700'000'000);
  EXPECT_THAT(faults_, IsEmpty());
}

TEST_F(StsPoliciesTest, NoRecordNoPolicy) {
  struct Row {
    const char* what;
    unsigned rcode;
    int64_t seconds;
  };
  for (const Row& row :
       {Row{"no such name", dns::kRcodeNameError, 300}, Row{"no record", dns::kRcodeNoError, 300},
        Row{"not known", dns::kRcodeServerFailure, 60}}) {
    SCOPED_TRACE(row.what);
    pass(10'000);
    EXPECT_FALSE(ask());
    no_record(row.rcode);
    EXPECT_TRUE(ask());
    EXPECT_EQ(mode(), "");
    EXPECT_EQ(seconds(), row.seconds);
  }
  EXPECT_EQ(waiter_.calls, 3);
  EXPECT_THAT(fetches_.asked, IsEmpty());
}

TEST_F(StsPoliciesTest, TwoRecordsAreNone) {
  EXPECT_FALSE(ask());
  Message message(kRecord, RecordType::txt);
  for (const char* text : {"v=STSv1; id=1;", "v=STSv1; id=2;"}) {
    Bytes data = {14};
    data.insert(data.end(), text, text + 14);
    message.record({0xC0, 12}, 16, 60, data);
  }
  EXPECT_TRUE(lookups_.give(message));
  EXPECT_TRUE(ask());
  EXPECT_EQ(mode(), "");
}

TEST_F(StsPoliciesTest, WhatCannotBeFetchedIsNoPolicyForFiveMinutes) {
  EXPECT_FALSE(ask());
  record("v=STSv1; id=1;");
  address();
  policies_->fetched({"a.org", tls::StsFault::webpki_invalid, {}, "its certificate"});
  EXPECT_EQ(waiter_.calls, 1);
  EXPECT_TRUE(ask());
  EXPECT_EQ(mode(), "");
  EXPECT_EQ(seconds(), 300);
  EXPECT_THAT(faults_, ElementsAre("a.org sts-webpki-invalid"));
  pass(300);
  EXPECT_TRUE(ask()) << "its mail does not wait again for what could not be had";
  EXPECT_TRUE(lookups_.pending(kRecord, RecordType::txt)) << "it is asked again";
}

TEST_F(StsPoliciesTest, APolicyHostWithoutAnAddressOfItsOwn) {
  EXPECT_FALSE(ask());
  record("v=STSv1; id=1;");
  address("127.0.0.1");
  EXPECT_TRUE(ask());
  EXPECT_EQ(mode(), "");
  EXPECT_THAT(faults_, ElementsAre("a.org sts-policy-fetch-error"));
  EXPECT_THAT(fetches_.asked, IsEmpty());
}

// A policy host that does not answer: mail goes without after a while.
TEST_F(StsPoliciesTest, NobodyWaitsForLong) {
  EXPECT_FALSE(ask());
  record("v=STSv1; id=1;");
  address();
  EXPECT_EQ(policies_->next_due_mono_ns(), shard_.mono_ns + 10 * kSecond);
  pass(9);
  policies_->run();
  EXPECT_EQ(waiter_.calls, 0);
  pass(1);
  policies_->run();
  EXPECT_EQ(waiter_.calls, 1);
  EXPECT_EQ(policies_->next_due_mono_ns(), INT64_MAX);
  EXPECT_TRUE(ask());
  EXPECT_EQ(mode(), "");
  fetched(policy(tls::StsMode::enforce));
  EXPECT_TRUE(ask());
  EXPECT_EQ(mode(), "enforce") << "from now on";
}

// What is in force stays so, whatever becomes of record and policy host, until its time is over.
TEST_F(StsPoliciesTest, WhatIsInForceIsNotWaitedFor) {
  have(tls::StsMode::enforce);
  pass(1'000);
  EXPECT_TRUE(ask());
  EXPECT_EQ(mode(), "enforce");
  EXPECT_EQ(seconds(), 60) << "it is being looked at";
  no_record();
  EXPECT_TRUE(ask());
  EXPECT_EQ(mode(), "enforce");
  pass(1'000);
  EXPECT_TRUE(ask());
  no_record(dns::kRcodeServerFailure);
  EXPECT_TRUE(ask());
  EXPECT_EQ(mode(), "enforce");
  pass(604'800 - 2'001);
  EXPECT_TRUE(ask());
  EXPECT_EQ(mode(), "enforce");
  EXPECT_EQ(seconds(), 1);
  pass(1);
  EXPECT_FALSE(ask()) << "over";
}

TEST_F(StsPoliciesTest, AnotherIdAnotherPolicy) {
  have(tls::StsMode::enforce);
  pass(1'000);
  EXPECT_TRUE(ask());
  record("v=STSv1; id=1;");
  EXPECT_THAT(fetches_.asked, SizeIs(1)) << "the same: nothing to fetch";
  pass(1'000);
  EXPECT_TRUE(ask());
  record("v=STSv1; id=2;");
  address();
  ASSERT_THAT(fetches_.asked, SizeIs(2));
  EXPECT_TRUE(ask());
  EXPECT_EQ(mode(), "enforce") << "until the new one is there";
  policies_->fetched({"a.org", tls::StsFault::fetch_error, {}, "no"});
  EXPECT_TRUE(ask());
  EXPECT_EQ(mode(), "enforce");
  pass(300);
  EXPECT_TRUE(ask());
  record("v=STSv1; id=2;");
  address();
  fetched(policy(tls::StsMode::none));
  EXPECT_TRUE(ask());
  EXPECT_EQ(mode(), "none");
}

TEST_F(StsPoliciesTest, ADayLaterItIsFetchedThoughUnchanged) {
  have(tls::StsMode::enforce);
  pass(86'400);
  EXPECT_TRUE(ask());
  record("v=STSv1; id=1;");
  address();
  EXPECT_THAT(fetches_.asked, SizeIs(2));
  fetched(policy(tls::StsMode::enforce));
  pass(604'799);
  EXPECT_TRUE(ask());
  EXPECT_EQ(mode(), "enforce") << "its time has begun anew";
}

// However long its record may be believed: a policy does not run out in between.
TEST_F(StsPoliciesTest, AShortOneIsLookedAtInTime) {
  EXPECT_FALSE(ask());
  record("v=STSv1; id=1;", 3600);
  address();
  fetched(policy(tls::StsMode::enforce, 1'800));
  EXPECT_TRUE(ask());
  EXPECT_EQ(seconds(), 900);
  pass(900);
  EXPECT_TRUE(ask());
  record("v=STSv1; id=1;", 3600);
  address();
  fetched(policy(tls::StsMode::enforce, 1'800));
  pass(1'700);
  EXPECT_TRUE(ask());
  EXPECT_EQ(mode(), "enforce");
}

// That we are at our bounds is no fault of the domain.
TEST_F(StsPoliciesTest, NotAskedIsNoFault) {
  EXPECT_FALSE(ask());
  record("v=STSv1; id=1;");
  address();
  policies_->fetched({"a.org", tls::StsFault::not_asked, {}, "too many"});
  EXPECT_THAT(faults_, IsEmpty());
  EXPECT_TRUE(ask());
  EXPECT_EQ(seconds(), 60);
  pass(60);
  EXPECT_FALSE(ask()) << "its mail waits for it again";
}

TEST_F(StsPoliciesTest, OverARestart) {
  const auto kept = [](const char* domain, int64_t age_s) {
    return tls::CachedSts{domain, "1", 1'700'000'000 - age_s, policy(tls::StsMode::enforce)};
  };
  fetches_.before = {kept("a.org", 604'000), kept("b.org", 604'800), kept("c.org", -5'000)};
  make();
  EXPECT_TRUE(ask());
  EXPECT_EQ(mode(), "enforce");
  EXPECT_NE(policies_->policy_of("a.org"), nullptr);
  EXPECT_EQ(policies_->policy_of("b.org"), nullptr) << "over";
  EXPECT_NE(policies_->policy_of("c.org"), nullptr) << "of a clock that was ahead";
  pass(800);
  EXPECT_EQ(policies_->policy_of("a.org"), nullptr);
  pass(604'000);
  EXPECT_EQ(policies_->policy_of("c.org"), nullptr) << "it is not older than it can be";
}

TEST_F(StsPoliciesTest, NobodyWhoFetches) {
  StsPolicies none(shard_, router_, lookups_, nullptr);
  EXPECT_TRUE(none.ask("a.org", waiter_, found_));
  EXPECT_EQ(mode(), "");
  EXPECT_THAT(lookups_.asked, IsEmpty());
}

TEST_F(StsPoliciesTest, WhoeverWaitsMayGo) {
  {
    Waiter gone;
    EXPECT_FALSE(policies_->ask("a.org", gone, found_));
  }
  EXPECT_FALSE(ask());
  no_record();
  EXPECT_EQ(waiter_.calls, 1);
  pass(10'000);
  EXPECT_FALSE(ask());
  policies_.reset();
  EXPECT_FALSE(lookups_.pending(kRecord, RecordType::txt));
}

// Answers that come too late, or for nobody, change nothing.
TEST_F(StsPoliciesTest, AFetchThatNobodyWaitsFor) {
  fetched(policy(tls::StsMode::enforce));
  have(tls::StsMode::testing);
  fetched(policy(tls::StsMode::enforce));
  EXPECT_TRUE(ask());
  EXPECT_EQ(mode(), "testing");
}

}  // namespace
}  // namespace veredus
