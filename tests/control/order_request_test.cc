// What the body of a call orders, and what is refused.

#include "engine/control/order_request.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace veredus::control {
namespace {

using queue::Filter;
using queue::Order;
using ::testing::HasSubstr;
using Kind = Order::Kind;

constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kNow = 1'700'000'000 * kSecond;  // 2023-11-14T22:13:20Z

Order asked_by(Kind kind, Filter of_path = {}) {
  Order order;
  order.kind = kind;
  order.filter = std::move(of_path);
  order.given_wall_ns = kNow;
  order.last_batch = kind == Kind::suspend ? queue::kEveryBatch : 17;
  return order;
}

TEST(OrderRequest, IsAnOrder) {
  struct Case {
    Kind kind;
    const char* body;
    Filter filter;
    int64_t until_wall_ns = 0;
    const char* reason = "";
  };
  const Case cases[] = {
      {Kind::suspend, R"({"tenant":"acme"})", {.tenant = "acme"}},
      {Kind::suspend,
       R"({"tenant":"acme","until":"2h","reason":"too many complaints"})",
       {.tenant = "acme"},
       kNow + 7200 * kSecond,
       "too many complaints"},
      {Kind::suspend,
       R"({"domain":".Example.ORG","until":"2023-11-14T23:13:21+01:00"})",
       {.domain = ".example.org"},
       kNow + kSecond},
      {Kind::suspend, R"({"recipient":"Ada@example.org"})", {.recipient = "Ada@example.org"}},
      {Kind::suspend,
       "{\"recipient\":\"j\u00f6rg@b\u00fccher.example\"}",
       {.recipient = "j\u00f6rg@xn--bcher-kva.example"}},
      {Kind::suspend,
       R"({"source":"out-1","tenant":"acme","provider":"p","site":"S"})",
       {.tenant = "acme", .provider = "p", .site = "s", .source = "out-1"}},
      {Kind::cancel, R"({"batch":"b"})", {.tenant = "default", .batch = "b"}},
      {Kind::cancel,
       R"({"campaign":"spring","reason":"wrong link"})",
       {.campaign = "spring"},
       0,
       "wrong link"},
      {Kind::cancel,
       R"({"recipient":"Ada@example.org","batch":"b"})",
       {.tenant = "default", .batch = "b", .recipient = "Ada@example.org"}},
      {Kind::retry, R"({"provider":"p"})", {.provider = "p"}},
      {Kind::retry, R"({"recipient":"a@example.org"})", {.recipient = "a@example.org"}},
      {Kind::retry,
       R"({"source":"out-1","provider":"p","site":"S"})",
       {.provider = "p", .site = "s", .source = "out-1"}},
      {Kind::expire,
       R"({"recipient":"a@example.org","tenant":"acme"})",
       {.tenant = "acme", .recipient = "a@example.org"}},
      {Kind::expire,
       R"({"tenant":"acme","domain":"example.org"})",
       {.tenant = "acme", .domain = "example.org"}},
  };
  for (const Case& each : cases) {
    Order order = asked_by(each.kind);
    const auto wrong = read_order(each.body, order);
    ASSERT_FALSE(wrong) << each.body << ": " << wrong->reason;
    Order expected = asked_by(each.kind, each.filter);
    expected.until_wall_ns = each.until_wall_ns;
    expected.reason = each.reason;
    EXPECT_EQ(order, expected) << each.body;
  }
}

TEST(OrderRequest, TheBatchOfThePathNeedsNoBody) {
  const Filter of_path{.tenant = "acme", .batch = "b"};
  for (const char* body : {"", "{}", R"({"reason":"wait","until":"5m"})"}) {
    Order order = asked_by(Kind::suspend, of_path);
    const auto wrong = read_order(body, order);
    ASSERT_FALSE(wrong) << body << ": " << wrong->reason;
    EXPECT_EQ(order.filter, of_path);
  }
  Order order = asked_by(Kind::suspend, of_path);
  const auto wrong = read_order(R"({"tenant":"other"})", order);
  ASSERT_TRUE(wrong);
  EXPECT_EQ(wrong->code, "bad_filter");
}

TEST(OrderRequest, SaysWhatIsWrong) {
  struct Case {
    Kind kind;
    const char* body;
    const char* code;
    const char* said;  // of reason or hint
  };
  const Case cases[] = {
      {Kind::suspend, "", "bad_parameter", "no JSON object"},
      {Kind::suspend, "[]", "bad_parameter", "no JSON object"},
      {Kind::suspend, "{}", "bad_filter", "all mail would fit"},
      {Kind::suspend, R"({"reason":"x"})", "bad_filter", "all mail would fit"},
      {Kind::suspend, R"({"tenat":"acme"})", "bad_parameter", "did you mean \"tenant\""},
      {Kind::suspend, R"({"tenat":7})", "bad_parameter", "did you mean \"tenant\""},
      {Kind::suspend, R"({"tenant":7})", "bad_parameter", "\"tenant\" is no text"},
      {Kind::suspend, R"({"tenant":"acme","campaign":""})", "bad_parameter", "is empty"},
      {Kind::suspend, R"({"tenant":"a b"})", "bad_filter", "no name"},
      {Kind::suspend, R"({"recipient":["a@b.example"]})", "bad_parameter", "is no text"},
      {Kind::suspend, R"({"recipient":"ada"})", "bad_filter", "no address"},
      {Kind::suspend, R"({"tenant":"acme","until":"soon"})", "bad_parameter", "how long"},
      {Kind::suspend, R"({"tenant":"acme","until":"2023-11-14T22:13:20Z"})", "bad_parameter",
       "over already"},
      {Kind::suspend, R"({"tenant":"acme","reason":"a\nb"})", "bad_parameter", "control"},
      {Kind::suspend, R"({"source":"out-1","campaign":"spring"})", "bad_filter", "\"campaign\""},
      {Kind::suspend, R"({"source":"out-1","batch":"b"})", "bad_filter", "\"batch\""},
      {Kind::suspend, R"({"source":"out-1","domain":"example.org"})", "bad_filter", "\"domain\""},
      {Kind::suspend, R"({"source":"out-1","recipient":"a@example.org"})", "bad_filter",
       "\"recipient\""},
      {Kind::cancel, R"({"tenant":"acme","until":"2h"})", "bad_parameter", "only a suspension"},
      {Kind::cancel, R"({"source":"out-1"})", "bad_filter", "who waits is bound to none"},
      {Kind::cancel, R"({"recipient":"a@example.org","reason":"x"})", "bad_filter",
       "leave the reason out"},
      {Kind::cancel, R"({"recipient":["a@example.org"],"tenant":"acme"})", "bad_parameter",
       "is no text"},
      {Kind::retry, R"({"source":"out-1","tenant":"acme"})", "bad_filter", "\"tenant\""},
      {Kind::retry, R"({"source":"out-1","recipient":"a@example.org"})", "bad_filter",
       "\"recipient\""},
      {Kind::expire, R"({"tenant":"acme","source":"out-1"})", "bad_filter", "\"source\""},
  };
  for (const Case& each : cases) {
    Order order = asked_by(each.kind);
    const auto wrong = read_order(each.body, order);
    ASSERT_TRUE(wrong) << each.body;
    EXPECT_EQ(wrong->status, 400u) << each.body;
    EXPECT_EQ(wrong->code, each.code) << each.body;
    EXPECT_THAT(wrong->reason + " " + wrong->hint, HasSubstr(each.said)) << each.body;
  }
}

TEST(OrderRequest, KnowsACallByAddressesAlone) {
  for (const char* body : {"", "{", "{}", R"({"recipient":"a@example.org"})", R"({"recipient":7})"})
    EXPECT_FALSE(asks_more_than_recipients(body)) << body;
  for (const char* body : {R"({"tenant":"acme"})", R"({"recipient":"a@example.org","reason":"x"})"})
    EXPECT_TRUE(asks_more_than_recipients(body)) << body;
}

}  // namespace
}  // namespace veredus::control
