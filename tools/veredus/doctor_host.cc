#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <system_error>

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <unistd.h>

#include "engine/control/settings.h"
#include "engine/engine_core.h"
#include "engine/io/ring.h"
#include "engine/io/ring_disk.h"
#include "tools/veredus/doctor.h"

namespace veredus::tools {
namespace {

using State = Finding::State;

// -1: not there.
long long sysctl_number(const std::string& path) {
  std::ifstream in("/proc/sys/" + path);
  long long value = -1;
  return in >> value ? value : -1;
}

// As many as the engine will write: one a shard, and those that an earlier number of shards left.
unsigned journals_of(const control::Config& config) {
  const unsigned shards = control::shards_of(config);
  absl::StatusOr<io::SpoolFiles> files = io::SpoolFiles::open(config.spool);
  if (!files.ok()) return shards;
  io::BlockingDisk disk(*std::move(files));
  return std::max(shards, journals_in(disk).value_or(0u));
}

}  // namespace

void check_io_uring(Findings& out) {
  const absl::Status probe = io::Ring::probe();
  const long long disabled = sysctl_number("kernel/io_uring_disabled");
  if (!probe.ok()) {
    // The message says cause and remedy itself.
    out.push_back({"io_uring", State::fail, std::string(probe.message()),
                   disabled > 0 ? "sysctl kernel.io_uring_disabled=0" : ""});
    return;
  }
  out.push_back({"io_uring", State::ok, "works, with all that is used", ""});
}

void check_descriptors(const control::Config& config, Findings& out) {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  constexpr rlim_t kBesideSessions = 2048;  // spool, feeders, DNS
  const rlim_t wanted = config.global.connections + kBesideSessions;
  const std::string found = "at most " + std::to_string(limit.rlim_max) + " open files";
  if (limit.rlim_max >= wanted) {
    out.push_back({"descriptors", State::ok, found, ""});
    return;
  }
  out.push_back({"descriptors", State::warn,
                 found + ", fewer than smtp.connections_total asks for (" + std::to_string(wanted) +
                     "): dialling will pause at the limit",
                 "LimitNOFILE=1048576 in the unit, or `ulimit -Hn` higher"});
}

void check_ports(Findings& out) {
  std::ifstream in("/proc/sys/net/ipv4/ip_local_port_range");
  long first = 0, last = 0;
  in >> first >> last;
  const long count = last - first + 1;
  const std::string found = std::to_string(count) + " ephemeral ports (" + std::to_string(first) +
                            "–" + std::to_string(last) + ")";
  constexpr long kEnough = 28000;  // what the kernel comes with
  if (count >= kEnough) {
    out.push_back({"ports", State::ok, found, ""});
  } else {
    out.push_back({"ports", State::warn, found + ": few connections from one address to another",
                   "sysctl net.ipv4.ip_local_port_range=\"1024 65535\""});
  }
}

void check_backlog(Findings& out) {
  const long long most = sysctl_number("net/core/somaxconn");
  const std::string found = "somaxconn " + std::to_string(most);
  constexpr long long kWanted = 512;
  if (most >= kWanted) {
    out.push_back({"backlog", State::ok, found, ""});
  } else {
    out.push_back({"backlog", State::warn, found + ": many feeders at once may be turned away",
                   "sysctl net.core.somaxconn=4096"});
  }
}

void check_clock(Findings& out) {
  constexpr time_t kNotBefore = 1'735'689'600;  // 2025: this program is younger
  timex state{};
  const int got = adjtimex(&state);
  if (time(nullptr) < kNotBefore) {
    out.push_back({"clock", State::fail, "the clock is years slow",
                   "set it; Date fields and expiry go by it"});
  } else if (got == TIME_ERROR || (state.status & STA_UNSYNC) != 0) {
    out.push_back(
        {"clock", State::warn, "nothing keeps the clock right", "run systemd-timesyncd or chrony"});
  } else {
    out.push_back({"clock", State::ok, "kept in step", ""});
  }
}

void check_spool(const control::Config& config, Findings& out) {
  const std::string& spool = config.spool;
  struct stat found {};
  if (stat(spool.c_str(), &found) != 0) {
    out.push_back({"spool", State::warn, spool + ": " + std::generic_category().message(errno),
                   "the engine makes it if it may; else: install -d -m 750 -o veredus " + spool});
    return;
  }
  const std::string probe = spool + "/.doctor-" + std::to_string(getpid());
  std::FILE* file = std::fopen(probe.c_str(), "wxe");
  if (file == nullptr) {
    out.push_back({"spool", State::fail,
                   spool + " cannot be written: " + std::generic_category().message(errno),
                   "give it to the engine's user, and run doctor as that user"});
    return;
  }
  std::fclose(file);
  unlink(probe.c_str());
  struct statvfs space {};
  statvfs(spool.c_str(), &space);
  const uint64_t free_bytes = uint64_t{space.f_bavail} * space.f_frsize;
  // Three segments a journal: the one being written, the next, and one for outcomes.
  const uint64_t needed = uint64_t{3} * config.segment_bytes * journals_of(config);
  const std::string text = spool + ", " + std::to_string(free_bytes >> 20) + " MiB free";
  if (free_bytes < needed) {
    out.push_back({"spool", State::fail,
                   text + ", " + std::to_string(needed >> 20) + " MiB are needed to start",
                   "make room, or set node.spool to a larger disk"});
  } else if (free_bytes < needed * 10 || space.f_favail < 1000) {
    out.push_back({"spool", State::warn, text + ": little", "make room before feeding much"});
  } else {
    out.push_back({"spool", State::ok, text, ""});
  }
}

void check_feed_socket(const control::Config& config, Findings& out) {
  const std::filesystem::path directory = std::filesystem::path(config.feed_socket).parent_path();
  std::error_code error;
  if (!std::filesystem::exists(directory, error)) {
    out.push_back(
        {"feed socket", State::warn, directory.string() + " is not there",
         "the engine makes it if it may; RuntimeDirectory=veredus in the unit does, too"});
  } else if (access(directory.c_str(), W_OK) != 0) {
    out.push_back({"feed socket", State::fail, directory.string() + " cannot be written",
                   "give it to the engine's user, or set feed.socket"});
  } else {
    out.push_back({"feed socket", State::ok, config.feed_socket, ""});
  }
}

}  // namespace veredus::tools
