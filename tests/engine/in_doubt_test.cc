// Which policy holds for a recipient in doubt.

#include "engine/in_doubt.h"

#include <gtest/gtest.h>

#include "engine/settings.h"
#include "tests/engine/lone_home.h"

namespace veredus {
namespace {

using Doubt = InDoubtPolicy;

TEST(InDoubt, TheFirstRuleThatFitsHolds) {
  EngineSettings settings;
  settings.in_doubt = Doubt::retry;
  settings.in_doubt_delay_ns = 1;
  settings.in_doubt_rules = {
      {".mail.protection.outlook.com", "", Doubt::hold, 2},
      {"mx.example.net", "", Doubt::assume_delivered, 3},
      {"", "example.org", Doubt::hold, 4},
      {"", ".example.com", Doubt::assume_delivered, 5},
      {".example.net", "", Doubt::retry, 6},
  };
  struct Row {
    const char* mx_name;
    const char* domain;
    Doubt policy;
    int64_t delay_ns;
  };
  const Row rows[] = {
      {"acme.mail.protection.outlook.com", "acme.test", Doubt::hold, 2},
      {"Acme.Mail.Protection.Outlook.COM", "acme.test", Doubt::hold, 2},
      {"mail.protection.outlook.com", "acme.test", Doubt::retry, 1},
      {"notmail.protection.outlook.com", "acme.test", Doubt::retry, 1},
      {"mx.example.net", "example.org", Doubt::assume_delivered, 3},  // the host's comes first
      {"mx2.example.net", "example.org", Doubt::hold, 4},             // the domain's does
      {"a.mx.example.net", "acme.test", Doubt::retry, 6},
      {"mx.acme.test", "EXAMPLE.org", Doubt::hold, 4},
      {"mx.acme.test", "news.example.org", Doubt::retry, 1},
      {"mx.acme.test", "news.example.com", Doubt::assume_delivered, 5},
      {"mx.acme.test", "example.com", Doubt::retry, 1},
      // After a crash nobody knows which host it was.
      {"", "example.org", Doubt::hold, 4},
      {"", "acme.test", Doubt::retry, 1},
      {"", "", Doubt::retry, 1},
  };
  const auto policy = make_policy(settings, nullptr);
  for (const Row& row : rows) {
    const InDoubtChoice choice =
        in_doubt_choice(*policy, policy->providers[0], row.mx_name, row.domain);
    EXPECT_EQ(choice.policy, row.policy) << row.mx_name << " " << row.domain;
    EXPECT_EQ(choice.delay_ns, row.delay_ns) << row.mx_name << " " << row.domain;
  }
}

// A provider says it for its domains; a rule is for single ones of them.
TEST(InDoubt, AProvidersOwn) {
  EngineSettings settings;
  settings.in_doubt = Doubt::assume_delivered;
  settings.in_doubt_rules = {{"mx.example.net", "", Doubt::retry, 3}};
  Provider holds, says_nothing;
  holds.name = "holds";
  holds.in_doubt = Doubt::hold;
  holds.in_doubt_delay_ns = 4;
  says_nothing.name = "says nothing";
  says_nothing.in_doubt_delay_ns = 5;
  settings.providers = {holds, says_nothing};
  const auto policy = make_policy(settings, nullptr);
  const auto choice_at = [&policy](size_t provider, const char* mx) {
    return in_doubt_choice(*policy, policy->providers[provider], mx, "example.org");
  };
  EXPECT_EQ(choice_at(1, "mx.example.net").policy, Doubt::retry);
  EXPECT_EQ(choice_at(1, "mx.example.net").delay_ns, 3);
  EXPECT_EQ(choice_at(1, "mx2.example.net").policy, Doubt::hold);
  EXPECT_EQ(choice_at(1, "mx2.example.net").delay_ns, 4);
  EXPECT_EQ(choice_at(2, "mx2.example.net").policy, Doubt::assume_delivered);
  EXPECT_EQ(choice_at(2, "mx2.example.net").delay_ns, 5);
}

// After a crash nobody knows which host it was; the provider that goes by domain holds all the
// same.
class InDoubtAfterACrash : public LoneHomeTest {
 protected:
  // Of one recipient at example.org, who was being sent to when the process died.
  queue::Tally& tally_with_provider_of(const char* domain) {
    Provider p;
    p.name = "p";
    p.domains = {domain};
    p.in_doubt = Doubt::hold;
    settings_.providers = {p};
    begin();
    append_batch(7);
    run();
    live_->batch.number = 7;
    live_->accepted = 1;
    begin({{7, live_}}, {{7, 0, 1, 0}});
    run(1000);
    return live_->tally;
  }
  std::shared_ptr<queue::LiveBatch> live_ = std::make_shared<queue::LiveBatch>();
};

TEST_F(InDoubtAfterACrash, AProviderByDomain) {
  EXPECT_EQ(tally_with_provider_of("example.org").in_doubt_held.load(), 1u);
}

TEST_F(InDoubtAfterACrash, AnotherProvider) {
  const queue::Tally& tally = tally_with_provider_of("example.net");
  EXPECT_EQ(tally.in_doubt_held.load(), 0u);
  EXPECT_EQ(tally.in_doubt_waiting.load(), 1u);
}

// While its receiver's route is asked for again, too, what the provider says holds of the lane that
// he was out with.
class InDoubtMeanwhile : public LoneHomeTest {
 protected:
  void tell_route(int64_t expires_mono_ns) {
    RouteTold told;
    told.expires_mono_ns = expires_mono_ns;
    told.policy_version = shard_.policy->version;
    told.site = site_;
    home_->route_told(told);
  }
  void feed(uint64_t number) {
    append_batch(number);
    run();
    live_.push_back(std::make_shared<queue::LiveBatch>());
    live_.back()->batch.number = number;
    live_.back()->accepted = 1;
    home_->announce(live_.back());
    run();
    home_->dispatch();
  }
  std::shared_ptr<const Site> site_ = [] {
    Site site;
    site.number = 1;
    site.key = "10 mx.example.org";
    site.hosts.push_back({"mx.example.org", 10});
    return std::make_shared<const Site>(std::move(site));
  }();
  std::vector<std::shared_ptr<queue::LiveBatch>> live_;
};

TEST_F(InDoubtMeanwhile, TheLanesOwnProviderSays) {
  Provider p;
  p.name = "p";
  p.mx = {"mx.example.org"};
  p.in_doubt = Doubt::hold;
  settings_.providers = {p};
  begin();
  feed(7);
  tell_route(shard_.mono_ns + 1'000'000'000);
  home_->dispatch();
  queue::Ticket ticket;
  ASSERT_EQ(exchange_.tickets(0).pop({&ticket, 1}), 1u);
  run(500);
  feed(8);  // asks for the route
  ReturnedMessage message;
  message.items.emplace_back().ticket = ticket;
  message.items.back().verdict.result = smtp::Result::in_doubt;
  home_->returned(message);
  EXPECT_EQ(live_[0]->tally.in_doubt_held.load(), 1u);
}

// A dead site is dialled again when its hosts are, unless somebody said when.
TEST(SiteClock, TheFirstWaitIsThatOfTheHosts) {
  EngineSettings settings;
  settings.host_down_ns = 7 * queue::kSecondNs;
  Provider own, long_down;
  own.name = "own";
  own.site_initial_ns = 11 * queue::kSecondNs;
  long_down.name = "long";
  long_down.host_down_ns = queue::kHourNs;
  settings.providers = {own, long_down};
  const auto policy = make_policy(settings, nullptr);
  EXPECT_EQ(policy->providers[0].retry.site_initial_ns, 7 * queue::kSecondNs);
  EXPECT_EQ(policy->providers[0].retry.site_cap_ns, 30 * queue::kMinuteNs);
  EXPECT_EQ(policy->providers[1].retry.site_initial_ns, 11 * queue::kSecondNs);
  EXPECT_EQ(policy->providers[2].retry.site_initial_ns, queue::kHourNs);
  EXPECT_EQ(policy->providers[2].retry.site_cap_ns, queue::kHourNs);
  settings.site_initial_ns = 9 * queue::kSecondNs;
  EXPECT_EQ(make_policy(settings, nullptr)->providers[0].retry.site_initial_ns,
            9 * queue::kSecondNs);
}

}  // namespace
}  // namespace veredus
