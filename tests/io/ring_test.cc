#include "engine/io/ring.h"

#include <cstddef>
#include <thread>

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "tests/io/loop.h"

namespace veredus::io {
namespace {

struct Counted final : Operation {
  void on_complete(int32_t result, uint32_t /*flags*/) override {
    ++runs;
    last = result;
    if (action) action();
  }
  int runs = 0;
  int32_t last = 0;
  std::function<void()> action;
};

void nop(Ring& ring, Operation& operation) {
  io_uring_prep_nop(ring.sqe(&operation));
}

TEST(Ring, ThisHostHasWhatIsNeeded) {
  const absl::Status status = Ring::probe();
  EXPECT_TRUE(status.ok()) << status;
}

TEST(Ring, RunsCollectedCompletionsOnce) {
  Loop loop;
  Counted one, two;
  nop(*loop.ring, one);
  nop(*loop.ring, two);
  EXPECT_EQ(loop.ring->in_kernel(), 2u);
  loop.ring->submit();
  EXPECT_EQ(loop.ring->collect(), 2u);
  EXPECT_EQ(one.runs, 0);
  EXPECT_EQ(loop.ring->run_collected(), 2u);
  EXPECT_EQ(loop.ring->run_collected(), 0u);
  EXPECT_EQ(one.runs, 1);
  EXPECT_EQ(two.runs, 1);
  EXPECT_EQ(loop.ring->in_kernel(), 0u);
}

// What an operation queues while it runs goes out with the next submit, in one system call.
TEST(Ring, NoRecursionAndOneSubmit) {
  Loop loop;
  std::vector<Counted> next(100);
  Counted first;
  first.action = [&] {
    for (Counted& each : next) nop(*loop.ring, each);
    loop.ring->post(next[0], 7);
  };
  nop(*loop.ring, first);
  loop.turn();
  loop.ring->collect();
  const uint64_t enters = loop.ring->counters().enters;
  loop.ring->run_collected();
  EXPECT_EQ(next[0].runs, 0);
  EXPECT_EQ(loop.ring->counters().enters, enters);
  loop.ring->submit();
  EXPECT_EQ(loop.ring->counters().enters, enters + 1);
  EXPECT_EQ(loop.ring->run_collected(), 1u);  // the posted one
  EXPECT_EQ(next[0].last, 7);
  EXPECT_EQ(loop.ring->collect(), 100u);
}

// Ten thousand at once through a queue of 8, without a turn between.
TEST(Ring, SubmissionQueueIsNeverTooSmall) {
  RingSettings tiny;
  tiny.entries = 8;
  tiny.completion_entries = 16;
  Loop loop(tiny);
  std::vector<Counted> many(10'000);
  for (Counted& each : many) nop(*loop.ring, each);
  ASSERT_TRUE(loop.until([&] { return loop.ring->in_kernel() == 0; }));
  loop.turn();
  for (Counted& each : many) ASSERT_EQ(each.runs, 1);
  EXPECT_GT(loop.ring->counters().overflows, 0u);
}

TEST(Ring, WaitsNoLongerThanAsked) {
  Loop loop;
  SystemClock clock;
  const int64_t begin = clock.mono_ns();
  loop.ring->submit_and_wait(30'000'000);
  const int64_t waited = clock.mono_ns() - begin;
  EXPECT_GE(waited, 29'000'000);
  EXPECT_LT(waited, 2'000'000'000);
  EXPECT_EQ(loop.ring->in_kernel(), 0u);
  EXPECT_EQ(loop.ring->collect(), 0u);
}

TEST(Ring, DoesNotSleepOnPostedCompletions) {
  Loop loop;
  Counted mine, remote;
  SystemClock clock;
  const int64_t begin = clock.mono_ns();
  loop.ring->post(mine, 1);
  loop.ring->submit_and_wait(10'000'000'000);
  loop.ring->run_collected();
  RemoteCompletion completion;
  completion.operation = &remote;
  completion.result = 5;
  std::thread([&] { loop.ring->post_remote(completion); }).join();
  loop.ring->submit_and_wait(10'000'000'000);
  loop.ring->collect();
  loop.ring->run_collected();
  EXPECT_EQ(mine.runs, 1);
  EXPECT_EQ(remote.last, 5);
  EXPECT_LT(clock.mono_ns() - begin, 5'000'000'000);
}

TEST(Ring, RemoteCompletionsComeInOrder) {
  Loop loop;
  std::vector<int> order;
  std::vector<Counted> operations(5);
  std::vector<RemoteCompletion> completions(5);
  for (int i = 0; i < 5; ++i) {
    operations[i].action = [&order, i] { order.push_back(i); };
    completions[i].operation = &operations[i];
    loop.ring->post_remote(completions[i]);
  }
  loop.ring->collect();
  loop.ring->run_collected();
  EXPECT_EQ(order, (std::vector<int>{0, 1, 2, 3, 4}));
}

TEST(Ring, CancelEndsAnOperation) {
  Loop loop;
  int pair[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
  Counted poll;
  io_uring_prep_poll_add(loop.ring->sqe(&poll), pair[0], POLLIN);
  loop.turn();
  loop.ring->cancel(poll);
  ASSERT_TRUE(loop.until([&] { return loop.ring->in_kernel() == 0; }));
  loop.turn();
  EXPECT_EQ(poll.runs, 1);
  EXPECT_EQ(poll.last, -ECANCELED);
  close(pair[0]);
  close(pair[1]);
}

TEST(Ring, AbandonTakesEverythingOutOfTheKernel) {
  Loop loop;
  int pair[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
  char byte;
  Counted poll, read, queued;
  io_uring_prep_poll_add(loop.ring->sqe(&poll), pair[0], POLLIN);
  io_uring_prep_read(loop.ring->sqe(&read), pair[1], &byte, 1, 0);
  loop.turn();
  io_uring_prep_poll_add(loop.ring->sqe(&queued), pair[0], POLLIN);  // not submitted
  EXPECT_TRUE(loop.ring->abandon());
  EXPECT_EQ(loop.ring->in_kernel(), 0u);
  loop.turn();
  EXPECT_EQ(poll.runs + read.runs + queued.runs, 0);
  close(pair[0]);
  close(pair[1]);
}

// Made on one thread, run on another, gone on the first: as the shards are.
TEST(Ring, BelongsToTheThreadThatSubmits) {
  auto ring = Ring::create();
  ASSERT_TRUE(ring.ok());
  int pair[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
  Counted done, waiting;
  std::thread([&] {
    nop(**ring, done);
    io_uring_prep_poll_add((*ring)->sqe(&waiting), pair[0], POLLIN);
    (*ring)->submit();
    (*ring)->collect();
    (*ring)->run_collected();
  }).join();
  EXPECT_EQ(done.runs, 1);
  EXPECT_TRUE((*ring)->abandon());
  ring->reset();
  EXPECT_EQ(waiting.runs, 0);
  close(pair[0]);
  close(pair[1]);
}

// ------------------------------------------------------------------------------- io_uring refused

// What probe() says in a process where io_uring_setup() answers `error`.
std::string probe_under_seccomp(int error) {
  int answer[2];
  EXPECT_EQ(pipe(answer), 0);
  const pid_t child = fork();
  if (child == 0) {
    sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<unsigned>(error)),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    sock_fprog program{4, filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
      _exit(1);
    }
    const absl::Status status = Ring::probe();
    const std::string message = status.ok() ? "ok" : std::string(status.message());
    _exit(write(answer[1], message.data(), message.size()) < 0);
  }
  close(answer[1]);
  std::string message;
  char bytes[4096];
  for (ssize_t got; (got = read(answer[0], bytes, sizeof bytes)) > 0;) message.append(bytes, got);
  close(answer[0]);
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  return message;
}

testing::AssertionResult has(const std::string& text, std::initializer_list<const char*> words) {
  for (const char* word : words) {
    if (text.find(word) == text.npos) {
      return testing::AssertionFailure() << "no \"" << word << "\" in: " << text;
    }
  }
  return testing::AssertionSuccess();
}

TEST(RingRefused, ByASeccompFilter) {
  EXPECT_TRUE(has(probe_under_seccomp(EPERM),
                  {"io_uring refused: Operation not permitted", "Cause: a seccomp filter",
                   "Remedy: allow io_uring_setup, io_uring_enter and io_uring_register"}));
}

TEST(RingRefused, ByAnOldRuntimeOrKernel) {
  EXPECT_TRUE(has(probe_under_seccomp(ENOSYS), {"Cause: Linux ", "has no io_uring",
                                                "old container runtime", "Remedy: Linux 6.1"}));
}

TEST(RingRefused, ForLockedMemory) {
  EXPECT_TRUE(has(probe_under_seccomp(ENOMEM),
                  {"Cause: the limit of locked memory", "Remedy: raise it", "LimitMEMLOCK"}));
}

TEST(RingRefused, ByAnOldKernel) {
  EXPECT_TRUE(has(probe_under_seccomp(EINVAL), {"Linux 6.1 or later", "boot a newer kernel"}));
}

TEST(RingRefused, ForDescriptors) {
  EXPECT_TRUE(has(probe_under_seccomp(EMFILE), {"no descriptor is left", "LimitNOFILE"}));
}

}  // namespace
}  // namespace veredus::io
