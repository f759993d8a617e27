#include "dns/router.h"

#include <algorithm>
#include <cassert>
#include <utility>

#include "dns/name.h"

namespace veredus::dns {
namespace {

constexpr int64_t kSecond = 1'000'000'000;
constexpr const char* kNotNow = "4.4.3";        // directory server failure
constexpr const char* kNoSuchDomain = "5.1.2";  // bad destination system address
constexpr const char* kNullMx = "5.1.10";       // RFC 7505 §4.2
constexpr const char* kNoRoute = "5.4.4";       // unable to route

// Names of .onion are never asked for: they do not exist in the DNS (RFC 7686 §2).
bool lookup_name(std::string_view text, Name& name) {
  return normalize_name(text, name) && !name.view().ends_with(".onion");
}

}  // namespace

// A domain: known, or being looked up (MX; then, without MX, the addresses of the domain itself).
class Router::RouteEntry final : public ListNode<RouteEntry> {
 public:
  explicit RouteEntry(Router& router) : router_(router), mx_(*this), host_(*this) {}
  ~RouteEntry() { router_.lookups_.cancel(mx_); }

  std::string name;
  Route route;
  bool known = false;
  bool delivering = false;
  List<RouteHandler> handlers;

  void reset() { known = false; }

  void begin() {
    known = false;
    route.hosts.clear();
    route.reason.clear();
    route.enhanced = "";
    route.implicit = false;
    route.secure = true;
    aliases_ = 0;
    ttl_s_ = INT64_MAX;
    asked_ = name;
    router_.ask(asked_, RecordType::mx, mx_);
  }

 private:
  struct Mx final : Query {
    explicit Mx(RouteEntry& owner) : entry(owner) {}
    void on_answer(QueryStatus status, std::span<const uint8_t> raw) override {
      entry.on_mx(status, raw);
    }
    RouteEntry& entry;
  };
  struct Host final : AddressHandler {
    explicit Host(RouteEntry& owner) : entry(owner) {}
    void on_addresses(const Addresses& addresses) override { entry.on_own_addresses(addresses); }
    RouteEntry& entry;
  };

  void on_mx(QueryStatus status, std::span<const uint8_t> raw) {
    const Reading reading = router_.read(status, raw, asked_, RecordType::mx);
    Answer& answer = router_.answer_;
    if (!reading.temporary()) route.secure = route.secure && answer.secure;
    switch (reading.kind) {
      case Reading::Kind::records:
        ttl_s_ = std::min(ttl_s_, router_.positive_ttl(answer.ttl_s));
        return take_hosts(answer);
      case Reading::Kind::alias_only:
        aliases_ += answer.aliases;
        ttl_s_ = std::min(ttl_s_, router_.positive_ttl(answer.ttl_s));
        if (aliases_ > kMaxAliases)
          return later("too many aliases", router_.settings_.temporary_ttl_s);
        asked_ = answer.canonical;
        return router_.ask(asked_, RecordType::mx, mx_);
      case Reading::Kind::no_records: {
        ttl_s_ = std::min(ttl_s_, router_.negative_ttl(answer));
        asked_ = answer.canonical;
        const Addresses* own = router_.addresses(asked_, host_);
        if (own != nullptr) on_own_addresses(*own);
        return;
      }
      case Reading::Kind::no_such_name:
        ttl_s_ = std::min(ttl_s_, router_.negative_ttl(answer));
        return finish(RouteStatus::no_such_domain, kNoSuchDomain, "the domain does not exist");
      case Reading::Kind::busy:
        return later(reading.why, router_.settings_.busy_ttl_s);
      case Reading::Kind::failed:
        return later(reading.why, router_.settings_.temporary_ttl_s);
    }
  }

  void take_hosts(Answer& answer) {
    std::vector<MxRecord>& mx = answer.mx;
    if (mx.size() == 1 && mx[0].name.empty() && answer.unusable == 0) {
      return finish(RouteStatus::null_mx, kNullMx, "the domain takes no mail (null MX)");
    }
    std::sort(mx.begin(), mx.end(), [](const MxRecord& left, const MxRecord& right) {
      return std::tie(left.preference, left.name) < std::tie(right.preference, right.name);
    });
    for (MxRecord& record : mx) {
      if (route.hosts.size() == router_.settings_.max_mx_hosts) break;
      const bool seen = std::any_of(route.hosts.begin(), route.hosts.end(),
                                    [&](const MxHost& host) { return host.name == record.name; });
      if (!record.name.empty() && !seen)
        route.hosts.push_back({std::move(record.name), record.preference});
    }
    if (!route.hosts.empty()) return finish(RouteStatus::ok, "", "");
    finish(RouteStatus::no_mail_host, kNoRoute, "its MX records name no usable host");
  }

