// What an attempt mark costs a recipient: written before the content leaves, let go when the
// outcome is durable. In memory that is mapped from a file, as in the engine.

#include <cstdlib>
#include <filesystem>
#include <string>

#include <benchmark/benchmark.h>

#include "engine/io/spool_files.h"
#include "queue/attempt_marks.h"

namespace veredus::queue {
namespace {

constexpr uint32_t kPlaces = 65536;

// `under_way`: recipients between the two, as many as are delivered while one group is synced.
void BM_MarkWrittenSettledAndFree(benchmark::State& state) {
  char name[] = "/var/tmp/veredus-marks-XXXXXX";
  const std::string directory = mkdtemp(name);
  auto files = io::SpoolFiles::open(directory);
  std::span<uint8_t> memory;
  if (!files.ok() || files->map("journal-0/marks-00000001", marks_bytes(kPlaces), memory) != 0) {
    state.SkipWithError("no file");
    return;
  }
  {
    AttemptMarks marks(memory, 0, 1, 4);
    const uint64_t under_way = static_cast<uint64_t>(state.range(0));
    uint64_t number = 0;
    for (auto _ : state) {
      const uint32_t place = marks.write({1, static_cast<uint32_t>(number), 1, 0});
      marks.settle(0, ++number, place);
      if (number > under_way) marks.durable(0, number - under_way);
    }
    state.SetItemsProcessed(state.iterations());
  }
  io::SpoolFiles::unmap(memory);
  std::filesystem::remove_all(directory);
}
BENCHMARK(BM_MarkWrittenSettledAndFree)->Arg(1)->Arg(1000)->Arg(60000);

void BM_MarkWrittenAndErased(benchmark::State& state) {
  std::string memory(marks_bytes(kPlaces), '\0');
  AttemptMarks marks({reinterpret_cast<uint8_t*>(memory.data()), memory.size()}, 0, 1, 1);
  for (auto _ : state) marks.erase(marks.write({1, 2, 1, 0}));
}
BENCHMARK(BM_MarkWrittenAndErased);

// A start after a kill: a file of 65,536 marks.
void BM_MarksRead(benchmark::State& state) {
  std::string memory(marks_bytes(kPlaces), '\0');
  AttemptMarks marks({reinterpret_cast<uint8_t*>(memory.data()), memory.size()}, 0, 1, 1);
  for (uint32_t i = 0; i < kPlaces; ++i) marks.write({1, i, 1, 0});
  for (auto _ : state) {
    std::vector<AttemptMark> read;
    benchmark::DoNotOptimize(read_marks(memory, read).ok());
  }
}
BENCHMARK(BM_MarksRead)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace veredus::queue

BENCHMARK_MAIN();
