#include <algorithm>
#include <set>

#include "engine/control/config_syntax.h"
#include "engine/control/config_table.h"
#include "engine/control/settings.h"
#include "queue/names.h"

// What the types alone do not say of how mail is sent: names that others go by, and settings of a
// provider that must fit each other.

namespace veredus::control {
namespace {

std::string quoted(const std::string& text) {
  return "\"" + text + "\"";
}

class SendingChecker {
 public:
  SendingChecker(const Config& config, std::vector<ConfigFault>& faults)
      : config_(config), faults_(faults) {}

  void run() {
    retry("", config_.fallback);
    family("smtp.family", config_.fallback.family);
    providers();
    for (const ProviderGroup& group : config_.groups) name("groups." + group.name, group.name);
    sources();
    pools();
  }

 private:
  void fault(std::string setting, std::string what) {
    faults_.push_back({std::move(setting), std::move(what)});
  }
  bool is_set(const std::string& setting) const { return config_.places.contains(setting); }
  void name(const std::string& where, const std::string& text) {
    if (!queue::is_name(text))
      fault(where, quoted(text) + " is no name: 1–128 of A–Z a–z 0–9 . _ : @ -");
  }

  // `where`: "providers.NAME.", or "" for that of all.
  void retry(const std::string& where, const Provider& sending) {
    const size_t faults_before = faults_.size();
    const queue::RetryPolicy& policy = sending.retry;
    at_most(where, "retry.initial", policy.initial_ns, "retry.cap", policy.cap_ns);
    for (const int64_t interval : policy.intervals_ns) {
      if (interval <= policy.cap_ns) continue;
      at_most(where, "retry.intervals", interval, "retry.cap", policy.cap_ns);
      break;
    }
    site_clock(where, sending);
    if (policy.hint_max_ns != 0 && policy.hint_max_ns < queue::kHintMinNs) {
      fault(where + "retry.hint_max", duration_text(policy.hint_max_ns) +
                                          " is too short: write \"10s\" or more, or \"0s\" for "
                                          "not at all");
    }
    if (faults_.size() == faults_before) valid(where, sending);
  }

  void site_clock(const std::string& where, const Provider& sending) {
    const int64_t first_ns = sending.site_initial_ns, cap_ns = sending.retry.site_cap_ns;
    if (first_ns != 0 && first_ns < kSecond) {
      fault(where + "retry.site_initial", duration_text(first_ns) +
                                              " is too short: write \"1s\" or more, or \"0s\" "
                                              "for as long as host_down");
    } else if (first_ns != 0) {
      at_most(where, "retry.site_initial", first_ns, "retry.site_cap", cap_ns);
    }
  }

  // Whatever else the retry policy itself knows. "retry: factor: 1 … 10", it says.
  void valid(const std::string& where, Provider sending) {
    set_site_clock(sending);
    const absl::Status status = queue::validate(sending.retry);
    if (status.ok()) return;
    const std::string text(status.message());
    std::string_view what = text;
    what.remove_prefix(std::min(what.size(), std::string_view("retry: ").size()));
    const size_t colon = std::min(what.find(": "), what.size());
    fault(where + "retry." + std::string(what.substr(0, colon)),
          "is out of range" + std::string(what.substr(colon)));
  }

  void at_most(const std::string& where, const std::string& low, int64_t low_ns,
               const std::string& high, int64_t high_ns) {
    if (low_ns <= high_ns) return;
    if (is_set(where + high)) {
      fault(where + high, duration_text(high_ns) + " is less than " + where + low + " (" +
                              duration_text(low_ns) + "): raise it, or lower that");
    } else {
      const std::string remedy = where.empty() ? "raise that" : "say " + where + high + ", too";
      fault(where + low, duration_text(low_ns) + " is more than " + high + " (" +
                             duration_text(high_ns) + "): lower it, or " + remedy);
    }
  }

  void family(const std::string& where, AddressFamily family) {
    if (family != AddressFamily::ipv6_only || config_.dns_ipv6) return;
    fault(where, "\"ipv6-only\", and dns.ipv6 is false: no host would have an address");
  }

  void providers() {
    std::vector<std::string> groups;
    for (const ProviderGroup& group : config_.groups) groups.push_back(group.name);
    for (const Config::ProviderRule& rule : config_.providers) {
      const std::string where = "providers." + rule.name;
      name(where, rule.name);
      // One that fits nothing is a way to switch off what is shipped; but it must be said.
      if (!is_set(where + ".mx") && !is_set(where + ".domains") && !is_set(where + ".sites")) {
        fault(where, "say whom it fits: `mx`, `domains` or `sites`");
      }
      for (const std::string& group : rule.groups) {
        if (std::find(groups.begin(), groups.end(), group) != groups.end()) continue;
        fault(where + ".groups", "there is no group " + quoted(group) + known_text(group, groups) +
                                     " (a heading [groups." + group + "] makes it)");
      }
      const Provider sending = complete_provider(config_, rule);
      retry(where + ".", sending);
      if (is_set(where + ".family")) family(where + ".family", sending.family);
    }
  }

  void sources() {
    std::set<std::string> seen;
    for (size_t i = 0; i < config_.sources.size(); ++i) {
      const SourceSettings& source = config_.sources[i];
      const std::string where = "sources[" + std::to_string(i) + "].";
      if (i == kSourcesMax) {
        fault(where + "name", "there may be " + std::to_string(kSourcesMax) + " sources, not more");
        break;
      }
      name(where + "name", source.name);
      if (!seen.insert(source.name).second) {
        fault(where + "name", quoted(source.name) + " is there twice: give each source its own");
      }
      if (!source.ehlo.empty() && !is_host_name(source.ehlo)) {
        fault(where + "ehlo", quoted(source.ehlo) + " is no host name");
      }
      if (source.address6.family == 0) continue;
      if (source.address6.family != 6) {
        fault(where + "address6", quoted(io::to_text(source.address6)) +
                                      " is no IPv6 address: write an IPv4 one as `address`");
      } else if (source.address.family != 4) {
        fault(where + "address6",
              "is for the second address of a source whose `address` is IPv4: "
              "write a single one as `address`");
      }
    }
  }

  void pools() {
    std::vector<std::string> known;
    for (const SourceSettings& source : config_.sources) known.push_back(source.name);
    for (const Config::Pool& pool : config_.pools) {
      const std::string where = "pools." + pool.name;
      name(where, pool.name);
      if (pool.sources.empty()) {
        fault(where + ".sources", "name one source at least, as in sources = [\"a\"]");
      }
      std::set<std::string> seen;
      for (const auto& [source, weight] : pool.sources) {
        if (std::find(known.begin(), known.end(), source) == known.end()) {
          fault(where + ".sources",
                "there is no source " + quoted(source) + known_text(source, known));
        }
        if (!seen.insert(source).second) {
          fault(where + ".sources", quoted(source) + " is there twice: give it a weight instead");
        }
      }
    }
  }

  const Config& config_;
  std::vector<ConfigFault>& faults_;
};

}  // namespace

void check_sending(const Config& config, std::vector<ConfigFault>& faults) {
  SendingChecker(config, faults).run();
}

}  // namespace veredus::control
