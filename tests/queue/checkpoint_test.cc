// The parts of a checkpoint as bytes: there and back, cut off anywhere, at their limits.

#include "queue/checkpoint.h"

#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "queue/bytes.h"
#include "queue/extent.h"
#include "tests/queue/orders_by_hand.h"

namespace veredus::queue {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr uint16_t kJournal = 5;
constexpr int64_t kDueMax = INT64_MAX / kDueGrainNs * kDueGrainNs;

// Bytes in memory of exactly their length, so that a sanitizer sees a read beyond them.
class Exact {
 public:
  explicit Exact(std::string_view bytes) : bytes_(new char[bytes.size()]), length_(bytes.size()) {
    bytes.copy(bytes_.get(), length_);
  }
  std::string_view view() const { return {bytes_.get(), length_}; }

 private:
  std::unique_ptr<char[]> bytes_;
  size_t length_;
};

std::string body_of(const std::string& payload, CheckpointPart wanted) {
  CheckpointPart part{};
  std::string_view body;
  EXPECT_TRUE(read_checkpoint_part(payload, part, body).ok());
  EXPECT_EQ(part, wanted);
  return std::string(body);
}

// Nothing that is cut off, and nothing that goes on, is taken for whole.
void expect_whole_only(const std::string& body,
                       const std::function<absl::Status(std::string_view)>& read) {
  EXPECT_TRUE(read(Exact(body).view()).ok());
  for (size_t length = 0; length < body.size(); ++length) {
    const Exact prefix(std::string_view(body).substr(0, length));
    EXPECT_EQ(read(prefix.view()).code(), absl::StatusCode::kDataLoss) << length;
  }
  EXPECT_EQ(read(body + '\0').code(), absl::StatusCode::kDataLoss);
}

TEST(Checkpoint, PartsAreKnownByTheirByte) {
  CheckpointPart part{};
  std::string_view body;
  for (unsigned number = 0; number < 256; ++number) {
    const std::string payload = {1, static_cast<char>(number), 'b', 'c'};
    const absl::Status read = read_checkpoint_part(payload, part, body);
    ASSERT_EQ(read.ok(), number >= 1 && number <= 8) << number;
    if (!read.ok()) {
      EXPECT_EQ(read.code(), absl::StatusCode::kDataLoss);
      continue;
    }
    EXPECT_EQ(static_cast<unsigned>(part), number);
    EXPECT_EQ(body, "bc");
  }
  EXPECT_EQ(read_checkpoint_part("", part, body).code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(read_checkpoint_part("\1", part, body).code(), absl::StatusCode::kDataLoss);
  const absl::Status newer = read_checkpoint_part("\2\1", part, body);
  EXPECT_EQ(newer.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(newer.message()), HasSubstr("version 2"));
}

TEST(Checkpoint, BeginAndEnd) {
  std::string payload = "what was there before";
  for (const CheckpointBegin& begin :
       {CheckpointBegin{0, 0}, CheckpointBegin{UINT64_MAX, INT64_MIN, UINT64_MAX},
        CheckpointBegin{7, 8, 9}}) {
    encode_checkpoint_begin(begin, payload);
    const std::string body = body_of(payload, CheckpointPart::begin);
    const auto read = decode_checkpoint_begin(body);
    ASSERT_TRUE(read.ok());
    EXPECT_EQ(read->highest_batch, begin.highest_batch);
    EXPECT_EQ(read->wall_ns, begin.wall_ns);
    EXPECT_EQ(read->highest_order, begin.highest_order);
    expect_whole_only(body, [](auto bytes) { return decode_checkpoint_begin(bytes).status(); });
  }
  for (const CheckpointPlace& place :
       {CheckpointPlace{1, 4096, 1, 0},
        CheckpointPlace{UINT32_MAX, UINT32_MAX, UINT64_MAX, UINT64_MAX}}) {
    encode_checkpoint_end(place, payload);
    const std::string body = body_of(payload, CheckpointPart::end);
    const auto read = decode_checkpoint_end(body);
    ASSERT_TRUE(read.ok());
    EXPECT_EQ(*read, place);
    expect_whole_only(body, [](auto bytes) { return decode_checkpoint_end(bytes).status(); });
  }
  // "There is none" is no place.
  encode_checkpoint_end({0, 4096, 1, 0}, payload);
  EXPECT_FALSE(decode_checkpoint_end(body_of(payload, CheckpointPart::end)).ok());
}

TEST(Checkpoint, ConsumerIsAsInAFrameOfItsOwn) {
  const Consumer consumer{"billing", "cursor", 12};
  std::string part, frame;
  encode_checkpoint_consumer(consumer, part);
  encode_consumer(consumer, frame);
  EXPECT_EQ(body_of(part, CheckpointPart::consumer), frame);
}

TEST(Checkpoint, OrderIsAsInAFrameOfItsOwn) {
  const Order order = order_of(7, Order::Kind::cancel, {.tenant = "acme"});
  std::string part, frame;
  encode_checkpoint_order(order, part);
  encode_order(order, frame);
  EXPECT_EQ(body_of(part, CheckpointPart::order), frame);
}

// --- who waits ---

struct Waiting : WaitingHandler {
  struct Run {
    WaitingExtent extent;
    uint32_t first, count;
    WaitingState state;
    bool operator==(const Run& other) const {
      return extent.batch == other.extent.batch && extent.first_index == other.extent.first_index &&
             extent.at == other.extent.at && first == other.first && count == other.count &&
             state == other.state;
    }
  };
  void on_waiting(const WaitingExtent& extent, uint32_t first, uint32_t count,
                  const WaitingState& state) override {
    runs.push_back({extent, first, count, state});
  }
  std::vector<Run> runs;
};

std::vector<Waiting::Run> read_runs(std::string_view body) {
  Waiting waiting;
  const absl::Status read = read_waiting(body, kJournal, waiting);
  EXPECT_TRUE(read.ok()) << read;
  return waiting.runs;
}

absl::Status read_waiting_only(std::string_view body) {
  Waiting waiting;
  return read_waiting(body, kJournal, waiting);
}

const WaitingExtent kFirst{42, 0, {kJournal, 1, 4096, 900}};
const WaitingExtent kFurthest{
    UINT64_MAX, UINT32_MAX, {kJournal, UINT32_MAX, UINT32_MAX, UINT32_MAX}};
const WaitingState kUntouched, kTried{5'000'000, 1, false, false},
    kDoubt{1'000'000, 2, true, false}, kHeld{0, 255, true, true};

TEST(CheckpointWaiting, EveryItemComesBack) {
  WaitingWriter writer;
  EXPECT_TRUE(writer.empty());
  for (const uint16_t ordinal : {0, 1, 2, 5, 6}) writer.add(1, kFirst, ordinal, kUntouched);
  writer.add(1, kFirst, 7, kTried);
  writer.add(1, kFirst, 9, kDoubt);
  writer.add(1, kFirst, 10, kHeld);
  writer.add(1, kFirst, 11, kUntouched);
  writer.add(2, kFurthest, 65535, kTried);
  std::string payload;
  writer.take(payload);
  EXPECT_TRUE(writer.empty());
  using Run = Waiting::Run;
  EXPECT_THAT(
      read_runs(body_of(payload, CheckpointPart::waiting)),
      ElementsAre(Run{kFirst, 0, 3, kUntouched}, Run{kFirst, 5, 2, kUntouched},
                  Run{kFirst, 7, 1, kTried}, Run{kFirst, 9, 1, kDoubt}, Run{kFirst, 10, 1, kHeld},
                  Run{kFirst, 11, 1, kUntouched}, Run{kFurthest, 65535, 1, kTried}));
  // Nothing of it is left in the writer.
  writer.add(1, kFirst, 3, kUntouched);
  writer.take(payload);
  EXPECT_THAT(read_runs(body_of(payload, CheckpointPart::waiting)),
              ElementsAre(Run{kFirst, 3, 1, kUntouched}));
}

TEST(CheckpointWaiting, NobodyIsAPart) {
  WaitingWriter writer;
  std::string payload;
  writer.take(payload);
  EXPECT_THAT(read_runs(body_of(payload, CheckpointPart::waiting)), IsEmpty());
}

// Records come in the order of their slots: the ordinals of an extent need not ascend.
TEST(CheckpointWaiting, AnExtentIsNamedAgainWhenItsOrdinalsGoBack) {
  WaitingWriter writer;
  for (const uint16_t ordinal : {65535, 65534, 0, 0}) writer.add(1, kFirst, ordinal, kUntouched);
  std::string payload;
  writer.take(payload);
  using Run = Waiting::Run;
  EXPECT_THAT(read_runs(body_of(payload, CheckpointPart::waiting)),
              ElementsAre(Run{kFirst, 65535, 1, kUntouched}, Run{kFirst, 65534, 1, kUntouched},
                          Run{kFirst, 0, 1, kUntouched}, Run{kFirst, 0, 1, kUntouched}));
}

TEST(CheckpointWaiting, AWholeExtentOfUntouchedOnesTakesAFewBytes) {
  WaitingWriter writer;
  for (uint32_t ordinal = 0; ordinal < kExtentRecipientsMax; ++ordinal)
    writer.add(1, kFirst, static_cast<uint16_t>(ordinal), kUntouched);
  std::string payload;
  writer.take(payload);
  EXPECT_LT(payload.size(), 20u);
  EXPECT_THAT(read_runs(body_of(payload, CheckpointPart::waiting)),
              ElementsAre(Waiting::Run{kFirst, 0, kExtentRecipientsMax, kUntouched}));
}

TEST(CheckpointWaiting, DueIsRoundedUpToTheMillisecondAndReachesItsLimits) {
  struct Row {
    int64_t due_ns, read_ns;
  };
  for (const Row& row : {Row{0, 0}, Row{1, 1'000'000}, Row{1'000'000, 1'000'000},
                         Row{1'000'001, 2'000'000}, Row{kDueMax, kDueMax}, Row{INT64_MAX, kDueMax},
                         Row{-1'000'000, -1'000'000}, Row{-kDueMax, -kDueMax}}) {
    WaitingWriter writer;
    // Each is written as the difference to the one before.
    writer.add(1, kFirst, 0, {kDueMax, 1, false, false});
    writer.add(1, kFirst, 1, {row.due_ns, 1, true, false});
    writer.add(1, kFirst, 2, {-kDueMax, 1, false, false});
    std::string payload;
    writer.take(payload);
    const std::vector<Waiting::Run> runs = read_runs(body_of(payload, CheckpointPart::waiting));
    ASSERT_EQ(runs.size(), 3u);
    EXPECT_EQ(runs[1].state.due_wall_ns, row.read_ns) << row.due_ns;
    EXPECT_EQ(runs[2].state.due_wall_ns, -kDueMax) << row.due_ns;
  }
}

// Items stand by themselves: a part that ends behind one is a shorter part.
TEST(CheckpointWaiting, APrefixEndsBehindAnItemOrIsRefused) {
  std::vector<std::string> bodies;
  for (unsigned adds = 0; adds <= 7; ++adds) {
    WaitingWriter writer;
    const WaitingState* const states[] = {&kTried, &kUntouched, &kDoubt, &kHeld};
    for (uint16_t i = 0; i < adds; ++i)
      writer.add(i / 4, i < 4 ? kFirst : kFurthest, static_cast<uint16_t>(i * 300), *states[i % 4]);
    std::string payload;
    writer.take(payload);
    bodies.push_back(body_of(payload, CheckpointPart::waiting));
  }
  const std::string& whole = bodies.back();
  size_t sound = 0;
  for (size_t length = 0; length <= whole.size(); ++length) {
    const Exact prefix(std::string_view(whole).substr(0, length));
    const absl::Status read = read_waiting_only(prefix.view());
    if (read.ok()) {
      ++sound;
    } else {
      EXPECT_EQ(read.code(), absl::StatusCode::kDataLoss) << length;
    }
  }
  // Behind each of the seven recipients, behind the two extents' names, and at the beginning.
  EXPECT_EQ(sound, 10u);
  for (const std::string& body : bodies) EXPECT_EQ(whole.substr(0, body.size()), body);
}

std::string item(uint8_t kind, std::initializer_list<uint64_t> numbers) {
  std::string bytes(1, static_cast<char>(kind));
  for (const uint64_t number : numbers) put_varint(bytes, number);
  return bytes;
}

TEST(CheckpointWaiting, NonsenseIsRefused) {
  const std::string extent = item(0, {42, 0, 1, 4096, 900});
  const uint64_t over = uint64_t{UINT32_MAX} + 1;
  ASSERT_TRUE(read_waiting_only(extent + item(1, {0, 65536})).ok());
  ASSERT_TRUE(read_waiting_only(extent + item(1, {65535, 1})).ok());
  struct Row {
    const char* what;
    std::string body;
  };
  const Row rows[] = {
      {"of no extent", item(1, {0, 1})},
      {"an unknown item", extent + item(5, {0, 1})},
      {"an unknown item", extent + item(255, {0, 1})},
      {"nobody", extent + item(1, {0, 0})},
      {"more than an extent holds", extent + item(1, {0, 65537})},
      {"more than an extent holds", extent + item(1, {1, 65536})},
      {"beyond the last ordinal", extent + item(1, {65536, 1})},
      {"beyond the last ordinal", extent + item(1, {0, 65536}) + item(1, {0, 1})},
      {"beyond the last ordinal", extent + item(1, {65535, 1}) + item(2, {0, 1, 0})},
      {"ordinals that wrap", extent + item(1, {UINT64_MAX, 2})},
      {"ordinals that wrap", extent + item(1, {over, 1})},
      {"a count that wraps", extent + item(1, {1, UINT64_MAX})},
      {"first index", item(0, {42, over, 1, 4096, 900})},
      {"segment", item(0, {42, 0, over, 4096, 900})},
      {"offset", item(0, {42, 0, 1, over, 900})},
      {"length", item(0, {42, 0, 1, 4096, over})},
      // What is due at a moment that has no nanoseconds.
      {"due too late", extent + item(2, {0, 1, zigzag(kDueMax / kDueGrainNs + 1)})},
      {"due too early", extent + item(3, {0, 1, zigzag(-(kDueMax / kDueGrainNs) - 2)})},
      {"due that wraps", extent + item(2, {0, 1, zigzag(kDueMax / kDueGrainNs)}) +
                             item(2, {0, 1, zigzag(INT64_MAX)})},
  };
  for (const Row& row : rows) {
    EXPECT_EQ(read_waiting_only(row.body).code(), absl::StatusCode::kDataLoss) << row.what;
  }
}

TEST(CheckpointWaiting, WhateverIsAddedComesBack) {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    std::mt19937_64 random(seed);
    std::vector<Waiting::Run> wanted;
    WaitingWriter writer;
    for (uint64_t extents = 1 + random() % 4, key = 1; key <= extents; ++key) {
      const WaitingExtent extent{
          random(),
          static_cast<uint32_t>(random()),
          {kJournal, static_cast<uint32_t>(random()), static_cast<uint32_t>(key), 900}};
      for (uint32_t ordinal = random() % 300; ordinal < kExtentRecipientsMax;
           ordinal += 1 + (random() % 4 == 0 ? random() % 20'000 : 0)) {
        WaitingState state;
        if (random() % 3 == 0) {
          state.attempts = static_cast<uint8_t>(1 + random() % 255);
          state.in_doubt = random() % 2 == 0;
          state.held = state.in_doubt && random() % 2 == 0;
          if (!state.held) state.due_wall_ns = static_cast<int64_t>(random() % 1'000) * kDueGrainNs;
        }
        writer.add(key, extent, static_cast<uint16_t>(ordinal), state);
        wanted.push_back({extent, ordinal, 1, state});
        if (wanted.size() % 500 == 0) break;
      }
    }
    std::string payload;
    writer.take(payload);
    std::vector<Waiting::Run> got;
    for (const Waiting::Run& run : read_runs(body_of(payload, CheckpointPart::waiting))) {
      for (uint32_t i = 0; i < run.count; ++i)
        got.push_back({run.extent, run.first + i, 1, run.state});
    }
    ASSERT_TRUE(got == wanted) << "seed " << seed;
  }
}

// --- batches ---

KnownBatch known_batch(bool committed, size_t refusals) {
  KnownBatch known;
  known.batch.number = 42;
  known.batch.tenant = "acme";
  known.batch.name = "spring-7";
  known.batch.content = {kJournal, 3, 8192, 1234};
  known.committed = committed;
  if (committed) {
    known.commit.number = 42;
    known.commit.accepted = UINT32_MAX;
    known.commit.extent_bytes = UINT64_MAX;
    known.commit.body_sha256 = std::string(32, '\xff');
    known.commit.answer_json = "{}";
  }
  for (uint32_t i = 0; i < refusals; ++i)
    known.refusals.push_back({kJournal, UINT32_MAX - i, UINT32_MAX, UINT32_MAX});
  return known;
}

TEST(CheckpointBatch, ComesBackAsItWas) {
  for (const bool committed : {false, true}) {
    for (const size_t refusals : {0, 1, 200}) {
      const KnownBatch known = known_batch(committed, refusals);
      std::string payload;
      encode_checkpoint_batch(known, payload);
      const std::string body = body_of(payload, CheckpointPart::batch);
      const auto read = decode_checkpoint_batch(body, kJournal);
      ASSERT_TRUE(read.ok()) << read.status();
      EXPECT_EQ(read->batch.number, 42u);
      EXPECT_EQ(read->batch.tenant, "acme");
      EXPECT_EQ(read->batch.content, known.batch.content);
      EXPECT_EQ(read->committed, committed);
      EXPECT_EQ(read->commit.number, known.commit.number);
      EXPECT_EQ(read->commit.accepted, known.commit.accepted);
      EXPECT_EQ(read->commit.extent_bytes, known.commit.extent_bytes);
      EXPECT_EQ(read->commit.body_sha256, known.commit.body_sha256);
      EXPECT_EQ(read->refusals, known.refusals);
      expect_whole_only(
          body, [](auto bytes) { return decode_checkpoint_batch(bytes, kJournal).status(); });
    }
  }
}

TEST(CheckpointBatch, ACountOfRefusalsThatCannotBeTakesNoMemory) {
  std::string payload;
  encode_checkpoint_batch(known_batch(false, 0), payload);
  std::string body = body_of(payload, CheckpointPart::batch);
  body.pop_back();
  put_varint(body, UINT64_MAX);
  EXPECT_FALSE(decode_checkpoint_batch(body, kJournal).ok());
}

// --- tallies ---

TEST(CheckpointTallies, ComeBackAsTheyWere) {
  const std::vector<std::pair<uint64_t, Settled>> wanted = {
      {1, {}},
      {2, {1, 2, 3, 4, 5, 6, 7}},
      {UINT64_MAX,
       {UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT64_MAX, INT64_MIN}}};
  TalliesWriter writer;
  for (const auto& [batch, settled] : wanted) writer.add(batch, settled);
  EXPECT_FALSE(writer.empty());
  std::string payload;
  writer.take(payload);
  EXPECT_TRUE(writer.empty());
  const std::string body = body_of(payload, CheckpointPart::tallies);
  size_t whole_prefixes = 0;
  for (size_t length = 0; length <= body.size(); ++length) {
    const Exact prefix(std::string_view(body).substr(0, length));
    TalliesReader reader(prefix.view());
    std::vector<std::pair<uint64_t, Settled>> got;
    uint64_t batch = 0;
    Settled settled;
    while (reader.next(batch, settled)) got.emplace_back(batch, settled);
    EXPECT_FALSE(reader.next(batch, settled));
    // What comes before the damage is handed over, nothing else.
    ASSERT_LE(got.size(), wanted.size());
    for (size_t i = 0; i < got.size(); ++i) EXPECT_EQ(got[i], wanted[i]) << length;
    if (reader.status().ok()) ++whole_prefixes;
    EXPECT_EQ(got.size() == wanted.size(), length == body.size());
  }
  EXPECT_EQ(whole_prefixes, wanted.size() + 1);
  // The next part counts from nothing again.
  writer.add(1, {});
  writer.take(payload);
  uint64_t batch = 0;
  Settled settled;
  const std::string next = body_of(payload, CheckpointPart::tallies);
  EXPECT_TRUE(TalliesReader(next).next(batch, settled));
  EXPECT_EQ(batch, 1u);
}

TEST(CheckpointTallies, NumbersThatDoNotAscendAreRefused) {
  const auto entry = [](uint64_t difference, uint64_t delivered) {
    std::string bytes;
    for (const uint64_t number : {difference, delivered, uint64_t{0}, uint64_t{0}, uint64_t{0},
                                  uint64_t{0}, uint64_t{0}, uint64_t{0}})
      put_varint(bytes, number);
    return bytes;
  };
  for (const std::string& body :
       {entry(0, 1), entry(7, 1) + entry(0, 1), entry(7, 1) + entry(UINT64_MAX, 1),
        entry(7, uint64_t{UINT32_MAX} + 1)}) {
    TalliesReader reader(body);
    uint64_t batch = 0;
    Settled settled;
    while (reader.next(batch, settled)) EXPECT_EQ(batch, 7u);
    EXPECT_EQ(reader.status().code(), absl::StatusCode::kDataLoss);
  }
}

TEST(CheckpointTallies, WhatAnOutcomeCounts) {
  struct Row {
    OutcomeType type;
    Settled counted;
  };
  const Row rows[] = {
      {OutcomeType::delivered, {1, 0, 0, 0, 0, 1, 9}},
      {OutcomeType::failed, {0, 1, 0, 0, 0, 1, 9}},
      {OutcomeType::expired, {0, 0, 1, 0, 0, 1, 9}},
      {OutcomeType::cancelled, {0, 0, 0, 1, 0, 1, 9}},
      {OutcomeType::suppressed, {0, 0, 0, 0, 1, 1, 9}},
      {OutcomeType::deferred, {0, 0, 0, 0, 0, 1, 9}},
      {OutcomeType::in_doubt, {0, 0, 0, 0, 0, 1, 9}},
  };
  for (const Row& row : rows) {
    Outcome outcome;
    outcome.type = row.type;
    outcome.wall_ns = 9;
    Settled settled;
    settled.count(outcome);
    EXPECT_EQ(settled, row.counted) << static_cast<int>(row.type);
    EXPECT_EQ(settled.total(), is_final(row.type) ? 1u : 0u);
    // An older one does not set the clock back.
    outcome.wall_ns = 8;
    settled.count(outcome);
    EXPECT_EQ(settled.last_outcome_wall_ns, 9);
    EXPECT_EQ(settled.attempts, 2u);
  }
}

}  // namespace
}  // namespace veredus::queue
