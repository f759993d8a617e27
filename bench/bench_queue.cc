// The priority queue against what could stand in its place: three producers, one consumer, the same
// 32-byte items in the same bands, the same work on each (the consumer sums what it gets). Every
// queue is held to about the same number of items; a producer that finds it full yields.
//
// Threads are pinned, as shards are: the consumer to the first processor, the producers to the
// others (with two processors: all to the second), so that the queue really is shared between
// caches and the figures repeat.
//
// `s/item` (shown in nanoseconds) is wall time from the start of all threads to the last item;
// `cpu_s/item` the processor time of all threads, which is what a shard pays. On a machine with
// fewer cores than threads the second is the steadier figure.
//
// mutex_priority_queue keeps no order within a band (ours does); mutex_priority_queue_fifo adds the
// sequence number that would. tbb keeps none either; moodycamel keeps no bands at all. None of the
// three ages.
#include <array>
#include <atomic>
#include <barrier>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <queue>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include <benchmark/benchmark.h>
#include <concurrentqueue/concurrentqueue.h>
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <tbb/concurrent_priority_queue.h>

#include "queue/ticket_queue.h"

namespace {

constexpr unsigned kProducers = 3;
constexpr uint32_t kItemsEach = 400'000;
constexpr uint64_t kItems = uint64_t{kProducers} * kItemsEach;
constexpr size_t kPerBand = 4096;
constexpr size_t kHeld = kPerBand * veredus::queue::kBands;
constexpr size_t kBurst = 32;

struct Item {
  uint64_t number = 0;
  uint64_t payload[2] = {};
  uint32_t producer = 0;
  uint8_t band = 0;
};
static_assert(sizeof(Item) == 32);

// The bands as they come: mostly bulk, some of everything.
constexpr std::array<uint8_t, 16> kBandOf = {2, 2, 3, 2, 1, 2, 2, 3, 2, 2, 0, 2, 3, 2, 1, 2};

// --- the queues, behind one face: push one / push some, take some ---

struct Ours {
  veredus::queue::BandQueue<Item> queue{kPerBand};
  bool push(const Item& item) { return queue.push(item); }
  size_t pop(std::span<Item> out) { return queue.pop(out); }
  // Pushes the rest until all are in.
  void push_burst(std::span<Item> items) {
    while (!items.empty()) {
      const auto taken = queue.push(std::span<const Item>(items));
      auto counted = taken;
      size_t left = 0;
      for (const Item& item : items) {
        if (counted[item.band] != 0) {
          --counted[item.band];
        } else {
          items[left++] = item;
        }
      }
      items = items.first(left);
      if (left != 0) std::this_thread::yield();
    }
  }
};

struct ByBand {
  bool operator()(const Item& a, const Item& b) const { return a.band > b.band; }
};
struct Numbered {
  Item item;
  uint64_t sequence;
};
struct ByBandAndSequence {
  bool operator()(const Numbered& a, const Numbered& b) const {
    return a.item.band != b.item.band ? a.item.band > b.item.band : a.sequence > b.sequence;
  }
};

struct MutexPriorityQueue {
  std::mutex mutex;
  std::priority_queue<Item, std::vector<Item>, ByBand> queue;
  bool push(const Item& item) {
    const std::lock_guard lock(mutex);
    if (queue.size() >= kHeld) return false;
    queue.push(item);
    return true;
  }
  void push_burst(std::span<Item> items) {
    for (;;) {
      {
        const std::lock_guard lock(mutex);
        if (queue.size() + items.size() <= kHeld) {
          for (const Item& item : items) queue.push(item);
          return;
        }
      }
      std::this_thread::yield();
    }
  }
  size_t pop(std::span<Item> out) {
    const std::lock_guard lock(mutex);
    size_t count = 0;
    for (; count < out.size() && !queue.empty(); ++count) {
      out[count] = queue.top();
      queue.pop();
    }
    return count;
  }
};

struct MutexPriorityQueueFifo {
  std::mutex mutex;
  uint64_t sequence = 0;
  std::priority_queue<Numbered, std::vector<Numbered>, ByBandAndSequence> queue;
  bool push(const Item& item) {
    const std::lock_guard lock(mutex);
    if (queue.size() >= kHeld) return false;
    queue.push({item, sequence++});
    return true;
  }
  size_t pop(std::span<Item> out) {
    const std::lock_guard lock(mutex);
    size_t count = 0;
    for (; count < out.size() && !queue.empty(); ++count) {
      out[count] = queue.top().item;
      queue.pop();
    }
    return count;
  }
};

struct Tbb {
  tbb::concurrent_priority_queue<Item, ByBand> queue;
  bool push(const Item& item) {
    if (queue.size() >= kHeld) return false;
    queue.push(item);
    return true;
  }
  size_t pop(std::span<Item> out) {
    size_t count = 0;
    while (count < out.size() && queue.try_pop(out[count])) ++count;
    return count;
  }
};

struct Moodycamel {
  moodycamel::ConcurrentQueue<Item> queue{kHeld};
  bool push(const Item& item) {
    if (queue.size_approx() >= kHeld) return false;
    return queue.enqueue(item);
  }
  void push_burst(std::span<Item> items) {
    while (queue.size_approx() >= kHeld) std::this_thread::yield();
    queue.enqueue_bulk(items.data(), items.size());
  }
  size_t pop(std::span<Item> out) { return queue.try_dequeue_bulk(out.data(), out.size()); }
};

// --- the work ---

int64_t process_cpu_ns() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto ns = [](const timeval& time) {
    return time.tv_sec * 1'000'000'000 + time.tv_usec * 1'000;
  };
  return ns(usage.ru_utime) + ns(usage.ru_stime);
}

