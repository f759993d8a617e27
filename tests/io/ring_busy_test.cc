#include <cstddef>

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>

#include "tests/io/loop.h"

// A kernel that for a while takes no submissions (EBUSY, EAGAIN under memory pressure): which no
// kernel does when asked to. In a child a seccomp filter traps io_uring_enter(); the handler
// answers for the kernel, or makes the call with a mark in an argument that is not used there.

namespace veredus::io {
namespace {

constexpr unsigned long kMark = 99;  // the size of a signal mask that is not given
volatile int refusals_left = 0;
volatile int refusals_made = 0;
volatile int refusal = EBUSY;

void answer_for_the_kernel(int /*signal*/, siginfo_t* /*info*/, void* context) {
  greg_t* registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  if (registers[REG_RSI] > 0 && refusals_left > 0) {
    refusals_left = refusals_left - 1;
    refusals_made = refusals_made + 1;
    registers[REG_RAX] = -refusal;
    return;
  }
  const long result = syscall(__NR_io_uring_enter, registers[REG_RDI], registers[REG_RSI],
                              registers[REG_RDX], registers[REG_R10], registers[REG_R8], kMark);
  registers[REG_RAX] = result < 0 ? -errno : result;
}

bool trap_enter() {
  struct sigaction action {};
  action.sa_sigaction = answer_for_the_kernel;
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGSYS, &action, nullptr);
  sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_enter, 0, 5),
      // Waiting with a time limit gives its argument there; only what only submits is trapped.
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[3])),
      BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, IORING_ENTER_EXT_ARG, 3, 0),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[5])),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kMark, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  sock_fprog program{8, filter};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

struct Noted final : Operation {
  void on_complete(int32_t /*result*/, uint32_t /*flags*/) override { order->push_back(this); }
  std::vector<Noted*>* order = nullptr;
};

// 0: all hundred operations ran once and in their order; else where it went wrong.
int run_refused() {
  if (!trap_enter()) return 1;
  RingSettings tiny;
  tiny.entries = 8;
  tiny.completion_entries = 16;
  Loop loop(tiny);
  std::vector<Noted*> order;
  std::vector<Noted> operations(100);
  refusals_left = 40;
  for (Noted& each : operations) {
    each.order = &order;
    io_uring_prep_nop(loop.ring->sqe(&each));
  }
  if (loop.ring->counters().delayed == 0) return 2;
  for (int turn = 0; turn < 200 && order.size() < operations.size(); ++turn) loop.turn(1'000'000);
  if (refusals_made != 40) return 3;
  if (order.size() != operations.size()) return 4;
  for (size_t i = 0; i < order.size(); ++i) {
    if (order[i] != &operations[i]) return 5;
  }
  return loop.ring->in_kernel() == 0 ? 0 : 6;
}

TEST(RingBusy, WhatTheKernelDoesNotTakeNowGoesLaterAndInOrder) {
  for (int error : {EBUSY, EAGAIN}) {
    const pid_t child = fork();
    if (child == 0) {
      refusal = error;
      _exit(run_refused());
    }
    int status = 0;
    waitpid(child, &status, 0);
    EXPECT_TRUE(WIFEXITED(status)) << status;
    EXPECT_EQ(WEXITSTATUS(status), 0);
  }
}

}  // namespace
}  // namespace veredus::io
