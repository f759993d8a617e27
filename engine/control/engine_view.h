#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/context.h"
#include "engine/erasure.h"
#include "engine/in_doubt.h"
#include "engine/orders.h"
#include "engine/policy.h"
#include "engine/why.h"
#include "queue/consumer.h"
#include "queue/disk.h"
#include "queue/journal.h"
#include "queue/live_batch.h"

namespace veredus::control {

// What the control thread sees of the engine. Nothing here blocks but calls on disk(); all of it
// may be called from the control thread at any time between start and stop.
class EngineView {
 public:
  virtual ~EngineView() = default;

  virtual unsigned shards() const = 0;
  virtual const Counters& counters(unsigned shard) const = 0;

  // Journals in the spool, those of an earlier, larger number of shards included.
  virtual unsigned journals() const = 0;
  virtual std::string journal_directory(unsigned journal) const = 0;  // relative to the spool
  // End of what is durable: nothing behind it may be shown to anybody. Published by the journal's
  // shard after its sync.
  virtual queue::Location durable_end(unsigned journal) const = 0;
  // The first segment that is kept for readers of events: from there on all are there.
  virtual uint32_t events_from(unsigned journal) const = 0;
  // Events of the journal from its beginning to the end of what is durable, or a little less.
  virtual uint64_t durable_events(unsigned journal) const = 0;
  // From that segment on the journal's events are kept for consumers, as long as is configured.
  // UINT32_MAX: for none. Segments that have gone do not come back.
  virtual void hold_events(unsigned journal, uint32_t segment) = 0;
  // Makes it durable; `on_stored` is called on the control thread, in the order of the calls.
  virtual void store_consumer(const queue::Consumer& consumer,
                              std::function<void(absl::Status)> on_stored) = 0;
  virtual std::vector<queue::Consumer> consumers_at_start() const = 0;
  // For blocking reads on the control thread; its own, no shard uses it.
  virtual queue::Disk& disk() = 0;

  // Batches that exist (committed, durable). Null: none of that number.
  virtual std::shared_ptr<const queue::LiveBatch> find_batch(uint64_t number) const = 0;
  // The first number that this run of the engine gives to a batch: one with a smaller number is
  // committed already, or never will be.
  virtual uint64_t first_batch_of_run() const = 0;

  // Asks every shard's home; `on_answer` is called on the control thread, once for each shard.
  virtual void ask_in_doubt(const InDoubtQuestion& question,
                            std::function<void(InDoubtAnswer)> on_answer) = 0;

  // Likewise: somebody asks to be forgotten.
  virtual void ask_erasure(const ErasureQuestion& question,
                           std::function<void(ErasureAnswer)> on_answer) = 0;
  // An operator's order is given, or lifted (its state says which); `on_answer` once for each home,
  // when it is durable there. It holds from now on.
  virtual void ask_order(const queue::Order& order, std::function<void(OrderAnswer)> on_answer) = 0;
  // A number for the next one.
  virtual uint64_t next_order() = 0;
  virtual const std::map<uint64_t, queue::Order>& orders() const = 0;  // in force, by number
  // Why mail waits, and what waits where; once for each home, and once for each shard.
  virtual void ask_why(const WhyQuestion& question, std::function<void(WhyAnswer)> on_answer) = 0;
  // Every shard answers once.
  virtual void ask_tls_results(const TlsResultsQuestion& question,
                               std::function<void(TlsResultsAnswer)> on_answer) = 0;
  virtual void ask_sites(const SitesQuestion& question,
                         std::function<void(SitesAnswer)> on_answer) = 0;
  // From now on it is told what sessions do that fit; until it is over.
  virtual void begin_trace(const std::shared_ptr<Trace>& trace) = 0;
  virtual const Policy& policy() const = 0;

  // How long from now on the journals may hold what is asked to be erased now.
  virtual int64_t erased_after_ns() const = 0;

  // What Policy is made of holds as these say, from now on; all else of them is not looked at.
  virtual void apply(const EngineSettings& settings) = 0;

  // Places of the journals found damaged below the durable mark when the engine started, in words;
  // empty: none.
  virtual std::vector<std::string> damage() const = 0;
};

}  // namespace veredus::control
