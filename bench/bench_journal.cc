// What the journal costs: appending, checksums, recovery. The disk is memory, so that only our own
// work is measured.

#include <cstdlib>
#include <cstring>
#include <map>
#include <new>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "queue/crc32c.h"
#include "queue/extent.h"
#include "queue/journal.h"
#include "queue/outcome.h"

namespace {

uint64_t allocations = 0;

}  // namespace

// Not inlined: g++ would see malloc and free, and warn of a mismatch.
[[gnu::noinline]] void* operator new(size_t bytes) {
  ++allocations;
  void* const made = std::malloc(bytes);
  if (made == nullptr) std::abort();
  return made;
}
[[gnu::noinline]] void operator delete(void* bytes) noexcept {
  std::free(bytes);
}
[[gnu::noinline]] void operator delete(void* bytes, size_t) noexcept {
  std::free(bytes);
}

namespace veredus::queue {
namespace {

// Completes at once when asked; keeps bytes only if told to.
class MemoryDisk final : public Disk {
 public:
  explicit MemoryDisk(bool keeps = false) : keeps_(keeps) { done_.reserve(64); }
  void complete_all() {
    for (size_t n = 0; n < done_.size(); ++n) {
      const auto [op, result] = done_[n];
      op->on_disk_done(result);
    }
    done_.clear();
  }
  void create(std::string_view path, uint64_t bytes, DiskOperation& op) override {
    if (keeps_) files_[std::string(path)].assign(bytes, '\0');
    handles_.emplace_back(path);
    done_.emplace_back(&op, handles_.size() - 1);
  }
  void open(std::string_view, DiskOperation& op) override { done_.emplace_back(&op, -2); }
  void write(File file, uint64_t offset, std::span<const uint8_t> bytes,
             DiskOperation& op) override {
    if (keeps_) {
      std::memcpy(files_[handles_[static_cast<size_t>(file)]].data() + offset, bytes.data(),
                  bytes.size());
    }
    done_.emplace_back(&op, bytes.size());
  }
  void sync(File, DiskOperation& op) override { done_.emplace_back(&op, 0); }
  void read(File, uint64_t, std::span<uint8_t>, DiskOperation& op) override {
    done_.emplace_back(&op, -5);
  }
  void remove(std::string_view, DiskOperation& op) override { done_.emplace_back(&op, 0); }
  void close(File) override {}
  int64_t list_now(std::string_view directory, std::vector<Entry>& entries) override {
    entries.clear();
    for (const auto& [path, bytes] : files_) {
      entries.push_back({path.substr(directory.size() + 1), bytes.size()});
    }
    return 0;
  }
  int64_t open_now(std::string_view path) override {
    handles_.emplace_back(path);
    return static_cast<int64_t>(handles_.size() - 1);
  }
  int64_t read_now(File file, uint64_t offset, std::span<uint8_t> bytes) override {
    const std::string& from = files_[handles_[static_cast<size_t>(file)]];
    if (offset >= from.size()) return 0;
    const size_t length = std::min<size_t>(bytes.size(), from.size() - offset);
    std::memcpy(bytes.data(), from.data() + offset, length);
    return static_cast<int64_t>(length);
  }
  int64_t sync_now(File) override { return 0; }

