#include "tools/veredus/progress.h"

#include <algorithm>
#include <cstdio>
#include <ctime>

#include <unistd.h>

namespace veredus::tools {

int64_t mono_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

Progress::Progress(std::string label, std::string unit, double scale, uint64_t total, bool quiet)
    : label_(std::move(label)),
      unit_(std::move(unit)),
      scale_(scale),
      total_(total),
      on_(!quiet && isatty(STDERR_FILENO) != 0),
      began_ns_(mono_ns()) {}

Progress::~Progress() {
  if (!on_) return;
  draw(done_);
  std::fputc('\n', stderr);
}

void Progress::at(uint64_t done) {
  done_ = done;
  constexpr int64_t kEvery_ns = 100'000'000;
  if (!on_ || mono_ns() - drawn_ns_ < kEvery_ns) return;
  draw(done);
}

void Progress::draw(uint64_t done) {
  drawn_ns_ = mono_ns();
  const double seconds = std::max(1e-3, static_cast<double>(drawn_ns_ - began_ns_) / 1e9);
  const double part =
      total_ == 0 ? 1.0 : std::min(1.0, static_cast<double>(done) / static_cast<double>(total_));
  constexpr int kWidth = 30;
  std::string bar(static_cast<size_t>(part * kWidth), '#');
  bar.resize(kWidth, '.');
  std::fprintf(stderr, "\r%-10s [%s] %3.0f%%  %.*f/%.*f %s  %.0f %s/s \x1b[K", label_.c_str(),
               bar.c_str(), part * 100, scale_ > 1 ? 1 : 0, static_cast<double>(done) / scale_,
               scale_ > 1 ? 1 : 0, static_cast<double>(total_) / scale_, unit_.c_str(),
               static_cast<double>(done) / scale_ / seconds, unit_.c_str());
  std::fflush(stderr);
}

}  // namespace veredus::tools
