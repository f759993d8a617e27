#pragma once

// Journals on a disk in memory, stories to write into them, and what readers of events got: for the
// tests of readers.

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/control/event_reader.h"
#include "gtest/gtest.h"
#include "queue/checkpoint.h"
#include "simdjson.h"
#include "tests/sim/sim_disk.h"

namespace veredus::control {

struct Nobody final : queue::JournalVisitor, queue::JournalListener {
  void on_frame(queue::FrameType, const queue::Location&, std::string_view) override {}
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
    journals_[i]->append(queue::FrameType::checkpoint, std::string_view(payload));
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
  queue::Location append(unsigned journal, queue::FrameType type, const std::string& payload,
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
  void ask_erasure(const ErasureQuestion&, std::function<void(ErasureAnswer)>) override {}
  void apply(const EngineSettings&) override {}
  int64_t erased_after_ns() const override { return 0; }
  void ask_order(const queue::Order&, std::function<void(OrderAnswer)>) override {}
  uint64_t next_order() override { return 1; }
  const std::map<uint64_t, queue::Order>& orders() const override { return no_orders; }
  void ask_why(const WhyQuestion&, std::function<void(WhyAnswer)>) override {}
  void ask_tls_results(const TlsResultsQuestion&, std::function<void(TlsResultsAnswer)>) override {}
  void ask_sites(const SitesQuestion&, std::function<void(SitesAnswer)>) override {}
  void begin_trace(const std::shared_ptr<Trace>&) override {}
  const Policy& policy() const override { return no_policy; }
  uint64_t first_batch_of_run() const override { return first_of_run; }
  std::vector<std::string> damage() const override { return {}; }

  uint64_t first_of_run = 1;
  std::map<uint64_t, queue::Order> no_orders;
  Policy no_policy;
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

inline std::string address_of(uint64_t batch, uint32_t index) {
  return "u" + std::to_string(index) + "@d" + std::to_string(batch) + ".example";
}

inline std::vector<Placed> write_extent(Spool& spool, unsigned journal, uint64_t batch,
                                        uint32_t first, uint32_t count, bool carried = false) {
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
  const queue::Location at = spool.append(journal, queue::FrameType::extent, payload);
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

inline void write_batch(Spool& spool, unsigned journal, uint64_t number) {
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
  spool.append(journal, queue::FrameType::batch, payload);
}

inline void write_commit(Spool& spool, unsigned journal, uint64_t number, uint32_t accepted,
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
  spool.append(journal, queue::FrameType::commit, payload, accepted);
}

inline void write_outcomes(Spool& spool, const std::vector<Placed>& of, uint64_t batch,
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
  spool.append(of.front().journal, queue::FrameType::outcomes, payload,
               static_cast<uint32_t>(of.size()));
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

inline Got parse(const std::string& text) {
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

inline std::string read_all(EventReader& reader, size_t bytes_max = 1 << 20,
                            uint64_t events_max = 1u << 30) {
  std::string text;
  for (;;) {
    uint64_t events = 0;
    const auto result = reader.read(text, text.size() + bytes_max, events_max, events);
    EXPECT_TRUE(result.ok()) << result.status().ToString();
    if (!result.ok() || *result == EventReader::Result::end) return text;
  }
}

inline void expect_gap_free(const std::vector<Got::Event>& events) {
  std::map<unsigned, uint64_t> last;
  for (const Got::Event& event : events) {
    if (event.type == "gap" && event.from_seq == 0) continue;  // nobody knows how many
    // A gap stands for all that it says.
    EXPECT_EQ(event.from_seq == 0 ? event.seq : event.from_seq, last[event.stream] + 1)
        << "stream " << event.stream;
    last[event.stream] = event.seq;
  }
}

}  // namespace veredus::control
