#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "queue/order.h"

namespace veredus::tools {

// The sub-commands, one file each. Each returns the exit status (sysexits.h).

struct Common {
  std::string config_file = "/etc/veredus/veredus.toml";
  bool config_given = false;  // else a missing file means defaults
  std::string socket;         // of --socket; empty: that of the configuration
  bool json = false;
};

struct SendOptions {
  std::string file;  // "-": standard input
  bool wait = false;
  int64_t wait_limit_ns = 0;  // 0: without end
  int64_t retry_for_ns = 600'000'000'000;
  bool quiet = false;
};

struct RenderOptions {
  std::string file;  // "-": standard input
  std::string to;    // address
};

struct StatusOptions {
  std::string batch;  // empty: all; else BATCH or TENANT/BATCH
  std::string tenant = "default";
  bool watch = false;
  uint64_t limit = 20;
};

struct EventsOptions {
  bool follow = false;
  bool cursors = false;  // print those lines, too
  std::string after, consumer, state_file, type, tenant, batch, campaign;
  uint64_t limit = 0;  // 0: all
};

struct SpoolOptions {
  std::string what = "list";
  std::string spool;  // empty: that of the configuration
  std::string batch;  // as for status; of any tenant when it names none
  bool final_only = false;
  bool segments = false;
};

struct AuditOptions {
  std::string batch, spool;  // as above
  bool compare = false;
};

// Which mail an order is for, as given on the command line.
struct FilterOptions {
  queue::Filter filter;                 // a batch as NAME or TENANT/NAME; without recipient
  std::vector<std::string> recipients;  // several: of cancel only
};

struct OrderOptions {
  FilterOptions of;
  std::string until, reason;  // empty: none
  bool list = false;          // of suspend: show what is in force
};

struct ResumeOptions {
  uint64_t order = 0;         // 0: those of the batch
  std::string tenant, batch;  // as for status
};

struct CheckConfigOptions {
  std::string file;        // empty: that of --config
  bool providers = false;  // print what is shipped instead
};

struct ClassifyOptions {
  std::string rules;  // an operator's file; empty: that of the configuration, if it has one
  std::string stage = "rcpt";  // of replies that say none
  bool print_rules = false;    // print what is shipped instead
};

struct DkimKeygenOptions {
  std::string domain, selector;
  std::string algorithm = "rsa2048";  // rsa1024 to rsa4096, or ed25519
  std::string file;                   // made; it must not exist
};

struct DkimRecordOptions {
  std::string file, domain, selector;
};

struct DkimVerifyOptions {
  std::string message;  // a file, or "-"
  std::string record;   // a file or a text; empty: the DNS is asked
};

struct WhyOptions {
  std::string what;  // an address, or a batch; empty: as below
  std::string to, batch, domain, site;
  std::string tenant = "default";
  int64_t index = -1;
  uint64_t limit = 20;
};

struct SitesOptions {
  std::string site;  // empty: all
  bool by_provider = false;
  uint64_t limit = 50;
};

struct TopOptions {
  bool by_provider = false;
  size_t lines = 30;
  int64_t every_ns = 1'000'000'000;
  uint64_t rounds = 0;  // 0: until it is interrupted
};

struct TraceOptions {
  std::string site, domain, host, source, provider;  // empty: any
  bool credentials = false, content = false;
};

int run_serve(const Common& common);
int run_send(const Common& common, const SendOptions& options);
int run_render(const Common& common, const RenderOptions& options);
int run_status(const Common& common, const StatusOptions& options);
int run_events(const Common& common, const EventsOptions& options);
int run_spool(const Common& common, const SpoolOptions& options);
// suspend, cancel, retry, expire.
int run_order(const Common& common, queue::Order::Kind kind, const OrderOptions& options);
int run_resume(const Common& common, const ResumeOptions& options);
int run_why(const Common& common, const WhyOptions& options);
int run_sites(const Common& common, const SitesOptions& options);
int run_top(const Common& common, const TopOptions& options);
int run_trace(const Common& common, const TraceOptions& options);
int run_audit(const Common& common, const AuditOptions& options);
int run_reload(const Common& common);
int run_check_config(const Common& common, const CheckConfigOptions& options);
int run_classify(const Common& common, const ClassifyOptions& options);
int run_dkim_keygen(const Common& common, const DkimKeygenOptions& options);
int run_dkim_record(const Common& common, const DkimRecordOptions& options);
int run_dkim_verify(const Common& common, const DkimVerifyOptions& options);
int run_doctor(const Common& common);

// "veredus: …" on standard error.
void complain(std::string_view text);
int exit_status_of(const absl::Status& status);
// Of an answer that is none of 200.
int exit_status_of_answer(int http_status);
// The feed socket to talk to. Complains and returns "" when the configuration cannot be read.
std::string socket_of(const Common& common);
// What a program prints of an error answer: its reason and hint, and where.
std::string error_text(std::string_view body);

}  // namespace veredus::tools
