#pragma once

#include <cstdint>
#include <string>

namespace veredus::tools {

// A bar on a terminal's standard error, redrawn at most ten times a second; nothing where there is
// no terminal.
class Progress {
 public:
  // `unit`: behind the numbers ("MB", "messages"); `scale`: what one of them is.
  Progress(std::string label, std::string unit, double scale, uint64_t total, bool quiet);
  ~Progress();  // ends the line
  void at(uint64_t done);

 private:
  void draw(uint64_t done);
  const std::string label_, unit_;
  const double scale_;
  const uint64_t total_;
  const bool on_;
  const int64_t began_ns_;
  int64_t drawn_ns_ = 0;
  uint64_t done_ = 0;
};

int64_t mono_ns();

}  // namespace veredus::tools
