// Which mail an order holds for.

#include "queue/orders.h"

#include <map>
#include <random>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/queue/orders_by_hand.h"

namespace veredus::queue {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using Kind = Order::Kind;

// One recipient, with all that is known of him in the end.
struct Mail {
  std::string tenant = "acme", campaign = "spring", batch = "b1";
  std::string provider = "gmail", site = "mx1.example,mx2.example";
  std::string domain = "example.org", recipient = "Ada@example.org", source = "out-1";
};

Batch batch_of(const Mail& mail, uint64_t number = 5) {
  Batch batch;
  batch.number = number;
  batch.tenant = mail.tenant;
  batch.campaign = mail.campaign;
  batch.name = mail.batch;
  return batch;
}

bool fits_all(const Filter& filter, const Mail& mail) {
  return fits_batch(filter, batch_of(mail)) && fits_domain(filter, mail.domain) &&
         fits_site(filter, mail.site, mail.provider) && fits_source(filter, mail.source) &&
         fits_recipient(filter, mail.recipient);
}

TEST(Orders, HoldWhereEveryPartFits) {
  struct Row {
    Filter filter;
    bool batch, domain, site, source, recipient;  // what each place says of Mail{}
  };
  for (const Row& row : {
           Row{{.tenant = "acme"}, true, true, true, true, true},
           {{.tenant = "ACME"}, false, true, true, true, true},
           {{.tenant = "other"}, false, true, true, true, true},
           {{.campaign = "spring"}, true, true, true, true, true},
           {{.campaign = "autumn"}, false, true, true, true, true},
           {{.tenant = "acme", .batch = "b1"}, true, true, true, true, true},
           {{.tenant = "acme", .batch = "b2"}, false, true, true, true, true},
           {{.tenant = "default", .batch = "b1"}, false, true, true, true, true},
           {{.tenant = "acme", .campaign = "autumn"}, false, true, true, true, true},
           {{.domain = "example.org"}, true, true, true, true, true},
           {{.domain = "example.net"}, true, false, true, true, true},
           {{.domain = ".example.org"}, true, false, true, true, true},
           {{.domain = ".org"}, true, true, true, true, true},
           {{.provider = "gmail"}, true, true, true, true, true},
           {{.provider = "yahoo"}, true, true, false, true, true},
           {{.site = "mx1.example,mx2.example"}, true, true, true, true, true},
           {{.site = "mx1.example"}, true, true, false, true, true},
           {{.provider = "gmail", .site = "mx1.example"}, true, true, false, true, true},
           {{.source = "out-1"}, true, true, true, true, true},
           {{.source = "out-2"}, true, true, true, false, true},
           {{.recipient = "ada@example.org"}, true, true, true, true, true},
           {{.recipient = "ADA@EXAMPLE.ORG"}, true, true, true, true, true},
           {{.recipient = "bob@example.org"}, true, true, true, true, false},
           {{.recipient = "xada@example.org"}, true, true, true, true, false},
           {{.recipient = "ada@example.net"}, true, false, true, true, false},
           {{.tenant = "acme", .domain = "example.org", .source = "out-2"},
            true,
            true,
            true,
            false,
            true},
       }) {
    const Mail mail;
    EXPECT_EQ(fits_batch(row.filter, batch_of(mail)), row.batch);
    EXPECT_EQ(fits_domain(row.filter, mail.domain), row.domain);
    EXPECT_EQ(fits_domain(row.filter, "EXAMPLE.org"), row.domain);
    EXPECT_EQ(fits_site(row.filter, mail.site, mail.provider), row.site);
    EXPECT_EQ(fits_source(row.filter, mail.source), row.source);
    EXPECT_EQ(fits_recipient(row.filter, mail.recipient), row.recipient);
    EXPECT_EQ(fits_all(row.filter, mail),
              row.batch && row.domain && row.site && row.source && row.recipient);
  }
}

// A place that is not asked fits whatever is there: who leaves it out is right.
TEST(Orders, PlacesThatNeedNotBeAskedFitEverything) {
  std::mt19937_64 random(3);
  Mail none;
  none = {"", "", "", "", "", "", "", ""};
  unsigned unasked = 0;
  for (int round = 0; round < 2000; ++round) {
    const Filter filter = random_order(random, 1).filter;
    for (const Mail& mail : {Mail{}, none}) {
      const auto free = [&](bool asks, bool fits) {
        unasked += asks ? 0 : 1;
        return asks || fits;
      };
      EXPECT_TRUE(free(asks_batch(filter), fits_batch(filter, batch_of(mail))));
      EXPECT_TRUE(free(asks_domain(filter), fits_domain(filter, mail.domain)));
      EXPECT_TRUE(free(asks_site(filter), fits_site(filter, mail.site, mail.provider)));
      EXPECT_TRUE(free(asks_source(filter), fits_source(filter, mail.source)));
      EXPECT_TRUE(free(asks_recipient(filter), fits_recipient(filter, mail.recipient)));
    }
    EXPECT_FALSE(fits_all(filter, none)) << "a filter has a part";
    EXPECT_TRUE(asks_batch(filter) || asks_domain(filter) || asks_site(filter) ||
                asks_source(filter) || asks_recipient(filter));
  }
  EXPECT_GT(unasked, 5000u);
}

std::map<uint64_t, Order> by_number(const std::vector<Order>& orders) {
  std::map<uint64_t, Order> map;
  for (const Order& order : orders) map[order.number] = order;
  return map;
}

std::vector<uint64_t> numbers_of(const Orders& orders) {
  std::vector<uint64_t> numbers;
  for (const Order& order : orders.all()) numbers.push_back(order.number);
  return numbers;
}

TEST(Orders, TheStrongestComesFirstAndTheOlderOne) {
  const Filter acme{.tenant = "acme"};
  Order ended = order_of(6, Kind::suspend, acme);
  ended.state = Order::State::lifted;
  const Orders orders(
      3, by_number({order_of(1, Kind::retry, acme), order_of(2, Kind::suspend, acme),
                    order_of(3, Kind::expire, acme), order_of(4, Kind::cancel, acme),
                    order_of(5, Kind::suspend, acme), ended, order_of(7, Kind::cancel, acme)}));
  EXPECT_EQ(orders.version(), 3u);
  EXPECT_EQ(orders.size(), 6u);
  EXPECT_THAT(numbers_of(orders), ElementsAre(4, 7, 3, 2, 5, 1));
  EXPECT_THAT(orders.for_batch(batch_of({})), ElementsAre(0, 1, 2, 3, 4, 5));
}

TEST(Orders, CandidatesOfABatch) {
  const Orders orders(1, by_number({order_of(1, Kind::cancel, {.tenant = "acme"}),
                                    order_of(2, Kind::cancel, {.tenant = "other"}),
                                    order_of(3, Kind::cancel, {.domain = "example.org"}),
                                    order_of(4, Kind::suspend, {.campaign = "spring"}),
                                    order_of(5, Kind::suspend, {.campaign = "autumn"}),
                                    order_of(6, Kind::retry, {.tenant = "acme", .batch = "b1"})}));
  EXPECT_THAT(orders.for_batch(batch_of({})), ElementsAre(0, 2, 3, 5));
  Mail other;
  other.tenant = "third", other.campaign = "";
  EXPECT_THAT(orders.for_batch(batch_of(other)), ElementsAre(2));
  EXPECT_THAT(Orders().for_batch(batch_of({})), IsEmpty());
  EXPECT_TRUE(Orders().empty());
  EXPECT_FALSE(orders.empty());
}

TEST(Orders, HoldForWhatWasAcceptedBeforeOrForAll) {
  const Orders orders(1, by_number({order_of(1, Kind::cancel, {.tenant = "acme"}),
                                    order_of(2, Kind::suspend, {.tenant = "acme"})}));
  EXPECT_THAT(orders.for_batch(batch_of({}, 99)), ElementsAre(0, 1));
  EXPECT_THAT(orders.for_batch(batch_of({}, 100)), ElementsAre(1));
  EXPECT_THAT(orders.for_batch(batch_of({}, UINT64_MAX)), ElementsAre(1));
}

// A number is given when an upload begins: that of a batch that was accepted later may be lower.
TEST(Orders, HoldForNothingThatWasAcceptedAfterThem) {
  LiveBatch batch;
  batch.batch.number = 99;
  batch.taken_up.last_order = 7;
  for (const Kind kind : {Kind::cancel, Kind::retry, Kind::expire}) {
    EXPECT_FALSE(holds_for(order_of(6, kind, {}), batch));
    EXPECT_FALSE(holds_for(order_of(7, kind, {}), batch));
    EXPECT_TRUE(holds_for(order_of(8, kind, {}), batch));
  }
  EXPECT_TRUE(holds_for(order_of(6, Kind::suspend, {}), batch));
  batch.batch.number = 100;
  EXPECT_FALSE(holds_for(order_of(8, Kind::cancel, {}), batch));
  EXPECT_TRUE(holds_for(order_of(8, Kind::suspend, {}), batch));
}

}  // namespace
}  // namespace veredus::queue
