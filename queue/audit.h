#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "queue/attempt_marks.h"
#include "queue/ledger.h"

// Whether the journals account for every recipient: what was accepted is settled, waits, or is held
// in doubt, each of them once. Sums alone would not show one that is missing beside one that is
// counted twice, so recipients are looked at one by one wherever they are named.
namespace veredus::queue {

// Recipients, by batch and index. A bit each where there are many.
class RecipientSet {
 public:
  // False: it is in there already.
  bool add(uint64_t batch, uint32_t index);
  bool has(uint64_t batch, uint32_t index) const;

 private:
  static constexpr uint32_t kBits = 512;
  using Bits = std::array<uint64_t, kBits / 64>;
  absl::flat_hash_map<std::pair<uint64_t, uint32_t>, Bits> chunks_;
};

// One journal, read for an audit: its ledger, and which recipients got more than one final outcome.
// Only what is replayed is seen; of those settled before that, the checkpoint tells who does not
// wait any more.
class JournalBooks final : public JournalVisitor {
 public:
  explicit JournalBooks(uint16_t journal) : ledger(journal), journal_(journal) {}
  void on_frame(FrameType type, const Location& location, std::string_view payload) override;
  void on_damage(uint32_t segment, uint64_t offset, const std::string& what) override;

  Ledger ledger;
  struct Again {
    uint64_t batch;
    uint32_t index;
    uint32_t segment;  // where the second outcome is
  };
  std::vector<Again> again;
  std::vector<std::pair<uint64_t, uint32_t>> settled;  // final outcomes that were replayed
  uint16_t journal() const { return journal_; }

 private:
  void look_at(const Location& at, std::string_view outcomes);
  const uint16_t journal_;
  bool complete_ = false;  // the ledger knows everybody who waits
  RecipientSet seen_;
};

// A batch's books.
struct Account {
  uint64_t number = 0;
  std::string tenant, name;
  uint16_t coordinator = 0;
  uint64_t accepted = 0;                                                           // of the commit
  uint64_t delivered = 0, failed = 0, expired = 0, cancelled = 0, suppressed = 0;  // of tallies
  uint64_t waiting = 0;           // counted one by one; those held are not among them
  uint64_t in_doubt = 0;          // held, counted one by one
  uint64_t deferred = 0;          // of those waiting: tried before …
  uint64_t in_doubt_waiting = 0;  // … and of these, in doubt
  uint64_t marked = 0;      // of those waiting: content was leaving, no outcome is written yet
  uint64_t unreadable = 0;  // of those waiting or held
  std::vector<std::string> faults;

  uint64_t settled() const { return delivered + failed + expired + cancelled + suppressed; }
  uint64_t sum() const { return settled() + waiting + in_doubt; }
  bool holds() const { return faults.empty(); }
};

class Audit {
 public:
  // Each journal once.
  void add(const JournalBooks& books);
  // Marks say who was being sent to.
  void add(const std::vector<AttemptMark>& marks);
  // Somebody who waits, and whose entry cannot be read back.
  void unreadable(uint64_t batch, uint64_t recipients, const std::string& why);

  // All batches that exist, judged. `known`: only these (those whose commit was seen before any of
  // the journals was read, if an engine writes meanwhile); null: all, and outcomes of a batch that
  // does not exist are a fault, too.
  std::vector<Account> judge(const std::set<uint64_t>* known);

 private:
  struct Books {
    Account account;
    bool committed = false, described = false;
    uint64_t counted_twice = 0;
    std::vector<std::string> examples;
  };
  void twice(Books& books, uint32_t index, const std::string& what);
  void count(const Ledger::Run& run, uint16_t journal);

  std::map<uint64_t, Books> batches_;
  RecipientSet waiting_, settled_;
  absl::flat_hash_map<std::pair<uint64_t, uint32_t>, uint8_t> attempts_;  // of those tried
  std::vector<AttemptMark> marks_;
};

// Numbers of the batches that exist by what this ledger says.
void add_committed(const Ledger& ledger, std::set<uint64_t>& numbers);

}  // namespace veredus::queue
