// sink: the mail server that tests, the quickstart and the comparison deliver to. See kUsage.
#include <algorithm>
#include <future>
#include <memory>
#include <thread>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tools/sink/server.h"

namespace veredus::sink {
namespace {

// A bound, listening socket or -1 with errno. `listen.port` 0 is replaced by the port that was
// taken.
int open_listener(Listen& listen, bool shared) {
  sockaddr_storage address{};
  socklen_t length = sizeof(sockaddr_in);
  auto* v4 = reinterpret_cast<sockaddr_in*>(&address);
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&address);
  if (inet_pton(AF_INET, listen.address.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(listen.port);
  } else if (inet_pton(AF_INET6, listen.address.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(listen.port);
    length = sizeof(sockaddr_in6);
  } else {
    errno = EADDRNOTAVAIL;
    return -1;
  }
  int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  int on = 1;
  ifreq device{};
  strcpy(device.ifr_name, "lo");
  bool good = fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
              (!shared || setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0) &&
              (!listen.loopback ||
               setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, &device, sizeof device) == 0) &&
              setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0 &&
              bind(fd, reinterpret_cast<sockaddr*>(&address), length) == 0 &&
              ::listen(fd, 4096) == 0;
  if (!good) {
    int error = errno;
    if (fd >= 0) close(fd);
    errno = error;
    return -1;
  }
  getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length);
  listen.port = ntohs(address.ss_family == AF_INET ? v4->sin_port : v6->sin6_port);
  return fd;
}

struct Worker {
  Counters counters;
  std::unique_ptr<Ledger> ledger;
  std::unique_ptr<World> world;
  std::unique_ptr<Server> server;
  std::vector<int> listeners;
  std::thread thread;
};

std::string status_json(const std::vector<std::unique_ptr<Worker>>& workers) {
  constexpr std::pair<const char*, Counter Counters::*> kFields[] = {
      {"connections", &Counters::connections},
      {"open", &Counters::open},
      {"messages", &Counters::messages},
      {"recipients", &Counters::recipients},
      {"bytes", &Counters::bytes},
      {"refused", &Counters::refused},
      {"resets", &Counters::resets},
      {"drops", &Counters::drops},
      {"noreply", &Counters::noreply},
      {"greylisted", &Counters::greylisted},
      {"lost", &Counters::lost},
      {"after_dot", &Counters::after_dot},
      {"early", &Counters::early},
      {"tls", &Counters::tls},
      {"tls_resumed", &Counters::tls_resumed},
      {"tls_broken", &Counters::tls_broken},
      {"tls_messages", &Counters::tls_messages},
      {"store_failures", &Counters::store_failures},
      {"last_ns", &Counters::last_ns}};
  std::string json = "{";
  for (const auto& [name, field] : kFields) {
    uint64_t sum = 0;
    for (const auto& worker : workers) {
      uint64_t value = (worker->counters.*field).get();
      sum = field == &Counters::last_ns ? std::max(sum, value) : sum + value;
    }
    if (json.size() > 1) json += ",";
    json.append("\"").append(name).append("\":").append(std::to_string(sum));
  }
  return json + "}\n";
}

// Replaces the file as a whole, so that a reader never sees half of it.
void write_status(const Options& options, const std::vector<std::unique_ptr<Worker>>& workers) {
  std::string json = status_json(workers);
  if (options.status_file.empty()) {
    fwrite(json.data(), 1, json.size(), stdout);
    fflush(stdout);
    return;
  }
  std::string part = options.status_file + ".part";
  FILE* file = fopen(part.c_str(), "we");
  bool good = file != nullptr && fwrite(json.data(), 1, json.size(), file) == json.size();
  if (file != nullptr && fclose(file) != 0) good = false;
  if (!good || rename(part.c_str(), options.status_file.c_str()) != 0) {
    fprintf(stderr, "sink: %s cannot be written: %s\n", options.status_file.c_str(),
            strerror(errno));
  }
}

void pin_this_thread(const std::vector<int>& cpus, int index) {
  if (cpus.empty()) return;
  int cpu = cpus[static_cast<size_t>(index) % cpus.size()];
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  if (pthread_setaffinity_np(pthread_self(), sizeof set, &set) != 0) {
    fprintf(stderr, "sink: there is no processor %d to pin to; running unpinned\n", cpu);
  }
}

int explain_refusal(int error) {
  fprintf(
      stderr,
      "sink: io_uring was refused: %s.\n"
      "  Not permitted or not implemented: see sysctl kernel.io_uring_disabled (0 allows it) and\n"
      "  the seccomp profile of the container. Invalid argument: Linux 6.1 or newer is needed.\n"
      "  Out of memory: raise RLIMIT_MEMLOCK.\n",
      strerror(-error));
  return 78;
}

bool listen_all(Options& options, Worker& worker) {
  for (Listen& listen : options.listens) {
    // Threads share a port; two sinks must not, so the first socket of a port is tried unshared.
    Listen trial = listen;
    bool first = options.threads > 1 && worker.world->thread == 0;
    int fd = first ? open_listener(trial, false) : 0;
    if (first && fd >= 0) close(fd);
    if (fd >= 0) fd = open_listener(listen, options.threads > 1);
    if (fd < 0) {
      fprintf(stderr, "sink: cannot listen at %s port %u: %s\n", listen.address.c_str(),
              listen.port, strerror(errno));
      return false;
    }
    worker.listeners.push_back(fd);
  }
  return true;
}

int open_ledger(const Options& options) {
  if (options.ledger.empty()) return -1;
  int fd = open(options.ledger.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd < 0) {
    fprintf(stderr, "sink: ledger %s: %s\n", options.ledger.c_str(), strerror(errno));
    exit(73);
  }
  return fd;
}

// Answers signals until one of them ends the sink.
void serve_signals(const Options& options, const std::vector<std::unique_ptr<Worker>>& workers,
                   const sigset_t& signals) {
  int64_t every_ms = options.status_every_ms > 0 ? options.status_every_ms : 3'600'000;
  timespec limit{every_ms / 1000, every_ms % 1000 * 1'000'000};
  while (true) {
    int signal = sigtimedwait(&signals, nullptr, &limit);
    if (signal == SIGTERM || signal == SIGINT) return;
    if (signal == SIGUSR1 || (signal < 0 && options.status_every_ms > 0)) {
      write_status(options, workers);
    }
  }
}

int serve(Options& options) {
  sigset_t signals;
  sigemptyset(&signals);
  for (int signal : {SIGTERM, SIGINT, SIGUSR1}) sigaddset(&signals, signal);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
  rlimit files;
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
  }
  if (!options.content_dir.empty()) mkdir(options.content_dir.c_str(), 0755);
  int ledger = open_ledger(options);
  Greylist greylist(options.greylist_ns);
  std::unique_ptr<TlsContext> tls;
  if (options.offer.starttls) tls = std::make_unique<TlsContext>(options.tls_version);
  if (tls && !tls->good()) {
    fprintf(stderr, "sink: OpenSSL refuses the certificate\n");
    return 70;
  }
  std::atomic<bool> stop{false};
  std::vector<std::unique_ptr<Worker>> workers;
  for (int i = 0; i < options.threads; ++i) {
    auto worker = std::make_unique<Worker>();
    worker->ledger = std::make_unique<Ledger>(ledger, options.ledger_sync, worker->counters);
    worker->world.reset(
        new World{options, worker->counters, *worker->ledger, greylist, tls.get(), i});
    if (!listen_all(options, *worker)) return 71;
    worker->server = std::make_unique<Server>(*worker->world, worker->listeners, stop);
    workers.push_back(std::move(worker));
  }
  for (int i = 0; i < options.threads; ++i) {
    Worker& worker = *workers[static_cast<size_t>(i)];
    std::promise<int> started;
    std::future<int> result = started.get_future();
    worker.thread = std::thread([&worker, started = std::move(started), &options, i]() mutable {
      pin_this_thread(options.cpus, i);
      int error = worker.server->start();
      started.set_value(error);
      if (error == 0) worker.server->run();
    });
    if (int error = result.get(); error < 0) exit(explain_refusal(error));
  }
  printf("sink: ready");
  for (const Listen& listen : options.listens) {
    printf(" %s:%u", listen.loopback ? "127/8" : listen.address.c_str(), listen.port);
  }
  printf("\n");
  fflush(stdout);
  serve_signals(options, workers, signals);
  stop = true;
  for (auto& worker : workers) worker->server->wake();
  for (auto& worker : workers) worker->thread.join();
  write_status(options, workers);
  return 0;
}

}  // namespace
}  // namespace veredus::sink

int main(int argc, char** argv) {
  veredus::sink::Options options;
  std::string wrong = veredus::sink::parse_options(argc, argv, options);
  if (!wrong.empty()) {
    fprintf(stderr, "sink: %s\n", wrong.c_str());
    return 64;
  }
  if (options.help) {
    fputs(veredus::sink::kUsage, stdout);
    return 0;
  }
  return veredus::sink::serve(options);
}
