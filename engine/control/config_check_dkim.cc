#include <map>

#include "absl/strings/ascii.h"
#include "engine/control/config_checker.h"
#include "engine/control/config_syntax.h"
#include "engine/mail/dkim_identity.h"
#include "engine/mail/idn.h"

// What the types alone do not say of signing identities.

namespace veredus::control {
namespace {

class DkimChecker : NamedChecker {
 public:
  DkimChecker(const Config& config, std::vector<ConfigFault>& faults)
      : NamedChecker(config, faults) {}

  void run() {
    for (const Config::Dkim& identity : config_.dkim) {
      begin("dkim", identity.name);
      names(identity);
      if (identity.lifetime_ns != 0 && identity.lifetime_ns < mail::kDkimLifetimeMin)
        fault(".lifetime", "is too short for mail that has to wait: 1h at least, or 0s: no end");
      if (!is_set(".key_file")) {
        fault("", "say where its key lies: key_file (veredus dkim keygen makes one)");
      } else if (!identity.key_file.starts_with('/')) {
        fault(".key_file", quoted(identity.key_file) + " is no absolute path: begin it with /");
      }
    }
  }

 private:
  void names(const Config::Dkim& identity) {
    if (!is_set(".domain")) {
      fault("", "say whose mail it signs: domain, as in \"example.org\"");
    } else if (!is_host_name(mail::with_a_labels(identity.domain))) {
      fault(".domain", quoted(identity.domain) + " is no domain, as in \"example.org\"");
    }
    if (!is_set(".selector")) {
      fault("", "say where its key is published: selector, as in \"s2026\"");
    } else if (!is_host_name(identity.selector)) {
      fault(".selector", quoted(identity.selector) +
                             " is no name of the DNS: letters, digits and hyphens, with dots "
                             "between them");
    }
    // Two keys of one name: receivers would find one of them only.
    const std::string published =
        absl::AsciiStrToLower(identity.selector + "._domainkey." + identity.domain);
    const auto [known, fresh] = published_.try_emplace(published, identity.name);
    if (!fresh) fault(".selector", "is that of dkim." + known->second + ", too, for this domain");
  }

  std::map<std::string, std::string> published_;  // by name in the DNS
};

}  // namespace

void check_dkim(const Config& config, std::vector<ConfigFault>& faults) {
  DkimChecker(config, faults).run();
}

}  // namespace veredus::control
