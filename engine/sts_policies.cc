#include "engine/sts_policies.h"

#include <algorithm>
#include <utility>

#include "dns/reading.h"
#include "engine/routes.h"

namespace veredus {

// About so much memory.
static uint64_t bytes_of(const tls::CachedSts& cached) {
  uint64_t bytes = 256;
  for (const tls::StsPattern& pattern : cached.policy.mx) bytes += 48 + pattern.name.size();
  return bytes;
}

// A domain: what its record says is known, or being looked up and followed.
class StsPolicies::Entry final : public dns::ListNode<Entry> {
 public:
  explicit Entry(StsPolicies& owner) : owner_(owner), record_(*this), host_(*this) {}
  ~Entry() {
    owner_.lookups_.cancel(record_);
    owner_.waited_for_.erase({waited_since_mono_ns_, name});
  }

  std::string name;
  bool known = false;
  int64_t until_mono_ns = 0;
  dns::List<Waiter> waiters;

  void reset() { known = failed_before_ = false; }

  // False: it is not worth it.
  bool wait(Waiter& waiter) {
    if (failed_before_ || given_up_) return false;
    if (waiters.empty()) {
      owner_.waited_for_.erase({waited_since_mono_ns_, name});  // of such as have gone
      waited_since_mono_ns_ = owner_.shard_.mono_ns;
      owner_.waited_for_[{waited_since_mono_ns_, name}] = this;
    }
    waiters.push_back(waiter);
    return true;
  }
  // They do without, though it is not known.
  void give_up() {
    given_up_ = true;
    release();
  }

  void begin() {
    known = given_up_ = false;
    dns::Name at;
    if (!tls::sts_record_name(name, at)) return finish(kTtlMaxNs);
    asked_ = std::string(at.view());
    aliases_ = 0;
    owner_.lookups_.query(asked_, dns::RecordType::txt, record_);
  }

  void fetched(const tls::StsFetched& fetched) {
    if (known || id_.empty()) return;
    if (fetched.fault == tls::StsFault::not_asked) return busy();
    if (fetched.fault != tls::StsFault::none) return failed(fetched.fault, fetched.why);
    tls::CachedSts cached;
    cached.domain = name;
    cached.id = id_;
    cached.fetched_wall_s = std::max<int64_t>(0, owner_.shard_.wall_ns / kSecond);
    cached.policy = fetched.policy;
    owner_.fetches_->keep(cached);
    owner_.keep(std::move(cached), 0);
    failed_before_ = false;
    finish(ttl_ns_);
  }

 private:
  struct Record final : dns::Query {
    explicit Record(Entry& owner) : entry(owner) {}
    void on_answer(dns::QueryStatus status, std::span<const uint8_t> raw) override {
      entry.on_record(status, raw);
    }
    Entry& entry;
  };
  struct Host final : dns::AddressHandler {
    explicit Host(Entry& owner) : entry(owner) {}
    void on_addresses(const dns::Addresses& addresses) override { entry.on_host(addresses); }
    Entry& entry;
  };

  void on_record(dns::QueryStatus status, std::span<const uint8_t> raw) {
    dns::Answer& answer = owner_.answer_;
    const dns::Reading reading =
        dns::read_answer(status, raw, asked_, dns::RecordType::txt, answer);
    using Kind = dns::Reading::Kind;
    // What is not known now: a policy that is in force goes on.
    if (reading.temporary()) return finish(kTtlMinNs);
    if (reading.kind == Kind::alias_only) {
      if (++aliases_ > dns::kMaxAliases) return finish(kTtlMinNs);
      asked_ = answer.canonical;
      return owner_.lookups_.query(asked_, dns::RecordType::txt, record_);
    }
    ttl_ns_ = StsPolicies::ttl_ns(answer, reading.kind != Kind::records);
    absl::StatusOr<tls::StsRecord> record = tls::find_sts_record(answer);
    if (!record.ok()) return finish(ttl_ns_);
    const Kept* const kept = owner_.kept_of(name);
    if (kept != nullptr && kept->policy->id == record->id &&
        kept->refresh_mono_ns > owner_.shard_.mono_ns)
      return finish(ttl_ns_);
    id_ = std::move(record->id);
    dns::Name host;
    if (!tls::sts_policy_host(name, host)) return finish(ttl_ns_);
    Counters::add(owner_.shard_.counters.sts_fetches);
    if (const dns::Addresses* known_ones = owner_.router_.addresses(host.view(), host_))
      on_host(*known_ones);
  }

