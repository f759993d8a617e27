#pragma once

#include <compare>
#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "engine/address_search.h"
#include "engine/home.h"
#include "engine/why.h"

namespace veredus {

// Why recipients of one home wait. Nothing but the records knows them, so all of these are walked,
// a bounded part each turn, one question after the other; addresses are read back from the journal.
// What is out with a lane, or waits for room there, the lane's shard says more of: the answer goes
// there first.
class HomeWhy {
 public:
  // All outlive it.
  HomeWhy(Home& home, ShardContext& shard, queue::Disk& disk);

  void asked(const WhyQuestion& question);
  // A turn's part. True: another turn soon. When it waits for the disk, that brings the next one.
  bool run();
  // The disk is at work for it: it must not go now.
  bool busy() const { return search_.busy(); }
  bool walking() const { return !walks_.empty(); }  // it holds on to domains and lanes

 private:
  static constexpr uint32_t kLookedAtPerTurn = 8192;    // records, domains, lanes, extents
  static constexpr uint64_t kReadPerTurn = 256 * 1024;  // bytes of their pages
  static constexpr size_t kToldPerTurn = 4;             // each may walk a long line
  static constexpr size_t kGroupsMax = 256;             // finer ones than by cause alone
  static constexpr uint32_t kStepsOfOne = 4096;         // along his line, told one by one, …
  static constexpr uint32_t kStepsOfExample = 256;      // … or for many
  static constexpr size_t kLanesAsked = 4;              // of one who waits for room in any
  using HomeLane = Home::HomeLane;
  using Line = Home::Line;
  using Domain = Home::Domain;
  using Extent = Home::Extent;

  // What is known of a recipient at first sight.
  enum class Cause : uint8_t {
    accepting,
    held,
    not_before,
    retry,
    in_doubt,
    greylisted,
    suspended,
    ordered,
    stopping,
    disk,
    route,
    ready,
    out,
  };
  // Who have the same wait for the same, as far as this home can tell.
  struct Key {
    Cause cause = Cause::ready;
    uint8_t band = 0;
    uint32_t site = 0;  // number + 1; 0: it does not matter
    uint32_t share = 0;
    uint64_t order = 0;
    auto operator<=>(const Key&) const = default;
  };
  using Named = AddressSearch::Named;
  struct Group {
    uint64_t recipients = 0;
    Named last;                            // who was counted
    uint32_t first_due = 0, last_due = 0;  // ticks
  };
  struct Walk {
    enum class Stage : uint8_t { domains, site, unread, records, addresses, telling };
    WhyQuestion question;
    WhyVisit visit;
    Stage stage = Stage::domains;
    queue::Filter address;
    absl::flat_hash_set<uint32_t> domains;  // asked for
    const HomeLane* lane = nullptr;         // of the site asked for
    uint32_t next = 0;                      // domain, lane, extent, slot
    std::map<Key, Group> groups;
    std::vector<Named> named;
    std::vector<Key> largest;  // of the groups, when all are counted
    size_t told = 0;           // of these, or of named
  };

  // home_why.cc
  bool domains(Walk& walk);
  bool site(Walk& walk);
  bool unread(Walk& walk);
  bool records(Walk& walk);
  bool addresses(Walk& walk);
  bool telling(Walk& walk);
  void end(Walk& walk);
  bool fits(uint32_t slot, const Walk& walk) const;
  void tell_unread(const Extent& extent, Walk& walk);
  void note(uint32_t slot, Walk& walk);
  void count(uint32_t slot, Walk& walk);
  Named named(uint32_t slot) const;
  bool still_waits(const Named& who);
  void choose_groups(Walk& walk);
  void tell_group(const Group& group, Walk& walk);
  uint32_t share_of(uint32_t slot);
  int64_t due_mono_ns(uint32_t tick) const;
  Key key_of(uint32_t slot);
  Cause cause_of_waiting(const queue::Record& record) const;

  // home_why_tell.cc
  void tell(uint32_t slot, uint32_t steps, Walk& walk);
  const InDoubtRule* in_doubt_rule_of(const Domain& domain) const;
  void tell_held(const Domain& domain, Waiting& item);
  void tell_clock(uint32_t slot, Cause cause, Waiting& item);
  void tell_no_route(const Domain& domain, Waiting& item) const;
  void tell_suspended(uint32_t slot, Waiting& item);
  bool parked_under(uint32_t slot, const queue::SlotFifo& parked) const;
  void tell_route(const Domain& domain, Waiting& item) const;
  void tell_ready(uint32_t slot, uint32_t steps, Walk& walk);
  bool tell_window(HomeLane& lane, Home::Share& share, Waiting& item);
  bool tell_sources(HomeLane& lane, Line& line, const SourcePool& pool, uint32_t item,
                    const LaneLook& about, Walk& walk);
  void tell_out(uint32_t slot, Walk& walk);
  uint64_t ahead_in_line(const Line& line, uint32_t domain, uint32_t slot, uint32_t steps);
  const Provider& provider_of(const Domain& domain);
  int64_t loaded_at() const;

  Home& home_;
  ShardContext& shard_;
  AddressSearch search_;
  std::deque<Walk> walks_;  // the first one is under way
};

}  // namespace veredus
