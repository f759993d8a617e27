#include "queue/order.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "queue/address_finder.h"
#include "queue/fields.h"
#include "queue/names.h"

namespace veredus::queue {
namespace {

constexpr uint8_t kOrderVersion = 1;
constexpr uint8_t kKindMax = static_cast<uint8_t>(Order::Kind::expire);
constexpr uint8_t kStateMax = static_cast<uint8_t>(Order::State::done);

// The numbers are stored: never renumber, never use one again. Those from kFirstPart to kLastPart
// are parts of the filter, in the order of kFilterParts: who does not know one of them must not act
// on the order, for without it more mail fits. All others are skipped where they are not known.
enum Tag : uint64_t {
  kNumber = 1,
  kKind = 2,
  kState = 3,
  kGiven = 4,
  kUntil = 5,
  kEnded = 6,
  kReason = 7,
  kLastBatch = 8,  // written last, and always: what is cut off before it is no order
  kFirstPart = 32,
  kLastPart = 63,
};

// An order as it is being read.
struct Reading {
  Order order;
  bool last_batch = false;    // is there
  bool unknown_part = false;  // the filter says more than this program understands
};

absl::Status wrong(std::string_view part, const std::string& text, std::string_view why) {
  constexpr size_t kShownMax = 300;
  return absl::InvalidArgumentError("\"" + std::string(part) + "\" is \"" +
                                    text.substr(0, kShownMax) + "\": " + std::string(why));
}

std::string small_letters(std::string_view text) {
  return absl::AsciiStrToLower({text.data(), text.size()});
}

bool printable_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](unsigned char c) { return absl::ascii_isprint(c); });
}

// No byte, and no character of UTF-8, that a terminal obeys.
bool has_controls(std::string_view text) {
  unsigned char before = 0;
  for (const char each : text) {
    const auto c = static_cast<unsigned char>(each);
    if (absl::ascii_iscntrl(c)) return true;
    if (before == 0xc2 && c < 0xa0) return true;  // U+0080 … U+009F
    before = c;
  }
  return false;
}

std::string_view domain_of(std::string_view address) {
  return address.substr(address.rfind('@') + 1);
}

bool is_recipient(std::string_view text) {
  const size_t at = text.rfind('@');
  return at != std::string_view::npos && at > 0 && text.size() <= AddressFinder::kAddressBytesMax &&
         !has_controls(text) && is_domain(domain_of(text));
}

// Each part by itself, in normal form.
absl::Status check_parts(const Filter& filter) {
  for (const FilterPart& part : kFilterParts) {
    const std::string& text = filter.*part.text;
    if (part.named && !text.empty() && !is_name(text))
      return wrong(part.name, text, "no name: names are 1 to 128 of letters, digits and . _ : @ -");
  }
  const std::string& site = filter.site;
  if (site.size() > kSiteKeyBytesMax || !printable_ascii(site) || site != small_letters(site))
    return wrong("site", site, "no key of a site: take it as sites are listed");
  const std::string_view domain = filter.domain;
  if (!domain.empty() && !is_domain(domain.substr(domain.starts_with('.') ? 1 : 0)))
    return wrong("domain", filter.domain,
                 "no name of a domain: say example.org, or .example.org for all names below it");
  if (!filter.recipient.empty() && !is_recipient(filter.recipient))
    return wrong("recipient", filter.recipient, "no address: say one as in ada@example.org");
  return absl::OkStatus();
}

// Parts that nobody fits together, or that say nothing alone.
absl::Status check_together(const Filter& filter) {
  if (filter.empty())
    return absl::InvalidArgumentError(
        "the filter is empty, and all mail would fit: say at least one of tenant, campaign, batch, "
        "provider, site, domain, recipient, source");
  if (!filter.batch.empty() && filter.tenant.empty())
    return wrong("batch", filter.batch, "its tenant is missing, and each has batches of its own");
  if (!filter.domain.empty() && !filter.recipient.empty() &&
      !fits_name(filter.domain, domain_of(filter.recipient)))
    return wrong("recipient", filter.recipient,
                 "not of the domain \"" + filter.domain + "\", so nobody fits both: leave one out");
  return absl::OkStatus();
}

bool read_part(uint64_t tag, std::string_view value, Reading& reading) {
  if (tag - kFirstPart >= kFilterParts.size()) {
    reading.unknown_part = true;
    return true;
  }
  reading.order.filter.*kFilterParts[tag - kFirstPart].text = value;
  return !value.empty();
}