  // RFC 5321 §5.1: a domain without MX is its own mail host, if it has an address.
  void on_own_addresses(const Addresses& addresses) {
    route.secure = route.secure && addresses.secure;
    const int64_t left_ns = addresses.expires_mono_ns - router_.mono_ns_();
    const int64_t left_s = std::max<int64_t>(left_ns / kSecond, 1);
    switch (addresses.status) {
      case AddressStatus::ok:
        ttl_s_ = std::min(ttl_s_, left_s);
        route.implicit = true;
        route.hosts.push_back({asked_, 0});
        return finish(RouteStatus::ok, "", "");
      case AddressStatus::none:
        ttl_s_ = std::min(ttl_s_, left_s);
        return finish(RouteStatus::no_such_domain, kNoSuchDomain,
                      "the domain has neither MX nor address records");
      case AddressStatus::temporary:
        route.reason = addresses.reason;
        ttl_s_ = left_s;
        return finish(RouteStatus::temporary, kNotNow, nullptr);
    }
  }

  void later(const char* why, int64_t ttl_s) {
    ttl_s_ = ttl_s;
    route.reason.append("MX of ").append(asked_).append(": ").append(why);
    finish(RouteStatus::temporary, kNotNow, nullptr);
  }

  // `why`: nullptr when the reason has been written.
  void finish(RouteStatus status, const char* enhanced, const char* why) {
    route.status = status;
    route.enhanced = enhanced;
    if (status == RouteStatus::temporary) route.secure = false;
    if (why != nullptr && *why != 0) route.reason.append(name).append(": ").append(why);
    route.expires_mono_ns = router_.expiry(ttl_s_);
    known = delivering = true;
    while (RouteHandler* handler = handlers.pop_front()) handler->on_route(route);
    delivering = false;
    router_.routes_.settle(*this);
  }

  Router& router_;
  Mx mx_;
  Host host_;
  std::string asked_;  // the domain, or what it is an alias of
  unsigned aliases_ = 0;
  int64_t ttl_s_ = 0;
};

// A host: its addresses known, or being looked up, both families at once.
class Router::HostEntry final : public ListNode<HostEntry> {
 public:
  explicit HostEntry(Router& router)
      : router_(router),
        four_(*this, RecordType::a),
        six_(*this, RecordType::aaaa),
        dane_(router.lookups_, router.settings_.tlsa_port, router.counters_.queries,
              [this](DaneSearch::Found found) { on_dane(std::move(found)); }) {}
  ~HostEntry() {
    router_.lookups_.cancel(four_);
    router_.lookups_.cancel(six_);
  }

  std::string name;
  Addresses addresses;
  bool known = false;
  bool delivering = false;
  List<AddressHandler> handlers;

  void reset() { known = false; }

  void begin() {
    known = false;
    pending_ = router_.settings_.ask_ipv6 ? 2 : 1;
    four_.begin(name);
    if (router_.settings_.ask_ipv6) six_.begin(name);
  }

 private:
  struct Family final : Query {
    Family(HostEntry& owner, RecordType record_type) : entry(owner), type(record_type) {}

    void begin(const std::string& host) {
      asked = host;
      aliases = 0;
      ttl_s = INT64_MAX;
      secure = true;
      list.clear();
      entry.router_.ask(asked, type, *this);
    }

    void on_answer(QueryStatus status, std::span<const uint8_t> raw) override {
      Router& router = entry.router_;
      reading = router.read(status, raw, asked, type);
      const Answer& answer = router.answer_;
      secure = secure && answer.secure && !reading.temporary();
      switch (reading.kind) {
        case Reading::Kind::alias_only:
          aliases += answer.aliases;
          ttl_s = std::min(ttl_s, router.positive_ttl(answer.ttl_s));
          if (aliases <= kMaxAliases) {
            asked = answer.canonical;
            return router.ask(asked, type, *this);
          }
          reading = {Reading::Kind::failed, "too many aliases"};
          ttl_s = router.settings_.temporary_ttl_s;
          break;
        case Reading::Kind::records:
          list.assign(answer.addresses.begin(), answer.addresses.end());
          asked = answer.canonical;
          ttl_s = std::min(ttl_s, router.positive_ttl(answer.ttl_s));
          break;
        case Reading::Kind::no_records:
        case Reading::Kind::no_such_name:
          ttl_s = std::min(ttl_s, router.negative_ttl(answer));
          break;
        case Reading::Kind::busy:
          ttl_s = router.settings_.busy_ttl_s;
          break;
        case Reading::Kind::failed:
          ttl_s = router.settings_.temporary_ttl_s;
          break;
      }
      if (--entry.pending_ == 0) entry.finish();
    }

