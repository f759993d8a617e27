#pragma once

#include <string>
#include <vector>

#include "engine/control/config.h"

namespace veredus::tools {

// One thing that was looked at.
struct Finding {
  enum class State { ok, warn, fail };
  std::string check;
  State state = State::ok;
  std::string found;   // what is there
  std::string remedy;  // what to do; empty when all is well
};
using Findings = std::vector<Finding>;

// doctor_host.cc: what the kernel and the file system give.
void check_io_uring(Findings& out);
void check_descriptors(const control::Config& config, Findings& out);
void check_ports(Findings& out);
void check_backlog(Findings& out);
void check_clock(Findings& out);
void check_spool(const control::Config& config, Findings& out);
void check_feed_socket(const control::Config& config, Findings& out);

// doctor_names.cc: DNS servers, who vouches for receivers, and our own names.
void check_dns(const control::Config& config, Findings& out);
void check_authorities(const control::Config& config, Findings& out);
void check_names(const control::Config& config, Findings& out);

}  // namespace veredus::tools
