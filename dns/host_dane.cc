#include "dns/host_dane.h"

#include <algorithm>
#include <utility>

#include "dns/reading.h"

namespace veredus::dns {

bool DaneSearch::begin(std::string_view host, std::string_view canonical, bool secure) {
  const bool aliased = canonical != host;
  if (!secure && !aliased) return false;
  host_ = host;
  result_ = Found{};
  aliases_ = 0;
  // The alias may stand in a signed zone though what it leads to does not: its own name is the only
  // base then.
  asks_alias_ = !secure;
  host_left_ = aliased && secure;
  if (asks_alias_) {
    ask(host_, RecordType::cname);
  } else {
    ask_base(std::string(canonical));
  }
  return true;
}

void DaneSearch::ask(std::string name, RecordType type) {
  asked_ = std::move(name);
  ++queries_;
  lookups_.query(asked_, type, *this);
}

void DaneSearch::ask_base(std::string base) {
  base_ = std::move(base);
  Name name;
  if (!tlsa_name(base_, port_, name)) return next_base();
  aliases_ = 0;
  ask(std::string(name.view()), RecordType::tlsa);
}

void DaneSearch::next_base() {
  if (std::exchange(host_left_, false)) return ask_base(host_);
  found_(std::exchange(result_, {}));
}

void DaneSearch::believe(bool has_ttl, uint32_t ttl_s) {
  if (!has_ttl) return;
  result_.ttl_s = result_.has_ttl ? std::min(result_.ttl_s, ttl_s) : ttl_s;
  result_.has_ttl = true;
}

void DaneSearch::on_answer(QueryStatus status, std::span<const uint8_t> raw) {
  if (std::exchange(asks_alias_, false)) return alias_known(status, raw);
  TlsaAnswer answer = read_tlsa(status, raw, asked_);
  switch (answer.status) {
    case TlsaStatus::usable:
    case TlsaStatus::unusable:
    case TlsaStatus::failed:
      return finish(answer.status, answer);
    case TlsaStatus::none:
    case TlsaStatus::insecure:
      believe(answer.has_ttl, answer.ttl_s);
      return next_base();
    case TlsaStatus::elsewhere:
      believe(answer.has_ttl, answer.ttl_s);
      if (!answer.secure) return next_base();
      if (++aliases_ > kMaxAliases) {
        answer.why = "too many aliases";
        return finish(TlsaStatus::failed, answer);
      }
      return ask(answer.canonical, RecordType::tlsa);
  }
}

void DaneSearch::alias_known(QueryStatus status, std::span<const uint8_t> raw) {
  Answer alias;
  const Reading reading = read_answer(status, raw, host_, RecordType::cname, alias);
  if (reading.temporary()) {
    base_ = host_;
    TlsaAnswer answer;
    answer.why = reading.why;
    answer.busy = reading.kind == Reading::Kind::busy;
    return finish(TlsaStatus::failed, answer);
  }
  believe(reading.kind == Reading::Kind::records, alias.ttl_s);
  if (reading.kind != Reading::Kind::records || !alias.secure) return next_base();
  ask_base(host_);
}

void DaneSearch::finish(TlsaStatus status, TlsaAnswer& answer) {
  host_left_ = false;
  believe(answer.has_ttl, answer.ttl_s);
  auto dane = std::make_shared<HostDane>();
  dane->status = status;
  dane->base = base_;
  dane->host = host_;
  dane->records = std::move(answer.records);
  std::sort(dane->records.begin(), dane->records.end());  // name servers send them in any order
  if (status == TlsaStatus::failed) {
    dane->busy = answer.busy;
    dane->why.append("TLSA of ").append(asked_).append(": ").append(answer.why);
    result_.has_ttl = false;
  }
  result_.dane = std::move(dane);
  found_(std::exchange(result_, {}));
}

}  // namespace veredus::dns
