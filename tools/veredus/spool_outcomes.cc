// Outcomes as the events tell them, and by the same code: on files instead of an engine.

#include <cstdio>
#include <memory>
#include <utility>

#include <sysexits.h>

#include "absl/container/flat_hash_map.h"
#include "engine/control/engine_view.h"
#include "engine/control/event_reader.h"
#include "simdjson.h"
#include "tools/veredus/spool.h"
#include "tools/veredus/table.h"

namespace veredus::tools {
namespace {

constexpr size_t kBytesAtOnce = 1u << 20;

// What the event reader asks of an engine, answered from files that were read once.
class FilesView final : public control::EngineView {
 public:
  FilesView(Spool& spool, const Journals& journals) : spool_(spool), journals_(journals) {
    for (const auto& journal : journals) {
      for (const auto& [number, known] : journal->books.ledger.batches()) {
        if (!known.committed || known.batch.number != number) continue;
        auto live = std::make_shared<queue::LiveBatch>();
        live->batch = known.batch;
        live->accepted = known.commit.accepted;
        live->coordinator = journal->number;
        batches_[number] = std::move(live);
      }
    }
  }
  unsigned shards() const override { return 0; }
  const Counters& counters(unsigned) const override { return none_; }
  unsigned journals() const override { return static_cast<unsigned>(journals_.size()); }
  std::string journal_directory(unsigned journal) const override {
    return journals_[journal]->directory;
  }
  queue::Location durable_end(unsigned journal) const override {
    return journals_[journal]->recovered.end;
  }
  uint32_t events_from(unsigned) const override { return 0; }  // all there are
  uint64_t durable_events(unsigned journal) const override {
    return journals_[journal]->recovered.summary.events;
  }
  void hold_events(unsigned, uint32_t) override {}
  void store_consumer(const queue::Consumer&,
                      std::function<void(absl::Status)> on_stored) override {
    on_stored(absl::UnimplementedError("nothing is written"));
  }
  std::vector<queue::Consumer> consumers_at_start() const override { return {}; }
  queue::Disk& disk() override { return spool_.disk(); }
  std::shared_ptr<const queue::LiveBatch> find_batch(uint64_t number) const override {
    const auto found = batches_.find(number);
    return found == batches_.end() ? nullptr : found->second;
  }
  uint64_t first_batch_of_run() const override { return UINT64_MAX; }
  void ask_in_doubt(const InDoubtQuestion&, std::function<void(InDoubtAnswer)>) override {}
  void ask_erasure(const ErasureQuestion&, std::function<void(ErasureAnswer)>) override {}
  int64_t erased_after_ns() const override { return 0; }
  void ask_order(const queue::Order&, std::function<void(OrderAnswer)>) override {}
  uint64_t next_order() override { return 1; }
  const std::map<uint64_t, queue::Order>& orders() const override { return orders_; }
  void ask_why(const WhyQuestion&, std::function<void(WhyAnswer)>) override {}
  void ask_tls_results(const TlsResultsQuestion&, std::function<void(TlsResultsAnswer)>) override {}
  void ask_sites(const SitesQuestion&, std::function<void(SitesAnswer)>) override {}
  void begin_trace(const std::shared_ptr<Trace>&) override {}
  const Policy& policy() const override { return policy_; }
  void apply(const EngineSettings&) override {}
  std::vector<std::string> damage() const override { return {}; }

 private:
  Spool& spool_;
  const Journals& journals_;
  const Counters none_;
  const std::map<uint64_t, queue::Order> orders_;
  const Policy policy_;
  absl::flat_hash_map<uint64_t, std::shared_ptr<const queue::LiveBatch>> batches_;
};

class Lines {
 public:
  Lines(bool json, const SpoolOptions& options) : json_(json), filter_(options.batch) {}

  absl::Status take(const std::string& lines) {
    for (size_t begin = 0, end = 0; (end = lines.find('\n', begin)) != std::string::npos;
         begin = end + 1) {
      const std::string_view line = std::string_view(lines).substr(begin, end - begin);
      simdjson::dom::element event;
      if (parser_.parse(line.data(), line.size()).get(event) != simdjson::SUCCESS)
        return absl::InternalError("an event is no JSON: " + std::string(line));
      take(event, line);
    }
    return absl::OkStatus();
  }
  void print() {
    if (!json_) print_table(rows_);
  }
  bool gaps() const { return gaps_; }

 private:
  void take(simdjson::dom::element event, std::string_view line) {
    std::string_view tenant, name, type, to;
    if (event["type"].get(type) != simdjson::SUCCESS) return;
    if (type == "gap") {
      gaps_ = true;
    } else {
      // Without a batch: it is forgotten.
      if (event["tenant"].get(tenant) != simdjson::SUCCESS ||
          event["batch"].get(name) != simdjson::SUCCESS || !filter_.takes(tenant, name))
        return;
    }
    if (json_) {
      std::fwrite(line.data(), 1, line.size(), stdout);
      std::fputc('\n', stdout);
      return;
    }
    if (event["to"].get(to) != simdjson::SUCCESS) to = "?";
    const auto number = [&](const char* key) {
      uint64_t value = 0;
      return event[key].get(value) == simdjson::SUCCESS ? std::to_string(value) : "-";
    };
    rows_.push_back({std::string(tenant) + "/" + std::string(name), number("index"),
                     std::string(to), std::string(type), number("attempt"), number("stream"),
                     number("seq")});
  }

  const bool json_;
  const BatchFilter filter_;
  simdjson::dom::parser parser_;
  std::vector<std::vector<std::string>> rows_{
      {"batch", "index", "to", "type", "attempt", "stream", "seq"}};
  bool gaps_ = false;
};

}  // namespace

int print_outcomes(Spool& spool, const Common& common, const SpoolOptions& options) {
  Journals journals;
  bool live = false;
  const absl::Status read = spool.look(
      [&]() -> absl::StatusOr<bool> {
        absl::StatusOr<Journals> got = spool.read();
        if (!got.ok()) return got.status();
        journals = *std::move(got);
        return true;
      },
      live);
  if (!read.ok()) {
    complain(std::string(read.message()));
    return exit_status_of(read);
  }
  FilesView view(spool, journals);
  control::EventFilter filter;
  filter.types = {"delivered", "failed", "expired", "cancelled", "suppressed"};
  if (!options.final_only) filter.types.insert(filter.types.end(), {"deferred", "in_doubt"});
  control::EventReader reader(view, "spool", std::move(filter));
  absl::Status status;
  Lines lines(common.json, options);
  std::string out;
  while (status.ok()) {
    uint64_t events = 0;
    out.clear();
    const absl::StatusOr<control::EventReader::Result> result =
        reader.read(out, kBytesAtOnce, UINT64_MAX, events);
    status = result.status();
    if (!status.ok()) break;
    status = lines.take(out);
    if (*result == control::EventReader::Result::end) break;
  }
  lines.print();
  if (std::fflush(stdout) != 0) return EX_IOERR;
  for (const auto& journal : journals) {
    for (const SpoolDamage& damage : journal->damage) complain(text_of(damage));
  }
  if (status.ok()) return EX_OK;
  complain(std::string(status.message()));
  return exit_status_of(status);
}

}  // namespace veredus::tools
