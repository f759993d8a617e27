// A journal of everything that comes up, in seeded random order, against books kept beside it. A
// reader that begins at a checkpoint must know what one knows that read all of it, and both what
// the books say.

#include <algorithm>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <tuple>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/queue/ledger_frames.h"
#include "tests/queue/orders_by_hand.h"

namespace veredus::queue {
namespace {

using testing::IsEmpty;

constexpr uint16_t kJournal = 3;
using Recipient = std::pair<uint64_t, uint32_t>;  // batch, index

// What is true, and how it is written down.
class Books {
 public:
  explicit Books(uint64_t seed) : random_(seed) {}

  void step() {
    switch (below(12)) {
      case 0:
        return begin_batch();
      case 1:
        return add_extent();
      case 2:
        return commit();
      case 3:
        return carry();
      case 4:
        return below(2) == 0 ? consumer() : order();
      case 5:
        return below(4) == 0 ? end_batch() : refusals();
      case 6:
      case 7:
        return checkpoint_part();
      default:
        return outcomes();
    }
  }
  void finish_checkpoint() {
    if (!sweep_) begin_checkpoint();
    while (sweep_) checkpoint_part();
  }

  const std::vector<HandFrame>& frames() const { return frames_; }
  size_t checkpoint_at() const { return checkpoint_at_; }  // the first frame of the last whole one

  void expect_same(const Ledger& ledger, const std::string& who) const {
    EXPECT_THAT(ledger.damage(), IsEmpty()) << who;
    std::map<Recipient, std::pair<Location, WaitingState>> found;
    for (const auto& [place, run] : ledger.runs()) {
      uint32_t held = 0;
      for (uint32_t ordinal = 0; ordinal < run.waits.size() * 64; ++ordinal) {
        if (!run.has(ordinal)) continue;
        const WaitingState state = run.state(ordinal);
        held += state.held ? 1 : 0;
        const Recipient recipient{run.extent.batch, run.extent.first_index + ordinal};
        EXPECT_TRUE(found.emplace(recipient, std::pair(run.extent.at, state)).second)
            << who << ": " << recipient.second << " waits twice";
      }
      EXPECT_EQ(held, run.held()) << who;
    }
    EXPECT_EQ(found.size(), waiting_.size()) << who;
    for (const auto& [recipient, known] : waiting_) {
      const auto at = found.find(recipient);
      ASSERT_NE(at, found.end()) << who << ": " << recipient.first << "/" << recipient.second;
      EXPECT_EQ(at->second.first, known.at.at) << who;
      EXPECT_EQ(at->second.second, known.state) << who;
    }
    EXPECT_EQ(ledger.tallies(), tallies_) << who;
    EXPECT_EQ(ledger.consumers(), consumers_) << who;
    EXPECT_EQ(ledger.orders(), orders_) << who;
    EXPECT_EQ(ledger.highest_order(), highest_order_) << who;
    EXPECT_EQ(ledger.highest_batch(), highest_) << who;
    ASSERT_EQ(ledger.batches().size(), batches_.size()) << who;
    for (const auto& [number, known] : batches_) {
      const KnownBatch& read = ledger.batches().at(number);
      EXPECT_EQ(read.batch.number, number) << who;
      EXPECT_EQ(read.committed, known.committed) << who;
      EXPECT_EQ(read.commit.accepted, known.commit.accepted) << who;
      EXPECT_EQ(read.refusals, known.refusals) << who;
    }
  }

 private:
  struct Known {
    WaitingExtent at, before;  // before it was carried
    WaitingState state;
  };
  struct Sweep {
    size_t begin;
    std::vector<Recipient> waiting;
    size_t swept = 0;
    unsigned stage = 0;
  };