 private:
  const bool keeps_;
  std::map<std::string, std::string> files_;
  std::vector<std::string> handles_;
  std::vector<std::pair<DiskOperation*, int64_t>> done_;
};

struct Quiet : JournalListener, JournalVisitor {
  void on_durable(uint64_t) override {}
  void on_lost(uint64_t, const absl::Status&) override { std::abort(); }
  void on_frame(FrameType, const Location&, std::string_view payload) override {
    bytes += payload.size();
  }
  void on_damage(uint32_t, uint64_t, const std::string&) override { std::abort(); }
  uint64_t bytes = 0;
};

// Appends frames of `bytes` bytes, a group of 256 KiB at a time, as a shard under load does.
void append_frames(benchmark::State& state) {
  const std::string payload(static_cast<size_t>(state.range(0)), 'p');
  MemoryDisk disk;
  Quiet quiet;
  Journal journal(disk, quiet, 0, "j");
  if (!journal.recover(quiet).ok()) std::abort();
  journal.start();
  const size_t per_group = std::max<size_t>(1, (256 << 10) / (payload.size() + 8));
  size_t in_group = 0;
  const auto one = [&] {
    benchmark::DoNotOptimize(journal.append(FrameType::content, payload));
    if (++in_group < per_group) return;
    in_group = 0;
    journal.flush();
    disk.complete_all();
  };
  for (size_t n = 0; n < 8 * per_group; ++n) one();
  const uint64_t before = allocations;
  for (auto _ : state) one();
  // What is left: a block of the deque of groups every few groups, and what belongs to a file of 64
  // MiB.
  state.counters["allocations"] = benchmark::Counter(static_cast<double>(allocations - before),
                                                     benchmark::Counter::kAvgIterations);
  state.SetBytesProcessed(state.iterations() * state.range(0));
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(append_frames)->Arg(60)->Arg(512)->Arg(2048)->Arg(65536);

Outcome delivered(uint32_t index) {
  Outcome made;
  made.type = OutcomeType::delivered;
  made.attempt = 1;
  made.code = 250;
  made.enhanced = {2, 0, 0};
  made.batch = 12345;
  made.index = index;
  made.segment = 3;
  made.page_offset = 4096 + index / 100 * 4000;
  made.entry_offset = 16 + index % 100 * 40;
  made.bytes = 2048;
  made.wall_ns = 1700000000000000000 + index * 10000;
  made.timing.queued_us = 500;
  made.timing.mail_us = 300;
  made.timing.dot_us = 1500;
  made.text = "2.0.0 Ok: queued as";
  made.mx_name = "mx1.example.org";
  made.mx_address = "192.0.2.1";
  made.site = "mx1.example.org,mx2.example.org";
  made.source = "default";
  return made;
}

// The whole way of an outcome: encoded, a frame of 1,000, a group, checksum, written.
void append_outcomes(benchmark::State& state) {
  MemoryDisk disk;
  Quiet quiet;
  Journal journal(disk, quiet, 0, "j");
  if (!journal.recover(quiet).ok()) std::abort();
  journal.start();
  OutcomeWriter writer;
  std::string payload;
  uint64_t bytes = 0;
  uint32_t index = 0;
  for (auto _ : state) {
    writer.add(delivered(++index));
    if (writer.count() < 1000) continue;
    writer.take(payload);
    bytes += payload.size();
    journal.append(FrameType::outcomes, payload);
    journal.flush();
    disk.complete_all();
  }
  state.SetItemsProcessed(state.iterations());
  state.counters["bytes_each"] = static_cast<double>(bytes) / std::max(1u, index / 1000 * 1000);
}
BENCHMARK(append_outcomes);

void read_outcomes(benchmark::State& state) {
  OutcomeWriter writer;
  for (uint32_t index = 0; index < 1000; ++index) writer.add(delivered(index));
  std::string payload;
  writer.take(payload);
  for (auto _ : state) {
    OutcomeReader reader(payload);
    Outcome outcome;
    while (reader.next(outcome)) benchmark::DoNotOptimize(outcome.index);
  }
  state.SetItemsProcessed(state.iterations() * 1000);
}
BENCHMARK(read_outcomes);

void write_extent(benchmark::State& state) {
  Entry entry;
  entry.to = "somebody.somewhere@example.org";
  entry.vars = {{"first", "Ada"}, {"last", "Lovelace"}};
  for (auto _ : state) {
    ExtentWriter writer(1, 0);
    for (entry.index = 0; entry.index < 10'000; ++entry.index) writer.add(entry);
    benchmark::DoNotOptimize(writer.finish());
  }
  state.SetItemsProcessed(state.iterations() * 10'000);
}
BENCHMARK(write_extent);

// What loading a waiting recipient costs here: page checksum and the head of its entry.
void read_extent_heads(benchmark::State& state) {
  Entry entry;
  entry.to = "somebody.somewhere@example.org";
  entry.vars = {{"first", "Ada"}, {"last", "Lovelace"}};
  ExtentWriter writer(1, 0);
  for (entry.index = 0; entry.index < 10'000; ++entry.index) writer.add(entry);
  const std::string extent = writer.finish();
  for (auto _ : state) {
    for (uint32_t offset = kExtentHeaderBytes; offset < extent.size();) {
      const auto page = read_page(extent, offset);
      if (!page.ok()) std::abort();
      for (uint32_t at = kPageHeaderBytes; at != 0;) {
        if (!read_entry_head(page->bytes, at, entry, at).ok()) std::abort();
        benchmark::DoNotOptimize(entry.to);
      }
      offset += static_cast<uint32_t>(page->bytes.size());
    }
  }
  state.SetItemsProcessed(state.iterations() * 10'000);
}
BENCHMARK(read_extent_heads);

void checksum(benchmark::State& state) {
  const std::string bytes(static_cast<size_t>(state.range(0)), 'x');
  for (auto _ : state) benchmark::DoNotOptimize(crc32c(bytes));
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(checksum)->Arg(64)->Arg(10 << 10)->Arg(1 << 20);

void recovery(benchmark::State& state) {
  MemoryDisk disk(true);
  Quiet quiet;
  {
    Journal journal(disk, quiet, 0, "j");
    if (!journal.recover(quiet).ok()) std::abort();
    journal.start();
    const std::string payload(4096, 'p');
    for (int group = 0; group < 400; ++group) {
      for (int n = 0; n < 128; ++n) journal.append(FrameType::outcomes, payload);
      journal.flush();
      disk.complete_all();
    }
  }
  uint64_t bytes = 0;
  for (auto _ : state) {
    Journal journal(disk, quiet, 0, "j");
    const auto recovered = journal.recover(quiet);
    if (!recovered.ok() || recovered->frames != 400 * 128) std::abort();
    bytes += recovered->bytes;
  }
  state.SetBytesProcessed(static_cast<int64_t>(bytes));
}
BENCHMARK(recovery)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace veredus::queue

BENCHMARK_MAIN();
