#pragma once

#include <map>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "dns/ares_resolver.h"
#include "engine/control/config.h"
#include "engine/mail/dkim_verify.h"

namespace veredus::tools {

// Asks the configured servers for TXT records, one question at a time, and waits for the answer.
class TxtLookup final : private dns::AresResolver::Host {
 public:
  explicit TxtLookup(const control::Config& config);
  ~TxtLookup() override;

  absl::Status open();  // before anything is asked
  // DNSSEC plays no part here. Takes as long as the configuration's time-outs let it.
  mail::DkimKeyAnswer ask(const std::string& name);

 private:
  void watch(int fd, bool readable, bool writable) override;
  void unwatch(int fd) override;
  void wake_at(int64_t at_mono_ns) override;
  int64_t mono_ns() override;
  void turn();

  dns::AresResolver::Settings settings_;
  std::map<int, short> watched_;
  int64_t wake_mono_ns_ = INT64_MAX;
  std::unique_ptr<dns::AresResolver> resolver_;  // last: it calls the others when it goes
};

}  // namespace veredus::tools
