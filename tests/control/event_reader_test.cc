#include "engine/control/event_reader.h"

#include <map>
#include <random>
#include <set>

#include "engine/control/consumers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "queue/checkpoint.h"
#include "simdjson.h"
#include "tests/sim/sim_disk.h"

namespace veredus::control {
namespace {

using queue::FrameType;
using ::testing::HasSubstr;

struct Nobody final : queue::JournalVisitor, queue::JournalListener {
  void on_frame(FrameType, const queue::Location&, std::string_view) override {}
  void on_damage(uint32_t, uint64_t, const std::string&) override {}
  void on_durable(uint64_t) override {}
  void on_lost(uint64_t, const absl::Status&) override {}
};

// Real journals on a disk in memory, and what a control thread would see of them.
class Spool final : public EngineView {
 public:
  explicit Spool(unsigned journals, uint32_t segment_bytes = 1u << 20)
      : storage_(1), reading_(storage_) {
    options_.segment_bytes = segment_bytes;
    disks_.resize(journals);
    journals_.resize(journals);
    for (unsigned i = 0; i < journals; ++i) open(i);
  }
  void open(unsigned i) {
    disks_[i] = std::make_unique<sim::SimDisk>(storage_);
    journals_[i] = std::make_unique<queue::Journal>(*disks_[i], nobody_, static_cast<uint16_t>(i),
                                                    journal_directory(i), options_);
    EXPECT_TRUE(journals_[i]->recover(nobody_).ok());
    journals_[i]->start();
    settle(i);
  }
  void restart(unsigned i) {
    settle(i);
    journals_[i]->close();
    journals_[i].reset();
    open(i);
  }
  void checkpoint(unsigned i) {
    std::string payload;
    queue::encode_checkpoint_begin({}, payload);
    const queue::CheckpointPlace place = journals_[i]->append_checkpoint_begin(payload);
    queue::encode_checkpoint_end(place, payload);
    journals_[i]->append(FrameType::checkpoint, std::string_view(payload));
    settle(i);
    journals_[i]->checkpoint_complete(place);
  }
  uint32_t needed_from(unsigned i) const { return journals_[i]->needed_from(); }
  ~Spool() override {
    for (unsigned i = 0; i < journals_.size(); ++i) {
      settle(i);
      journals_[i]->close();
    }
  }

  void settle(unsigned journal) {
    for (int turn = 0; turn < 100'000 && !journals_[journal]->idle(); ++turn) {
      journals_[journal]->flush();
      disks_[journal]->complete_one();
    }
    ASSERT_TRUE(journals_[journal]->idle());
  }
  queue::Location append(unsigned journal, FrameType type, const std::string& payload,
                         uint32_t events = 0) {
    const queue::Appended made =
        journals_[journal]->append(type, std::string_view(payload), events);
    settle(journal);
    return made.location;
  }

  unsigned shards() const override { return journals(); }
  const Counters& counters(unsigned) const override { return counters_; }
  unsigned journals() const override { return static_cast<unsigned>(journals_.size()); }
  std::string journal_directory(unsigned journal) const override {
    return "journal-" + std::to_string(journal);
  }
  queue::Location durable_end(unsigned journal) const override {
    return journals_[journal]->durable_end();
  }
  uint32_t events_from(unsigned journal) const override {
    const auto found = from_of.find(journal);
    return found == from_of.end() ? 0 : found->second;
  }
  void hold_events(unsigned journal, uint32_t segment) override { held[journal] = segment; }
  void store_consumer(const queue::Consumer& consumer,
                      std::function<void(absl::Status)> on_stored) override {
    stored.emplace_back(consumer, std::move(on_stored));
  }
  std::vector<queue::Consumer> consumers_at_start() const override { return known_before; }
  uint64_t durable_events(unsigned journal) const override {
    return journals_[journal]->durable_events();
  }
  // As reclaim does it.
  void remove(unsigned journal, uint32_t segment) {
    journals_[journal]->remove_segment(segment);
    settle(journal);
  }
  uint32_t segment(unsigned journal) const { return journals_[journal]->current_segment(); }
  std::vector<uint32_t> complete(unsigned journal) const {
    std::vector<uint32_t> numbers;
    for (const auto& [number, bytes] : journals_[journal]->complete_segments())
      numbers.push_back(number);
    return numbers;
  }
  queue::Disk& disk() override { return reading_; }
  std::shared_ptr<const queue::LiveBatch> find_batch(uint64_t number) const override {
    const auto found = batches.find(number);
    return found == batches.end() ? nullptr : found->second;
  }
  void ask_in_doubt(const InDoubtQuestion&, std::function<void(InDoubtAnswer)>) override {}
  uint64_t first_batch_of_run() const override { return first_of_run; }
  std::vector<std::string> damage() const override { return {}; }