  void on_host(const dns::Addresses& addresses) {
    if (addresses.status != dns::AddressStatus::ok)
      return failed(tls::StsFault::fetch_error, addresses.reason);
    tls::StsFetch fetch;
    fetch.domain = name;
    std::string refused;
    for (const dns::IpAddress& address : addresses.list) {
      const auto allowed = owner_.shard_.settings.address_policy.check(address);
      if (allowed.verdict == dns::AddressPolicy::Verdict::allowed) {
        fetch.addresses.push_back(address);
      } else {
        refused = address.to_string() + " " + allowed.reason;
      }
    }
    if (fetch.addresses.empty())
      return failed(tls::StsFault::fetch_error, "the policy host's address: " + refused);
    owner_.fetches_->fetch(owner_.shard_.id, std::move(fetch));
  }

  // Nobody was asked, for we are at our bounds: no fault of the domain.
  void busy() { finish(kTtlMinNs); }

  // The policy that is in force, if there is one, stays so.
  void failed(tls::StsFault fault, std::string_view why) {
    Counters::add(owner_.shard_.counters.sts_fetch_failures);
    owner_.note_fault(name, fault, why);
    failed_before_ = true;
    finish(kFailedAgainNs);
  }

  void finish(int64_t ttl) {
    until_mono_ns = owner_.shard_.mono_ns + ttl;
    // A policy is looked at in time, though its record may be believed for longer.
    const Kept* const kept = failed_before_ ? nullptr : owner_.kept_of(name);
    if (kept != nullptr) {
      until_mono_ns = std::max(owner_.shard_.mono_ns + kTtlMinNs,
                               std::min(until_mono_ns, kept->refresh_mono_ns));
    }
    known = true;
    id_.clear();
    release();
    owner_.entries_.settle(*this);
  }

  void release() {
    owner_.waited_for_.erase({waited_since_mono_ns_, name});
    while (Waiter* const waiter = waiters.pop_front()) waiter->on_sts();
  }

