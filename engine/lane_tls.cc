// Which sessions go under TLS, and which hosts it is no use with.

#include "engine/lane.h"

namespace veredus {

const smtp::DialogueSettings& Lanes::dialogue_for(const Lane& lane, const Target& target) const {
  const bool in_clear = lane.provider->dialogue.tls == smtp::TlsUse::opportunistic &&
                        tls_is_broken(lane, target.endpoint);
  return lane.rules->dialogue[early_mail(lane, target.host)][in_clear];
}

// By all lanes of this shard, whoever sends: it is the host's.
bool Lanes::tls_is_broken(const Lane& lane, const io::Endpoint& host) const {
  if (broken_tls_.empty()) return false;
  const auto found = broken_tls_.find(host_key(host));
  if (found == broken_tls_.end()) return false;
  const BrokenTls& broken = found->second;
  return broken.until_mono_ns > shard_.mono_ns && broken.since_mono_ns > lane.retried_mono_ns;
}

// True: the session ended at STARTTLS or in the handshake, and the host is spoken to in clear next.
// Not where somebody has put his own bytes behind the host's answer: he would get the mail then.
bool Lanes::goes_on_in_clear(Lane& lane, const smtp::Session& session,
                             const smtp::Outcome& outcome) {
  using smtp::Phase, smtp::Reason;
  if (lane.provider->dialogue.tls != smtp::TlsUse::opportunistic) return false;
  if (outcome.stage != Phase::starttls && outcome.stage != Phase::tls) return false;
  if (outcome.reason == Reason::none || outcome.reason == Reason::tls_injected) return false;
  if (broken_tls_.size() >= kDownHostsMax)
    absl::erase_if(broken_tls_, [this](const auto& each) {
      return each.second.until_mono_ns <= shard_.mono_ns;
    });
  if (broken_tls_.size() >= kDownHostsMax) broken_tls_.clear();
  broken_tls_[host_key(session.peer())] = {shard_.mono_ns, shard_.mono_ns + kBrokenTlsNs};
  Counters::add(shard_.counters.tls_failures);
  list(lane);
  return true;
}

std::string_view Lanes::host_name(const smtp::Session& session) {
  return static_cast<const Lane*>(session.place)->site->hosts[session.host].name;
}

}  // namespace veredus
