// Which sessions go under TLS, and which hosts it is no use with.

#include "engine/lane.h"

namespace veredus {

const smtp::DialogueSettings& Lanes::dialogue_for(const Lane& lane, const Target& target) const {
  auto tls = SessionRules::kAsConfigured;
  if (demands_tls(lane, target.dane.get())) {
    tls = SessionRules::kRequired;
  } else if (tls_use(lane) == smtp::TlsUse::opportunistic && tls_is_broken(lane, target.endpoint)) {
    tls = SessionRules::kInClear;
  }
  return lane.rules->dialogue[early_mail(lane, target.host)][tls];
}

// Of a next hop that is configured the configuration says what must be shown.
bool Lanes::heeds_dane(const Lane& lane) {
  return lane.provider->dane && tls_use(lane) != smtp::TlsUse::none &&
         lane.site->route == RouteIndex::kNone;
}

// By the operator, by the domains, or by the host itself. `dane`: of the host; null: none.
bool Lanes::demands_tls(const Lane& lane, const dns::HostDane* dane) {
  return tls_use(lane) == smtp::TlsUse::required || dane != nullptr ||
         lane.site->sts == tls::StsMode::enforce;
}

// By all lanes of this shard to the site, whoever sends: it is the host's, by that name.
bool Lanes::tls_is_broken(const Lane& lane, const io::Endpoint& host) const {
  if (broken_tls_.empty()) return false;
  const auto found = broken_tls_.find(tls_key(lane, host));
  if (found == broken_tls_.end()) return false;
  const BrokenTls& broken = found->second;
  return broken.until_mono_ns > shard_.mono_ns && broken.since_mono_ns > lane.retried_mono_ns;
}

// Or, with TLS 1.3, as soon as for us the handshake was over.
bool Lanes::failed_at_tls(const smtp::Session& session, const smtp::Outcome& outcome) {
  return outcome.stage == smtp::Phase::starttls || outcome.stage == smtp::Phase::tls ||
         outcome.reason == smtp::Reason::tls_missing ||
         (session.tls() != nullptr && !session.greeted);
}

// True: the session ended before it was of use under TLS, where it need not be under it; the host
// is dialled again, and without TLS if it fails again. Not where somebody has put his own bytes
// behind the host's answer: he would get the mail then. With TLS 1.3 a host refuses what it does
// not like when for us the handshake is over.
bool Lanes::goes_on_without(Lane& lane, const smtp::Session& session,
                            const smtp::Outcome& outcome) {
  using smtp::Phase, smtp::Reason;
  if (outcome.reason == Reason::tls_injected) Counters::add(shard_.counters.tls_injected);
  if (outcome.reason == Reason::tls_missing) return false;
  if (!failed_at_tls(session, outcome) || outcome.reason == Reason::none ||
      outcome.reason == Reason::tls_injected)
    return false;
  Counters::add(shard_.counters.tls_failures);
  if (session.dialogue().settings().tls != smtp::TlsUse::opportunistic) return false;
  BrokenTls before;
  if (const auto known = broken_tls_.find(tls_key(lane, session.peer()));
      known != broken_tls_.end())
    before = known->second;
  // Others work there under TLS: it is no more than one that failed.
  if (before.failures < 2 && peer_of(lane, session.peer()) != nullptr) return false;
  // Where others are lucky and this lane is not, over and over, it waits as for a dead host.
  if (++lane.tls_failures > kTlsFailuresMax) {
    lane.tls_failures = 0;
    return false;
  }
  if (broken_tls_.size() >= kDownHostsMax)
    absl::erase_if(broken_tls_, [this](const auto& each) {
      return each.second.until_mono_ns <= shard_.mono_ns;
    });
  if (broken_tls_.size() >= kDownHostsMax) broken_tls_.clear();
  BrokenTls& broken = broken_tls_[tls_key(lane, session.peer())];
  // Those that were under way together are one failure, and long ago is none.
  if (broken.failures > 0 && session.dialled_mono_ns() <= broken.since_mono_ns) {
    list(lane);
    return true;
  }
  if (shard_.mono_ns - broken.since_mono_ns > 2 * kBrokenTlsMaxNs) broken.failures = 0;
  // What OpenSSL itself says no to will be so again, unless it was for a session that was kept.
  const bool for_sure = outcome.reason == Reason::tls_failed && !session.tls()->tried_to_resume();
  broken.failures = std::min(broken.failures + (for_sure ? 2 : 1), 16u);
  broken.since_mono_ns = shard_.mono_ns;
  if (broken.failures > 1)
    broken.until_mono_ns =
        shard_.mono_ns + std::min(kBrokenTlsMaxNs, kBrokenTlsNs << (broken.failures - 2));
  list(lane);
  return true;
}

static bool same(const dns::HostDane* a, const dns::HostDane* b) {
  if (a == nullptr || b == nullptr || a == b) return a == b;
  return a->status == b->status && a->base == b->base && a->records == b->records;
}

// By the rules that hold now its mail goes under TLS or not at all.
bool Lanes::must_not_stay(const Lane& lane, const smtp::Session& session) {
  if (tls_use(lane) == smtp::TlsUse::required && !session.dialogue().secured()) return true;
  if (lane.rules->dialogue[0][0].verify && !session.dialogue().settings().verify) return true;
  // What the host says of itself is another thing now.
  bool known = false, fits = false;
  for (const Target& target : lane.targets) {
    if (target.endpoint != session.peer()) continue;
    known = true;
    fits = fits || same(target.dane.get(), session.dane.get());
  }
  if (known && !fits) return true;
  // Nor with other credentials than those that are configured.
  return session.dialogue().settings().credentials != lane.rules->dialogue[0][0].credentials;
}

bool Lanes::needs_tls(const Lane& lane, const Work& work) {
  return work.batch->batch.tls_required || tls_use(lane) == smtp::TlsUse::required;
}

// Before it has cost anything.
void Lanes::put_off_for_tls(Work& work, const smtp::Session& session) {
  smtp::Said said;
  said.stage = smtp::Phase::mail;
  said.reason = smtp::Reason::needs_tls;
  Returned& item = give_back(work);
  item.verdict = smtp::judge(said);
  item.stage = static_cast<uint8_t>(said.stage);
  item.enhanced = {4, 7, 4};
  item.source = work.lane->source;
  text_of(work, item, smtp::words(said.reason), work.lane->site->hosts[session.host].name,
          io::to_text(session.peer()));
  note_outcome(*work.lane, item.verdict.result, 0, smtp::words(said.reason));
  free_work(work);
}

void Lanes::tls_of(const Work& work, Returned& item, const io::TlsChannel& tls) {
  std::string names(tls.protocol());
  names.append(" ").append(tls.cipher());
  if (tls.verified() == io::TlsCheck::dane) names.append(" dane");
  if (tls.verified() == io::TlsCheck::authorities) names.append(" authorities");
  item.tls_at =
      place_text(*returned_[work.ticket.home], names, &Returned::tls_at, &Returned::tls_length);
  item.tls_length = static_cast<uint32_t>(names.size());
}

io::TlsPeer Lanes::tls_peer(const smtp::Session& session) {
  const Lane& lane = *static_cast<const Lane*>(session.place);
  io::TlsPeer peer;
  peer.server_name = host_name(session);
  if (lane.site->sts != tls::StsMode::none || session.dialogue().settings().verify) {
    peer.check = io::TlsCheck::authorities;
    peer.enforced = lane.site->sts != tls::StsMode::testing;
    peer.names = {peer.server_name};
  }
  // DANE goes before a policy of the domain, which must not excuse what it refuses (RFC 8461 §2).
  // Where none of the records is usable they authenticate nobody, and the policy holds.
  if (session.dane != nullptr) {
    peer.server_name = session.dane->base;
    if (session.dane->status != dns::TlsaStatus::usable) return peer;
    peer.otherwise = std::exchange(peer.check, io::TlsCheck::dane);
    peer.otherwise_enforced = std::exchange(peer.enforced, true);
    peer.names = {session.dane->base, session.dane->host};
    peer.records = session.dane->records;
  }
  return peer;
}

// Of a next hop that is configured by its address: none (RFC 6066 §3).
std::string_view Lanes::host_name(const smtp::Session& session) {
  const Site& site = *static_cast<const Lane*>(session.place)->site;
  const std::string_view name = site.hosts[session.host].name;
  return !site.ports.empty() && dns::IpAddress::parse(name) ? std::string_view() : name;
}

}  // namespace veredus
