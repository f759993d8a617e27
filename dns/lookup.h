#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "dns/list.h"

namespace veredus::dns {

// Types of RFC 1035, 3596 and 6698 that mail needs.
enum class RecordType : uint16_t { a = 1, cname = 5, mx = 15, txt = 16, aaaa = 28, tlsa = 52 };

enum class QueryStatus : uint8_t {
  answered,   // a server spoke: the raw message is there, whatever its code (NXDOMAIN and SERVFAIL
              // included)
  timed_out,  // no server answered in time
  // No server could be asked (connection refused, no route, no descriptor, no memory), or all of
  // several failed.
  unreachable,
  refused,  // never asked: too many queries are waiting already. Try again later
};

// One question that is under way. A member of its owner; it may be destroyed, or asked again, at
// any time: destroying it cancels it.
class Query : public ListNode<Query> {
 public:
  virtual ~Query() = default;
  // `raw`: the DNS message (RFC 1035 §4) when answered, else empty; valid during the call. The AD
  // bit is set only if the server that set it is one whose word counts. The query may be asked
  // again from here.
  virtual void on_answer(QueryStatus status, std::span<const uint8_t> raw) = 0;
};

// The port through which questions leave: a resolver of the host, or the simulated world.
class Lookups {
 public:
  virtual ~Lookups() = default;
  // Asks for the records of `type` at `name` (normal form: see normalize_name), class IN, recursion
  // desired. Exactly one on_answer() follows unless cancelled, never from inside this call. `query`
  // must not be under way.
  virtual void query(std::string_view name, RecordType type, Query& query) = 0;
  // No on_answer() follows. Harmless for a query that is not under way.
  virtual void cancel(Query& query) = 0;
};

}  // namespace veredus::dns
