// What orders can be given, and their bytes: there and back, cut off anywhere, made wrong.

#include "queue/order.h"

#include <functional>
#include <random>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "queue/bytes.h"
#include "queue/fields.h"
#include "tests/queue/orders_by_hand.h"

namespace veredus::queue {
namespace {

using testing::HasSubstr;

constexpr size_t kParts = kFilterParts.size();

std::string bytes_of(const Order& order) {
  std::string bytes = "what was there before";
  encode_order(order, bytes);
  return bytes;
}

// --- what can be given ---

TEST(Order, FiltersAreKeptInTheirNormalForm) {
  struct Row {
    Filter asked, kept;
  };
  for (const Row& row : {
           Row{{.tenant = "acme"}, {.tenant = "acme"}},
           {{.batch = "spring-7"}, {.tenant = "default", .batch = "spring-7"}},
           {{.tenant = "acme", .batch = "b"}, {.tenant = "acme", .batch = "b"}},
           {{.campaign = "spring"}, {.campaign = "spring"}},
           {{.provider = "gmail"}, {.provider = "gmail"}},
           {{.site = "MX1.example,mx2.example"}, {.site = "mx1.example,mx2.example"}},
           {{.site = "sha256:00ff"}, {.site = "sha256:00ff"}},
           {{.domain = "Example.ORG"}, {.domain = "example.org"}},
           {{.domain = ".example.org"}, {.domain = ".example.org"}},
           {{.recipient = "Ada@Example.org"}, {.recipient = "Ada@Example.org"}},
           {{.domain = "example.org", .recipient = "ada@EXAMPLE.org"},
            {.domain = "example.org", .recipient = "ada@EXAMPLE.org"}},
           {{.domain = ".example.org", .recipient = "ada@a.example.org"},
            {.domain = ".example.org", .recipient = "ada@a.example.org"}},
           {{.recipient = "\"a @ b\"@example.org"}, {.recipient = "\"a @ b\"@example.org"}},
           {{.recipient = "j\u00f6rg@example.org"}, {.recipient = "j\u00f6rg@example.org"}},
           {{.source = "out-1"}, {.source = "out-1"}},
       }) {
    const absl::StatusOr<Filter> filter = checked_filter(row.asked);
    ASSERT_TRUE(filter.ok()) << filter.status();
    EXPECT_EQ(*filter, row.kept);
    EXPECT_EQ(*checked_filter(*filter), *filter);
  }
}

TEST(Order, FiltersThatNobodyMeansAreRefusedByTheirPart) {
  struct Row {
    Filter asked;
    const char* words;
  };
  for (const Row& row : {
           Row{{}, "the filter is empty"},
           {{.tenant = "a b"}, "\"tenant\" is \"a b\": no name"},
           {{.campaign = std::string(129, 'a')}, "\"campaign\" is \"aaa"},
           {{.batch = "a/b"}, "\"batch\""},
           {{.provider = "g mail"}, "\"provider\""},
           {{.source = "\n"}, "\"source\""},
           {{.site = "mx\x7f"}, "\"site\""},
           {{.site = std::string(513, 'a')}, "\"site\""},
           {{.domain = "example.org."}, "say example.org, or .example.org"},
           {{.domain = "."}, "\"domain\""},
           {{.domain = "..org"}, "\"domain\""},
           {{.domain = "ada@example.org"}, "\"domain\""},
           {{.recipient = "ada"}, "\"recipient\" is \"ada\": no address"},
           {{.recipient = "@example.org"}, "\"recipient\""},
           {{.recipient = "ada@"}, "\"recipient\""},
           {{.recipient = "ada@exa_mple.org"}, "\"recipient\""},
           {{.recipient = "a@\u00e4.example"}, "\"recipient\""},
           {{.recipient = "a\u0085@example.org"}, "\"recipient\""},
           {{.recipient = "a\x1b@example.org"}, "\"recipient\""},
           {{.recipient = std::string(243, 'a') + "@example.org"}, "\"recipient\""},
           {{.domain = "example.org", .recipient = "ada@example.net"},
            "not of the domain \"example.org\""},
           {{.domain = ".example.org", .recipient = "ada@example.org"}, "leave one out"},
       }) {
    const absl::Status status = checked_filter(row.asked).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << row.words;
    EXPECT_THAT(std::string(status.message()), HasSubstr(row.words));
  }
}

TEST(Order, WhatMakesNoSenseIsRefused) {
  using Kind = Order::Kind;
  using State = Order::State;
  struct Row {
    std::function<void(Order&)> change;
    const char* words;  // nullptr: it can be given
  };
  for (const Row& row : {
           Row{[](Order&) {}, nullptr},
           {[](Order& o) { o.number = 0; }, "number"},
           {[](Order& o) { o.filter = {}; }, "empty"},
           {[](Order& o) { o.filter = {.batch = "b"}; }, "normal form"},
           {[](Order& o) { o.filter = {.domain = "A.example"}; }, "normal form"},
           {[](Order& o) { o.until_wall_ns = o.given_wall_ns + 1; }, nullptr},
           {[](Order& o) { o.until_wall_ns = o.given_wall_ns; }, "is over already"},
           {[](Order& o) { o.last_batch = 99; }, "every batch"},
           {[](Order& o) { o.kind = Kind::cancel; }, "every batch"},
           {[](Order& o) { o.kind = Kind::cancel, o.last_batch = 99; }, nullptr},
           {[](Order& o) { o.kind = Kind::retry, o.last_batch = 0; }, nullptr},
           {[](Order& o) {
              o.kind = Kind::expire, o.last_batch = 9, o.until_wall_ns = o.given_wall_ns + 1;
            },
            "only a suspension has an end"},
           {[](Order& o) { o.state = State::lifted, o.ended_wall_ns = 1; }, nullptr},
           {[](Order& o) { o.state = State::done, o.ended_wall_ns = 1; }, nullptr},
           {[](Order& o) { o.state = State::done; }, "when it has ended"},
           {[](Order& o) { o.ended_wall_ns = 1; }, "when it has ended"},
           {[](Order& o) {
              o.kind = Kind::cancel, o.last_batch = 9, o.state = State::lifted, o.ended_wall_ns = 1;
            },
            "only a suspension is lifted"},
           {[](Order& o) { o.reason = std::string(200, 'a'); }, nullptr},
           {[](Order& o) { o.reason = std::string(201, 'a'); }, "200 bytes"},
           {[](Order& o) { o.reason = "Beschwerden \xe2\x80\x93 l\xc3\xa4uft"; }, nullptr},
           {[](Order& o) { o.reason = "a\nb"; }, "control"},
           {[](Order& o) { o.reason = "a\x7f"; }, "control"},
           {[](Order& o) { o.reason = "a\xc2\x9bm"; }, "control"},
       }) {
    Order order = order_of(7, Order::Kind::suspend, {.tenant = "acme"});
    row.change(order);
    const absl::Status status = check_order(order);
    EXPECT_EQ(status.ok(), row.words == nullptr) << status << (row.words ? row.words : "");
    if (row.words != nullptr) {
      EXPECT_THAT(std::string(status.message()), HasSubstr(row.words));
    }
    // And nothing else is read.
    EXPECT_EQ(decode_order(bytes_of(order)).ok(), status.ok()) << status;
  }
}

TEST(Order, IsInForceUntilItEnds) {
  Order order = order_of(7, Order::Kind::suspend, {.tenant = "acme"});
  EXPECT_TRUE(order.in_force(INT64_MAX));
  order.until_wall_ns = order.given_wall_ns + 10;
  EXPECT_TRUE(order.in_force(order.until_wall_ns - 1));
  EXPECT_FALSE(order.in_force(order.until_wall_ns));
  order.state = Order::State::lifted;
  EXPECT_FALSE(order.in_force(order.given_wall_ns));
}

TEST(Order, KindsHaveNames) {
  for (const auto kind :
       {Order::Kind::suspend, Order::Kind::cancel, Order::Kind::retry, Order::Kind::expire})
    EXPECT_EQ(order_kind(name_of(kind)), kind);
  EXPECT_EQ(order_kind("pause"), std::nullopt);
  EXPECT_EQ(order_kind("unknown"), std::nullopt);
}

// --- bytes ---

TEST(Order, ComesBackAsItWas) {
  std::mt19937_64 random(5);
  for (uint64_t number = 1; number <= 2000; ++number) {
    const Order order = random_order(random, number);
    ASSERT_TRUE(check_order(order).ok()) << check_order(order);
    const absl::StatusOr<Order> read = decode_order(bytes_of(order));
    ASSERT_TRUE(read.ok()) << read.status();
    ASSERT_EQ(*read, order);
  }
  // Each part alone, so that none is taken for another.
  for (size_t part = 0; part < kParts; ++part) {
    Filter filter;
    filter.*kFilterParts[part].text =
        kFilterParts[part].name == "recipient" ? "ada@example.org" : "example.org";
    if (!filter.batch.empty()) filter.tenant = "acme";
    const Order order = order_of(UINT64_MAX, Order::Kind::cancel, filter);
    EXPECT_EQ(decode_order(bytes_of(order)).value(), order) << part;
  }
}

// An order that has lost a part of its filter would hold for more.
TEST(Order, WhatIsCutOffIsNoOrder) {
  std::mt19937_64 random(6);
  for (uint64_t number = 1; number <= 50; ++number) {
    const std::string bytes = bytes_of(random_order(random, number));
    for (size_t length = 0; length < bytes.size(); ++length) {
      // A string of its own, so that a sanitizer sees a read beyond it.
      const std::string prefix = bytes.substr(0, length);
      EXPECT_EQ(decode_order(prefix).status().code(), absl::StatusCode::kDataLoss) << length;
    }
  }
}

TEST(Order, WhatNoWriterWritesIsDamage) {
  constexpr uint64_t kNumber = 1, kKind = 2, kState = 3, kGiven = 4, kTenant = 32, kDomain = 37;
  struct Row {
    const char* what;
    std::function<void(FieldWriter&)> add;  // to a sound order; of two fields the later one counts
    bool sound = false;
  };
  for (const Row& row : {
           Row{"nothing", [](FieldWriter&) {}, true},
           {"another number", [](FieldWriter& f) { f.number(kNumber, 8); }, true},
           {"number 0", [](FieldWriter& f) { f.number(kNumber, 0); }},
           {"a number with something behind it", [](FieldWriter& f) { f.text(kNumber, "\1\1"); }},
           {"a number without end", [](FieldWriter& f) { f.text(kNumber, "\xff"); }},
           {"a time that is none", [](FieldWriter& f) { f.text(kGiven, ""); }},
           {"kind 0", [](FieldWriter& f) { f.number(kKind, 0); }},
           {"kind 5", [](FieldWriter& f) { f.number(kKind, 5); }},
           {"kind 257", [](FieldWriter& f) { f.number(kKind, 257); }},
           {"state 0", [](FieldWriter& f) { f.number(kState, 0); }},
           {"state 4", [](FieldWriter& f) { f.number(kState, 4); }},
           {"ended, without a time", [](FieldWriter& f) { f.number(kState, 3); }},
           {"a suspension of some batches", [](FieldWriter& f) { f.number(kKind, 1); }},
           {"another tenant", [](FieldWriter& f) { f.text(kTenant, "other"); }, true},
           {"a part that is empty", [](FieldWriter& f) { f.text(kTenant, ""); }},
           {"a tenant that is none", [](FieldWriter& f) { f.text(kTenant, "a b"); }},
           {"a domain in capitals", [](FieldWriter& f) { f.text(kDomain, "A.example"); }},
           {"of a later release", [](FieldWriter& f) { f.text(31, "x"), f.text(64, ""); }, true},
       }) {
    std::string bytes = bytes_of(order_of(7, Order::Kind::cancel, {.tenant = "acme"}));
    FieldWriter fields(bytes);
    row.add(fields);
    const absl::Status read = decode_order(bytes).status();
    EXPECT_EQ(read.code(), row.sound ? absl::StatusCode::kOk : absl::StatusCode::kDataLoss)
        << row.what << ": " << read;
  }
}

TEST(Order, AnotherVersionIsRefusedByName) {
  std::string bytes = bytes_of(order_of(7, Order::Kind::cancel, {.tenant = "acme"}));
  bytes[0] = 9;
  const absl::Status read = decode_order(bytes).status();
  EXPECT_EQ(read.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(read.message()), HasSubstr("version 9"));
}

// Else it would cancel what it does not mean.
TEST(Order, AFilterOfALaterReleaseIsNotReadAsAWiderOne) {
  for (uint64_t tag = 32 + kParts; tag < 64; ++tag) {
    std::string bytes = bytes_of(order_of(7, Order::Kind::cancel, {.tenant = "acme"}));
    FieldWriter(bytes).text(tag, "transactional");
    const absl::Status read = decode_order(bytes).status();
    EXPECT_EQ(read.code(), absl::StatusCode::kFailedPrecondition) << tag;
    EXPECT_THAT(std::string(read.message()), HasSubstr("does not understand"));
  }
}

TEST(Order, DamagedBytesAreAnErrorNotACrash) {
  std::mt19937_64 random(7);
  int errors = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes = bytes_of(random_order(random, 1 + random() % 1000));
    for (int n = 0; n < 3; ++n) bytes[random() % bytes.size()] = static_cast<char>(random());
    const absl::StatusOr<Order> read = decode_order(bytes);
    errors += read.ok() ? 0 : 1;
    if (read.ok()) {
      ASSERT_EQ(decode_order(bytes_of(*read)).value(), *read);
    }
  }
  EXPECT_GT(errors, 10'000);
}

}  // namespace
}  // namespace veredus::queue