  uint64_t below(uint64_t n) { return random_() % n; }
  Location write(FrameType type, std::string payload) {
    const Location at{kJournal, segment_, offset_, static_cast<uint32_t>(payload.size())};
    offset_ += static_cast<uint32_t>(payload.size() + 64);
    if (offset_ > 60'000) ++segment_, offset_ = 4096;
    frames_.push_back({type, at, std::move(payload)});
    return at;
  }
  template <class Map>
  auto any(Map& map) {
    return std::next(map.begin(), static_cast<ptrdiff_t>(below(map.size())));
  }

  // --- batches ---

  void begin_batch() {
    const uint64_t number = ++highest_;
    batches_[number].batch.number = number;
    write(FrameType::batch, batch_payload(number));
    add_extent();
  }
  void add_extent() {
    if (batches_.empty()) return;
    const auto& [number, known] = *any(batches_);
    if (known.committed) return;
    uint32_t& next = next_index_[number];
    const uint32_t first = next;
    std::vector<uint32_t> indexes;
    for (uint64_t n = 1 + below(70); n > 0; --n) indexes.push_back(next += 1 + (below(9) == 0));
    const Location at = write(FrameType::extent, extent_payload(number, first, indexes));
    for (const uint32_t index : indexes) waiting_[{number, index}].at = {number, first, at};
    ++next;
  }
  void commit() {
    if (batches_.empty()) return;
    auto& [number, known] = *any(batches_);
    if (known.committed) return;
    known.committed = true;
    known.commit.accepted = static_cast<uint32_t>(1 + below(1000));
    write(FrameType::commit, commit_payload(number, known.commit.accepted));
  }
  void refusals() {
    if (batches_.empty()) return;
    auto& [number, known] = *any(batches_);
    if (known.committed) return;
    known.refusals.push_back(write(FrameType::refusals, number_payload(number) + "{}\n"));
  }
  // An upload is given up; a batch of which nobody waits is forgotten.
  void end_batch() {
    if (batches_.empty()) return;
    const auto found = any(batches_);
    const uint64_t number = found->first;
    const auto first = waiting_.lower_bound({number, 0}),
               last = waiting_.lower_bound({number + 1, 0});
    if (found->second.committed && first != last) return;
    write(found->second.committed ? FrameType::forgotten : FrameType::abort,
          number_payload(number));
    waiting_.erase(first, last);
    batches_.erase(found);
    tallies_.erase(number);
  }

  // --- recipients ---

  void outcomes() {
    std::vector<Outcome> all;
    for (uint64_t n = 1 + below(12); n > 0 && !waiting_.empty(); --n) {
      const auto found = any(waiting_);
      const auto& [number, index] = found->first;
      if (!batches_.at(number).committed) continue;
      Known& known = found->second;
      const bool old_place = known.before.batch != 0 && below(2) == 0;
      const auto type = static_cast<OutcomeType>(1 + below(7));
      const bool held = type == OutcomeType::in_doubt && below(2) == 0;
      const auto attempt = static_cast<uint16_t>(known.state.attempts + 1);
      const int64_t due =
          is_final(type) || held ? 0 : static_cast<int64_t>(1 + below(1000)) * 1'000'000;
      all.push_back(
          outcome_of(type, number, index, (old_place ? known.before : known.at).at, attempt, due));
      all.back().wall_ns = ++wall_ns_;
      tallies_[number].count(all.back());
      if (is_final(type)) {
        waiting_.erase(found);
      } else {
        known.state = {due, static_cast<uint8_t>(std::min<int>(attempt, 255)),
                       type == OutcomeType::in_doubt, held};
      }
    }
    if (!all.empty()) write(FrameType::outcomes, outcomes_payload(all));
  }
  // Who still waits of an extent is written anew; some are left where they are.
  void carry() {
    if (waiting_.empty()) return;
    const WaitingExtent from = any(waiting_)->second.at;
    std::vector<uint32_t> indexes;
    for (auto at = waiting_.lower_bound({from.batch, 0});
         at != waiting_.end() && at->first.first == from.batch; ++at) {
      if (at->second.at.at == from.at && below(8) != 0) indexes.push_back(at->first.second);
    }
    if (indexes.empty()) return;
    const Location at =
        write(FrameType::extent, extent_payload(from.batch, indexes.front(), indexes, true));
    for (const uint32_t index : indexes) {
      Known& known = waiting_.at({from.batch, index});
      known.before = std::exchange(known.at, {from.batch, indexes.front(), at});
    }
  }

  void consumer() {
    const std::string name(1, static_cast<char>('a' + below(3)));
    const Consumer said{name, below(3) == 0 ? "" : std::to_string(below(1000)), ++wall_ns_};
    std::string payload;
    encode_consumer(said, payload);
    write(FrameType::consumer, payload);
    if (said.cursor.empty()) {
      consumers_.erase(name);
    } else {
      consumers_[name] = said;
    }
  }

  // A new one, or one of those that are there ends.
  void order() {
    Order said;
    if (orders_.empty() || below(2) == 0) {
      while (said.number == 0 || said.state != Order::State::given)
        said = random_order(random_, highest_order_ + 1);
      orders_[++highest_order_] = said;
    } else {
      const auto found = any(orders_);
      said = found->second;
      said.state = said.kind == Order::Kind::suspend ? Order::State::lifted : Order::State::done;
      said.ended_wall_ns = ++wall_ns_;
      orders_.erase(found);
    }
    std::string payload;
    encode_order(said, payload);
    write(FrameType::order, payload);
  }

  // --- checkpoints: a part at a time, between everything else ---

  void part(const std::string& payload) { write(FrameType::checkpoint, payload); }
  void begin_checkpoint() {
    sweep_ = Sweep{frames_.size(), {}, 0, 0};
    for (const auto& [recipient, known] : waiting_) sweep_->waiting.push_back(recipient);
    std::shuffle(sweep_->waiting.begin(), sweep_->waiting.end(), random_);
    // Records of an extent lie together, mostly.
    if (below(2) == 0) std::sort(sweep_->waiting.begin(), sweep_->waiting.end());
    std::string payload;
    encode_checkpoint_begin({highest_, wall_ns_, highest_order_}, payload);
    part(payload);
    for (const auto& [name, said] : consumers_) {
      encode_checkpoint_consumer(said, payload);
      part(payload);
    }
    for (const auto& [number, said] : orders_) {
      encode_checkpoint_order(said, payload);
      part(payload);
    }
  }
  void checkpoint_part() {
    if (!sweep_) return begin_checkpoint();
    std::string payload;
    if (sweep_->swept < sweep_->waiting.size()) {
      WaitingWriter writer;
      for (uint64_t n = 1 + below(100); n > 0 && sweep_->swept < sweep_->waiting.size(); --n) {
        const Recipient recipient = sweep_->waiting[sweep_->swept++];
        const auto found = waiting_.find(recipient);
        if (found == waiting_.end()) continue;
        const WaitingExtent& extent = found->second.at;
        writer.add(uint64_t{extent.at.segment} << 32 | extent.at.offset, extent,
                   static_cast<uint16_t>(recipient.second - extent.first_index),
                   found->second.state);
      }
      writer.take(payload);
      return part(payload);
    }
    if (sweep_->stage++ == 0) {
      for (const auto& [number, known] : batches_) {
        encode_checkpoint_batch(known, payload);
        part(payload);
      }
      return;
    }
    if (sweep_->stage == 2) {
      TalliesWriter writer;
      for (const auto& [number, settled] : tallies_) writer.add(number, settled);
      writer.take(payload);
      return part(payload);
    }
    encode_checkpoint_end({1, 4096, 1, 0}, payload);
    part(payload);
    checkpoint_at_ = sweep_->begin;
    sweep_.reset();
  }

  std::mt19937_64 random_;
  std::map<Recipient, Known> waiting_;
  std::map<uint64_t, KnownBatch> batches_;
  std::map<uint64_t, Settled> tallies_;
  std::map<std::string, Consumer> consumers_;
  std::map<uint64_t, Order> orders_;
  std::map<uint64_t, uint32_t> next_index_;
  uint64_t highest_ = 0, highest_order_ = 0;
  int64_t wall_ns_ = 0;

  std::vector<HandFrame> frames_;
  uint32_t segment_ = 1, offset_ = 4096;
  std::optional<Sweep> sweep_;
  size_t checkpoint_at_ = 0;
};

TEST(LedgerProperty, ACheckpointSaysWhatTheWholeJournalSays) {
  uint64_t in_checkpoints = 0;
  for (uint64_t seed = 1; seed <= 150 && !testing::Test::HasFailure(); ++seed) {
    Books books(seed);
    Ledger all(kJournal);
    size_t told = 0;
    for (unsigned round = 0; round < 6; ++round) {
      for (unsigned step = 0; step < 60; ++step) books.step();
      if (round % 2 == 1) books.finish_checkpoint();
      const std::vector<HandFrame>& frames = books.frames();
      for (; told < frames.size(); ++told)
        all.on_frame(frames[told].type, frames[told].at, frames[told].payload);
      books.expect_same(all, "seed " + std::to_string(seed) + ", from the beginning");
      if (books.checkpoint_at() == 0) continue;
      ++in_checkpoints;
      Ledger later(kJournal);
      for (size_t i = books.checkpoint_at(); i < frames.size(); ++i)
        later.on_frame(frames[i].type, frames[i].at, frames[i].payload);
      books.expect_same(later, "seed " + std::to_string(seed) + ", from the checkpoint");
    }
  }
  EXPECT_GT(in_checkpoints, 500u);
}

}  // namespace
}  // namespace veredus::queue