  uint64_t first_of_run = 1;
  std::map<unsigned, uint32_t> from_of, held;
  std::vector<std::pair<queue::Consumer, std::function<void(absl::Status)>>> stored;
  std::vector<queue::Consumer> known_before;
  std::map<uint64_t, std::shared_ptr<queue::LiveBatch>> batches;
  sim::SimStorage& storage() { return storage_; }

 private:
  Nobody nobody_;
  queue::JournalOptions options_;
  sim::SimStorage storage_;
  sim::SimDisk reading_;
  Counters counters_;
  std::vector<std::unique_ptr<sim::SimDisk>> disks_;
  std::vector<std::unique_ptr<queue::Journal>> journals_;
};

// Where a recipient's entry lies.
struct Placed {
  unsigned journal;
  queue::Location extent;
  uint32_t page_offset, entry_offset, index;
};

std::string address_of(uint64_t batch, uint32_t index) {
  return "u" + std::to_string(index) + "@d" + std::to_string(batch) + ".example";
}

std::vector<Placed> write_extent(Spool& spool, unsigned journal, uint64_t batch, uint32_t first,
                                 uint32_t count, bool carried = false) {
  queue::ExtentWriter writer(batch, first);
  for (uint32_t i = first; i < first + count; ++i) {
    const std::string to = address_of(batch, i), id = "id" + std::to_string(i);
    queue::Entry entry;
    entry.index = i;
    entry.to = to;
    entry.id = id;
    entry.meta_json = R"({"n":1})";
    EXPECT_TRUE(writer.add(entry));
  }
  const std::string payload = writer.finish(carried);
  const queue::Location at = spool.append(journal, FrameType::extent, payload);
  std::vector<Placed> placed;
  for (uint32_t offset = queue::kExtentHeaderBytes; offset < payload.size();) {
    const auto page = queue::read_page(payload, offset);
    EXPECT_TRUE(page.ok());
    for (uint32_t entry = queue::kPageHeaderBytes; entry != 0;) {
      queue::Entry read;
      uint32_t next = 0;
      EXPECT_TRUE(queue::read_entry(page->bytes, entry, read, next).ok());
      placed.push_back({journal, at, offset, entry, read.index});
      entry = next;
    }
    offset += static_cast<uint32_t>(page->bytes.size());
  }
  return placed;
}

void write_batch(Spool& spool, unsigned journal, uint64_t number) {
  queue::Batch batch;
  batch.number = number;
  batch.name = "b" + std::to_string(number);
  batch.tenant = number % 2 == 0 ? "even" : "odd";
  batch.campaign = "spring";
  batch.sender = number == 3 ? "bounce+{{index}}@news.example" : "bounce@news.example";
  batch.sender_has_slots = number == 3;
  batch.tags_json = R"(["t"])";
  batch.accepted_wall_ns = 1'700'000'000'000'000'000;
  spool.batches[number] = std::make_shared<queue::LiveBatch>();
  spool.batches[number]->batch = batch;
  std::string payload;
  queue::encode_batch(batch, payload);
  spool.append(journal, FrameType::batch, payload);
}

void write_commit(Spool& spool, unsigned journal, uint64_t number, uint32_t accepted,
                  uint32_t extents, uint32_t refused = 0) {
  queue::Commit commit;
  commit.refused = refused;
  commit.number = number;
  commit.accepted = accepted;
  commit.extents = extents;
  commit.body_sha256 = std::string(32, 'x');
  commit.answer_json = "{}";
  std::string payload;
  queue::encode_commit(commit, payload);
  spool.append(journal, FrameType::commit, payload, accepted);
}

void write_outcomes(Spool& spool, const std::vector<Placed>& of, uint64_t batch,
                    queue::OutcomeType type = queue::OutcomeType::delivered) {
  queue::OutcomeWriter writer;
  for (const Placed& placed : of) {
    queue::Outcome outcome;
    outcome.type = type;
    outcome.batch = batch;
    outcome.index = placed.index;
    outcome.segment = placed.extent.segment;
    outcome.page_offset = placed.extent.offset + placed.page_offset;
    outcome.entry_offset = placed.entry_offset;
    outcome.attempt = 1;
    outcome.code = 250;
    outcome.enhanced = {2, 0, 0};
    outcome.stage = 9;
    outcome.wall_ns = 1'700'000'000'500'000'000;
    outcome.text = "ok \x1b[31m";
    outcome.mx_name = "mx.example";
    outcome.mx_address = "192.0.2.1";
    outcome.site = "mx.example";
    outcome.source = "default";
    outcome.timing.connect_us = 1500;
    writer.add(outcome);
  }
  std::string payload;
  writer.take(payload);
  spool.append(of.front().journal, FrameType::outcomes, payload, static_cast<uint32_t>(of.size()));
}

// What a reader got: every line must be JSON; `seq` without gaps per stream.
struct Got {
  struct Event {
    unsigned stream;
    uint64_t seq;
    std::string type, batch, to;
    uint64_t from_seq = 0;  // of a gap
    bool operator==(const Event&) const = default;
    auto operator<=>(const Event&) const = default;
  };
  std::vector<Event> events;
  std::string text;
};

Got parse(const std::string& text) {
  Got got;
  got.text = text;
  simdjson::dom::parser parser;
  for (const simdjson::dom::element line : parser.parse_many(text)) {
    Got::Event event;
    uint64_t stream = 0;
    EXPECT_EQ(line["stream"].get(stream), simdjson::SUCCESS) << text;
    event.stream = static_cast<unsigned>(stream);
    EXPECT_EQ(line["seq"].get(event.seq), simdjson::SUCCESS);
    std::string_view view;
    if (line["type"].get(view) == simdjson::SUCCESS) event.type = view;
    if (line["batch"].get(view) == simdjson::SUCCESS) event.batch = view;
    if (line["to"].get(view) == simdjson::SUCCESS) event.to = view;
    uint64_t from = 0;
    if (line["from_seq"].get(from) == simdjson::SUCCESS) event.from_seq = from;
    got.events.push_back(std::move(event));
  }
  return got;
}

std::string read_all(EventReader& reader, size_t bytes_max = 1 << 20,
                     uint64_t events_max = 1u << 30) {
  std::string text;
  for (;;) {
    uint64_t events = 0;
    const auto result = reader.read(text, text.size() + bytes_max, events_max, events);
    EXPECT_TRUE(result.ok()) << result.status().ToString();
    if (!result.ok() || *result == EventReader::Result::end) return text;
  }
}

void expect_gap_free(const std::vector<Got::Event>& events) {
  std::map<unsigned, uint64_t> last;
  for (const Got::Event& event : events) {
    if (event.type == "gap" && event.from_seq == 0) continue;  // nobody knows how many
    // A gap stands for all that it says.
    EXPECT_EQ(event.from_seq == 0 ? event.seq : event.from_seq, last[event.stream] + 1)
        << "stream " << event.stream;
    last[event.stream] = event.seq;
  }
}

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
  for (int i = 0; i < 1000; ++i) spool.append(1, FrameType::attempts, nothing);
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

TEST(EventReader, TheNumbersAreTheJournalsOwn) {
  Reclaimed of;
  EXPECT_EQ(of.all.size(), of.spool.durable_events(0));
  EXPECT_EQ(of.all.back().seq, of.spool.durable_events(0));
}

TEST(EventReader, BeginsWhereEventsAreKeptAndSaysHowManyAreGone) {
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

TEST(EventReader, ACursorInWhatIsGoneGetsOneGapAndTheRightNumbers) {
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
TEST(EventReader, AHoleInTheMiddleIsOneGap) {
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
TEST(EventReader, NumbersAgreeOverCheckpointsReclaimAndRestarts) {
  for (unsigned seed = 1; seed <= 6; ++seed) {
    std::mt19937 random(seed);
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
      const std::string filling(random() % 30'000, '.');
      spool.append(random() % 2, FrameType::attempts, filling);
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

TEST(EventReader, CarriedRecipientsAreNotAcceptedAgain) {
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
TEST(EventReader, AcceptedEventsAreGivenAsFarAsTheyCanBeRead) {
  for (const uint32_t refused : {0u, 1u}) {
    Spool spool(2, 64u << 10);
    write_batch(spool, 0, 1);
    write_extent(spool, 1, 1, 0, 100);
    const std::string filling(60'000, '.');
    spool.append(1, FrameType::attempts, filling);
    spool.append(1, FrameType::attempts, filling);
    write_extent(spool, 1, 1, 100, 50);
    spool.append(1, FrameType::attempts, filling);
    spool.append(1, FrameType::attempts, filling);
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
