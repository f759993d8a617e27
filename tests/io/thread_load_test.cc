#include "engine/io/thread_load.h"

#include <chrono>
#include <thread>

#include <gtest/gtest.h>
#include <unistd.h>

namespace veredus::io {
namespace {

int64_t now_ns() {
  return std::chrono::steady_clock::now().time_since_epoch().count();
}

TEST(ThreadLoad, TellsWorkFromSleep) {
  if (access("/proc/thread-self/schedstat", R_OK) != 0) {
    GTEST_SKIP() << "this kernel keeps no accounts of its threads";
  }
  ThreadLoad load;
  EXPECT_EQ(load.since_last(now_ns()), 0) << "nothing to compare with yet";
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  const double asleep = load.since_last(now_ns());
  const int64_t until = now_ns() + 200'000'000;
  while (now_ns() < until) {
  }
  const double at_work = load.since_last(now_ns());
  EXPECT_LT(asleep, at_work);
  EXPECT_LE(at_work, 1.0);
}

}  // namespace
}  // namespace veredus::io
