#include "tools/veredus/txt_lookup.h"

#include <algorithm>
#include <csignal>
#include <cstdint>
#include <span>
#include <vector>

#include <poll.h>
#include <time.h>

#include "dns/answer.h"
#include "dns/name.h"

namespace veredus::tools {
namespace {

using Status = mail::DkimKeyAnswer::Status;

struct Waiting final : dns::Query {
  void on_answer(dns::QueryStatus answer_status, std::span<const uint8_t> bytes) override {
    status = answer_status;
    raw.assign(bytes.begin(), bytes.end());
    done = true;
  }
  dns::QueryStatus status{};
  std::vector<uint8_t> raw;
  bool done = false;
};

mail::DkimKeyAnswer failed(std::string why) {
  return {Status::failed, {}, std::move(why)};
}

mail::DkimKeyAnswer read_answer(const Waiting& query, const std::string& name) {
  if (query.status == dns::QueryStatus::timed_out) return failed("no name server answers in time");
  if (query.status != dns::QueryStatus::answered) {
    return failed("no name server can be asked; `veredus doctor` looks at them");
  }
  dns::Answer answer;
  if (dns::parse_answer(query.raw, name, dns::RecordType::txt, answer) != dns::ParseStatus::ok)
    return failed("the name server's answer makes no sense");
  if (answer.rcode == dns::kRcodeNameError) return {};
  if (answer.rcode != dns::kRcodeNoError)
    return failed("the name server says " + std::string(dns::rcode_text(answer.rcode)));
  if (answer.truncated) return failed("the answer is cut short");
  if (answer.txt.empty()) return {};
  return {Status::found, std::move(answer.txt), ""};
}

}  // namespace

TxtLookup::TxtLookup(const control::Config& config) {
  settings_.servers = config.dns_servers;
  settings_.timeout_ms =
      static_cast<int>(std::clamp<int64_t>(config.dns_timeout_ns / 1'000'000, 50, 60'000));
  settings_.tries = 2;
}

TxtLookup::~TxtLookup() = default;

absl::Status TxtLookup::open() {
  std::signal(SIGPIPE, SIG_IGN);
  auto made = dns::AresResolver::create(settings_, *this);
  if (!made.ok()) return made.status();
  resolver_ = *std::move(made);
  return absl::OkStatus();
}

mail::DkimKeyAnswer TxtLookup::ask(const std::string& name) {
  dns::Name normal;
  if (!dns::normalize_name(name, normal)) return failed("this is no name in the DNS");
  const std::string asked(normal.view());
  Waiting query;
  resolver_->query(asked, dns::RecordType::txt, query);
  while (!query.done) turn();
  return read_answer(query, asked);
}

void TxtLookup::watch(int fd, bool readable, bool writable) {
  watched_[fd] = static_cast<short>((readable ? POLLIN : 0) | (writable ? POLLOUT : 0));
}

void TxtLookup::unwatch(int fd) {
  watched_.erase(fd);
}

void TxtLookup::wake_at(int64_t at_mono_ns) {
  wake_mono_ns_ = at_mono_ns;
}

int64_t TxtLookup::mono_ns() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

void TxtLookup::turn() {
  std::vector<pollfd> fds;
  for (const auto& [fd, events] : watched_) fds.push_back({fd, events, 0});
  constexpr int64_t kLongest = 1'000'000'000;
  const int64_t wait_ns = std::clamp<int64_t>(wake_mono_ns_ - mono_ns(), 0, kLongest);
  poll(fds.data(), fds.size(), static_cast<int>((wait_ns + 999'999) / 1'000'000));
  if (mono_ns() >= wake_mono_ns_) {
    wake_mono_ns_ = INT64_MAX;
    resolver_->on_timer();
  }
  for (const pollfd& ready : fds) {
    if (ready.revents == 0 || !watched_.contains(ready.fd)) continue;
    const bool broken = (ready.revents & (POLLERR | POLLHUP)) != 0;
    resolver_->on_ready(ready.fd, broken || (ready.revents & POLLIN) != 0,
                        (ready.revents & POLLOUT) != 0);
  }
}

}  // namespace veredus::tools
