#include "engine/tracer.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "queue/names.h"

namespace veredus {

using What = TraceLine::What;

namespace {

constexpr std::string_view kHidden = "(credentials)";

bool domain_fits(const std::string& pattern, std::string_view domain) {
  return queue::fits_name(pattern,
                          absl::AsciiStrToLower(absl::string_view(domain.data(), domain.size())));
}

// Whether one of the transactions under way is for that domain; or there is none.
bool carries(const smtp::Session& session, const std::string& pattern) {
  bool any = false;
  for (const smtp::Outgoing* const outgoing : session.outgoings()) {
    if (outgoing == nullptr || outgoing->recipients.empty()) continue;
    const std::string_view address = outgoing->recipients.front();  // all are of one domain
    if (domain_fits(pattern, address.substr(address.rfind('@') + 1))) return true;
    any = true;
  }
  return !any;
}

}  // namespace

// -------------------------------------------------------------------------------------------------
// who looks on

void Tracer::begin(std::shared_ptr<Trace> trace) {
  looks_.emplace_back().trace = std::move(trace);
  shard_.tracer = this;
  lanes_.trace_by(this);
  more_to_do_ = true;
}

void Tracer::run() {
  if (looks_.empty()) return;
  more_to_do_ = false;
  std::erase_if(looks_, [](const Look& look) { return look.trace->over(); });
  for (Look& look : looks_) {
    if (!look.trace->filter().domain.empty()) look_for_domains(look);
    if (look.pending.empty() && look.left_out == 0) continue;
    if (look.trace->hand_over(look.pending, look.left_out)) {
      look.pending_bytes = 0;
    } else {
      more_to_do_ = true;
    }
  }
  if (!looks_.empty()) return;
  shard_.tracer = nullptr;
  lanes_.trace_by(nullptr);
  known_.clear();
}

// Those that came before; of what comes later route_known() hears.
void Tracer::look_for_domains(Look& look) {
  size_t left = kDomainsPerTurn;
  for (; look.home < homes_.size(); ++look.home, look.domain = 0) {
    const Home& home = homes_[look.home];
    for (; look.domain < home.domains_.size(); ++look.domain) {
      if (left-- == 0) {
        more_to_do_ = true;
        return;
      }
      const Home::Domain& domain = home.domains_[look.domain];
      if (domain.lane != nullptr && domain_fits(look.trace->filter().domain, domain.name))
        look.trace->add_site(domain.lane->site->number);
    }
  }
}

void Tracer::route_known(std::string_view domain, const Site& site) {
  for (Look& look : looks_) {
    const std::string& wanted = look.trace->filter().domain;
    if (!wanted.empty() && domain_fits(wanted, domain)) look.trace->add_site(site.number);
  }
}

bool Tracer::fits(Look& look, const smtp::Session& session) const {
  const TraceFilter& filter = look.trace->filter();
  const Lane& lane = *static_cast<const Lane*>(session.place);
  if (!filter.site.empty() && lane.site->key != filter.site) return false;
  if (!filter.host.empty() && !queue::fits_name(filter.host, lane.site->hosts[session.host].name) &&
      filter.host != io::to_text(session.peer()))
    return false;
  if (!filter.source.empty() && shard_.policy->sources[lane.source].name != filter.source)
    return false;
  if (!filter.provider.empty() && lane.provider->name != filter.provider) return false;
  if (filter.domain.empty()) return true;
  return look.trace->has_site(lane.site->number) && carries(session, filter.domain);
}

// -------------------------------------------------------------------------------------------------
// what they see

Tracer::Known& Tracer::known(const smtp::Session& session) {
  Known& known = known_[&session];
  if (known.number == 0) known.number = ++numbers_;
  return known;
}

// `with_credentials`: the same for who has asked for them.
void Tracer::line(const smtp::Session& session, What what, std::string_view text,
                  std::string_view with_credentials) {
  for (Look& look : looks_) {
    if (fits(look, session))
      put(look, session, what, look.trace->filter().credentials ? with_credentials : text);
  }
}

void Tracer::put(Look& look, const smtp::Session& session, What what, std::string_view text) {
  // Once something is missing, all is until it is told.
  if (look.left_out > 0 || look.pending_bytes > kPendingBytes) {
    ++look.left_out;
    return;
  }
  const Lane& lane = *static_cast<const Lane*>(session.place);
  TraceLine& made = look.pending.emplace_back();
  made.what = what;
  made.shard = shard_.id;
  made.wall_ns = shard_.wall_ns;
  made.session = known(session).number;
  made.site = lane.site->key;
  made.host = lane.site->hosts[session.host].name;
  const io::Endpoint& peer = session.peer();
  made.address = absl::StrCat(peer.family == 6 ? "[" : "", io::to_text(peer),
                              peer.family == 6 ? "]:" : ":", peer.port);
  made.source = shard_.policy->sources[lane.source].name;
  made.text = text;
  look.pending_bytes += made.bytes();
}

void Tracer::dialled(const smtp::Session& session) {
  known_.erase(&session);  // another connection before
  line(session, What::dialled, "");
}

void Tracer::connected(const smtp::Session& session) {
  line(session, What::connected, "");
}

void Tracer::secured(const smtp::Session& session) {
  const io::TlsChannel& tls = *session.tls();
  std::string text(tls.protocol());
  text.append(" ").append(tls.cipher());
  if (tls.resumed()) text += ", resumed";
  line(session, What::tls, text);
}

void Tracer::said(const smtp::Session& session, std::string_view commands) {
  constexpr std::string_view kAuth = "AUTH ";
  const bool hides = session.dialogue().phase() == smtp::Phase::auth;
  while (!commands.empty()) {
    const size_t end = std::min(commands.find("\r\n"), commands.size());
    const std::string_view text = commands.substr(0, end);
    commands.remove_prefix(std::min(end + 2, commands.size()));
    if (!hides) {
      line(session, What::client, text);
      continue;
    }
    // The mechanism is no secret, what is behind it is.
    std::string shown;
    const size_t mechanism = text.starts_with(kAuth) ? text.find(' ', kAuth.size()) : 0;
    if (mechanism == std::string_view::npos) {
      shown = text;
    } else {
      if (mechanism > 0) shown.append(text.substr(0, mechanism)).append(" ");
      shown += kHidden;
    }
    line(session, What::client, shown, text);
  }
}

void Tracer::content_begins(const smtp::Session& session, const smtp::Outgoing& outgoing) {
  const std::string size = absl::StrCat(outgoing.transaction.size, " bytes of content");
  for (Look& look : looks_) {
    if (!fits(look, session)) continue;
    put(look, session, What::content, size);
    if (!look.trace->filter().content) continue;
    std::string begin;
    for (const iovec& piece : outgoing.content) {
      if (begin.size() == kContentBytes) break;
      begin.append(static_cast<const char*>(piece.iov_base),
                   std::min(piece.iov_len, kContentBytes - begin.size()));
    }
    for (std::string_view rest = begin; !rest.empty();) {
      const size_t end = std::min(rest.find("\r\n"), rest.size());
      put(look, session, What::content, rest.substr(0, end));
      rest.remove_prefix(std::min(end + 2, rest.size()));
    }
    if (begin.size() < outgoing.transaction.size)
      put(look, session, What::content, "… and more, which is left out");
  }
}

void Tracer::heard(const smtp::Session& session, std::string_view bytes) {
  std::string& partial = known(session).partial;
  while (!bytes.empty()) {
    const size_t end = bytes.find('\n');
    const std::string_view piece = bytes.substr(0, end);
    partial.append(piece.substr(0, kLineBytes - std::min(kLineBytes, partial.size())));
    if (end == std::string_view::npos) return;
    bytes.remove_prefix(end + 1);
    if (partial.ends_with('\r')) partial.pop_back();
    heard_line(session, std::exchange(partial, {}));
  }
}

// A host may say back what it was told.
void Tracer::heard_line(const smtp::Session& session, std::string_view text) {
  const auto& credentials = session.dialogue().settings().credentials;
  if (credentials == nullptr) return line(session, What::server, text);
  line(session, What::server, smtp::without_credentials(text, *credentials), text);
}

void Tracer::failed(const smtp::Session& session, std::string_view why) {
  known(session).why = why;
}

void Tracer::closed(const smtp::Session& session) {
  if (std::string rest = std::exchange(known(session).partial, {}); !rest.empty())
    heard_line(session, rest);
  const auto& credentials = session.dialogue().settings().credentials;
  const std::string& why = known(session).why;
  line(session, What::closed,
       credentials == nullptr ? why : smtp::without_credentials(why, *credentials), why);
  known_.erase(&session);
}

}  // namespace veredus
