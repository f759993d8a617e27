#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "tests/sim/internet.h"
#include "tests/sim/rules.h"
#include "tests/sim/watcher.h"

namespace veredus::sim {

// Notes what leaves by the network ports and what servers hear of it, and says in the end where
// that was more than the rules allow, over all shards and lives of the engine. It knows the rules
// and the wires, and nothing of the engine.
class LimitJudge final : public Watcher {
 public:
  using TenantOf = std::function<std::string(const std::string& recipient)>;
  LimitJudge(const SimClock& clock, TenantOf tenant_of);

  // They were handed to the engine. Until in_force() those before may still be obeyed.
  void take_rules(const Rules& rules);
  void in_force();
  // The process has died; the next one begins with the rules that were taken last. `rates_known`:
  // what slow rates have granted is on the disk, all of it.
  void crashed(bool rates_known);

  struct Connection {
    std::string source;
    uint32_t site = 0;
    std::string domain;  // of the first recipient; empty: none was heard of
    int64_t opened_mono_ns = 0, domain_mono_ns = 0;  // the latter: when that one was sent
    uint64_t opened = 0, closed = UINT64_MAX;        // by a count of all that happens
    uint32_t life = 0;
  };
  struct Transaction {
    uint64_t connection = 0;
    int64_t sent_mono_ns = 0;
    std::vector<std::string> to;
    std::string tenant;
    uint64_t bytes = 0;
    // While some recipient is accepted or may be, for the server; by the count.
    uint64_t begun = UINT64_MAX, over = UINT64_MAX;
    int64_t begun_mono_ns = 0;
  };
  const std::vector<Transaction>& transactions() const { return transactions_; }
  const Connection& connection(uint64_t number) const { return connections_.at(number - 1); }

  // All rules that may have been obeyed at some moment between these.
  std::vector<const Rules*> obeyed(int64_t from_mono_ns, int64_t to_mono_ns) const;
  std::vector<size_t> obeyed_epochs(int64_t from_mono_ns, int64_t to_mono_ns) const;
  // Everything that was too much.
  std::vector<std::string> judge() const;

  // Watcher
  void opened(uint64_t connection, const io::Endpoint& peer, const io::Endpoint& source) override;
  void closed(uint64_t connection) override;
  void transaction(uint64_t connection, int64_t sent_mono_ns) override;
  void recipient(uint64_t connection, const std::string& to, bool accepted) override;
  void content(uint64_t connection, uint64_t bytes) override;
  void transaction_over(uint64_t connection) override;

 private:
  struct Epoch {
    Rules rules;
    int64_t taken_mono_ns = 0, in_force_mono_ns = INT64_MAX;
  };
  struct Span {  // of a tenant's transactions
    uint64_t from = 0, to = 0;
    uint32_t allowed = 0;
    int64_t at_mono_ns = 0;
  };
  struct Use {  // of a scope's tokens
    int64_t at_mono_ns = 0;
    uint64_t count = 0;
    uint32_t life = 0;
  };
  struct Collected {
    std::map<std::string, std::vector<Span>> slots;
    std::map<std::pair<std::string, Resource>, std::vector<Use>> tokens;
  };
  using ScopesUnder = std::function<std::vector<NamedLimits>(const Rules&)>;

  bool provider_is_known(const Rules& rules, const Connection& connection) const;
  std::vector<NamedLimits> scopes_under(const Rules& rules, const Connection& connection) const;
  std::vector<std::string> counted_in(const Rules& rules, const Connection& connection) const;
  void add_transaction(const Transaction& transaction, const ScopesUnder& scopes,
                       Collected& all) const;
  void add_tokens(const Use& use, Resource resource, const ScopesUnder& scopes,
                  Collected& all) const;
  Collected collect() const;
  void judge_connections(std::vector<std::string>& said) const;
  void judge_slots(const std::string& scope, std::vector<Span> spans,
                   std::vector<std::string>& said) const;
  void judge_tokens(const std::string& scope, Resource resource, std::vector<Use> uses,
                    std::vector<std::string>& said) const;
  bool rates_known(uint32_t life, uint32_t later_life) const;
  void judge_sources(std::vector<std::string>& said) const;

  const SimClock& clock_;
  const TenantOf tenant_of_;
  std::vector<Epoch> epochs_;
  uint32_t life_ = 0;
  std::vector<uint32_t> rates_lost_;  // lives that began without what slow rates had granted
  uint64_t count_ = 0;
  std::map<std::string, std::string> source_names_;  // by address
  std::vector<Connection> connections_;              // by number, from 1
  std::vector<Transaction> transactions_;
  std::map<uint64_t, size_t> current_;  // by connection: its last transaction
};

}  // namespace veredus::sim