// The processors that this process may use; asked for before the first thread is pinned.
const std::vector<unsigned>& processors() {
  static const std::vector<unsigned> found = [] {
    std::vector<unsigned> list;
    cpu_set_t allowed;
    CPU_ZERO(&allowed);
    sched_getaffinity(0, sizeof allowed, &allowed);
    for (unsigned cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (CPU_ISSET(cpu, &allowed)) list.push_back(cpu);
    }
    return list;
  }();
  return found;
}

// 0: the consumer; producers from 1.
void pin(unsigned thread) {
  const size_t count = processors().size();
  if (count < 2) return;
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(processors()[thread == 0 ? 0 : 1 + (thread - 1) % (count - 1)], &one);
  pthread_setaffinity_np(pthread_self(), sizeof one, &one);
}

template <class Queue>
void produce(Queue& queue, unsigned producer, bool in_bursts) {
  std::array<Item, kBurst> burst;
  size_t gathered = 0;
  for (uint32_t number = 0; number < kItemsEach; ++number) {
    Item item;
    item.number = number;
    item.payload[0] = number ^ producer;
    item.producer = producer;
    item.band = kBandOf[(number + producer) % kBandOf.size()];
    if (!in_bursts) {
      while (!queue.push(item)) std::this_thread::yield();
      continue;
    }
    burst[gathered++] = item;
    if (gathered < kBurst && number + 1 < kItemsEach) continue;
    if constexpr (requires { queue.push_burst(std::span<Item>(burst)); }) {
      queue.push_burst(std::span(burst).first(gathered));
    }
    gathered = 0;
  }
}

// One iteration: all items through a fresh queue. `take`: how many the consumer asks for at a time.
template <class Queue>
void run(benchmark::State& state, bool in_bursts, size_t take) {
  double cpu_ns = 0, wall_s = 0;
  pin(0);
  for (auto _ : state) {
    Queue queue;
    std::barrier start(kProducers + 1);
    std::vector<std::thread> producers;
    for (unsigned producer = 0; producer < kProducers; ++producer) {
      producers.emplace_back([&queue, &start, producer, in_bursts] {
        pin(1 + producer);
        start.arrive_and_wait();
        produce(queue, producer, in_bursts);
      });
    }
    std::vector<Item> out(take);
    uint64_t received = 0, sum = 0;
    start.arrive_and_wait();
    const int64_t cpu_before = process_cpu_ns();
    const auto before = std::chrono::steady_clock::now();
    while (received < kItems) {
      const size_t count = queue.pop(out);
      for (const Item& item : std::span(out).first(count)) sum += item.number;
      received += count;
      if (count == 0) std::this_thread::yield();
    }
    const std::chrono::duration<double> wall = std::chrono::steady_clock::now() - before;
    for (std::thread& producer : producers) producer.join();
    cpu_ns += static_cast<double>(process_cpu_ns() - cpu_before);
    wall_s += wall.count();
    state.SetIterationTime(wall.count());
    if (sum != uint64_t{kProducers} * (uint64_t{kItemsEach} * (kItemsEach - 1) / 2)) {
      state.SkipWithError("items were lost or doubled");
      break;
    }
  }
  const double items = static_cast<double>(kItems) * static_cast<double>(state.iterations());
  state.SetItemsProcessed(static_cast<int64_t>(items));
  // Seconds per item, shown in n(ano).
  state.counters["s/item"] = wall_s / items;
  state.counters["cpu_s/item"] = cpu_ns * 1e-9 / items;
}

// How many items the consumer takes at a time where it takes many: as a lane's turn does.
constexpr size_t kTake = 64;

template <class Queue>
void add(const char* name, bool in_bursts, size_t take) {
  benchmark::RegisterBenchmark(name,
                               [=](benchmark::State& state) { run<Queue>(state, in_bursts, take); })
      ->UseManualTime()
      ->Unit(benchmark::kMillisecond)
      ->Iterations(1)
      ->Repetitions(9)
      ->ReportAggregatesOnly(true);
}

}  // namespace

int main(int argc, char** argv) {
  add<Ours>("veredus/one_by_one", false, 1);
  add<MutexPriorityQueue>("mutex_priority_queue/one_by_one", false, 1);
  add<MutexPriorityQueueFifo>("mutex_priority_queue_fifo/one_by_one", false, 1);
  add<Tbb>("tbb_concurrent_priority_queue/one_by_one", false, 1);
  add<Moodycamel>("moodycamel/one_by_one", false, 1);
  add<Ours>("veredus/bursts", true, kTake);
  add<MutexPriorityQueue>("mutex_priority_queue/bursts", true, kTake);
  add<Moodycamel>("moodycamel/bursts", true, kTake);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
