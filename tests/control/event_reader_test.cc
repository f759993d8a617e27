#include <map>
#include <random>
#include <set>

#include "gmock/gmock.h"
#include "tests/control/event_spool.h"

namespace veredus::control {
namespace {

using queue::FrameType;
using ::testing::HasSubstr;

// Batches over several journals, commits, outcomes, one upload that never ends and one given up.
void write_story(Spool& spool) {
  write_batch(spool, 0, 1);
  auto one = write_extent(spool, 0, 1, 0, 700);
  write_batch(spool, 1, 2);
  auto two = write_extent(spool, 1, 2, 0, 300);
  const auto more = write_extent(spool, 0, 2, 300, 900);
  write_batch(spool, 0, 3);
  write_extent(spool, 0, 3, 0, 50);  // never committed
  write_extent(spool, 1, 4, 0, 20);  // given up
  std::string number(8, '\0');
  number[0] = 4;
  spool.append(1, FrameType::abort, number);
  write_commit(spool, 0, 1, 700, 1);
  write_outcomes(spool, one, 1, queue::OutcomeType::deferred);
  write_commit(spool, 1, 2, 1200, 2);
  write_outcomes(spool, two, 2);
  write_outcomes(spool, one, 1);
  write_outcomes(spool, more, 2, queue::OutcomeType::failed);
}

TEST(EventReader, GivesEveryRecipientItsEventsWithoutGaps) {
  Spool spool(2);
  write_story(spool);
  EventReader reader(spool, "node-1", {});
  const Got got = parse(read_all(reader));
  expect_gap_free(got.events);
  std::map<std::string, int> types;
  std::set<std::string> accepted;
  for (const Got::Event& event : got.events) {
    ++types[event.type];
    EXPECT_THAT(event.batch, ::testing::AnyOf("b1", "b2"));
    if (event.type == "accepted") accepted.insert(event.to);
    if (event.type == "accepted" && event.batch == "b2") {
      EXPECT_EQ(event.stream, 1u);
    }
  }
  EXPECT_EQ(types,
            (std::map<std::string, int>{
                {"accepted", 1900}, {"deferred", 700}, {"delivered", 1000}, {"failed", 900}}));
  EXPECT_EQ(accepted.size(), 1900u);
  EXPECT_TRUE(accepted.contains(address_of(2, 1199)));
  // Only the upload that is open still is remembered.
  EXPECT_EQ(reader.cursor().pending, std::vector<uint64_t>{3});
}

TEST(EventReader, AnEventHasTheFieldsOfTheContract) {
  Spool spool(1);
  write_batch(spool, 0, 1);
  const auto placed = write_extent(spool, 0, 1, 0, 2);
  write_commit(spool, 0, 1, 2, 1);
  write_outcomes(spool, {placed[1]}, 1);
  EventReader reader(spool, "node-1", {});
  const std::string text = read_all(reader);
  EXPECT_THAT(
      text,
      HasSubstr(
          R"({"v":1,"node":"node-1","stream":0,"seq":1,"time":"2023-11-14T22:13:20.000Z","type":"accepted",)"
          R"("tenant":"odd","batch":"b1","campaign":"spring","index":0,"id":"id0","to":"u0@d1.example",)"
          R"("sender":"bounce@news.example","tags":["t"],"meta":{"n":1}})"));
  EXPECT_THAT(
      text,
      HasSubstr(
          R"("seq":3,"time":"2023-11-14T22:13:20.500Z","type":"delivered","tenant":"odd","batch":"b1",)"
          R"("campaign":"spring","index":1,"id":"id1","to":"u1@d1.example","sender":"bounce@news.example",)"
          R"("site":"mx.example","source":"default","mx":{"name":"mx.example","addr":"192.0.2.1"},)"
          R"("response":{"code":250,"enhanced":"2.0.0","text":"ok \u001b[31m","command":"end of data"})"));
  EXPECT_THAT(text, HasSubstr(R"("attempt":1,"timing":{"connect":1.500})"));
}

// Its recipients lie far ahead in a stream that has not come so far.
TEST(EventReader, ACommitWaitsForItsRecipients) {
  Spool spool(2);
  write_batch(spool, 0, 1);
  const std::string nothing(8, '\0');
  for (int i = 0; i < 1000; ++i) spool.append(1, FrameType::witness, nothing);
  write_extent(spool, 1, 1, 0, 10);
  write_commit(spool, 0, 1, 10, 1);
  EventReader reader(spool, "n", {});
  const Got got = parse(read_all(reader));
  EXPECT_EQ(got.events.size(), 10u);
  expect_gap_free(got.events);
  EXPECT_TRUE(reader.cursor().pending.empty()) << "they were noted twice";
}

TEST(EventReader, TheSenderIsTheOneThatWasUsed) {
  Spool spool(1);
  write_batch(spool, 0, 3);
  const auto placed = write_extent(spool, 0, 3, 0, 2);
  write_commit(spool, 0, 3, 2, 1);
  write_outcomes(spool, {placed[1]}, 3);
  EventReader reader(spool, "n", {});
  const std::string text = read_all(reader);
  EXPECT_THAT(text, HasSubstr(R"("to":"u0@d3.example","sender":"bounce+0@news.example")"));
  EXPECT_THAT(text.substr(text.find("delivered")), HasSubstr("bounce+1@news.example"));
}

// However a reader is cut off and goes on from its cursor, it sees the same events with the same
// numbers.
TEST(EventReader, GoesOnFromAnyCursor) {
  Spool spool(2);
  write_story(spool);
  EventReader whole(spool, "n", {});
  std::vector<Got::Event> expected = parse(read_all(whole)).events;
  std::sort(expected.begin(), expected.end());

  std::mt19937 random(7);
  for (int round = 0; round < 20; ++round) {
    std::string cursor, text;
    for (int pieces = 0;; ++pieces) {
      ASSERT_LT(pieces, 10'000);
      EventReader reader(spool, "n", {});
      if (!cursor.empty()) {
        const auto decoded = decode_cursor(cursor);
        ASSERT_TRUE(decoded.ok());
        ASSERT_TRUE(reader.seek(*decoded).ok());
      }
      uint64_t events = 0;
      const auto result = reader.read(text, SIZE_MAX, 1 + random() % 700, events);
      ASSERT_TRUE(result.ok());
      cursor = encode_cursor(reader.cursor());
      if (*result == EventReader::Result::end) break;
    }
    std::vector<Got::Event> got = parse(text).events;
    expect_gap_free(got);
    std::sort(got.begin(), got.end());
    ASSERT_TRUE(got == expected) << "round " << round;
  }
}

TEST(EventReader, FollowsWhatComes) {
  Spool spool(2);
  EventReader reader(spool, "n", {});
  EXPECT_EQ(read_all(reader), "");
  std::string text;
  std::vector<std::vector<Placed>> placed;
  for (uint64_t number = 1; number <= 5; ++number) {
    write_batch(spool, 0, number);
    auto here = write_extent(spool, 0, number, 0, 10);
    text += read_all(reader);
    const auto there = write_extent(spool, 1, number, 10, 10);
    write_commit(spool, 0, number, 20, 2);
    text += read_all(reader);
    write_outcomes(spool, there, number);
    text += read_all(reader);
  }
  const Got got = parse(text);
  expect_gap_free(got.events);
  EXPECT_EQ(got.events.size(), 5u * 30);
}

TEST(EventReader, ShowsNothingBeyondWhatIsDurable) {
  Spool spool(1);
  write_batch(spool, 0, 1);
  const auto placed = write_extent(spool, 0, 1, 0, 5);
  const queue::Location before = spool.durable_end(0);
  write_commit(spool, 0, 1, 5, 1);
  // As if the commit were written, but not synced.
  struct Earlier final : EngineView {
    Earlier(Spool& spool, queue::Location end) : of(spool), at(end) {}
    unsigned shards() const override { return of.shards(); }
    const Counters& counters(unsigned shard) const override { return of.counters(shard); }
    unsigned journals() const override { return of.journals(); }
    std::string journal_directory(unsigned j) const override { return of.journal_directory(j); }
    queue::Location durable_end(unsigned) const override { return at; }
    uint32_t events_from(unsigned) const override { return 0; }
    uint64_t durable_events(unsigned j) const override { return of.durable_events(j); }
    void hold_events(unsigned, uint32_t) override {}
    void store_consumer(const queue::Consumer&, std::function<void(absl::Status)>) override {}
    std::vector<queue::Consumer> consumers_at_start() const override { return {}; }
    queue::Disk& disk() override { return of.disk(); }
    std::shared_ptr<const queue::LiveBatch> find_batch(uint64_t n) const override {
      return of.find_batch(n);
    }
    void ask_in_doubt(const InDoubtQuestion&, std::function<void(InDoubtAnswer)>) override {}
    void ask_erasure(const ErasureQuestion&, std::function<void(ErasureAnswer)>) override {}
    int64_t erased_after_ns() const override { return 0; }
    void apply(const EngineSettings&) override {}
    void ask_order(const queue::Order&, std::function<void(OrderAnswer)>) override {}
    uint64_t next_order() override { return 1; }
    const std::map<uint64_t, queue::Order>& orders() const override { return of.no_orders; }
    void ask_why(const WhyQuestion&, std::function<void(WhyAnswer)>) override {}
    void ask_tls_results(const TlsResultsQuestion&,
                         std::function<void(TlsResultsAnswer)>) override {}
    void ask_sites(const SitesQuestion&, std::function<void(SitesAnswer)>) override {}
    void begin_trace(const std::shared_ptr<Trace>&) override {}
    const Policy& policy() const override { return of.no_policy; }
    uint64_t first_batch_of_run() const override { return 1; }
    std::vector<std::string> damage() const override { return {}; }
    Spool& of;
    queue::Location at;
  } earlier(spool, before);
  EventReader reader(earlier, "n", {});
  EXPECT_EQ(read_all(reader), "");
  earlier.at = spool.durable_end(0);
  EXPECT_EQ(parse(read_all(reader)).events.size(), 5u);
}

TEST(EventReader, FiltersKeepTheNumbers) {
  Spool spool(2);
  write_story(spool);
  EventFilter filter;
  filter.types = {"delivered"};
  filter.tenant = "odd";
  EventReader reader(spool, "n", filter);
  const Got got = parse(read_all(reader));
  ASSERT_EQ(got.events.size(), 700u);
  // Behind 700 accepted and 700 deferred ones.
  EXPECT_EQ(got.events[0].seq, 1401u);
  EXPECT_EQ(got.events[0].batch, "b1");
}

TEST(EventReader, SmallSegmentsMakeNoDifference) {
  Spool large(2), small(2, 64u << 10);
  write_story(large);
  write_story(small);
  EventReader one(large, "n", {}), other(small, "n", {});
  EXPECT_TRUE(parse(read_all(one)).events == parse(read_all(other)).events);
}

// What a crash left behind of an upload is forgotten once all is read; it must not keep the cursor
// back.
TEST(EventReader, DeadUploadsAreForgotten) {
  Spool spool(1);
  write_extent(spool, 0, 3, 0, 50);
  write_batch(spool, 0, 9);
  spool.first_of_run = 9;
  EventReader reader(spool, "n", {});
  EXPECT_EQ(read_all(reader), "");
  EXPECT_TRUE(reader.cursor().pending.empty());
  EXPECT_EQ(reader.cursor().streams[0].back, reader.cursor().streams[0].next);
  spool.first_of_run = 3;
  EventReader other(spool, "n", {});
  EXPECT_EQ(read_all(other), "");
  EXPECT_EQ(other.cursor().pending, std::vector<uint64_t>{3});
}

TEST(EventReader, ADamagedPageLeavesAHole) {
  Spool spool(1);
  write_batch(spool, 0, 1);
  const auto placed = write_extent(spool, 0, 1, 0, 2000);
  write_commit(spool, 0, 1, 2000, 1);
  write_outcomes(spool, {placed[1999]}, 1);
  // A byte of the last recipient's page.
  const Placed& last = placed.back();
  const std::string path =
      queue::Journal::segment_path(spool.journal_directory(0), last.extent.segment);
  ASSERT_TRUE(
      spool.storage().corrupt(path, last.extent.offset + last.page_offset + last.entry_offset));
  EventReader reader(spool, "n", {});
  const Got got = parse(read_all(reader));
  EXPECT_LT(got.events.size(), 2001u);
  expect_gap_free(got.events);
  for (const Got::Event& event : got.events) {
    if (event.type == "accepted") {
      EXPECT_FALSE(event.to.empty());
    }
  }
}

TEST(EventCursor, ReadsBackAndRefusesOthers) {
  EventCursor cursor;
  cursor.streams = {{{1, 2, 3}, 4, 5, {1, 0, 0}}, {{7, 8, 9}, 0, 1ull << 60, {7, 8, 9}}};
  cursor.pending = {3, 4, 1ull << 40};
  const std::string text = encode_cursor(cursor);
  const auto read = decode_cursor(text);
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(*read, cursor);
  EXPECT_EQ(
      text.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"),
      std::string::npos);
  for (size_t i = 0; i < text.size(); ++i) {
    EXPECT_FALSE(decode_cursor(text.substr(0, i)).ok());
    std::string other = text;
    other[i] = other[i] == 'A' ? 'B' : 'A';
    const auto wrong = decode_cursor(other);
    // The last digit holds bits that mean nothing.
    if (wrong.ok()) {
      EXPECT_EQ(*wrong, cursor);
    }
  }
  EXPECT_FALSE(decode_cursor("hello").ok());
  EXPECT_FALSE(decode_cursor("").ok());
}

}  // namespace
}  // namespace veredus::control
