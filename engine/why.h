#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/policy.h"
#include "queue/batch.h"
#include "queue/order.h"

namespace veredus {

// One reason why mail waits: what it is, which setting or order is behind it, and when it clears.
struct Condition {
  std::string what;    // code, stable: control/README.md lists them
  std::string text;    // a sentence for a person
  Origin origin;       // of the setting behind it; empty: none
  uint64_t order = 0;  // of an operator; 0: none
  // Monotonic; 0: not known, or not by itself.
  int64_t clears_mono_ns = 0;
  bool is_estimate = false;
};

// Asked of every home: why does this wait? All parts that are set must fit. Recipients that are
// named (by index or address) are told one by one, all others in groups that wait for the same.
struct WhyQuestion {
  uint64_t token = 0;
  uint64_t batch = 0;    // number; 0: of any
  int64_t index = -1;    // of the batch; -1: all of it
  std::string domain;    // of the recipient; in any case, with a dot in front all names below
  std::string address;   // with domain: this recipient only; compared without case
  std::string site;      // key of the site where the domain's mail goes
  uint32_t limit = 100;  // recipients, or groups, told by each home
  bool one_by_one() const { return index >= 0 || !address.empty(); }
};

// A recipient that waits, or one of many that wait for the same.
struct Waiting {
  uint64_t recipients = 1;  // that wait for the same; this one is an example
  uint64_t batch = 0;       // number; 0: nobody is named, for all have left meanwhile
  uint32_t index = 0;
  // "loading", "accepting", "waiting" (for its time), "held" (for an operator), "suspended",
  // "ready" (to be sent), "in_flight" (being sent).
  std::string_view state;
  uint8_t attempts = 0;
  std::string domain, site, source;   // empty: not known (yet)
  std::vector<Condition> conditions;  // the first one is what it waits on
  queue::Location page;               // where its entry lies; length 0: nowhere
  uint32_t entry_offset = 0;
  // Of many that wait for their time: of the first and of the last of them; 0: not so.
  int64_t first_due_mono_ns = 0, last_due_mono_ns = 0;
};

struct WhyAnswer {
  uint64_t token = 0;
  std::vector<Waiting> waiting;
  uint64_t recipients = 0;  // that were meant, told or not
  // After a start: that are not read yet, and so may be meant as well.
  uint64_t unread = 0;
  uint64_t not_compared = 0;  // with an address, for theirs could not be read
};

// Asked of every shard: what waits, flows and fails, by site.
struct SitesQuestion {
  uint64_t token = 0;
  std::string site{};        // key: this one only
  uint32_t limit = 1000;     // those with most waiting, by each shard
  bool by_provider = false;  // sums over the sites of each provider instead, of all there are
};
// As far as one shard has to do with it: what waits at its homes, what its lanes do. Of a provider:
// without what only single sites have.
struct SiteState {
  std::string site;                   // key; empty: sums of a provider, or
  bool no_site = false;               // mail whose site is not known (yet), and what had no route
  std::string provider;               // "" of the fallback
  std::vector<std::string> domains;   // some of them
  std::vector<std::string> sources;   // that it has lanes of
  uint64_t waiting = 0;               // recipients, those named behind included
  uint64_t ready = 0, in_flight = 0;  // due; being sent
  // Attempts, by the lanes there are; without a site: since the start.
  uint64_t delivered = 0, deferred = 0, failed = 0, in_doubt = 0;
  uint32_t connections = 0, dialling = 0, idle = 0;  // open, of these not greeted, not in use
  std::string last_reply;                            // that was no 250
  int64_t last_reply_mono_ns = 0;
  int64_t down_until_mono_ns = 0;  // no host could be reached; 0: not so
  std::vector<Condition> conditions;
};
struct SitesAnswer {
  uint64_t token = 0;
  std::vector<SiteState> sites;  // most waiting first
  uint64_t total = 0;            // that there are, told or not
};

// What is behind a setting of a provider: where it was set, or its name alone where it was not.
// `top`: its name where it holds for all.
Origin origin_in(const Provider& provider, std::string_view name, std::string_view top);
// Of the wait before a site that could not be reached is dialled again.
Origin site_clock_origin(const Provider& provider);
// "7 recipients"
std::string recipients_text(uint64_t count);
// "600/min"
std::string rate_text(const queue::Rate& rate);
// A reply as it may be shown to whoever asks for a site: without local parts of addresses, which
// somebody may have asked us to forget; not longer than kReplyShownMax.
std::string reply_shown(uint16_t code, std::string_view text);
inline constexpr size_t kReplyShownMax = 300;
// A reply for whoever will ask: kept as it came, for each turn brings some and hardly anybody asks.
class KeptReply {
 public:
  void keep(uint16_t code, std::string_view text) {
    code_ = code;
    text_ = text.substr(0, kReplyShownMax);
  }
  bool empty() const { return code_ == 0 && text_.empty(); }
  std::string shown() const { return reply_shown(code_, text_); }

 private:
  uint16_t code_ = 0;
  std::string text_;
};
// A suspension, or what else an operator has ordered. `mono_ns`, `wall_ns`: now.
Condition condition_of(const queue::Order& order, int64_t mono_ns, int64_t wall_ns);

}  // namespace veredus