    HostEntry& entry;
    const RecordType type;
    std::string asked;
    unsigned aliases = 0;
    Reading reading{Reading::Kind::no_records};
    int64_t ttl_s = 0;
    bool secure = false;
    std::vector<IpAddress> list;
  };

  void finish() {
    const bool both = router_.settings_.ask_ipv6;
    const bool failed = four_.reading.temporary() || (both && six_.reading.temporary());
    const bool found = !four_.list.empty() || (both && !six_.list.empty());
    addresses.secure = four_.secure && (!both || six_.secure);
    addresses.enhanced = "";
    addresses.reason.clear();
    addresses.list.clear();
    addresses.dane.reset();
    // The family that decides less counts for the time, too: a failed one is soon asked again.
    int64_t ttl_s = INT64_MAX;
    for (const Family* family : {&four_, &six_}) {
      if (family == &six_ && !both) break;
      if (found && !failed && family->list.empty()) continue;
      ttl_s = std::min(ttl_s, family->ttl_s);
    }
    if (found) {
      addresses.status = AddressStatus::ok;
      take_lists();
    } else if (failed) {
      const Family& bad = four_.reading.temporary() ? four_ : six_;
      addresses.status = AddressStatus::temporary;
      addresses.enhanced = kNotNow;
      addresses.reason.append(&bad == &four_ ? "A of " : "AAAA of ").append(bad.asked).append(": ");
      addresses.reason.append(bad.reading.why);
    } else {
      const bool exists = four_.reading.kind == Reading::Kind::no_records;
      addresses.status = AddressStatus::none;
      addresses.enhanced = kNoRoute;
      addresses.reason.append(name).append(exists ? ": the host has no address"
                                                  : ": the host does not exist");
    }
    addresses.expires_mono_ns = router_.expiry(ttl_s);
    const Family& leads = four_.list.empty() && both ? six_ : four_;
    // Where nobody has validated the addresses, their host's records are not asked for: some name
    // servers fail at them (RFC 7672 §2.1.1). A family that failed says nothing of that: else who
    // keeps back one answer would keep us from all.
    const auto insecure = [](const Family& family) {
      return !family.secure && !family.reading.temporary();
    };
    const bool secure = !insecure(four_) && !(both && insecure(six_));
    if (!found || router_.settings_.tlsa_port == 0 || !dane_.begin(name, leads.asked, secure))
      deliver();
  }

  void on_dane(DaneSearch::Found found) {
    const int64_t expires_mono_ns = router_.expiry(dane_ttl_s(found));
    addresses.expires_mono_ns = std::min(addresses.expires_mono_ns, expires_mono_ns);
    addresses.dane = std::move(found.dane);
    deliver();
  }

  int64_t dane_ttl_s(const DaneSearch::Found& found) const {
    const RouterSettings& settings = router_.settings_;
    if (found.dane != nullptr && found.dane->status == TlsaStatus::failed)
      return found.dane->busy ? settings.busy_ttl_s : settings.temporary_ttl_s;
    if (found.dane != nullptr) return router_.positive_ttl(found.ttl_s);
    const int64_t ttl_s = found.has_ttl ? found.ttl_s : settings.unproven_negative_ttl_s;
    return std::clamp(ttl_s, settings.min_negative_ttl_s, settings.max_negative_ttl_s);
  }

  void deliver() {
    known = delivering = true;
    while (AddressHandler* handler = handlers.pop_front()) handler->on_addresses(addresses);
    delivering = false;
    router_.hosts_.settle(*this);
  }

  void take_lists() {
    const size_t max = router_.settings_.max_addresses;
    if (!router_.settings_.ask_ipv6) six_.list.clear();
    const size_t sixes = std::min(six_.list.size(), max);
    const size_t fours = std::min(four_.list.size(), std::max(max / 2, max - sixes));
    for (size_t i = 0; i < fours; ++i) addresses.list.push_back(four_.list[i]);
    for (size_t i = 0; i < sixes && addresses.list.size() < max; ++i)
      addresses.list.push_back(six_.list[i]);
  }

