#include "engine/control/metrics.h"

#include <array>
#include <cstdio>

#include <sys/resource.h>
#include <unistd.h>

namespace veredus::control {
namespace {

struct Row {
  const char* name;
  const char* type;
  const char* help;
  Counters::Count Counters::*value;
};

constexpr Row kRows[] = {
    {"recipients_loaded_total", "counter", "Recipients taken in, those found at start included",
     &Counters::loaded},
    {"recipients_waiting", "gauge", "Recipients at home: waiting, deferred or under way",
     &Counters::waiting},
    {"recipients_unread", "gauge", "Recipients of those waiting that the start has not read yet",
     &Counters::unread},
    {"tickets_out", "gauge", "Recipients of those waiting that are with a lane now",
     &Counters::ticketed},
    {"delivered_total", "counter", "Recipients delivered, by their home", &Counters::delivered},
    {"delivered_by_lane_total", "counter", "Recipients delivered, by the lane that sent them",
     &Counters::delivered_here},
    {"deferred_total", "counter", "Attempts that ended in later", &Counters::deferred},
    {"failed_total", "counter", "Recipients that ended in never", &Counters::failed},
    {"expired_total", "counter", "Recipients whose time ran out", &Counters::expired},
    {"cancelled_total", "counter", "Recipients cancelled", &Counters::cancelled},
    {"erasures_pending", "gauge", "Segment files that hold an address to be forgotten",
     &Counters::erasures_pending},
    {"in_doubt_total", "counter", "Attempts lost between the final dot and its reply",
     &Counters::in_doubt},
    {"tickets_unsent_total", "counter", "Tickets that came back without an attempt",
     &Counters::unsent},
    {"tickets_stale_total", "counter", "Tickets that came back to a record of another generation",
     &Counters::stale},
    {"transactions_total", "counter", "SMTP transactions begun", &Counters::transactions},
    {"dkim_signatures_total", "counter", "DKIM signatures made", &Counters::signatures},
    {"connections_dialled_total", "counter", "SMTP connections begun", &Counters::connections},
    {"connections_made_total", "counter", "SMTP connections made", &Counters::connected},
    {"connection_failures_total", "counter", "SMTP connections that could not be made",
     &Counters::connect_failures},
    {"tls_failures_total", "counter",
     "SMTP sessions in which TLS could not be begun; where it is opportunistic the host is then "
     "spoken to in clear",
     &Counters::tls_failures},
    {"tls_injected_total", "counter",
     "SMTP sessions in which bytes in clear came where TLS was to begin", &Counters::tls_injected},
    {"mta_sts_fetches_total", "counter", "MTA-STS policies asked for", &Counters::sts_fetches},
    {"mta_sts_fetch_failures_total", "counter", "MTA-STS policies that could not be had",
     &Counters::sts_fetch_failures},
    {"sessions", "gauge", "SMTP sessions open", &Counters::sessions},
    {"lanes", "gauge", "Lanes known", &Counters::lanes},
    {"domains", "gauge", "Domains known", &Counters::domains},
    {"dns_lookups_total", "counter", "DNS lookups begun", &Counters::lookups},
    {"unreadable_total", "counter", "Recipients or contents that could not be read back",
     &Counters::unreadable},
    {"checkpoints_total", "counter", "Checkpoints completed", &Counters::checkpoints},
    {"recipients_carried_total", "counter", "Recipients that reclaim wrote anew",
     &Counters::carried},
    {"segments_removed_total", "counter", "Segment files given back", &Counters::segments_removed},
    {"spool_damage_total", "counter", "Places found damaged below the durable mark",
     &Counters::spool_damage},
    {"turns_total", "counter", "Turns of the shard's loop", &Counters::turns},
    {"journal_bytes_total", "counter", "Bytes written to the journal", &Counters::journal_bytes},
    {"journal_syncs_total", "counter", "Syncs of the journal", &Counters::journal_syncs},
};

void head(std::string& out, const char* name, const char* type, const char* help) {
  out.append("# HELP ").append(name).append(" ").append(help).append("\n");
  out.append("# TYPE ").append(name).append(" ").append(type).append("\n");
}

void single(std::string& out, const char* name, const char* type, const char* help,
            const std::string& value) {
  head(out, name, type, help);
  out.append(name).append(" ").append(value).append("\n");
}

std::string seconds(double value) {
  std::array<char, 48> text{};
  std::snprintf(text.data(), text.size(), "%.6f", value);
  return text.data();
}

uint64_t resident_bytes() {
  std::FILE* file = std::fopen("/proc/self/statm", "re");
  if (file == nullptr) return 0;
  unsigned long long total = 0, resident = 0;
  const int got = std::fscanf(file, "%llu %llu", &total, &resident);
  std::fclose(file);
  return got == 2 ? resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE)) : 0;
}

void write_process(std::string& out, const ControlFigures& figures) {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  const auto time_of = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  single(out, "process_cpu_seconds_total", "counter", "CPU time of the process, kernel included",
         seconds(time_of(used.ru_utime) + time_of(used.ru_stime)));
  single(out, "process_resident_memory_bytes", "gauge", "Resident memory",
         std::to_string(resident_bytes()));
  single(out, "process_start_time_seconds", "gauge", "Unix time of the start",
         seconds(static_cast<double>(figures.started_wall_ns) / 1e9));
}

void write_tenants(std::string& out, const ControlFigures& figures) {
  const auto rows = [&](const char* name, const char* help, auto value) {
    head(out, name, "gauge", help);
    for (const ControlFigures::Tenant& tenant : figures.tenants) {
      out += std::string(name) + "{tenant=\"" + tenant.name + "\"} " +
             std::to_string(tenant.*value) + "\n";
    }
  };
  if (figures.tenants.empty()) return;
  rows("veredus_tenant_waiting", "Recipients waiting of tenants that have a quota",
       &ControlFigures::Tenant::waiting);
  rows("veredus_tenant_spool_bytes", "Bytes of unfinished batches of tenants that have a quota",
       &ControlFigures::Tenant::bytes);
}

}  // namespace

std::string metrics_text(const EngineView& view, const ControlFigures& figures) {
  std::string out;
  for (const Row& row : kRows) {
    const std::string name = std::string("veredus_") + row.name;
    head(out, name.c_str(), row.type, row.help);
    for (unsigned shard = 0; shard < view.shards(); ++shard) {
      const uint64_t value = (view.counters(shard).*row.value).load(std::memory_order_relaxed);
      out += name + "{shard=\"" + std::to_string(shard) + "\"} " + std::to_string(value) + "\n";
    }
  }
  single(out, "veredus_batches", "gauge", "Batches known", std::to_string(figures.batches));
  single(out, "veredus_uploads", "gauge", "Batches being fed", std::to_string(figures.uploads));
  single(out, "veredus_unanswered_bytes", "gauge", "Bytes given to the journals, not yet durable",
         std::to_string(figures.unanswered_bytes));
  single(out, "veredus_http_connections", "gauge", "Connections to feed socket and TCP port",
         std::to_string(figures.connections));
  single(out, "veredus_accepting", "gauge", "1 while feeders are not told 503",
         figures.accepting ? "1" : "0");
  write_tenants(out, figures);
  write_process(out, figures);
  return out;
}

}  // namespace veredus::control
