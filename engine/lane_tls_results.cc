// What is counted of TLS with a lane's hosts, for the reports of RFC 8460.

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "engine/lane.h"
#include "engine/routes.h"

namespace veredus {
namespace {

using Type = TlsResult::Type;

Type type_of(io::TlsFault fault) {
  switch (fault) {
    case io::TlsFault::none:
      return Type::success;
    case io::TlsFault::host_mismatch:
      return Type::certificate_host_mismatch;
    case io::TlsFault::expired:
      return Type::certificate_expired;
    case io::TlsFault::not_trusted:
      return Type::certificate_not_trusted;
    case io::TlsFault::validation:
      return Type::validation_failure;
  }
  return Type::validation_failure;
}

// As they stand in a zone.
std::string zone_text(const std::vector<dns::TlsaRecord>& records) {
  constexpr size_t kMost = 512;
  std::string text;
  for (const dns::TlsaRecord& record : records) {
    if (text.size() >= kMost) break;
    if (!text.empty()) text.push_back('\n');
    for (const unsigned number : {record.usage, record.selector, record.matching})
      text.append(std::to_string(number)).push_back(' ');
    const auto* const data = reinterpret_cast<const char*>(record.data.data());
    text += absl::BytesToHexString(absl::string_view(data, record.data.size()));
  }
  return text;
}

}  // namespace

// A configured next hop has no policy that anybody would report on, and staging none at all.
bool Lanes::counts_tls(const Lane& lane) const {
  return tls_results_ != nullptr && tls_use(lane) != smtp::TlsUse::none &&
         lane.site->route == RouteIndex::kNone && lane.redirected.family == 0;
}

TlsResult Lanes::tls_result(const Lane& lane, std::string_view domain,
                            const dns::HostDane* dane) const {
  TlsResult result;
  result.domain = absl::AsciiStrToLower(std::string(domain));
  if (dane != nullptr) {
    result.policy = TlsResult::Policy::tlsa;
    result.records = zone_text(dane->records);
  } else if (lane.site->sts != tls::StsMode::none) {
    result.policy = TlsResult::Policy::sts;
  }
  return result;
}

void Lanes::count_tls(const smtp::Session& session, TlsResult result, Type type,
                      std::string_view reason) {
  const Lane& lane = *static_cast<const Lane*>(session.place);
  result.type = type;
  result.mx = lane.site->hosts[session.host].name;
  if (type != Type::success) {
    result.reason = reason;
    result.address = io::to_text(session.peer());
    const io::Endpoint& from = from_address(lane, session.peer().family);
    if (from.family != 0) result.sending = io::to_text(from);
  }
  tls_results_->add(std::move(result));
}

// A session counts once for each domain whose mail it carries, or again if there are many of them.
void Lanes::count_session(smtp::Session& session, std::string_view domain) {
  const Lane& lane = *static_cast<const Lane*>(session.place);
  if (!counts_tls(lane)) return;
  auto& counted = session.counted;
  const auto is_counted = [&counted](uint64_t hash) {
    return std::find(counted.begin(), counted.end(), hash) != counted.end();
  };
  const uint64_t hash = stable_hash(domain);
  if (is_counted(hash)) return;
  // Perhaps only as it was spelled.
  const bool known = is_counted(stable_hash(absl::AsciiStrToLower(std::string(domain))));
  counted[session.counted_next++ % counted.size()] = hash;
  if (known) return;
  TlsResult result = tls_result(lane, domain, session.dane.get());
  const io::TlsChannel* const tls = session.tls();
  const std::vector<bool>& outside = lane.site->outside_policy;
  if (tls == nullptr && session.dialogue().settings().tls == smtp::TlsUse::none) {
    count_tls(session, std::move(result), Type::validation_failure,
              "in clear, for TLS had failed before");
  } else if (tls == nullptr) {
    count_tls(session, std::move(result), Type::starttls_not_supported, {});
  } else if (!outside.empty() && outside[session.host]) {
    count_tls(session, std::move(result), Type::validation_failure,
              "the policy does not name the host");
  } else if (session.dane != nullptr && session.dane->status == dns::TlsaStatus::unusable) {
    count_tls(session, std::move(result), Type::tlsa_invalid, "none of the records is usable");
  } else {
    count_tls(session, std::move(result), type_of(tls->fault()), {});
  }
}

// What the host says or leaves unsaid otherwise is no matter of TLS.
bool Lanes::failed_for_tls(const smtp::Session& session, const smtp::Outcome& outcome) {
  using smtp::Phase, smtp::Reason;
  switch (outcome.reason) {
    case Reason::tls_missing:
    case Reason::tls_injected:
    case Reason::tls_failed:
    case Reason::tls_untrusted:
      return true;
    case Reason::none:
      return outcome.stage == Phase::starttls;
    case Reason::timed_out:
      return outcome.stage == Phase::tls;
    case Reason::connection_lost:
      // With TLS 1.3 a host refuses what it does not like when for us the handshake is over.
      return outcome.stage == Phase::tls || (session.tls() != nullptr && !session.greeted);
    default:
      return false;
  }
}

// It ended before it carried anything: for the domain that stands first in line.
void Lanes::count_failed_tls(const smtp::Session& session, const smtp::Outcome& outcome,
                             std::string_view text) {
  using smtp::Reason;
  const Lane& lane = *static_cast<const Lane*>(session.place);
  const Work* const first = lane.waiting.first();
  if (first == nullptr || !counts_tls(lane)) return;
  Type type = Type::validation_failure;
  if (outcome.reason == Reason::tls_missing || outcome.reason == Reason::none)
    type = Type::starttls_not_supported;
  if (outcome.reason == Reason::tls_untrusted) type = type_of(session.tls()->fault());
  count_tls(session, tls_result(lane, domain_of(first->to), session.dane.get()), type, text);
}

void Lanes::count_unknown_tlsa(const Lane& lane, const dns::HostDane& dane) {
  const Work* const first = lane.waiting.first();
  if (first == nullptr || !counts_tls(lane)) return;
  TlsResult result = tls_result(lane, domain_of(first->to), &dane);
  result.type = Type::dnssec_invalid;
  result.mx = dane.host;
  result.reason = dane.why;
  tls_results_->add(std::move(result));
}

}  // namespace veredus
