// Which policy holds for a recipient in doubt.

#include "engine/in_doubt.h"

#include <gtest/gtest.h>

namespace veredus {
namespace {

using Policy = InDoubtPolicy;

TEST(InDoubt, TheFirstRuleThatFitsHolds) {
  EngineSettings settings;
  settings.in_doubt = Policy::retry;
  settings.in_doubt_delay_ns = 1;
  settings.in_doubt_rules = {
      {".mail.protection.outlook.com", "", Policy::hold, 2},
      {"mx.example.net", "", Policy::assume_delivered, 3},
      {"", "example.org", Policy::hold, 4},
      {"", ".example.com", Policy::assume_delivered, 5},
      {".example.net", "", Policy::retry, 6},
  };
  struct Row {
    const char* mx_name;
    const char* domain;
    Policy policy;
    int64_t delay_ns;
  };
  const Row rows[] = {
      {"acme.mail.protection.outlook.com", "acme.test", Policy::hold, 2},
      {"Acme.Mail.Protection.Outlook.COM", "acme.test", Policy::hold, 2},
      {"mail.protection.outlook.com", "acme.test", Policy::retry, 1},
      {"notmail.protection.outlook.com", "acme.test", Policy::retry, 1},
      {"mx.example.net", "example.org", Policy::assume_delivered, 3},  // the host's comes first
      {"mx2.example.net", "example.org", Policy::hold, 4},             // the domain's does
      {"a.mx.example.net", "acme.test", Policy::retry, 6},
      {"mx.acme.test", "EXAMPLE.org", Policy::hold, 4},
      {"mx.acme.test", "news.example.org", Policy::retry, 1},
      {"mx.acme.test", "news.example.com", Policy::assume_delivered, 5},
      {"mx.acme.test", "example.com", Policy::retry, 1},
      // After a crash nobody knows which host it was.
      {"", "example.org", Policy::hold, 4},
      {"", "acme.test", Policy::retry, 1},
      {"", "", Policy::retry, 1},
  };
  for (const Row& row : rows) {
    const InDoubtChoice choice = in_doubt_choice(settings, row.mx_name, row.domain);
    EXPECT_EQ(choice.policy, row.policy) << row.mx_name << " " << row.domain;
    EXPECT_EQ(choice.delay_ns, row.delay_ns) << row.mx_name << " " << row.domain;
  }
}

}  // namespace
}  // namespace veredus
