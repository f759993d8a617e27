#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "engine/io/ring.h"

namespace veredus::io {
namespace {

struct Needed {
  int opcode;
  const char* name;
};
constexpr Needed kNeeded[] = {
    {IORING_OP_CONNECT, "CONNECT"},
    {IORING_OP_RECV, "RECV"},
    {IORING_OP_SEND, "SEND"},
    {IORING_OP_SENDMSG, "SENDMSG"},
    {IORING_OP_READ, "READ"},
    {IORING_OP_WRITE, "WRITE"},
    {IORING_OP_FSYNC, "FSYNC"},
    {IORING_OP_POLL_ADD, "POLL_ADD"},
    {IORING_OP_ASYNC_CANCEL, "ASYNC_CANCEL"},
};

std::string kernel() {
  utsname name{};
  return uname(&name) == 0 ? std::string("Linux ") + name.release : std::string("this kernel");
}

absl::Status too_old(const std::string& what) {
  return absl::FailedPreconditionError("io_uring of " + kernel() + " has no " + what +
                                       ". Veredus needs Linux 6.1 or later: boot a newer kernel");
}

// The value of kernel.io_uring_disabled, or -1 where the kernel has no such switch (before 6.6).
int disabled_switch() {
  int value = -1;
  if (FILE* file = std::fopen("/proc/sys/kernel/io_uring_disabled", "re")) {
    if (std::fscanf(file, "%d", &value) != 1) value = -1;
    std::fclose(file);
  }
  return value;
}

// A multishot receive on a provided buffer, for real: neither can be asked for by opcode.
class ReceiveTrial final : public Operation {
 public:
  ~ReceiveTrial() {
    if (pair_[0] >= 0) close(pair_[0]);
    if (pair_[1] >= 0) close(pair_[1]);
    std::free(buffers_);
  }

  absl::Status run(Ring& ring) {
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair_) != 0)
      return refused("socketpair");
    if (posix_memalign(&buffers_, 4096, 4096) != 0) return refused("memory");
    auto* provided = static_cast<io_uring_buf_ring*>(buffers_);
    std::memset(buffers_, 0, 4096);
    io_uring_buf_reg registration{};
    registration.ring_addr = reinterpret_cast<uintptr_t>(buffers_);
    registration.ring_entries = 2;
    if (io_uring_register_buf_ring(&ring.raw(), &registration, 0) != 0) {
      return too_old("provided buffer rings");
    }
    io_uring_buf_ring_init(provided);
    char bytes[2];
    io_uring_buf_ring_add(provided, bytes, 1, 0, io_uring_buf_ring_mask(2), 0);
    io_uring_buf_ring_add(provided, bytes + 1, 1, 1, io_uring_buf_ring_mask(2), 1);
    io_uring_buf_ring_advance(provided, 2);
    io_uring_sqe* entry = ring.sqe(this);
    io_uring_prep_recv_multishot(entry, pair_[0], nullptr, 0, 0);
    entry->flags |= IOSQE_BUFFER_SELECT;
    entry->buf_group = 0;
    if (write(pair_[1], "x", 1) != 1) return refused("write to a socket");
    for (int i = 0; i < 100 && !done_; ++i) {
      ring.submit_and_wait(20'000'000);
      ring.collect();
      ring.run_collected();
    }
    const bool ended = ring.abandon();
    if (!done_ || !ended) return too_old("multishot receive that answers");
    if (result_ != 1 || !(flags_ & IORING_CQE_F_MORE)) return too_old("multishot receive");
    return absl::OkStatus();
  }

 private:
  static absl::Status refused(const char* what) {
    return absl::ResourceExhaustedError(std::string("cannot try io_uring: no ") + what + ": " +
                                        std::strerror(errno));
  }
  void on_complete(int32_t result, uint32_t flags) override {
    if (done_) return;
    done_ = true;
    result_ = result;
    flags_ = flags;
  }

  int pair_[2] = {-1, -1};
  void* buffers_ = nullptr;
  bool done_ = false;
  int32_t result_ = 0;
  uint32_t flags_ = 0;
};

}  // namespace

absl::Status Ring::refusal(int error) {
  const std::string refused = std::string("io_uring refused: ") + std::strerror(error) + ". ";
  switch (error) {
    case EPERM: {
      const int value = disabled_switch();
      if (value == 1 || value == 2) {
        return absl::PermissionDeniedError(
            refused + "Cause: the sysctl kernel.io_uring_disabled is " + std::to_string(value) +
            ". Remedy: sysctl kernel.io_uring_disabled=0 (and in /etc/sysctl.d to keep it)" +
            (value == 1 ? ", or add this user's group to kernel.io_uring_group" : ""));
      }
      return absl::PermissionDeniedError(
          refused +
          "Cause: a seccomp filter forbids io_uring_setup, as the default profiles of containers do"
          ". Remedy: allow io_uring_setup, io_uring_enter and io_uring_register in the seccomp "
          "profile (systemd: SystemCallFilter=@system-service)");
    }
    case ENOSYS:
      return absl::UnimplementedError(
          refused + "Cause: " + kernel() +
          " has no io_uring, or the seccomp filter of an old container runtime hides it. Remedy: "
          "Linux 6.1 or later, and a seccomp profile that allows io_uring_setup, io_uring_enter "
          "and io_uring_register");
    case ENOMEM:
      return absl::ResourceExhaustedError(
          refused +
          "Cause: the limit of locked memory or of the memory cgroup. Remedy: raise it "
          "(systemd: LimitMEMLOCK=infinity; shell: ulimit -l unlimited; MemoryMax=)");
    case EMFILE:
    case ENFILE:
      return absl::ResourceExhaustedError(
          refused +
          "Cause: no descriptor is left. Remedy: raise the limit (systemd: "
          "LimitNOFILE=1048576; shell: ulimit -n; sysctl fs.file-max)");
    case EINVAL:
      return too_old("rings as they are needed (EINVAL)");
    default:
      return absl::UnknownError(refused + "Cause unknown, on " + kernel());
  }
}

absl::Status Ring::probe() {
  RingSettings small;
  small.entries = 16;
  small.completion_entries = 64;
  absl::StatusOr<std::unique_ptr<Ring>> ring = create(small);
  if (!ring.ok()) return ring.status();
  const unsigned features = (*ring)->ring_.features;
  if (!(features & IORING_FEAT_NODROP)) return too_old("completions that are kept on overflow");
  if (!(features & IORING_FEAT_SUBMIT_STABLE)) return too_old("stable submissions");
  if (!(features & IORING_FEAT_FAST_POLL)) return too_old("fast poll");
  if (!(features & IORING_FEAT_EXT_ARG)) return too_old("wait with a time limit");
  io_uring_probe* probe = io_uring_get_probe_ring(&(*ring)->ring_);
  if (probe == nullptr) return too_old("list of its operations");
  std::string missing;
  for (const Needed& needed : kNeeded) {
    if (io_uring_opcode_supported(probe, needed.opcode)) continue;
    missing += missing.empty() ? "" : ", ";
    missing += needed.name;
  }
  io_uring_free_probe(probe);
  if (!missing.empty()) return too_old("operation " + missing);
  ReceiveTrial trial;
  const absl::Status tried = trial.run(**ring);
  (*ring)->abandon();  // before `trial` goes
  return tried;
}

}  // namespace veredus::io
