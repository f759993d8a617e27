#include "engine/smtp/retry_hint.h"

#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace veredus::smtp {
namespace {

constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kMinute = 60 * kSecond;
constexpr int64_t kHour = 60 * kMinute;
constexpr int64_t kDay = 24 * kHour;

struct Case {
  const char* text;  // without code and enhanced status, as Reply::text has it
  int64_t delay_ns;
  bool greylisted;
};

void check(const std::vector<Case>& cases) {
  for (const Case& it : cases) {
    const RetryHint hint = read_retry_hint(it.text);
    EXPECT_EQ(hint.delay_ns / kSecond, it.delay_ns / kSecond) << it.text;
    EXPECT_EQ(hint.greylisted, it.greylisted) << it.text;
  }
}

TEST(RetryHint, OfGreylisters) {
  check({
      {"<ada@example.org>: Recipient address rejected: Greylisted for 300 seconds (see "
       "http://isg.ee.ethz.ch/tools/postgrey/help/example.org.html)",
       300 * kSecond, true},
      {"<ada@example.org>: Recipient address rejected: Greylisted, see "
       "http://postgrey.schweikert.ch/help/example.org.html",
       0, true},
      {"Greylisting in action, please come back in 00:05:00", 5 * kMinute, true},
      {"Greylisting in action, please come back in 00:04:32", 4 * kMinute + 32 * kSecond, true},
      {"Greylisting in Action, Please Come Back in 00:02:00 [minutes]", 2 * kMinute, true},
      {"Greylisting in action, please come back in 12:00:01 [hours]", 12 * kHour + kSecond, true},
      {"Greylisting in action, please come back later", 0, true},
      {"Recipient address rejected: Greylisting in action, please come back in 180 seconds",
       3 * kMinute, true},
      {"<ada@example.org>: Recipient address rejected: Greylisted for 5 minutes", 5 * kMinute,
       true},
      {"<ada@example.org>: Recipient address rejected: Greylisted for 1 minute", kMinute, true},
      {"Greylisted (300 seconds)", 300 * kSecond, true},
      {"Greylisted for 5 minutes. Try again later.", 5 * kMinute, true},
      {"Sender address rejected: Greylisted for 57 sec.", 57 * kSecond, true},
      {"Greylisted, please try again in 900 seconds", 15 * kMinute, true},
      {"<news@example.com>: Recipient address rejected: Greylisted, try again in 300 seconds",
       300 * kSecond, true},
      {"Greylisting, try again in 240 seconds", 4 * kMinute, true},
      {"Greylisting enabled, try again in 1 minutes", kMinute, true},
      {"Greylisting enabled, try again in 15 minutes", 15 * kMinute, true},
      {"Greylisted, see https://example.org/greylisting or wait 300 seconds", 300 * kSecond, true},
      {"greylisted, please retry in 120 seconds", 2 * kMinute, true},
      {"Greylisted, please try again in a few moments.", 0, true},
      {"Greylisting in progress, please try again later", 0, true},
      {"Greylisting in effect, please come back later", 0, true},
      {"This server employs greylisting as a means of reducing spam. Please resend e-mail shortly",
       0, true},
      {"Graylisted - please wait at least 10 minutes before retrying", 10 * kMinute, true},
      {"Your address has been graylisted. See: http://www.example.org/policy", 0, true},
      {"Grey listed, try after 20 minutes", 20 * kMinute, true},
      {"Temporarily grey-listed: 243 seconds remaining", 243 * kSecond, true},
      {"Greylisted (time left: 00:03:20)", 3 * kMinute + 20 * kSecond, true},
      {"GREYLISTED: try again later", 0, true},
      {"ada@example.org is not yet authorized to deliver mail from <news@example.com> to "
       "<bob@example.org>. Please try later.",
       0, true},
      {"[GL01] Message from (192.0.2.1) temporarily deferred - 4.16.50. Please refer to "
       "http://postmaster.yahoo.com/errors/postmaster-21.html",
       0, true},
      {"Try again later", 0, true},  // all that rspamd says
      {"try again later.", 0, true},
      {"Greylisted for 5 minutes, please try again in 272 seconds", 5 * kMinute, true},
  });
}

TEST(RetryHint, OfOthersWhoSayWhen) {
  check({
      {"4.3.2 Too many connections, try later in 15 mins", 15 * kMinute, false},
      {"Service temporarily unavailable, please retry in 10 minutes", 10 * kMinute, false},
      {"Too much mail from your network. Try again in 1 hour.", kHour, false},
      {"Rate limit exceeded; please wait 60 seconds", kMinute, false},
      {"mx.example.org: please wait another 30 seconds before trying again", 30 * kSecond, false},
      {"Sorry, you must wait 240 more seconds", 4 * kMinute, false},
      {"Too many errors, your address 192.0.2.1 is blocked for 15 minutes", 15 * kMinute, false},
      {"Connections from [192.0.2.1] are throttled for 2 hours, see https://example.org/?c=42",
       2 * kHour, false},
      {"Temporarily rejected. Retry after 300s", 300 * kSecond, false},
      {"Too many requests, Retry-After: 120", 2 * kMinute, false},
      {"please wait for 60 seconds", kMinute, false},
      {"slow down (retry-after=90)", 90 * kSecond, false},
      {"busy, try again in PT5M", 5 * kMinute, false},
      {"busy, try again in P1DT2H30M", 26 * kHour + 30 * kMinute, false},
      {"please try again in 1h30m", 90 * kMinute, false},
      {"please try again in 1 hour and 30 minutes", 90 * kMinute, false},
      {"please try again in 2 min 30 sec", 150 * kSecond, false},
      {"Try again in 5-10 minutes", 10 * kMinute, false},
      {"Try again in 1.5 hours", 90 * kMinute, false},
      {"try again in 299.25 seconds", 299 * kSecond, false},
      {"Please try again in about an hour", kHour, false},
      {"Please try again in a minute", kMinute, false},
      {"Please try again in at least five minutes", 5 * kMinute, false},
      {"Please retry your message in 20 minutes", 20 * kMinute, false},
      {"try resending your message after 30 minutes", 30 * kMinute, false},
      {"do not retry sooner than 3 hours", 3 * kHour, false},
      {"please try again\nin 300\nseconds", 300 * kSecond, false},
      {"Server busy, retry interval is 10 minutes", 10 * kMinute, false},
      {"Domain exceeded its limit. Allow 20 minutes before the next message", 20 * kMinute, false},
      {"blocked for 24 hours, come back in 1 day", kDay, false},
      {"Please try again in 7 days", 7 * kDay, false},
      {"Do not retry before 20 minutes have passed", 20 * kMinute, false},
      {"blocked, remaining: 90 seconds", 90 * kSecond, false},
  });
}

TEST(RetryHint, WhatIsNoDelay) {
  check({
      {"", 0, false},
      {"The mail server [192.0.2.10] has been temporarily rate limited due to IP reputation. For "
       "e-mail delivery information, see https://aka.ms/postmaster (S775)",
       0, false},
      {"Server busy. Please try again later from [192.0.2.10]. (S77719) "
       "[AM0EUR02FT004.eop-EUR02.prod.protection.outlook.com 2024-05-05T12:30:45.123Z]",
       0, false},
      {"Please retry later", 0, false},
      {"[TSS04] Messages from 192.0.2.1 temporarily deferred due to unexpected volume or user "
       "complaints - 4.16.55.1; see https://postmaster.yahooinc.com/error-codes",
       0, false},
      {"[192.0.2.1      15] Our system has detected an unusual rate of\nunsolicited mail "
       "originating from your IP address. To protect our\nusers from spam, mail sent from your IP "
       "address has been temporarily\nrate limited. Please visit\n"
       "https://support.google.com/mail/?p=UnsolicitedRateLimitError - gsmtp",
       0, false},
      {"The user you are trying to contact is receiving mail at a rate that prevents additional "
       "messages from being delivered. Please resend your message at a later time.",
       0, false},
      {"Try again later, closing connection. (EHLO) a1-20020a05600c224100b0042 - gsmtp", 0, false},
      {"Service unavailable - try again later", 0, false},
      {"If this is a mistake you may contact postmaster within 24 hours", 0, false},
      {"Please try again within 24 hours", 0, false},
      {"Too many connections from 192.0.2.1 in the last 60 seconds, try again later", 0, false},
      {"You sent 100 messages in 60 minutes. Try again later", 0, false},
      {"try again later (limit: 20 in 3600 seconds)", 0, false},
      {"Please try again; only 10 messages in 5 minutes are taken", 0, false},
      {"Domain example.com has exceeded the max emails per hour (150/150 (100%)) allowed. Message "
       "will be reattempted later",
       0, false},
      {"idle timeout, closing connection after 300 seconds", 0, false},
      {"try again after 14:30:00 GMT", 0, false},
      {"do not retry before 14:30:00 GMT", 0, false},
      {"temporarily deferred, Mon, 06 May 2024 12:30:45 +0000", 0, false},
      {"try again in 5", 0, false},
      {"try again in 4.7.1 minutes", 0, false},
      {"try again in 192.0.2.1", 0, false},
      {"try again in 0 seconds", 0, false},
      {"try again in 30 days", 0, false},
      {"try again in 7 days 1 second", 0, false},
      {"try again in 1234567890 seconds", 0, false},
      {"try again in 18446744073709551916 seconds", 0, false},
      {"try again in 213504 days", 0, false},  // too much for 64 bits
      {"retry limit 5 in 60 seconds", 0, false},
      {"try again in 999999999 days 999999999 days", 0, false},
      {"Your message is 35 MB, message size limit is 25 M", 0, false},
      {"your server should retry for 5 days", 0, false},
      {"retry timeout exceeded", 0, false},
      {"mailbox full, last login 12 days ago", 0, false},
      {"please retry, first seen 20 seconds ago", 0, false},
      {"wait, 5 minutes ago it worked", 0, false},
      {"Domain age is 3 days, wait", 0, false},
      {"queued as 5m3s", 0, false},
      {"come back in 00:61:00", 0, false},
      {"come back in 1:2:3", 0, false},
      {"come back in 00:5:00", 0, false},
      {"come back in 00:05", 0, false},
      {"come back in 00:05:00:00", 0, false},
      {"retry in P1M", 0, false},
      {"retry in PT1HT5M", 0, false},
      {"[IPTS04] Messages from 192.0.2.1 temporarily deferred", 0, false},
      {"Service refuse. Veuillez essayer plus tard. OFR004_104 [104]", 0, false},
      {"Sorry, I wasn't able to establish an SMTP connection. (#4.4.1) We'll try again 3 times", 0,
       false},
  });
}

// Where a word more or less decides.
TEST(RetryHint, WhatIsFarAwayOrOfAnotherSentenceDoesNotCount) {
  check({
      {"again and that is not all in 5 minutes", 0, false},
      {"retry it all the same in 5 minutes", 5 * kMinute, false},
      {"try again. In 5 minutes we close", 0, false},
      {"try again, in 5 minutes", 5 * kMinute, false},
      {"try again, we close in 5 minutes", 0, false},
      {"try again (in 5 minutes)", 5 * kMinute, false},
      {"blocked by our local policy for 5 minutes", 0, false},
      {"blocked by policy for 5 minutes", 5 * kMinute, false},
      {"5 minutes still remaining", 5 * kMinute, false},
      {"5 minutes that are remaining", 0, false},
      {"5 minutes. remaining", 0, false},
  });
}

std::string random_text(std::mt19937_64& random) {
  static const std::vector<std::string> kPieces = {
      "try",   "again",    "in",      "after",   "for", "wait",  "greylisted", "retry-after",
      "5",     "00:05:00", "minutes", "seconds", "h",   "PT",    "999999999",  "1.5",
      "5m30s", ",",        ".",       ";",       "(",   "-",     "days",       "remaining",
      "ago",   "more",     "and",     "blocked", "P1D", "4.7.1", "192.0.2.1",  "\n",
  };
  std::string text;
  const bool words = random() % 2 == 0;
  const size_t pieces = random() % (words ? 60 : 400);
  for (size_t i = 0; i < pieces; ++i) {
    if (!words || random() % 20 == 0) {
      text.push_back(static_cast<char>(random()));
    } else {
      text += kPieces[random() % kPieces.size()];
      if (random() % 8 != 0) text.push_back(' ');
    }
  }
  return text;
}

TEST(RetryHint, AnyBytesGiveADelayWithinBounds) {
  std::mt19937_64 random(1);
  int with_delay = 0;
  for (int i = 0; i < 20'000; ++i) {
    const std::string text = random_text(random);
    // In memory of just this size, so that the sanitizers see what is read beyond it.
    const std::vector<char> exact(text.begin(), text.end());
    const RetryHint hint = read_retry_hint({exact.data(), exact.size()});
    ASSERT_GE(hint.delay_ns, 0) << text;
    ASSERT_LE(hint.delay_ns, kRetryHintMaxNs) << text;
    with_delay += hint.delay_ns > 0;
    // What is beyond the bound is not looked at.
    std::string longer = text;
    longer.resize(std::max(text.size(), kRetryHintTextMax), ' ');
    const RetryHint cut = read_retry_hint(longer + " greylisted, try again in 9 minutes");
    ASSERT_EQ(cut.delay_ns, read_retry_hint(longer).delay_ns) << text;
    ASSERT_EQ(cut.greylisted, read_retry_hint(longer).greylisted) << text;
  }
  EXPECT_GT(with_delay, 1'000);
}

TEST(RetryHint, MoreWordsThanAreLookedAt) {
  std::string text;
  while (text.size() < kRetryHintTextMax) text += "a. ";
  EXPECT_EQ(read_retry_hint(text).delay_ns, 0);
  text = "greylisted for 5 minutes " + text;
  EXPECT_EQ(read_retry_hint(text).delay_ns, 5 * kMinute);
}

TEST(RetryHint, CaseAndLineEndsDoNotMatter) {
  for (const char* text : {"TRY AGAIN IN 5 MINUTES", "Try Again In 5 Minutes",
                           "try again in 5\nminutes", "try again in\r\n5 minutes"}) {
    EXPECT_EQ(read_retry_hint(text).delay_ns, 5 * kMinute) << text;
  }
  EXPECT_TRUE(read_retry_hint("GREYLISTED").greylisted);
  EXPECT_TRUE(read_retry_hint("grey\nlisted").greylisted);
}

}  // namespace
}  // namespace veredus::smtp
