// The command line of the sink.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "tools/sink/mischief.h"

namespace veredus::sink {

// One place to listen at. With `loopback` it is every address of 127/8 on this port.
struct Listen {
  std::string address;
  uint16_t port;
  bool loopback;
};

// What EHLO offers.
struct Offer {
  bool pipelining = true;
  bool chunking = false;
  bool eight_bit = true;
  bool smtputf8 = true;
  bool dsn = true;
  bool enhanced = true;
  bool size = true;
  bool starttls = false;
  uint64_t max_size = 50u << 20;  // octets of content
  uint32_t mail_max = 0;          // LIMITS: transactions of a session; 0: not stated
  uint32_t rcpt_max = 0;          // likewise recipients of a transaction
};

struct Options {
  std::vector<Listen> listens;
  int threads = 1;
  std::vector<int> cpus;  // thread i is pinned to cpus[i % size]; empty: not pinned
  Offer offer;
  Rules rules;
  uint64_t seed = 1;
  int64_t greylist_ns = 0;  // 0: off
  Delay byte_delay{0, 0};
  int tls_version = 0;    // OpenSSL's number; 0: 1.2 and 1.3
  double tls_inject = 0;  // 0..1, of the 220s to STARTTLS
  std::string ledger;
  bool ledger_sync = false;
  std::string id_header = "message-id";
  std::string content_dir;
  uint64_t content_every = 1;  // messages of a thread for each one that is kept
  std::string status_file;
  int64_t status_every_ms = 0;  // 0: only on SIGUSR1 and at exit
  uint32_t max_recipients = 1000;
  uint32_t max_connections = 20000;  // per thread
  bool help = false;
};

// Reads the command line. Returns an empty string, or what is wrong with it.
std::string parse_options(int argc, char** argv, Options& options);

extern const char kUsage[];

}  // namespace veredus::sink
