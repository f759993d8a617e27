// Orders of operators among the events.

#include <random>
#include <set>

#include "gmock/gmock.h"
#include "tests/control/event_spool.h"
#include "tests/queue/orders_by_hand.h"

namespace veredus::control {
namespace {

using queue::FrameType;
using queue::Order;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

void write_order(Spool& spool, unsigned journal, const Order& order) {
  std::string payload;
  queue::encode_order(order, payload);
  spool.append(journal, FrameType::order, payload, queue::kEventsOfOrder);
}

Order ended(Order order, Order::State state) {
  order.state = state;
  order.ended_wall_ns = order.given_wall_ns + 1'500'000'000;
  return order;
}

std::string lines_of(Spool& spool, EventFilter filter = {}) {
  EventReader reader(spool, "n", std::move(filter));
  return read_all(reader);
}

TEST(EventOrders, AreEventsOfEveryStream) {
  Spool spool(2);
  Order suspend = queue::order_of(7, Order::Kind::suspend,
                                  {.tenant = "acme", .domain = "example.org", .source = "out-1"});
  suspend.until_wall_ns = suspend.given_wall_ns + 60'000'000'000;
  suspend.reason = "too many \"complaints\"";
  for (const unsigned journal : {0u, 1u}) write_order(spool, journal, suspend);
  write_order(spool, 1, ended(suspend, Order::State::lifted));
  write_order(spool, 1, queue::order_of(8, Order::Kind::cancel, {.recipient = "Ada@example.org"}));
  write_order(spool, 1,
              ended(queue::order_of(8, Order::Kind::cancel, {.recipient = "Ada@example.org"}),
                    Order::State::done));
  const std::string text = lines_of(spool);
  const std::string said =
      R"("order":7,"kind":"suspend","filter":{"tenant":"acme","domain":"example.org","source":"out-1"},)"
      R"("until":"2023-11-14T22:14:20.000Z","reason":"too many \"complaints\"","state":)";
  const std::string given = R"("time":"2023-11-14T22:13:20.000Z","type":"order",)" + said;
  for (
      const std::string& line :
      {R"({"v":1,"node":"n","stream":0,"seq":1,)" + given + "\"given\"}\n",
       R"({"v":1,"node":"n","stream":1,"seq":1,)" + given + "\"given\"}\n",
       R"({"v":1,"node":"n","stream":1,"seq":2,"time":"2023-11-14T22:13:21.500Z","type":"order",)" +
           said + "\"lifted\"}\n",
       std::string(
           R"("seq":3,"time":"2023-11-14T22:13:20.000Z","type":"order","order":8,"kind":"cancel",)"
           R"("filter":{"recipient":"Ada@example.org"},"state":"given"})"),
       std::string(R"("filter":{"recipient":"Ada@example.org"},"state":"done"})")})
    EXPECT_THAT(text, HasSubstr(line));
  const std::vector<Got::Event> events = parse(text).events;
  EXPECT_EQ(events.size(), 5u);
  expect_gap_free(events);
  EXPECT_EQ(spool.durable_events(0), 1u);
  EXPECT_EQ(spool.durable_events(1), 4u);
}

// Which of them reach somebody who asks for some of the mail.
TEST(EventOrders, AreLeftOutWhereTheyAreOfOtherMail) {
  Spool spool(1);
  const auto give = [&spool](uint64_t number, queue::Filter filter) {
    write_order(spool, 0, queue::order_of(number, Order::Kind::suspend, std::move(filter)));
  };
  give(1, {.tenant = "odd"});
  give(2, {.tenant = "even"});
  give(3, {.domain = "example.org"});
  give(4, {.tenant = "odd", .batch = "b1"});
  give(5, {.campaign = "autumn"});
  struct Row {
    EventFilter filter;
    std::vector<uint64_t> numbers;
  };
  const auto filter = [](std::vector<std::string> types, std::string tenant = "",
                         std::string batch = "", std::string campaign = "") {
    EventFilter made;
    made.types = std::move(types);
    made.tenant = std::move(tenant), made.batch = std::move(batch);
    made.campaign = std::move(campaign);
    return made;
  };
  for (const Row& row : {Row{filter({}), {1, 2, 3, 4, 5}},
                         {filter({"order"}), {1, 2, 3, 4, 5}},
                         {filter({"delivered", "order"}), {1, 2, 3, 4, 5}},
                         {filter({"delivered"}), {}},
                         {filter({}, "odd"), {1, 3, 4, 5}},
                         {filter({}, "even"), {2, 3, 5}},
                         {filter({}, "odd", "b3"), {1, 3, 5}},
                         {filter({}, "", "b1"), {1, 2, 3, 4, 5}},
                         {filter({}, "odd", "", "spring"), {1, 3, 4}}}) {
    std::vector<uint64_t> seqs;
    for (const Got::Event& event : parse(lines_of(spool, row.filter)).events)
      seqs.push_back(event.seq);
    EXPECT_EQ(seqs, row.numbers) << row.filter.tenant << " " << row.filter.batch;
  }
}

// It was counted when it was written.
TEST(EventOrders, OneThatCannotBeReadIsAGapOfOne) {
  Spool spool(1);
  write_order(spool, 0, queue::order_of(1, Order::Kind::suspend, {.tenant = "acme"}));
  spool.append(0, FrameType::order, "no order", queue::kEventsOfOrder);
  write_order(spool, 0, queue::order_of(3, Order::Kind::suspend, {.tenant = "acme"}));
  const std::string text = lines_of(spool);
  const std::vector<Got::Event> events = parse(text).events;
  expect_gap_free(events);
  ASSERT_EQ(events.size(), 3u) << text;
  EXPECT_EQ(events[1].type, "gap");
  EXPECT_THAT(text,
              HasSubstr(R"("from_seq":2,"to_seq":2,"reason":"an order that cannot be read")"));
  EXPECT_EQ(events[2].seq, spool.durable_events(0));
}

TEST(EventOrders, WhatACheckpointSaysAgainIsNone) {
  Spool spool(1);
  const Order order = queue::order_of(1, Order::Kind::suspend, {.tenant = "acme"});
  write_order(spool, 0, order);
  std::string part;
  queue::encode_checkpoint_order(order, part);
  spool.append(0, FrameType::checkpoint, part);
  EXPECT_EQ(parse(lines_of(spool)).events.size(), 1u);
  EXPECT_EQ(spool.durable_events(0), 1u);
}

// Wherever a reader stops among them, it goes on behind.
TEST(EventOrders, AreGivenOnceFromAnyCursor) {
  Spool spool(2, 64u << 10);
  std::mt19937_64 random(11);
  for (uint64_t number = 1; number <= 40; ++number) {
    const unsigned journal = random() % 2;
    write_order(spool, journal, queue::random_order(random, number));
    if (number % 4 != 0) continue;
    write_batch(spool, journal, number);
    const auto placed = write_extent(spool, journal, number, 0, 3);
    write_order(spool, journal, queue::random_order(random, number + 1000));
    write_commit(spool, journal, number, 3, 1);
    write_outcomes(spool, placed, number);
  }
  EventReader whole(spool, "n", {});
  std::vector<Got::Event> expected = parse(read_all(whole)).events;
  EXPECT_EQ(expected.size(), 40u + 10 * 7);
  for (const uint64_t at_once : {1, 2, 5}) {
    std::string cursor, text;
    for (bool ended = false; !ended;) {
      EventReader reader(spool, "n", {});
      if (!cursor.empty()) {
        ASSERT_TRUE(reader.seek(*decode_cursor(cursor)).ok());
      }
      uint64_t events = 0;
      const auto result = reader.read(text, SIZE_MAX, at_once, events);
      ASSERT_TRUE(result.ok());
      cursor = encode_cursor(reader.cursor());
      ended = *result == EventReader::Result::end;
    }
    std::vector<Got::Event> got = parse(text).events;
    expect_gap_free(got);
    std::sort(got.begin(), got.end());
    std::sort(expected.begin(), expected.end());
    EXPECT_TRUE(got == expected) << at_once;
  }
}

// The journal's own numbers, where files are gone: those of orders are among them.
TEST(EventOrders, CountInGapsToo) {
  Spool spool(1, 64u << 10);
  uint64_t written = 0;
  const std::string filling(20'000, '.');
  for (uint64_t number = 1; number <= 12; ++number) {
    for (uint64_t n = 0; n < number; ++n, ++written)
      write_order(spool, 0, queue::order_of(number, Order::Kind::suspend, {.tenant = "acme"}));
    spool.append(0, FrameType::witness, filling);
    if (number == 6) spool.checkpoint(0);
    if (number == 9) spool.restart(0);
  }
  EXPECT_EQ(spool.durable_events(0), written);
  const std::vector<Got::Event> all = parse(lines_of(spool)).events;
  const std::vector<uint32_t> there = spool.complete(0);
  ASSERT_GT(there.size(), 2u);
  spool.remove(0, there[0]);
  const std::vector<Got::Event> got = parse(lines_of(spool)).events;
  expect_gap_free(got);
  ASSERT_EQ(got.front().type, "gap");
  ASSERT_LT(got.front().seq, all.size());
  for (size_t n = 1; n < got.size(); ++n) EXPECT_EQ(got[n], all[got[n].seq - 1]);
  EXPECT_EQ(got.back().seq, written);
}

}  // namespace
}  // namespace veredus::control
