#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <system_error>
#include <thread>

#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "engine/control/api.h"
#include "engine/control/config.h"
#include "engine/control/engine_host.h"
#include "engine/control/http_server.h"
#include "engine/control/log.h"
#include "engine/control/reload.h"
#include "engine/io/planted.h"
#include "engine/io/ring.h"
#include "tools/veredus/commands.h"

namespace veredus::tools {
namespace {

using control::log_line;
using control::LogLevel;

int64_t wall_ns() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

// Signals are taken by one thread. SIGTERM and SIGINT ask for an orderly stop; while the spool is
// still being read, and at a second one, the process ends at once: what is not finished is in the
// journal. SIGHUP asks for the configuration to be read again.
class Signals {
 public:
  // Before any other thread is started: they all inherit the mask.
  Signals() {
    sigemptyset(&set_);
    sigaddset(&set_, SIGTERM);
    sigaddset(&set_, SIGINT);
    sigaddset(&set_, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &set_, nullptr);
    signal(SIGPIPE, SIG_IGN);
  }
  ~Signals() {
    leave_ = true;
    if (thread_.joinable()) thread_.join();
  }
  // `on_stop` says whether an orderly stop was begun.
  void watch(std::function<bool(int)> on_stop, std::function<void()> on_reload) {
    thread_ = std::thread([this, on_stop = std::move(on_stop), on_reload = std::move(on_reload)] {
      int seen = 0;
      while (!leave_) {
        const timespec wait{0, 100'000'000};
        const int got = sigtimedwait(&set_, nullptr, &wait);
        if (got <= 0) continue;
        if (got == SIGHUP) {
          on_reload();
          continue;
        }
        if (++seen > 1 || !on_stop(got)) {
          log_line(LogLevel::notice, std::string("stopped at once by ") + strsignal(got));
          _exit(seen > 1 ? EX_TEMPFAIL : EX_OK);
        }
      }
    });
  }

 private:
  sigset_t set_{};
  std::atomic<bool> leave_{false};
  std::thread thread_;
};

// One engine a spool.
absl::StatusOr<int> lock_spool(const std::string& spool) {
  const std::string path = spool + "/lock";
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0640);
  if (fd < 0) {
    return absl::PermissionDeniedError(path + ": " + std::generic_category().message(errno) +
                                       "; make " + spool + " and give it to the engine's user");
  }
  // Who only looks whether an engine runs (spool, audit) holds it for an instant.
  int locked = flock(fd, LOCK_EX | LOCK_NB);
  for (int tries = 0; locked != 0 && tries < 10; ++tries) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    locked = flock(fd, LOCK_EX | LOCK_NB);
  }
  if (locked != 0) {
    close(fd);
    return absl::FailedPreconditionError("another engine uses the spool " + spool +
                                         ": stop it, or set node.spool");
  }
  return fd;
}

absl::StatusOr<std::string> read_token(const std::string& path) {
  if (path.empty()) return std::string();
  std::ifstream in(path);
  std::string token;
  if (!(in >> token)) {
    return absl::NotFoundError(path + ": holds no token; write one line into it, mode 0600");
  }
  return token;
}

// Sessions need descriptors; the soft limit is only a default.
void raise_descriptor_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

// The engine with its control thread, from start to stop.
class Service {
 public:
  // `read`: the configuration, once more.
  Service(const control::Config& config, control::Reload::Read read)
      : config_(config), read_(std::move(read)) {}

  int run() {
    Signals signals;
    raise_descriptor_limit();
    if (const absl::Status probe = io::Ring::probe(); !probe.ok()) return fail(probe, EX_CONFIG);
    if (const absl::Status status = make_server(); !status.ok()) return fail(status);
    signals.watch(
        [this](int signal) {
          if (!ready_) return false;
          server_->post([this, signal] { begin_stop(signal); });
          return true;
        },
        [this] { server_->post([this] { reload(); }); });  // at a start: when it is over
    auto host = control::EngineHost::start(
        config_, [this](std::function<void()> work) { server_->post(std::move(work)); });
    if (!host.ok()) return fail(host.status());
    host_ = *std::move(host);
    reload_ = std::make_unique<control::Reload>(config_, host_->settings(), std::move(read_),
                                                *host_, host_->intake());
    api_ = std::make_unique<control::Api>(*host_, host_->intake(), host_->port(), *reload_,
                                          config_.name, wall_ns());
    if (const absl::Status status = server_->listen(); !status.ok()) return fail(status);
    server_->set_tick(control::Api::kTickNs, [this] { tick(); });
    say_ready();
    ready_ = true;
    server_->run();
    if (stopper_.joinable()) stopper_.join();
    api_.reset();
    reload_.reset();
    host_.reset();
    log_line(LogLevel::notice, finished_ ? "stopped; all is in the journal"
                                         : "stopped; open transactions were cut off at the limit");
    return EX_OK;
  }

 private:
  static int fail(const absl::Status& status, int exit_status = -1) {
    log_line(LogLevel::error, std::string(status.message()));
    return exit_status >= 0 ? exit_status : exit_status_of(status);
  }