  StsPolicies& owner_;
  Record record_;
  Host host_;
  std::string asked_;  // the record's name, or what it is an alias of
  std::string id_;     // of the record whose policy is being fetched
  unsigned aliases_ = 0;
  int64_t ttl_ns_ = 0;
  int64_t waited_since_mono_ns_ = 0;
  bool failed_before_ = false;  // when its policy was fetched last
  bool given_up_ = false;       // nobody waits any more for what is under way
};

StsPolicies::StsPolicies(ShardContext& shard, dns::Router& router, dns::Lookups& lookups,
                         tls::StsFetches* fetches)
    : shard_(shard), router_(router), lookups_(lookups), fetches_(fetches), entries_(kDomainsMax) {}
StsPolicies::~StsPolicies() = default;

void StsPolicies::take_known() {
  if (fetches_ == nullptr) return;
  for (const tls::CachedSts& cached : fetches_->known()) {
    if (shard_of_domain(cached.domain, shard_.exchange.shards()) != shard_.id) continue;
    // A clock that was wrong then, or is now, makes a policy neither older than it can be nor
    // younger than none.
    const int64_t age_s = shard_.wall_ns / kSecond - cached.fetched_wall_s;
    if (age_s >= cached.policy.max_age_s) continue;
    keep(cached, std::max<int64_t>(0, age_s) * kSecond);
  }
}

// Where there is no room the one goes that is over first.
void StsPolicies::keep(tls::CachedSts cached, int64_t age_ns) {
  drop(cached.domain);
  const uint64_t bytes = bytes_of(cached);
  while (!ends_.empty() && (kept_.size() >= kPoliciesMax || kept_bytes_ + bytes > kBytesMax))
    drop(std::string(ends_.begin()->second));
  const int64_t max_age_ns = int64_t{cached.policy.max_age_s} * kSecond;
  Kept& kept = kept_[cached.domain];
  kept.expires_mono_ns = shard_.mono_ns + max_age_ns - age_ns;
  kept.refresh_mono_ns = shard_.mono_ns + std::min(kRefreshNs, max_age_ns / 2) - age_ns;
  kept_bytes_ += bytes;
  ends_.insert({kept.expires_mono_ns, cached.domain});
  kept.policy = std::make_shared<const tls::CachedSts>(std::move(cached));
}

void StsPolicies::drop(const std::string& domain) {
  const auto found = kept_.find(domain);
  if (found == kept_.end()) return;
  kept_bytes_ -= bytes_of(*found->second.policy);
  ends_.erase({found->second.expires_mono_ns, domain});
  kept_.erase(found);
}

const StsPolicies::Kept* StsPolicies::kept_of(std::string_view domain) const {
  const auto found = kept_.find(std::string(domain));
  if (found == kept_.end() || found->second.expires_mono_ns <= shard_.mono_ns) return nullptr;
  return &found->second;
}

std::shared_ptr<const tls::CachedSts> StsPolicies::policy_of(std::string_view domain) const {
  const Kept* const kept = kept_of(domain);
  return kept == nullptr ? nullptr : kept->policy;
}

std::vector<std::shared_ptr<const tls::CachedSts>> StsPolicies::all() const {
  std::vector<std::shared_ptr<const tls::CachedSts>> all;
  for (const auto& [domain, kept] : kept_) {
    if (kept.expires_mono_ns > shard_.mono_ns && kept.policy->policy.mode != tls::StsMode::none)
      all.push_back(kept.policy);
  }
  return all;
}

int64_t StsPolicies::ttl_ns(const dns::Answer& answer, bool negative) {
  const bool stated = !negative || answer.has_soa;
  const int64_t ttl_s = negative ? answer.negative_ttl_s : answer.ttl_s;
  return stated ? std::clamp(ttl_s * kSecond, kTtlMinNs, kTtlMaxNs) : kTtlMinNs;
}

bool StsPolicies::ask(std::string_view domain, Waiter& waiter, Found& found) {
  found = Found{};
  found.expires_mono_ns = INT64_MAX;
  dns::Name name;
  if (fetches_ == nullptr || !dns::normalize_name(domain, name)) return true;
  Entry* entry = entries_.find(name.view());
  if (entry != nullptr && entry->known && entry->until_mono_ns <= shard_.mono_ns) {
    entries_.pin(*entry);
    entry->begin();
  } else if (entry == nullptr) {
    entry = entries_.insert(name.view(), *this, evicted_);
    if (entry != nullptr) entry->begin();
  }
  const Kept* const kept = kept_of(name.view());
  found.expires_mono_ns = shard_.mono_ns + kUnderWayNs;
  if (kept != nullptr) {
    found.policy = kept->policy;
    if (entry != nullptr && entry->known) found.expires_mono_ns = entry->until_mono_ns;
    found.expires_mono_ns = std::min(found.expires_mono_ns, kept->expires_mono_ns);
    return true;
  }
  if (entry == nullptr) return true;  // too many are being looked up: none for now
  if (entry->known) {
    found.expires_mono_ns = entry->until_mono_ns;
    return true;
  }
  return !entry->wait(waiter);
}

void StsPolicies::run() {
  while (!waited_for_.empty() && waited_for_.begin()->first.first + kWaitNs <= shard_.mono_ns)
    waited_for_.begin()->second->give_up();
}

int64_t StsPolicies::next_due_mono_ns() const {
  return waited_for_.empty() ? INT64_MAX : waited_for_.begin()->first.first + kWaitNs;
}

void StsPolicies::fetched(const tls::StsFetched& fetched) {
  Entry* const entry = entries_.find(fetched.domain);
  if (entry != nullptr) entry->fetched(fetched);
}

}  // namespace veredus
