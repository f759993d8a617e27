// What is not there any more, and who is kept for.

#include <map>
#include <random>
#include <set>

#include "engine/control/consumers.h"
#include "gmock/gmock.h"
#include "tests/control/event_spool.h"
#include "tests/queue/orders_by_hand.h"

namespace veredus::control {
namespace {

using queue::FrameType;
using ::testing::HasSubstr;

// Some batches in small segments: the oldest ones go, with whatever they held.
struct Reclaimed {
  Reclaimed() : spool(1, 64u << 10) {
    for (uint64_t number = 1; number <= 20; ++number) {
      write_batch(spool, 0, number);
      const auto placed = write_extent(spool, 0, number, 0, 200);
      write_commit(spool, 0, number, 200, 1);
      write_outcomes(spool, placed, number);
    }
    EventReader reader(spool, "n", {});
    all = parse(read_all(reader)).events;
  }
  void remove_until(uint32_t end) {
    for (const uint32_t number : spool.complete(0)) {
      if (number < end) spool.remove(0, number);
    }
  }
  Spool spool;
  std::vector<Got::Event> all;
};

// What is told under a number is what a reader from the beginning was told under it; the rest is
// gaps.
void expect_part_of(const std::vector<Got::Event>& got, const std::vector<Got::Event>& all) {
  uint64_t gone = 0;
  for (const Got::Event& event : got) {
    if (event.type == "gap") {
      gone += event.seq - event.from_seq + 1;
    } else {
      EXPECT_EQ(event, all[event.seq - 1]);
    }
  }
  EXPECT_GT(gone, 0u);
}

TEST(EventGaps, TheNumbersAreTheJournalsOwn) {
  Reclaimed of;
  EXPECT_EQ(of.all.size(), of.spool.durable_events(0));
  EXPECT_EQ(of.all.back().seq, of.spool.durable_events(0));
}

TEST(EventGaps, BeginsWhereEventsAreKeptAndSaysHowManyAreGone) {
  for (const bool removed : {false, true}) {
    Reclaimed of;
    const uint32_t kept = of.spool.segment(0) - 3;
    of.spool.from_of[0] = kept;
    if (removed) of.remove_until(kept);
    EventReader reader(of.spool, "n", {});
    const std::string text = read_all(reader);
    const std::vector<Got::Event> got = parse(text).events;
    ASSERT_EQ(got.front().type, "gap") << text.substr(0, 300);
    EXPECT_EQ(got.front().from_seq, 1u);
    EXPECT_THAT(text, HasSubstr(R"("to_seq":)" + std::to_string(got.front().seq)));
    expect_gap_free(got);
    expect_part_of(got, of.all);
    EXPECT_EQ(got.back().seq, of.spool.durable_events(0));
  }
}

TEST(EventGaps, ACursorInWhatIsGoneGetsOneGapAndTheRightNumbers) {
  for (uint64_t before = 0; before < 4000; before += 97) {
    Reclaimed of;
    EventReader first(of.spool, "n", {});
    std::string text;
    uint64_t events = 0;
    while (events < before) {
      ASSERT_TRUE(first.read(text, SIZE_MAX, before - events, events).ok());
    }
    of.spool.from_of[0] = of.spool.segment(0) - 3;
    of.remove_until(of.spool.from_of[0]);
    EventReader second(of.spool, "n", {});
    ASSERT_TRUE(second.seek(first.cursor()).ok());
    std::vector<Got::Event> got = parse(text).events;
    for (Got::Event& event : parse(read_all(second)).events) got.push_back(std::move(event));
    expect_gap_free(got);
    EXPECT_EQ(got.back().seq, of.spool.durable_events(0));
    for (const Got::Event& event : got) {
      if (event.type != "gap") {
        ASSERT_EQ(event, of.all[event.seq - 1]);
      }
    }
  }
}

// Files in the middle are gone, older ones are kept for other reasons.
TEST(EventGaps, AHoleInTheMiddleIsOneGap) {
  Reclaimed of;
  const std::vector<uint32_t> there = of.spool.complete(0);
  of.spool.remove(0, there[1]);
  of.spool.remove(0, there[2]);
  EventReader reader(of.spool, "n", {});
  const std::vector<Got::Event> got = parse(read_all(reader)).events;
  expect_gap_free(got);
  expect_part_of(got, of.all);
}

// Whatever a journal goes through, its own count, that of one who follows, and that of one who
// begins late are the same, and under a number everybody is told the same.
TEST(EventGaps, NumbersAgreeOverCheckpointsReclaimAndRestarts) {
  for (unsigned seed = 1; seed <= 6; ++seed) {
    std::mt19937 random(seed);
    std::mt19937_64 orders(seed);
    Spool spool(2, 64u << 10);
    std::map<std::pair<unsigned, uint64_t>, Got::Event> told;
    const auto check = [&](const std::vector<Got::Event>& events) {
      for (const Got::Event& event : events) {
        if (event.type == "gap") continue;
        const auto [at, fresh] = told.try_emplace({event.stream, event.seq}, event);
        ASSERT_EQ(at->second.type, event.type) << "seed " << seed;
        ASSERT_EQ(at->second.batch, event.batch);
        // Here segments go though outcomes that are kept name recipients in them.
        if (!event.to.empty()) {
          ASSERT_EQ(at->second.to, event.to);
        }
      }
    };
    auto follower = std::make_unique<EventReader>(spool, "n", EventFilter{});
    unsigned reclaimed = 0;
    for (uint64_t number = 1; number <= 60; ++number) {
      write_batch(spool, 0, number);
      const auto here = write_extent(spool, 0, number, 0, 1 + random() % 100);
      const uint32_t first = static_cast<uint32_t>(here.size());
      const auto there = write_extent(spool, 1, number, first, 1 + random() % 100);
      const uint32_t all = first + static_cast<uint32_t>(there.size());
      if (random() % 8 == 0) continue;  // never committed
      write_commit(spool, random() % 2, number, all, 2);
      write_outcomes(spool, here, number, queue::OutcomeType::deferred);
      if (random() % 3 == 0) write_extent(spool, 0, number, 0, first, true);
      write_outcomes(spool, there, number);
      if (random() % 3 == 0) {
        std::string order;
        queue::encode_order(queue::random_order(orders, number), order);
        spool.append(random() % 2, FrameType::order, order, queue::kEventsOfOrder);
      }
      const std::string filling(random() % 30'000, '.');
      spool.append(random() % 2, FrameType::witness, filling);
      const unsigned journal = random() % 2;
      if (random() % 4 == 0) spool.checkpoint(journal);
      if (random() % 3 == 0) {
        for (const uint32_t segment : spool.complete(journal)) {
          if (segment >= spool.needed_from(journal)) break;
          spool.remove(journal, segment);
          ++reclaimed;
        }
        spool.from_of[journal] = std::max(spool.from_of[journal], spool.needed_from(journal));
      }
      if (random() % 5 == 0) spool.restart(journal);
      if (random() % 4 == 0) {
        // It comes from another process now and then.
        const std::string cursor = encode_cursor(follower->cursor());
        follower = std::make_unique<EventReader>(spool, "n", EventFilter{});
        ASSERT_TRUE(follower->seek(*decode_cursor(cursor)).ok());
      }
      if (random() % 3 == 0) check(parse(read_all(*follower)).events);
    }
    check(parse(read_all(*follower)).events);
    EventReader late(spool, "n", {});
    const std::vector<Got::Event> events = parse(read_all(late)).events;
    expect_gap_free(events);
    check(events);
    for (unsigned journal = 0; journal < 2; ++journal) {
      EXPECT_EQ(follower->cursor().streams[journal].seq, spool.durable_events(journal));
      EXPECT_EQ(late.cursor().streams[journal].seq, spool.durable_events(journal));
    }
    EXPECT_GT(reclaimed, 5u) << "seed " << seed;
    EXPECT_GT(told.size(), 3000u);
  }
}

TEST(EventGaps, CarriedRecipientsAreNotAcceptedAgain) {
  Spool spool(1);
  write_batch(spool, 0, 1);
  write_extent(spool, 0, 1, 0, 10);
  write_commit(spool, 0, 1, 10, 1);
  const auto carried = write_extent(spool, 0, 1, 4, 6, true);
  write_outcomes(spool, carried, 1);
  EventReader reader(spool, "n", {});
  const std::vector<Got::Event> got = parse(read_all(reader)).events;
  expect_gap_free(got);
  ASSERT_EQ(got.size(), 16u);
  EXPECT_EQ(got.back().to, address_of(1, 9));
  EXPECT_TRUE(reader.cursor().pending.empty());
}

// The commit is in a journal that is kept, its recipients were in another's segments.
TEST(EventGaps, AcceptedEventsAreGivenAsFarAsTheyCanBeRead) {
  for (const uint32_t refused : {0u, 1u}) {
    Spool spool(2, 64u << 10);
    write_batch(spool, 0, 1);
    write_extent(spool, 1, 1, 0, 100);
    const std::string filling(60'000, '.');
    spool.append(1, FrameType::witness, filling);
    spool.append(1, FrameType::witness, filling);
    write_extent(spool, 1, 1, 100, 50);
    spool.append(1, FrameType::witness, filling);
    spool.append(1, FrameType::witness, filling);
    write_extent(spool, 1, 1, 150, 50);
    write_commit(spool, 0, 1, 200, 3, refused);
    const std::vector<uint32_t> there = spool.complete(1);
    spool.remove(1, there[0]);
    EventReader reader(spool, "n", {});
    const std::vector<Got::Event> got = parse(read_all(reader)).events;
    expect_gap_free(got);
    ASSERT_EQ(got.front().type, "gap");
    // With refused lines nobody knows which of the numbers are theirs.
    EXPECT_EQ(got.front().seq, refused == 0 ? 100u : 200u);
    EXPECT_EQ(got.size(), refused == 0 ? 101u : 1u);
    EXPECT_EQ(spool.durable_events(0), 200u);
    EXPECT_EQ(reader.cursor().streams[0].seq, 200u);
    if (refused == 0) {
      EXPECT_EQ(got[1].to, address_of(1, 100));
    }
  }
}

// Nothing is let go before it is durable that the consumer has read it.
TEST(Consumers, HoldWhatTheyHaveNotAcknowledgedDurably) {
  Spool spool(2);
  spool.from_of = {{0, 3}, {1, 2}};
  Consumers consumers(spool);
  EXPECT_EQ(spool.held[0], UINT32_MAX);
  consumers.begin("a", nullptr, 1);
  EXPECT_EQ(spool.held[0], 3u);
  EXPECT_EQ(spool.held[1], 2u);
  ASSERT_EQ(spool.stored.size(), 1u);
  EventCursor cursor;
  cursor.streams = {{{9, 4096, 0}, 0, 70, {7, 4096, 0}}};  // the second stream it does not know
  absl::Status told = absl::UnknownError("");
  consumers.acknowledge("a", encode_cursor(cursor), cursor, 2,
                        [&](const absl::Status& status) { told = status; });
  EXPECT_EQ(spool.held[0], 3u);
  EXPECT_FALSE(told.ok());
  spool.stored[1].second(absl::UnavailableError("lost"));
  EXPECT_TRUE(absl::IsUnavailable(told));
  EXPECT_EQ(spool.held[0], 3u);
  consumers.acknowledge("a", encode_cursor(cursor), cursor, 2,
                        [&](const absl::Status& status) { told = status; });
  spool.stored[2].second(absl::OkStatus());
  EXPECT_TRUE(told.ok());
  EXPECT_EQ(spool.held[0], 7u) << "what it looks back to is kept";
  EXPECT_EQ(spool.held[1], 0u);
  // Another life knows it.
  spool.known_before = {spool.stored[2].first};
  Consumers again(spool);
  EXPECT_EQ(spool.held[0], 7u);
  EXPECT_EQ(again.find("a")->cursor, cursor);
  again.remove("a", 3, [](const absl::Status&) {});
  EXPECT_NE(again.find("a"), nullptr);
  EXPECT_EQ(spool.stored[3].first.cursor, "");
  spool.stored[3].second(absl::OkStatus());
  EXPECT_EQ(again.find("a"), nullptr);
  EXPECT_EQ(spool.held[0], UINT32_MAX);
}

TEST(Consumers, HaveNames) {
  for (const char* good : {"a", "A-1._:@", "9"}) EXPECT_TRUE(Consumers::is_name(good));
  EXPECT_TRUE(Consumers::is_name(std::string(128, 'a')));
  EXPECT_FALSE(Consumers::is_name(std::string(129, 'a')));
  for (const char* bad : {"", "a b", "a/b", "\xc3\xa4"}) EXPECT_FALSE(Consumers::is_name(bad));
}

}  // namespace
}  // namespace veredus::control