  absl::Status make_server() {
    std::error_code error;
    std::filesystem::create_directories(config_.spool, error);
    absl::StatusOr<int> lock = lock_spool(config_.spool);
    if (!lock.ok()) return lock.status();
    absl::StatusOr<std::string> token = read_token(config_.http_token_file);
    if (!token.ok()) return token.status();
    control::HttpServer::Options options;
    options.feed = {config_.feed_socket, config_.feed_mode, config_.feed_group, config_.feed_users};
    options.tcp = config_.http_on;
    options.tcp_address = config_.http_address;
    options.tcp_port = config_.http_port;
    options.tcp_token = *std::move(token);
    server_ = std::make_unique<control::HttpServer>(
        std::move(options),
        [this](const control::HttpRequest& request, control::HttpCall& call) {
          return api_->route(request, call);
        },
        &control::Api::is_open);
    return absl::OkStatus();
  }

  void say_ready() {
    if (const std::string warning = control::redirect_warning(config_); !warning.empty()) {
      log_line(LogLevel::warning, warning);
    }
    for (const std::string& place : host_->damage()) {
      log_line(LogLevel::error, "damage in the spool: " + place);
    }
    if (config_.spool_bytes_max != 0 && host_->recovered_bytes() > config_.spool_bytes_max) {
      log_line(LogLevel::error,
               "the spool takes up " + control::bytes_text(host_->recovered_bytes()) +
                   ", limits.spool allows " + control::bytes_text(config_.spool_bytes_max) +
                   ": mail is delivered, and none is taken until it has shrunk");
    }
    log_line(LogLevel::notice, "ready: " + std::to_string(host_->shards()) + " shards, " +
                                   std::to_string(host_->recovered_batches()) +
                                   " batches in the spool, feed socket " + config_.feed_socket);
    sd_notify(0, "READY=1");
    uint64_t watchdog_us = 0;
    if (sd_watchdog_enabled(0, &watchdog_us) > 0) {
      watchdog_every_ns_ = static_cast<int64_t>(watchdog_us) * 1000 / 2;
    }
  }

  void tick() {
    api_->set_connections(server_->connections());
    api_->tick();
    const int64_t now = wall_ns();
    if (now >= next_look_at_keys_ns_ || now < next_look_at_keys_ns_ - kLookAtKeysEveryNs) {
      next_look_at_keys_ns_ = now + kLookAtKeysEveryNs;
      reload_->look_at_keys();
    }
    if (watchdog_every_ns_ != 0 && (now >= next_watchdog_ns_ || now < last_watchdog_ns_)) {
      last_watchdog_ns_ = now;
      next_watchdog_ns_ = now + watchdog_every_ns_;
      sd_notify(0, "WATCHDOG=1");
    }
  }

  void reload() {
    if (stopper_.joinable()) return;  // what for
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%lld",
               static_cast<long long>(now.tv_sec) * 1'000'000 + now.tv_nsec / 1000);
    reload_->run().status().IgnoreError();  // it was logged
    sd_notify(0, "READY=1");
  }

  // Nothing new is taken; open transactions may finish while answers still come; then everything
  // closes.
  void begin_stop(int signal) {
    log_line(LogLevel::notice, std::string("stopping on ") + strsignal(signal));
    sd_notify(0, "STOPPING=1");
    api_->begin_shutdown();
    stopper_ = std::thread([this] {
      finished_ = host_->stop(config_.shutdown_limit_ns);
      server_->stop();
    });
  }

  const control::Config& config_;
  control::Reload::Read read_;
  std::unique_ptr<control::HttpServer> server_;
  std::unique_ptr<control::EngineHost> host_;
  std::unique_ptr<control::Reload> reload_;
  std::unique_ptr<control::Api> api_;
  std::thread stopper_;
  std::atomic<bool> ready_{false};
  bool finished_ = false;
  static constexpr int64_t kLookAtKeysEveryNs = 2'000'000'000;
  int64_t next_look_at_keys_ns_ = 0;
  int64_t watchdog_every_ns_ = 0, next_watchdog_ns_ = 0, last_watchdog_ns_ = 0;
};

// The file that the command line names; without one, defaults.
absl::StatusOr<control::Config> read_config(const Common& common) {
  absl::StatusOr<control::Config> config = control::default_config();
  if (common.config_given || access(common.config_file.c_str(), F_OK) == 0) {
    config = control::load_config(common.config_file);
  }
  if (config.ok() && !common.socket.empty()) config->feed_socket = common.socket;
  return config;
}

// Extents, groups and pages come and go by the megabyte. Handing each back to the kernel means
// page faults for the next one; so what is freed is kept, up to a bound.
void keep_freed_memory() {
  mallopt(M_MMAP_THRESHOLD, 32 << 20);
  mallopt(M_TRIM_THRESHOLD, 128 << 20);
}

}  // namespace

int run_serve(const Common& common) {
  if (!io::plant_what_is_told()) {
    log_line(LogLevel::error, "VEREDUS_PLANT names no defect");
    return EX_USAGE;
  }
  const absl::StatusOr<control::Config> config = read_config(common);
  if (!config.ok()) {
    log_line(LogLevel::error, std::string(config.status().message()));
    return EX_CONFIG;
  }
  if (config->file.empty()) {
    log_line(LogLevel::notice, "no " + common.config_file + ": all settings have their defaults");
  }
  keep_freed_memory();
  return Service(*config, [&common] { return read_config(common); }).run();
}

}  // namespace veredus::tools
