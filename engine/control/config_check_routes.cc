#include <algorithm>
#include <map>

#include "absl/strings/ascii.h"
#include "dns/address_policy.h"
#include "engine/control/config_checker.h"

// What the types alone do not say of static routes: who has which domain, hosts that are others
// than we, and credentials that could be used as they stand.

namespace veredus::control {
namespace {

constexpr size_t kHopsMax = 16;
constexpr size_t kCredentialMax = 1024;  // bytes

class RoutesChecker : NamedChecker {
 public:
  RoutesChecker(const Config& config, std::vector<ConfigFault>& faults)
      : NamedChecker(config, faults) {}

  void run() {
    for (const Config::Route& route : config_.routes) {
      begin("routes", route.name);
      domains(route);
      hosts(route);
      credentials(route);
      verification(route);
    }
  }

 private:
  // One route has each: which one would else depend on where it stands.
  void domains(const Config::Route& route) {
    if (!is_set(".domains")) {
      fault("",
            "say whose mail it has: `domains`, as in [\"example.org\", \".example.net\"], or "
            "[\"*\"] for all others");
    }
    for (const std::string& pattern : route.domains) {
      const auto [known, fresh] = owners_.try_emplace(absl::AsciiStrToLower(pattern), route.name);
      if (fresh) continue;
      const std::string other = known->second == route.name
                                    ? "is there twice"
                                    : "is of routes." + known->second + ", too";
      fault(".domains", quoted(pattern) + " " + other);
    }
  }

  void hosts(const Config::Route& route) {
    if (route.hosts.empty()) {
      const bool said = is_set(".hosts");
      fault(said ? ".hosts" : "",
            "name one host at least, as in hosts = [\"relay.example.org:587\"]");
    }
    if (route.hosts.size() > kHopsMax)
      fault(".hosts", "names more than " + std::to_string(kHopsMax) + " hosts");
    for (size_t i = 0; i < route.hosts.size(); ++i) {
      const NextHop& hop = route.hosts[i];
      if (std::find(route.hosts.begin(), route.hosts.begin() + static_cast<std::ptrdiff_t>(i),
                    hop) != route.hosts.begin() + static_cast<std::ptrdiff_t>(i))
        fault(".hosts", quoted(hop.host) + " is there twice with the same port");
      if (is_us(hop.host)) {
        fault(".hosts", quoted(hop.host) +
                            " is this host itself, to which mail would come back: name another, or "
                            "by its loopback address a program that listens here");
      }
    }
  }

  bool is_us(const std::string& host) const {
    const auto same = [&host](const std::string& name) {
      return absl::AsciiStrToLower(name) == host;
    };
    return same(config_.hostname) ||
           std::any_of(config_.own_names.begin(), config_.own_names.end(), same);
  }

  void credentials(const Config::Route& route) {
    const bool password = is_set(".auth.password"), file = is_set(".auth.password_file");
    if (!is_set(".auth.user")) {
      for (const char* key :
           {".auth.password", ".auth.password_file", ".auth.mechanism", ".auth.allow_in_clear"}) {
        if (is_set(key)) return fault(key, "is of no use without auth.user: say that, too");
      }
      return;
    }
    if (password && file) fault(".auth.password_file", "says the same as auth.password: say one");
    if (!password && !file)
      fault(".auth.user", "has no password: say auth.password, or auth.password_file");
    text(".auth.user", route.auth.user);
    if (password) text(".auth.password", route.auth.password);
    if (file && !route.password_file.starts_with('/')) {
      fault(".auth.password_file",
            quoted(route.password_file) + " is no absolute path: begin it with /");
    }
    if (route.auth.allow_in_clear) return;
    using Tls = Config::Route::Tls;
    if (route.tls == Tls::none || route.tls == Tls::opportunistic) {
      fault(".tls", quoted(route.tls == Tls::none ? "none" : "opportunistic") +
                        " is not enough to send a password: write \"required\" or \"implicit\", or "
                        "auth.allow_in_clear = true");
    }
  }

  void verification(const Config::Route& route) {
    if (!route.verifies()) return;
    const std::string setting = is_set(".verify") ? ".verify" : ".auth.user";
    using Tls = Config::Route::Tls;
    if (is_set(".verify") &&
        (route.tls == Tls::none || route.tls == Tls::opportunistic || route.auth.allow_in_clear))
      fault(setting, "needs tls = \"required\" or \"implicit\", and no auth.allow_in_clear");
    for (const NextHop& hop : route.hosts) {
      if (!dns::IpAddress::parse(hop.host)) continue;
      fault(setting, quoted(hop.host) +
                         " has no name that a certificate could be for: name the host instead, or "
                         "set verify = \"never\"");
    }
  }

  // The password is not quoted in what is said of it.
  void text(const std::string& setting, const std::string& value) {
    if (!value.empty() && value.size() <= kCredentialMax &&
        value.find_first_of(std::string_view("\0\r\n", 3)) == std::string::npos)
      return;
    fault(setting, "must be of 1 to " + std::to_string(kCredentialMax) +
                       " bytes, without NUL and ends of lines");
  }

  std::map<std::string, std::string> owners_;  // by pattern
};

}  // namespace

void check_routes(const Config& config, std::vector<ConfigFault>& faults) {
  RoutesChecker(config, faults).run();
}

}  // namespace veredus::control
