// bare_lookups: what finding the way to many sites costs at least. A c-ares channel with the
// options of the engine's, and for each domain two look-ups, one behind the other: MX, then the
// address of its mail host. Nothing is kept, answers are looked at no further than that they are
// some.
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include <ares.h>
#include <arpa/nameser.h>
#include <poll.h>
#include <sched.h>
#include <sys/resource.h>
#include <time.h>

namespace {

constexpr char kUsage[] = R"(bare_lookups: asks for MX and address of d000000.bench.test, d000001...

  --domains D  (100000)        --server ADDR:PORT  (127.0.0.1:53)
  --in-flight N  domains (64)  --cpu N             pin to this processor
Prints one JSON object. Exit 0: all were answered; 1: not; 64: wrong use.
)";

struct Settings {
  uint32_t domains = 100'000, in_flight = 64;
  std::string server = "127.0.0.1:53";
  uint32_t cpu = UINT32_MAX;
};

bool read(int argc, char** argv, Settings& s) {
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view name = argv[i], text = argv[i + 1];
    if (name == "--server") {
      s.server = text;
      continue;
    }
    uint32_t* const value = name == "--domains"     ? &s.domains
                            : name == "--in-flight" ? &s.in_flight
                            : name == "--cpu"       ? &s.cpu
                                                    : nullptr;
    if (value == nullptr) return false;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *value);
    if (error != std::errc() || end != text.data() + text.size()) return false;
  }
  return argc % 2 == 1;
}

class Lookups {
 public:
  explicit Lookups(const Settings& settings) : settings_(settings) {}
  ~Lookups() {
    if (channel_ != nullptr) ares_destroy(channel_);
  }

  // The error, if there is one.
  std::string run() {
    ares_options options{};
    options.flags =
        ARES_FLAG_EDNS | ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES | ARES_FLAG_NOCHECKRESP;
    options.ednspsz = 1232;
    options.timeout = 5000;
    options.tries = 2;
    options.sock_state_cb = [](void* self, ares_socket_t fd, int readable, int writable) {
      static_cast<Lookups*>(self)->watch(fd, readable, writable);
    };
    options.sock_state_cb_data = this;
    if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS ||
        ares_init_options(&channel_, &options,
                          ARES_OPT_FLAGS | ARES_OPT_EDNSPSZ | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES |
                              ARES_OPT_SOCK_STATE_CB | ARES_OPT_NOROTATE) != ARES_SUCCESS ||
        ares_set_servers_ports_csv(channel_, settings_.server.c_str()) != ARES_SUCCESS)
      return "c-ares does not take these options";
    std::vector<Domain> domains(settings_.in_flight);
    for (Domain& each : domains) {
      each.lookups = this;
      next(each);
    }
    while (under_way_ > 0 && error_.empty()) {
      if (poll(watched_.data(), watched_.size(), 1000) < 0 && errno != EINTR)
        return std::strerror(errno);
      // Time-outs are c-ares' own.
      const std::vector<pollfd> seen = watched_;
      bool any = false;
      for (const pollfd& each : seen) {
        if (each.revents == 0) continue;
        any = true;
        ares_process_fd(channel_, (each.revents & (POLLIN | POLLERR | POLLHUP)) != 0 ? each.fd : -1,
                        (each.revents & POLLOUT) != 0 ? each.fd : -1);
      }
      if (!any) ares_process_fd(channel_, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    }
    return error_;
  }
  uint64_t answered() const { return answered_; }

 private:
  struct Domain {
    Lookups* lookups = nullptr;
    char name[48];
    bool address = false;
  };
  void next(Domain& domain) {
    if (begun_ == settings_.domains) return;
    std::snprintf(domain.name, sizeof domain.name, "mx.d%06u.bench.test", begun_++);
    domain.address = false;
    ++under_way_;
    ask(domain);
  }
  void ask(Domain& domain) {
    ares_query(
        channel_, domain.name + (domain.address ? 0 : 3), ns_c_in,
        domain.address ? ns_t_a : ns_t_mx,
        [](void* arg, int status, int, unsigned char* answer, int bytes) {
          Domain& self = *static_cast<Domain*>(arg);
          self.lookups->told(self, status, answer, bytes);
        },
        &domain);
  }
  void told(Domain& domain, int status, const unsigned char* answer, int bytes) {
    if (status == ARES_EDESTRUCTION) return;
    const bool good = status == ARES_SUCCESS && bytes >= 12 && (answer[3] & 15) == 0 &&
                      (answer[6] | answer[7]) != 0;
    if (!good) {
      error_ = std::string(domain.name) + ": " +
               (status == ARES_SUCCESS ? "an answer without records" : ares_strerror(status));
      return;
    }
    ++answered_;
    if (!domain.address) {
      domain.address = true;
      return ask(domain);
    }
    --under_way_;
    next(domain);
  }
  void watch(int fd, int readable, int writable) {
    std::erase_if(watched_, [fd](const pollfd& each) { return each.fd == fd; });
    if (readable == 0 && writable == 0) return;
    watched_.push_back(
        {fd, static_cast<short>((readable ? POLLIN : 0) | (writable ? POLLOUT : 0)), 0});
  }

  const Settings settings_;
  ares_channel channel_ = nullptr;
  std::vector<pollfd> watched_;
  std::string error_;
  uint32_t begun_ = 0, under_way_ = 0;
  uint64_t answered_ = 0;
};

double microseconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_usec);
}
double cpu_us() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return microseconds(usage.ru_utime) + microseconds(usage.ru_stime);
}
double seconds() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

}  // namespace

int main(int argc, char** argv) {
  Settings settings;
  if (!read(argc, argv, settings)) {
    std::fputs(kUsage, stderr);
    return 64;
  }
  if (settings.cpu != UINT32_MAX) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(settings.cpu, &set);
    sched_setaffinity(0, sizeof set, &set);
  }
  Lookups lookups(settings);
  const double began = seconds(), cpu_before = cpu_us();
  const std::string error = lookups.run();
  const double took = seconds() - began, cpu = cpu_us() - cpu_before;
  if (!error.empty()) std::fprintf(stderr, "bare_lookups: %s\n", error.c_str());
  const uint64_t answered = lookups.answered();
  std::printf("{\"lookups\":%lu,\"seconds\":%.3f,\"cpu_us\":%.0f,\"cpu_us_per_lookup\":%.3f}\n",
              answered, took, cpu, answered == 0 ? 0 : cpu / static_cast<double>(answered));
  return error.empty() && answered == uint64_t{settings.domains} * 2 ? 0 : 1;
}
