#include "tests/sim/limit_judge.h"

#include <algorithm>
#include <queue>
#include <set>
#include <utility>

namespace veredus::sim {

namespace {

// From a lower limit being in force everywhere to the last slot that was lent before coming up: a
// message to its holder, and what a loop was at.
constexpr int64_t kRecallNs = 50'000'000;
// The longest time for which tokens are lent (queue/rate.h).
constexpr int64_t kLeaseNs = 100'000'000;
constexpr int64_t kSecond = 1'000'000'000;
constexpr size_t kSaidOfScope = 3;

std::string ms(int64_t mono_ns) {
  return std::to_string(mono_ns / 1'000'000) + " ms";
}

// Slower than one a second: its state outlives the process.
bool is_slow(const queue::Rate& rate) {
  return rate.count < static_cast<uint64_t>(rate.per_ns / kSecond);
}

bool same_rate_span(const queue::Rate& a, const queue::Rate& b) {
  return a.limited() && b.limited() && a.per_ns == b.per_ns;
}

std::string domain_of(const std::string& address) {
  return address.substr(address.find('@') + 1);
}

bool of_all_sites(const std::string& scope) {
  return scope.starts_with("source ") || scope == "the whole";
}

}  // namespace

LimitJudge::LimitJudge(const SimClock& clock, TenantOf tenant_of)
    : clock_(clock), tenant_of_(std::move(tenant_of)) {}

// -------------------------------------------------------------------------------------------------
// rules

void LimitJudge::take_rules(const Rules& rules) {
  Epoch epoch;
  epoch.rules = rules;
  epoch.taken_mono_ns = clock_.mono;
  if (epochs_.empty()) epoch.in_force_mono_ns = clock_.mono;
  epochs_.push_back(std::move(epoch));
  for (const SourceSettings& source : rules.sources)
    source_names_[io::to_text(source.address)] = source.name;
}

void LimitJudge::in_force() {
  for (Epoch& epoch : epochs_)
    epoch.in_force_mono_ns = std::min(epoch.in_force_mono_ns, clock_.mono);
}

void LimitJudge::crashed(bool rates_known) {
  in_force();
  ++life_;
  if (!rates_known) rates_lost_.push_back(life_);
}

std::vector<size_t> LimitJudge::obeyed_epochs(int64_t from_mono_ns, int64_t to_mono_ns) const {
  std::vector<size_t> obeyed;
  for (size_t i = 0; i < epochs_.size(); ++i) {
    if (epochs_[i].taken_mono_ns > to_mono_ns) break;
    if (i + 1 < epochs_.size() && epochs_[i + 1].in_force_mono_ns < from_mono_ns) continue;
    obeyed.push_back(i);
  }
  return obeyed;
}

std::vector<const Rules*> LimitJudge::obeyed(int64_t from_mono_ns, int64_t to_mono_ns) const {
  std::vector<const Rules*> rules;
  for (const size_t epoch : obeyed_epochs(from_mono_ns, to_mono_ns))
    rules.push_back(&epochs_[epoch].rules);
  return rules;
}

// Where a rule names domains, the peer alone does not tell.
bool LimitJudge::provider_is_known(const Rules& rules, const Connection& connection) const {
  return !connection.domain.empty() ||
         std::all_of(rules.providers.begin(), rules.providers.end(),
                     [](const Provider& provider) { return provider.domains.empty(); });
}

std::vector<NamedLimits> LimitJudge::scopes_under(const Rules& rules,
                                                  const Connection& connection) const {
  std::vector<NamedLimits> scopes =
      scopes_of(rules, provider_of(rules, connection.domain, connection.site), connection.site,
                connection.source);
  if (provider_is_known(rules, connection)) return scopes;
  std::erase_if(scopes, [](const NamedLimits& scope) { return !of_all_sites(scope.name); });
  return scopes;
}

// -------------------------------------------------------------------------------------------------
// what is seen

void LimitJudge::opened(uint64_t number, const io::Endpoint& peer, const io::Endpoint& source) {
  connections_.resize(std::max<size_t>(connections_.size(), number));
  Connection& connection = connections_[number - 1];
  const auto name = source_names_.find(io::to_text(source));
  connection.source = name == source_names_.end() ? "an unknown one" : name->second;
  connection.site = uint32_t{peer.address[1]} << 8 | peer.address[2];
  connection.opened_mono_ns = clock_.mono;
  connection.opened = ++count_;
  connection.life = life_;
}

void LimitJudge::closed(uint64_t number) {
  transaction_over(number);
  connections_[number - 1].closed = ++count_;
}

void LimitJudge::transaction(uint64_t number, int64_t sent_mono_ns) {
  transaction_over(number);
  current_[number] = transactions_.size();
  Transaction& begun = transactions_.emplace_back();
  begun.connection = number;
  begun.sent_mono_ns = sent_mono_ns;
}

void LimitJudge::recipient(uint64_t number, const std::string& to, bool accepted) {
  const auto current = current_.find(number);
  if (current == current_.end()) return;
  Transaction& transaction = transactions_[current->second];
  Connection& connection = connections_[number - 1];
  if (connection.domain.empty()) {
    connection.domain = domain_of(to);
    connection.domain_mono_ns = transaction.sent_mono_ns;
  }
  if (transaction.to.empty()) transaction.tenant = tenant_of_(to);
  transaction.to.push_back(to);
  // One whose recipients are all refused may be over for the engine before the server hears so. And
  // what arrives when the engine has closed is nothing that it has open.
  if (accepted && transaction.begun == UINT64_MAX && connection.closed == UINT64_MAX)
    transaction.begun = ++count_, transaction.begun_mono_ns = clock_.mono;
}

void LimitJudge::content(uint64_t number, uint64_t bytes) {
  const auto current = current_.find(number);
  if (current != current_.end()) transactions_[current->second].bytes = bytes;
}

void LimitJudge::transaction_over(uint64_t number) {
  const auto current = current_.find(number);
  if (current == current_.end()) return;
  transactions_[current->second].over = ++count_;
  current_.erase(current);
}

// -------------------------------------------------------------------------------------------------
// judgement

// By whichever rules its way was found, these scopes count it as long as `rules` are obeyed: a
// session goes with its site. One that a rule made for the domains it names stays with that
// provider; any other is of the provider who has its hosts now, whosever mail it has carried.
std::vector<std::string> LimitJudge::counted_in(const Rules& rules,
                                                const Connection& connection) const {
  std::vector<std::string> counted;
  bool first = true;
  const int64_t known_mono_ns = std::max(connection.opened_mono_ns, connection.domain_mono_ns);
  for (const Rules* const found_by : obeyed(connection.opened_mono_ns, known_mono_ns)) {
    const int by_hosts = provider_of(*found_by, "", connection.site);
    const int by_domain = provider_of(*found_by, connection.domain, connection.site);
    int provider = provider_of(rules, "", connection.site);
    bool known = provider_is_known(*found_by, connection);
    if (known && by_domain != by_hosts) {
      const std::string& name = found_by->providers[static_cast<size_t>(by_domain)].name;
      const auto same = std::find_if(rules.providers.begin(), rules.providers.end(),
                                     [&](const Provider& each) { return each.name == name; });
      known = same != rules.providers.end();
      provider = static_cast<int>(same - rules.providers.begin());
    }
    std::vector<std::string> names;
    for (const NamedLimits& scope :
         scopes_of(rules, known ? provider : -1, connection.site, connection.source)) {
      if (known || of_all_sites(scope.name)) names.push_back(scope.name);
    }
    if (!std::exchange(first, false)) {
      std::erase_if(counted, [&](const std::string& name) {
        return std::find(names.begin(), names.end(), name) == names.end();
      });
    } else {
      counted = std::move(names);
    }
  }
  return counted;
}

// A transaction counts where it began.
void LimitJudge::add_transaction(const Transaction& transaction, const ScopesUnder& scopes,
                                 Collected& all) const {
  std::map<std::string, std::pair<size_t, uint32_t>> found;  // under so many rules, the largest
  const std::vector<const Rules*> rules =
      obeyed(transaction.sent_mono_ns - kRecallNs, transaction.begun_mono_ns);
  for (const Rules* const each : rules) {
    for (const NamedLimits& scope : scopes(*each)) {
      if (scope.limits->connections == 0) continue;
      auto& [count, most] = found[scope.name];
      ++count;
      most = std::max(most, scope.limits->connections);
    }
  }
  for (const auto& [name, of_rules] : found) {
    if (of_rules.first == rules.size())
      all.slots[name].push_back(
          {transaction.begun, transaction.over, of_rules.second, transaction.begun_mono_ns});
  }
}

void LimitJudge::add_tokens(const Use& use, Resource resource, const ScopesUnder& scopes,
                            Collected& all) const {
  std::map<std::string, size_t> found;
  const std::vector<const Rules*> rules = obeyed(use.at_mono_ns, use.at_mono_ns);
  for (const Rules* const each : rules) {
    for (const NamedLimits& scope : scopes(*each))
      found[scope.name] += scope.limits->rate(resource).limited();
  }
  for (const auto& [name, of_rules] : found) {
    if (of_rules == rules.size()) all.tokens[{name, resource}].push_back(use);
  }
}

LimitJudge::Collected LimitJudge::collect() const {
  Collected all;
  for (const Connection& connection : connections_) {
    if (connection.opened == 0) continue;
    const auto scopes = [&](const Rules& rules) {
      std::vector<NamedLimits> found = scopes_under(rules, connection);
      const std::vector<std::string> counted = counted_in(rules, connection);
      std::erase_if(found, [&](const NamedLimits& scope) {
        return std::find(counted.begin(), counted.end(), scope.name) == counted.end();
      });
      return found;
    };
    add_tokens({connection.opened_mono_ns, 1, connection.life}, Resource::connection_rate, scopes,
               all);
  }
  for (const Transaction& transaction : transactions_) {
    if (transaction.to.empty()) continue;
    // A session may have carried mail of other domains before: by other rules it may not now.
    Connection on = connection(transaction.connection);
    on.domain = domain_of(transaction.to.front());
    const auto of_tenant = [&](const Rules& rules) {
      return tenant_scope_of(rules, provider_of(rules, on.domain, on.site), on.site,
                             transaction.tenant);
    };
    const auto scopes = [&](const Rules& rules) {
      std::vector<NamedLimits> found = scopes_under(rules, on);
      found.push_back(of_tenant(rules));
      return found;
    };
    const Use messages{transaction.sent_mono_ns, transaction.to.size(), on.life};
    add_tokens(messages, Resource::message_rate, scopes, all);
    add_tokens({transaction.sent_mono_ns, transaction.bytes, on.life}, Resource::byte_rate, scopes,
               all);
    if (transaction.begun == UINT64_MAX) continue;
    add_transaction(
        transaction, [&](const Rules& rules) { return std::vector<NamedLimits>{of_tenant(rules)}; },
        all);
  }
  return all;
}

// Each time one is opened: with it not more than allowed of those that count now. What lives on
// while a limit is lowered, or comes under one by new rules, may be more; nobody opens one then.
void LimitJudge::judge_connections(std::vector<std::string>& said) const {
  std::map<std::string, size_t> numbers, said_of;
  std::vector<std::vector<std::vector<size_t>>> counted(connections_.size());  // names' numbers
  for (size_t i = 0; i < connections_.size(); ++i) {
    if (connections_[i].opened == 0) continue;
    for (const Epoch& epoch : epochs_) {
      std::vector<size_t>& scopes = counted[i].emplace_back();
      for (const std::string& name : counted_in(epoch.rules, connections_[i]))
        scopes.push_back(numbers.try_emplace(name, numbers.size()).first->second);
    }
  }
  std::vector<size_t> in_order, open;
  for (size_t i = 0; i < connections_.size(); ++i) {
    if (connections_[i].opened != 0) in_order.push_back(i);
  }
  std::sort(in_order.begin(), in_order.end(),
            [this](size_t a, size_t b) { return connections_[a].opened < connections_[b].opened; });
  for (const size_t opened : in_order) {
    const Connection& one = connections_[opened];
    std::erase_if(open, [&](size_t each) { return connections_[each].closed <= one.opened; });
    open.push_back(opened);
    const std::vector<size_t> epochs =
        obeyed_epochs(one.opened_mono_ns - kRecallNs, one.opened_mono_ns);
    const auto counts = [&](size_t connection, size_t scope) {
      return std::all_of(epochs.begin(), epochs.end(), [&](size_t epoch) {
        const std::vector<size_t>& scopes = counted[connection][epoch];
        return std::find(scopes.begin(), scopes.end(), scope) != scopes.end();
      });
    };
    for (const std::string& name : counted_in(epochs_[epochs.front()].rules, one)) {
      const size_t scope = numbers.at(name);
      if (!counts(opened, scope)) continue;
      uint32_t allowed = 0;
      bool limited = true;
      for (const size_t epoch : epochs) {
        const uint32_t most = limits_named(epochs_[epoch].rules, name).connections;
        limited = limited && most != 0;
        allowed = std::max(allowed, most);
      }
      if (!limited) continue;
      const auto now = static_cast<uint64_t>(std::count_if(
          open.begin(), open.end(), [&](size_t each) { return counts(each, scope); }));
      if (now <= allowed || said_of[name]++ >= kSaidOfScope) continue;
      said.push_back(name + ": " + std::to_string(now) + " connections were open at " +
                     ms(one.opened_mono_ns) + ", " + std::to_string(allowed) + " are allowed");
    }
  }
}

// Each time one begins: with it not more than allowed. What lives on while a limit is lowered may.
void LimitJudge::judge_slots(const std::string& scope, std::vector<Span> spans,
                             std::vector<std::string>& said) const {
  std::sort(spans.begin(), spans.end(),
            [](const Span& a, const Span& b) { return a.from < b.from; });
  std::priority_queue<uint64_t, std::vector<uint64_t>, std::greater<>> ends;
  size_t of_scope = 0;
  for (const Span& span : spans) {
    while (!ends.empty() && ends.top() <= span.from) ends.pop();
    ends.push(span.to);
    if (ends.size() <= span.allowed || of_scope++ >= kSaidOfScope) continue;
    said.push_back(scope + ": " + std::to_string(ends.size()) + " transactions were open at " +
                   ms(span.at_mono_ns) + ", " + std::to_string(span.allowed) + " are allowed");
  }
}

// In no span of a rate's time more than that. Spans over a change of the rate hold the larger one
// of both, if both are for the same time; else they are not judged. A single use that is more than
// the rate allows is let through, alone.
void LimitJudge::judge_tokens(const std::string& scope, Resource resource, std::vector<Use> uses,
                              std::vector<std::string>& said) const {
  std::stable_sort(uses.begin(), uses.end(),
                   [](const Use& a, const Use& b) { return a.at_mono_ns < b.at_mono_ns; });
  std::vector<queue::Rate> rates;  // by epoch
  for (const Epoch& epoch : epochs_)
    rates.push_back(limits_named(epoch.rules, scope).rate(resource));
  const auto between = [&](int64_t from, int64_t to, size_t& first, size_t& end) {
    for (first = 0; first + 1 < epochs_.size(); ++first) {
      if (epochs_[first + 1].in_force_mono_ns >= from - kLeaseNs) break;
    }
    for (end = first + 1; end < epochs_.size(); ++end) {
      if (epochs_[end].taken_mono_ns > to) break;
    }
  };
  size_t of_scope = 0;
  for (size_t i = 0; i < uses.size() && of_scope < kSaidOfScope; ++i) {
    const int64_t from = uses[i].at_mono_ns;
    size_t first = 0, end = 0;
    between(from, from, first, end);
    if (!rates[first].limited()) continue;
    const int64_t to = from + rates[first].per_ns;
    between(from, to - 1, first, end);
    uint64_t allowed = rates[first].count;
    bool judged = true, slow = true;
    for (size_t epoch = first; epoch < end; ++epoch) {
      judged = judged && same_rate_span(rates[epoch], rates[first]);
      allowed = std::max(allowed, rates[epoch].count);
      slow = slow && is_slow(rates[epoch]);
    }
    if (!judged) continue;
    uint64_t sum = 0, most = 0, singles = 0;
    uint32_t last_life = uses[i].life;
    for (size_t j = i; j < uses.size() && uses[j].at_mono_ns < to; ++j) {
      sum += uses[j].count;
      most = std::max(most, uses[j].count);
      singles += uses[j].count > 0;
      last_life = std::max(last_life, uses[j].life);
    }
    // Over a start: the last before it and the largest after it (queue/rate.h). Of what is slow
    // all is known that was granted, unless a power cut has taken it.
    const bool known = slow && rates_known(uses[i].life, last_life);
    if (last_life != uses[i].life && !known) allowed += 2 * most;
    if (sum <= allowed || singles == 1) continue;
    ++of_scope;
    said.push_back(scope + ": " + std::to_string(sum) + " of " + std::string(name_of(resource)) +
                   " within " + ms(rates[first].per_ns) + " from " + ms(from) + " on, " +
                   std::to_string(allowed) + " are allowed");
  }
}

// What was granted in the one was known in the other.
bool LimitJudge::rates_known(uint32_t life, uint32_t later_life) const {
  return std::none_of(rates_lost_.begin(), rates_lost_.end(),
                      [&](uint32_t lost) { return lost > life && lost <= later_life; });
}

std::vector<std::string> LimitJudge::judge() const {
  std::vector<std::string> said;
  judge_connections(said);
  const Collected all = collect();
  for (const auto& [scope, spans] : all.slots) judge_slots(scope, spans, said);
  for (const auto& [key, uses] : all.tokens) judge_tokens(key.first, key.second, uses, said);
  judge_sources(said);
  return said;
}

// Nothing begins by a source that no rules have which may have been obeyed.
void LimitJudge::judge_sources(std::vector<std::string>& said) const {
  const auto known = [this](const std::string& name, int64_t at_mono_ns) {
    const std::vector<const Rules*> rules = obeyed(at_mono_ns, at_mono_ns);
    return std::any_of(rules.begin(), rules.end(), [&](const Rules* each) {
      return std::any_of(each->sources.begin(), each->sources.end(),
                         [&](const SourceSettings& source) { return source.name == name; });
    });
  };
  size_t number = 0;
  const auto say = [&](const std::string& what, const std::string& source, int64_t at_mono_ns) {
    if (number++ < kSaidOfScope)
      said.push_back("a " + what + " was begun from source " + source + " at " + ms(at_mono_ns) +
                     ", which the rules do not have");
  };
  for (const Connection& each : connections_) {
    if (each.opened != 0 && !known(each.source, each.opened_mono_ns))
      say("connection", each.source, each.opened_mono_ns);
  }
  for (const Transaction& each : transactions_) {
    const std::string& source = connection(each.connection).source;
    if (!known(source, each.sent_mono_ns)) say("transaction", source, each.sent_mono_ns);
  }
}

}  // namespace veredus::sim
