// What a waiting recipient costs: 5 million of them, loaded the way intake loads them.

#include <cstdio>
#include <fstream>
#include <memory>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <malloc.h>
#include <unistd.h>

#include "engine/home.h"
#include "queue/extent.h"
#include "tests/engine/lone_home.h"
#include "tests/queue/null_disk.h"

namespace veredus {
namespace {

uint64_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  uint64_t total = 0, resident = 0;
  statm >> total >> resident;
  return resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

TEST(WaitingMemory, FiveMillionRecipientsCostAtMost32BytesEach) {
  static_assert(sizeof(queue::Record) <= 32);
  constexpr uint32_t kExtents = 77;
  constexpr uint32_t kPerExtent = 65'000;
  constexpr uint64_t kRecipients = uint64_t{kExtents} * kPerExtent;  // 5,005,000

  EngineSettings settings;
  Exchange exchange(1, 1, 64);
  SoundAnswers answers;
  NoWake wake;
  exchange.set_answers(&answers);
  exchange.set_wake(0, &wake);
  io::Random random(1);
  Counters counters;
  ShardContext shard{0,
                     1,
                     settings,
                     exchange,
                     random,
                     counters,
                     1'000'000'000,
                     1'700'000'000'000'000'000,
                     make_policy(settings, nullptr)};
  queue::NullDisk disk;
  Home home(shard, disk, 0);
  ASSERT_TRUE(home.recover().ok());
  home.resume({});
  disk.run();

  // One extent's payload, made once: what the feeder's text costs is not what is measured.
  queue::ExtentWriter writer(1, 0);
  for (uint32_t i = 0; i < kPerExtent; ++i) {
    const std::string to =
        "recipient" + std::to_string(i) + "@domain" + std::to_string(i % 1000) + ".example";
    queue::Entry entry;
    entry.index = i;
    entry.to = to;
    ASSERT_TRUE(writer.add(entry));
  }
  const std::string payload = writer.finish();
  const auto append = [&] {
    auto message = std::make_unique<AppendMessage>();
    message->request.batch = 1;
    message->request.token = 1;
    message->request.frames.push_back({queue::FrameType::extent, payload});
    home.append(std::move(message));
    // It waits while a segment is made.
    for (int turn = 0; turn < 4; ++turn) {
      home.flush();
      disk.run();
    }
  };
  append();  // buffers, domains and the first chunk are there from now on
  malloc_trim(0);
  const uint64_t before = resident_bytes();
  for (uint32_t i = 1; i < kExtents; ++i) append();
  auto live = std::make_shared<queue::LiveBatch>();
  live->batch.number = 1;
  live->batch.accepted_wall_ns = shard.wall_ns;
  live->taken_up = {shard.mono_ns, shard.wall_ns, shard.wall_ns};
  home.announce(live);
  malloc_trim(0);
  const uint64_t after = resident_bytes();

  EXPECT_EQ(counters.waiting.load(), kRecipients);
  EXPECT_EQ(answers.count, kExtents);
  const double each =
      static_cast<double>(after - before) / static_cast<double>(kRecipients - kPerExtent);
  std::printf("%.2f bytes resident for each of %lu waiting recipients\n", each, kRecipients);
  RecordProperty("bytes_each_x100", static_cast<int>(each * 100));
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  EXPECT_LE(each, 32.0);
#endif
}

}  // namespace
}  // namespace veredus
