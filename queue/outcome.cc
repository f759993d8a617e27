#include "queue/outcome.h"

#include <algorithm>
#include <iterator>

#include "queue/bytes.h"
#include "queue/crc32c.h"

namespace veredus::queue {
namespace {

constexpr uint8_t kOutcomesVersion = 2;  // 1 was the same without kHasTls

// What an entry has; in this order it follows. The seven bits from kHasTiming on are the phases
// that were reached.
enum OutcomeFields : uint16_t {
  kHasKind = 1,
  kHasClass = 2,
  kHasStage = 4,
  kHasCode = 8,
  kHasEnhanced = 16,
  kHasBytes = 32,
  kHasNextDue = 64,
  kHasText = 128,
  kHasTiming = 256,
  kHasTls = 1 << 15,
  kAllFields = 0xffff,
};

constexpr uint32_t Timing::*kPhases[] = {&Timing::queued_us, &Timing::dns_us,  &Timing::connect_us,
                                         &Timing::tls_us,    &Timing::mail_us, &Timing::data_us,
                                         &Timing::dot_us};
constexpr std::string_view Outcome::*kStrings[] = {
    &Outcome::rule, &Outcome::mx_name, &Outcome::mx_address, &Outcome::site, &Outcome::source};

uint16_t fields_of(const Outcome& outcome) {
  unsigned fields = 0;
  if (outcome.kind != 0) fields |= kHasKind;
  if (outcome.bounce_class != 0) fields |= kHasClass;
  if (outcome.stage != 0) fields |= kHasStage;
  if (outcome.code != 0) fields |= kHasCode;
  const auto& [status_class, subject, detail] = outcome.enhanced;
  if ((status_class | subject | detail) != 0) fields |= kHasEnhanced;
  if (outcome.bytes != 0) fields |= kHasBytes;
  if (outcome.next_due_wall_ns != 0) fields |= kHasNextDue;
  if (!outcome.text.empty()) fields |= kHasText;
#pragma GCC unroll 7
  for (unsigned phase = 0; phase < std::size(kPhases); ++phase) {
    if (outcome.timing.*kPhases[phase] != kNotReached) fields |= kHasTiming << phase;
  }
  if (!outcome.tls.empty()) fields |= kHasTls;
  return static_cast<uint16_t>(fields);
}

// At most kOutcomeTextMax bytes, not ending within a UTF-8 character.
std::string_view capped(std::string_view text) {
  if (text.size() <= kOutcomeTextMax) return text;
  size_t length = kOutcomeTextMax;
  for (int back = 0; back < 3 && (text[length] & 0xc0) == 0x80; ++back) --length;
  return text.substr(0, length);
}

// Numbers that are near those of the entry before are written as the difference.
char* store_difference(char* at, uint32_t value, uint32_t before) {
  return store_varint(at, zigzag(int64_t{value} - int64_t{before}));
}

// Short strings of equal length, many of them for each entry: a call of memcmp() is most of what it
// costs.
bool same(const char* a, const char* b, size_t length) {
  const auto differ = [&]<class Number>(size_t at, Number) {
    return load_number<Number>(a + at) != load_number<Number>(b + at);
  };
  if (length < sizeof(uint32_t)) return std::equal(a, a + length, b);
  // The last ones may overlap those before.
  if (length < sizeof(uint64_t))
    return !differ(0, uint32_t{}) && !differ(length - sizeof(uint32_t), uint32_t{});
  const size_t last = length - sizeof(uint64_t);
  for (size_t at = 0; at < last; at += sizeof(uint64_t)) {
    if (differ(at, uint64_t{})) return false;
  }
  return !differ(last, uint64_t{});
}

// More than any entry takes up: its numbers, text and strings with their numbers and lengths.
constexpr size_t kNumbersMax = 26 + std::size(kPhases);
constexpr size_t kEntryMax = kNumbersMax * kVarintMax + kOutcomeTextMax +
                             (std::size(kStrings) + 1) * (2 * kVarintMax + kOutcomeTextMax);

}  // namespace

// `place`: which of the strings of an entry it is. Most are what the entry before had there.
char* OutcomeWriter::store_string(char* at, size_t place, std::string_view full) {
  const std::string_view text = capped(full);
  if (text.empty()) return store_varint(at, 0);
  const auto is = [&](uint32_t number) {
    const StringAt& known = strings_[number - 1];
    return known.length == text.size() &&
           same(bytes_.data() + known.offset, text.data(), text.size());
  };
  uint32_t& before = before_[place];
  if (before != 0 && is(before)) return store_varint(at, before);
  uint32_t& number = known_[crc32c(text) % known_.size()];
  if (number != 0 && is(number)) {
    before = number;
    return store_varint(at, number);
  }
  // New, or another string sits in its place (then both are written again; rare, and only a few
  // bytes).
  number = before = static_cast<uint32_t>(strings_.size() + 1);
  at = store_varint(store_varint(at, number), text.size());
  strings_.push_back(
      {static_cast<uint32_t>(at - bytes_.data()), static_cast<uint32_t>(text.size())});
  return std::copy(text.begin(), text.end(), at);
}

// An entry is many small numbers: it is written into room that is surely enough.
void OutcomeWriter::add(const Outcome& outcome) {
  static_assert(std::size(kStrings) + 1 == kStringsOfEntry);
  if (bytes_.size() - used_ < kEntryMax)
    bytes_.resize(std::max(used_ + kEntryMax, 2 * bytes_.size()));
  if (count_ == 0) base_wall_ns_ = outcome.wall_ns;
  const uint16_t fields = fields_of(outcome);
  char* at = bytes_.data() + used_;
  *at++ = static_cast<char>(outcome.type);
  store_number(at, fields);
  at = store_varint(at + sizeof fields, outcome.attempt);
  at = store_varint(at, zigzag(static_cast<int64_t>(outcome.batch - last_.batch)));
  at = store_difference(at, outcome.index, last_.index);
  at = store_difference(at, outcome.segment, last_.segment);
  at = store_difference(at, outcome.page_offset, last_.page_offset);
  at = store_varint(at, outcome.entry_offset);
  at = store_varint(at, zigzag(static_cast<int64_t>(static_cast<uint64_t>(outcome.wall_ns) -
                                                    static_cast<uint64_t>(base_wall_ns_))));
  last_ = {outcome.batch, outcome.index, outcome.segment, outcome.page_offset};
  if (fields & kHasKind) *at++ = static_cast<char>(outcome.kind);
  if (fields & kHasClass) *at++ = static_cast<char>(outcome.bounce_class);
  if (fields & kHasStage) *at++ = static_cast<char>(outcome.stage);
  if (fields & kHasCode) at = store_varint(at, outcome.code);
  if (fields & kHasEnhanced) {
    for (const uint16_t part : outcome.enhanced) at = store_varint(at, part);
  }
  if (fields & kHasBytes) at = store_varint(at, outcome.bytes);
  if (fields & kHasNextDue) at = store_varint(at, zigzag(outcome.next_due_wall_ns));
  if (fields & kHasText) {
    const std::string_view text = capped(outcome.text);
    at = store_varint(at, text.size());
    at = std::copy(text.begin(), text.end(), at);
  }
#pragma GCC unroll 7
  for (const auto phase : kPhases) {
    if (outcome.timing.*phase != kNotReached) at = store_varint(at, outcome.timing.*phase);
  }
#pragma GCC unroll 5
  for (size_t place = 0; place < std::size(kStrings); ++place)
    at = store_string(at, place, outcome.*kStrings[place]);
  if (fields & kHasTls) at = store_string(at, std::size(kStrings), outcome.tls);
  used_ = static_cast<size_t>(at - bytes_.data());
  ++count_;
}

void OutcomeWriter::take(std::string& out) {
  out.clear();
  put_number(out, kOutcomesVersion);
  put_varint(out, count_);
  put_number(out, base_wall_ns_);
  out.append(bytes_, 0, used_);
  used_ = 0;
  strings_.clear();
  if (count_ != 0) known_.fill(0);
  before_ = {};
  last_ = {};
  count_ = 0;
}

uint32_t outcomes_in(std::string_view payload) {
  ByteReader in(payload);
  if (const uint8_t version = in.u8(); version < 1 || version > kOutcomesVersion) return 0;
  return static_cast<uint32_t>(in.varint(UINT32_MAX));
}

OutcomeReader::OutcomeReader(std::string_view payload) {
  ByteReader in(payload);
  const uint8_t version = in.u8();
  if (in.ok() && (version < 1 || version > kOutcomesVersion)) {
    status_ = absl::FailedPreconditionError(
        "outcomes of format version " + std::to_string(version) +
        ", this program reads versions 1 to " + std::to_string(kOutcomesVersion));
    return;
  }
  fields_ = version == 1 ? kAllFields & ~kHasTls : kAllFields;
  left_ = static_cast<uint32_t>(in.varint(UINT32_MAX));
  base_wall_ns_ = in.i64();
  rest_ = in.rest();
  if (!in.ok()) damaged();
}

bool OutcomeReader::damaged() {
  status_ = absl::DataLossError("damaged outcomes record");
  left_ = 0;
  return false;
}

bool OutcomeReader::read_string(ByteReader& in, std::string_view& text) {
  const uint64_t number = in.varint(strings_.size() + 1);
  if (number == 0) {
    text = {};
  } else if (number <= strings_.size()) {
    text = strings_[number - 1];
  } else {
    text = in.bytes();
    strings_.push_back(text);
  }
  return in.ok();
}

bool OutcomeReader::next(Outcome& outcome) {
  if (!status_.ok()) return false;
  if (left_ == 0) return rest_.empty() ? false : damaged();
  outcome = Outcome();
  ByteReader in(rest_);
  const uint8_t type = in.u8();
  const uint16_t fields = in.u16();
  if (type < 1 || type > static_cast<uint8_t>(OutcomeType::suppressed) ||
      (fields & ~fields_) != 0) {
    return damaged();
  }
  outcome.type = static_cast<OutcomeType>(type);
  outcome.attempt = static_cast<uint16_t>(in.varint(UINT16_MAX));
  outcome.batch = last_.batch + static_cast<uint64_t>(unzigzag(in.varint()));
  outcome.index = last_.index + static_cast<uint32_t>(unzigzag(in.varint()));
  outcome.segment = last_.segment + static_cast<uint32_t>(unzigzag(in.varint()));
  outcome.page_offset = last_.page_offset + static_cast<uint32_t>(unzigzag(in.varint()));
  outcome.entry_offset = static_cast<uint32_t>(in.varint(UINT32_MAX));
  outcome.wall_ns = static_cast<int64_t>(static_cast<uint64_t>(base_wall_ns_) +
                                         static_cast<uint64_t>(unzigzag(in.varint())));
  last_ = {outcome.batch, outcome.index, outcome.segment, outcome.page_offset};
  if (fields & kHasKind) outcome.kind = in.u8();
  if (fields & kHasClass) outcome.bounce_class = in.u8();
  if (fields & kHasStage) outcome.stage = in.u8();
  if (fields & kHasCode) outcome.code = static_cast<uint16_t>(in.varint(UINT16_MAX));
  if (fields & kHasEnhanced) {
    for (uint16_t& part : outcome.enhanced) part = static_cast<uint16_t>(in.varint(UINT16_MAX));
  }
  if (fields & kHasBytes) outcome.bytes = static_cast<uint32_t>(in.varint(UINT32_MAX));
  if (fields & kHasNextDue) outcome.next_due_wall_ns = unzigzag(in.varint());
  if (fields & kHasText) outcome.text = in.bytes();
  for (unsigned phase = 0; phase < std::size(kPhases); ++phase) {
    if (fields & kHasTiming << phase) {
      outcome.timing.*kPhases[phase] = static_cast<uint32_t>(in.varint(UINT32_MAX));
    }
  }
  for (const auto text : kStrings) {
    if (!read_string(in, outcome.*text)) return damaged();
  }
  if ((fields & kHasTls) != 0 && !read_string(in, outcome.tls)) return damaged();
  if (!in.ok()) return damaged();
  rest_ = in.rest();
  --left_;
  return true;
}

}  // namespace veredus::queue