  Router& router_;
  Family four_, six_;
  DaneSearch dane_;
  unsigned pending_ = 0;
};

Router::Router(Lookups& lookups, RouterSettings settings, std::function<int64_t()> mono_ns)
    : lookups_(lookups),
      settings_(settings),
      mono_ns_(std::move(mono_ns)),
      routes_(settings.max_routes),
      hosts_(settings.max_hosts) {
  assert(settings.max_mx_hosts >= 1 && settings.max_mx_hosts <= kMaxMxHosts);
  assert(settings.max_addresses >= 2 && settings.max_addresses <= kMaxHostAddresses);
  no_name_ = {RouteStatus::no_such_domain, false, false, {}, INT64_MAX, kNoSuchDomain,
              "not a name of the DNS"};
  no_host_ = {AddressStatus::none, false, {}, INT64_MAX, kNoRoute, "not a name of the DNS"};
  constexpr const char* kFull = "too many domains and hosts are being looked up";
  overloaded_route_ = {RouteStatus::temporary, false, false, {}, 0, kNotNow, kFull};
  overloaded_host_ = {AddressStatus::temporary, false, {}, 0, kNotNow, kFull};
}

Router::~Router() = default;

const Route* Router::cached(std::string_view domain, int64_t mono_ns) {
  Name name;
  if (!lookup_name(domain, name)) return &no_name_;
  RouteEntry* entry = routes_.find(name.view());
  if (entry == nullptr || !entry->known) return nullptr;
  if (!entry->delivering && entry->route.expires_mono_ns <= mono_ns) return nullptr;
  routes_.touch(*entry);
  ++counters_.hits;
  return &entry->route;
}

const Route* Router::resolve(std::string_view domain, RouteHandler& handler) {
  const Route* known = cached(domain, mono_ns_());
  if (known != nullptr) return known;
  Name name;
  normalize_name(domain, name);
  RouteEntry* entry = routes_.find(name.view());
  if (entry != nullptr && !entry->known) {
    ++counters_.joined;
    entry->handlers.push_back(handler);
    return nullptr;
  }
  if (entry != nullptr) {
    routes_.pin(*entry);
  } else {
    entry = routes_.insert(name.view(), *this, counters_.evicted);
  }
  if (entry == nullptr) {
    ++counters_.overloaded;
    overloaded_route_.expires_mono_ns = expiry(settings_.busy_ttl_s);
    return &overloaded_route_;
  }
  ++counters_.misses;
  entry->handlers.push_back(handler);
  entry->begin();
  return nullptr;
}

const Addresses* Router::cached_addresses(std::string_view host, int64_t mono_ns) {
  Name name;
  if (!lookup_name(host, name)) return &no_host_;
  HostEntry* entry = hosts_.find(name.view());
  if (entry == nullptr || !entry->known) return nullptr;
  if (!entry->delivering && entry->addresses.expires_mono_ns <= mono_ns) return nullptr;
  hosts_.touch(*entry);
  ++counters_.hits;
  return &entry->addresses;
}

const Addresses* Router::addresses(std::string_view host, AddressHandler& handler) {
  const Addresses* known = cached_addresses(host, mono_ns_());
  if (known != nullptr) return known;
  Name name;
  normalize_name(host, name);
  HostEntry* entry = hosts_.find(name.view());
  if (entry != nullptr && !entry->known) {
    ++counters_.joined;
    entry->handlers.push_back(handler);
    return nullptr;
  }
  if (entry != nullptr) {
    hosts_.pin(*entry);
  } else {
    entry = hosts_.insert(name.view(), *this, counters_.evicted);
  }
  if (entry == nullptr) {
    ++counters_.overloaded;
    overloaded_host_.expires_mono_ns = expiry(settings_.busy_ttl_s);
    return &overloaded_host_;
  }
  ++counters_.misses;
  entry->handlers.push_back(handler);
  entry->begin();
  return nullptr;
}

void Router::ask(std::string_view name, RecordType type, Query& query) {
  ++counters_.queries;
  lookups_.query(name, type, query);
}

Reading Router::read(QueryStatus status, std::span<const uint8_t> raw, std::string_view name,
                     RecordType type) {
  return read_answer(status, raw, name, type, answer_);
}

int64_t Router::expiry(int64_t ttl_s) const {
  return mono_ns_() + ttl_s * kSecond;
}

int64_t Router::positive_ttl(uint32_t ttl_s) const {
  return std::clamp<int64_t>(ttl_s, settings_.min_ttl_s, settings_.max_ttl_s);
}

int64_t Router::negative_ttl(const Answer& answer) const {
  int64_t ttl_s =
      answer.has_soa ? int64_t{answer.negative_ttl_s} : settings_.unproven_negative_ttl_s;
  if (answer.aliases > 0) ttl_s = std::min<int64_t>(ttl_s, answer.ttl_s);
  return std::clamp(ttl_s, settings_.min_negative_ttl_s, settings_.max_negative_ttl_s);
}

}  // namespace veredus::dns
