#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace veredus::queue {

// What an operator says of mail that waits: nothing more of it goes out for now (suspend), or ever
// (cancel), it is to be tried again at once (retry), or its time is over (expire). An order is a
// mark, not a walk: it is kept durably and looked at when a recipient comes up, so that it holds at
// once, for millions, too. Each home writes it to its own journal, and says there when it has
// ended: lifted by an operator, or done, for nothing is left at this home that it holds for. So
// cancel, retry and expire end home by home, and a start takes them up where they were; a
// suspension holds everywhere, also where the journal that it was written to is not at home any
// more, and in journals that are new.

// Which mail: all parts that are set must fit, and one at least is set. Empty: not set. (Each has
// an initializer, so that a filter can be written by its parts: {.tenant = "acme"}.)
struct Filter {
  std::string tenant{}, campaign{}, batch{};  // names as fed; a batch is one of that tenant
  std::string provider{};                     // its name
  std::string site{};                         // its key, small letters
  std::string domain{};     // of the recipient, small letters; with a dot in front all names below
  std::string recipient{};  // address; compared without case, as AddressFinder does
  std::string source{};     // its name
  bool operator==(const Filter&) const = default;
  bool empty() const { return *this == Filter(); }
};

// A part of a filter by its name, in the order in which they are shown. No other place lists them.
struct FilterPart {
  std::string_view name;  // "tenant"
  std::string Filter::*text;
  bool named = true;  // it holds a name as is_name() has it
};
inline constexpr std::array<FilterPart, 8> kFilterParts = {
    {{"tenant", &Filter::tenant},
     {"campaign", &Filter::campaign},
     {"batch", &Filter::batch},
     {"provider", &Filter::provider},
     {"site", &Filter::site, false},
     {"domain", &Filter::domain, false},
     {"recipient", &Filter::recipient, false},
     {"source", &Filter::source}}};

struct Order {
  // Stored: never renumber, never use a number again.
  enum class Kind : uint8_t { suspend = 1, cancel = 2, retry = 3, expire = 4 };
  enum class State : uint8_t {
    given = 1,
    lifted = 2,  // by an operator: a suspension
    done = 3,    // all that it holds for is settled at this home; a suspension's time is over
  };

  uint64_t number = 0;  // unique in the spool, ascending, from 1
  Kind kind = Kind::suspend;
  State state = State::given;
  Filter filter;
  int64_t given_wall_ns = 0;  // Unix time
  int64_t until_wall_ns = 0;  // a suspension's end; 0: until it is lifted
  int64_t ended_wall_ns = 0;  // when it was lifted or done; 0 of one that is given
  // The highest number of a batch that it holds for: cancel, retry and expire hold for what was
  // accepted before, a suspension for what comes later, too (kEveryBatch).
  uint64_t last_batch = 0;
  std::string reason;  // an operator's own words, kReasonBytesMax at most, no control bytes

  // Whether it is to be looked at. False from the moment of a suspension's end on.
  bool in_force(int64_t wall_ns) const {
    return state == State::given && (until_wall_ns == 0 || wall_ns < until_wall_ns);
  }
  bool operator==(const Order&) const = default;
};
inline constexpr uint64_t kEveryBatch = UINT64_MAX;
inline constexpr size_t kReasonBytesMax = 200;
inline constexpr size_t kSiteKeyBytesMax = 512;  // as dns::kMaxSiteKey
// Events of its frame: each time it is written is one of the journal's events.
inline constexpr uint32_t kEventsOfOrder = 1;

std::string_view name_of(Order::Kind kind);    // "suspend"
std::string_view name_of(Order::State state);  // "given"
std::optional<Order::Kind> order_kind(std::string_view name);

// What somebody asks for, as it is kept: host names in small letters, a batch without tenant is one
// of tenant "default". InvalidArgument says which part is wrong, and what would be right.
absl::StatusOr<Filter> checked_filter(Filter filter);
// InvalidArgument: what is wrong with it.
absl::Status check_order(const Order& order);

// Payload of an `order` frame, and what the checkpoint's part of it holds. Replaces what `out`
// held.
void encode_order(const Order& order, std::string& out);
// DataLoss: not what a writer wrote, or no order that could have been given. FailedPrecondition: of
// a later release, which says by what mail is meant in a way that this one does not know; such an
// order is never read as one that holds for more.
absl::StatusOr<Order> decode_order(std::string_view bytes);

}  // namespace veredus::queue