bool read_order_field(uint64_t tag, std::string_view value, Reading& reading) {
  Order& order = reading.order;
  bool sound = true;
  if (tag >= kFirstPart && tag <= kLastPart) return read_part(tag, value, reading);
  switch (tag) {
    case kNumber:
      order.number = field_number(value, sound);
      break;
    case kKind: {
      const uint64_t kind = field_number(value, sound, kKindMax);
      order.kind = static_cast<Order::Kind>(kind);
      return sound && kind > 0;
    }
    case kState: {
      const uint64_t state = field_number(value, sound, kStateMax);
      order.state = static_cast<Order::State>(state);
      return sound && state > 0;
    }
    case kGiven:
      order.given_wall_ns = field_time(value, sound);
      break;
    case kUntil:
      order.until_wall_ns = field_time(value, sound);
      break;
    case kEnded:
      order.ended_wall_ns = field_time(value, sound);
      break;
    case kReason:
      order.reason = value;
      break;
    case kLastBatch:
      order.last_batch = field_number(value, sound);
      reading.last_batch = true;
      break;
    default:
      break;  // of a later minor change: skipped
  }
  return sound;
}

}  // namespace

std::string_view name_of(Order::Kind kind) {
  switch (kind) {
    case Order::Kind::suspend:
      return "suspend";
    case Order::Kind::cancel:
      return "cancel";
    case Order::Kind::retry:
      return "retry";
    case Order::Kind::expire:
      return "expire";
  }
  return "unknown";
}

std::string_view name_of(Order::State state) {
  switch (state) {
    case Order::State::given:
      return "given";
    case Order::State::lifted:
      return "lifted";
    case Order::State::done:
      return "done";
  }
  return "unknown";
}

std::optional<Order::Kind> order_kind(std::string_view name) {
  for (uint8_t number = 1; number <= kKindMax; ++number) {
    const auto kind = static_cast<Order::Kind>(number);
    if (name_of(kind) == name) return kind;
  }
  return std::nullopt;
}

absl::StatusOr<Filter> checked_filter(Filter filter) {
  filter.site = small_letters(filter.site);
  filter.domain = small_letters(filter.domain);
  if (!filter.batch.empty() && filter.tenant.empty()) filter.tenant = "default";
  if (absl::Status parts = check_parts(filter); !parts.ok()) return parts;
  if (absl::Status together = check_together(filter); !together.ok()) return together;
  return filter;
}

absl::Status check_order(const Order& order) {
  const bool suspends = order.kind == Order::Kind::suspend;
  const auto refuse = [](const char* why) { return absl::InvalidArgumentError(why); };
  if (order.number == 0) return refuse("an order without number");
  const absl::StatusOr<Filter> filter = checked_filter(order.filter);
  if (!filter.ok()) return filter.status();
  if (*filter != order.filter) return refuse("the filter is not in its normal form");
  if (order.until_wall_ns != 0 && !suspends)
    return refuse("only a suspension has an end: leave \"until\" out");
  if (order.until_wall_ns != 0 && order.until_wall_ns <= order.given_wall_ns)
    return refuse("\"until\" is over already: say a later time, or leave it out");
  if (order.state == Order::State::lifted && !suspends)
    return refuse("only a suspension is lifted: what is cancelled or expired stays so");
  if ((order.state == Order::State::given) != (order.ended_wall_ns == 0))
    return refuse("an order has an end when it has ended, and not before");
  if (suspends != (order.last_batch == kEveryBatch))
    return refuse("a suspension holds for every batch, any other order for those before it");
  if (order.reason.size() > kReasonBytesMax)
    return refuse("\"reason\" is longer than 200 bytes: say it in fewer words");
  if (has_controls(order.reason))
    return refuse("\"reason\" has control characters: say it in one line of text");
  return absl::OkStatus();
}

void encode_order(const Order& order, std::string& out) {
  out.clear();
  put_number(out, kOrderVersion);
  FieldWriter fields(out);
  fields.number(kNumber, order.number);
  fields.number(kKind, static_cast<uint8_t>(order.kind));
  fields.number(kState, static_cast<uint8_t>(order.state));
  for (size_t part = 0; part < kFilterParts.size(); ++part) {
    const std::string& text = order.filter.*kFilterParts[part].text;
    if (!text.empty()) fields.text(kFirstPart + part, text);
  }
  fields.time(kGiven, order.given_wall_ns);
  if (order.until_wall_ns != 0) fields.time(kUntil, order.until_wall_ns);
  if (order.ended_wall_ns != 0) fields.time(kEnded, order.ended_wall_ns);
  if (!order.reason.empty()) fields.text(kReason, order.reason);
  fields.number(kLastBatch, order.last_batch);
}

absl::StatusOr<Order> decode_order(std::string_view bytes) {
  absl::StatusOr<Reading> reading =
      decode_fields<Reading>(bytes, kOrderVersion, "order", read_order_field);
  if (!reading.ok()) return reading.status();
  if (reading->unknown_part)
    return absl::FailedPreconditionError(
        "an order whose filter this program does not understand: it holds for nobody; start the "
        "release that wrote it, or a later one");
  if (!reading->last_batch || !check_order(reading->order).ok())
    return absl::DataLossError("damaged order record");
  return std::move(reading->order);
}

}  // namespace veredus::queue
