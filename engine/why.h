#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/policy.h"
#include "queue/batch.h"

namespace veredus {

// One reason why mail waits: what it is, which setting or order is behind it, and when it clears.
struct Condition {
  std::string what;    // code: "retry", "message_rate", "suspended", …
  std::string text;    // a sentence for a person
  Origin origin;       // of the setting behind it; empty: none
  uint64_t order = 0;  // of an operator; 0: none
  // Monotonic; 0: not known. Of what clears by itself.
  int64_t clears_mono_ns = 0;
  bool is_estimate = false;
};

// Asked of every home: why does this wait? By recipient (batch and index), by batch alone, or by
// domain (whose site is told).
struct WhyQuestion {
  uint64_t token = 0;
  uint64_t batch = 0;    // number; 0: not asked
  int64_t index = -1;    // of the batch; -1: all
  std::string domain;    // …, or a domain; small letters
  std::string address;   // with domain: this recipient only; as fed, compared without case
  std::string site;      // …, or a site's key
  uint32_t limit = 100;  // recipients told in detail, by each home
};

// Of one recipient, or of a site.
struct Waiting {
  uint64_t batch = 0;
  uint32_t index = 0;
  std::string state;  // "waiting", "ready", "in_flight", "held", "suspended", "sites" …
  uint8_t attempts = 0;
  std::string domain, site, source;
  std::vector<Condition> conditions;  // the first one is what it waits on
  queue::Location page;               // where its entry lies; length 0: of a site
  uint32_t entry_offset = 0;
};

struct WhyAnswer {
  uint64_t token = 0;
  std::vector<Waiting> waiting;
  uint64_t recipients = 0;  // that were meant, told in detail or not
};

// Asked of every shard: what waits, flows and fails, by site.
struct SitesQuestion {
  uint64_t token = 0;
  std::string site;       // this one only
  uint32_t limit = 1000;  // those with most waiting, by each shard
};
struct SiteState {
  std::string site, provider;
  std::vector<std::string> domains;                  // some of them
  uint64_t waiting = 0, ready = 0, in_flight = 0;    // recipients
  uint64_t delivered = 0, deferred = 0, failed = 0;  // since the start
  uint32_t connections = 0, idle = 0;
  std::string last_reply;
  int64_t down_until_mono_ns = 0;
  std::vector<Condition> conditions;
};
struct SitesAnswer {
  uint64_t token = 0;
  std::vector<SiteState> sites;
};

}  // namespace veredus
