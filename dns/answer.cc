#include "dns/answer.h"

#include <algorithm>

namespace veredus::dns {
namespace {

constexpr size_t kHeader = 12;
constexpr uint16_t kClassInternet = 1;
constexpr uint16_t kTypeSoa = 6;
constexpr uint16_t kTypeOpt = 41;
constexpr size_t kMaxWireName = 255;
constexpr unsigned kMaxPointers = 127;  // in one name: a pointer for every label it can have

using Bytes = std::span<const uint8_t>;

uint16_t u16(Bytes raw, size_t at) {
  return static_cast<uint16_t>(raw[at] << 8 | raw[at + 1]);
}
uint32_t u32(Bytes raw, size_t at) {
  return uint32_t{u16(raw, at)} << 16 | u16(raw, at + 2);
}

enum class NameRead : uint8_t { ok, unusable, malformed };

// Reads the name at `offset` and moves it behind the name. Pointers may only go backwards, each
// further than the one before: so they end; and not too often, so that they end soon. `unusable`:
// well-formed, but outside the characters we take; `out` is then undefined.
NameRead read_name(Bytes raw, size_t& offset, Name& out) {
  out.clear();
  bool usable = true;
  unsigned pointers = 0;
  size_t at = offset;
  size_t floor = offset;  // pointers must lead below this
  size_t wire = 1;        // the root
  while (true) {
    if (at >= raw.size()) return NameRead::malformed;
    const uint8_t length = raw[at];
    if ((length & 0xC0) == 0xC0) {
      if (at + 1 >= raw.size()) return NameRead::malformed;
      const size_t target = u16(raw, at) & 0x3FFF;
      if (pointers == 0) offset = at + 2;
      if (target >= floor || ++pointers > kMaxPointers) return NameRead::malformed;
      at = floor = target;
      continue;
    }
    if (length > kMaxLabel) return NameRead::malformed;
    if (length == 0) break;
    wire += length + 1;
    if (wire > kMaxWireName || at + 1 + length > raw.size()) return NameRead::malformed;
    if (!out.empty()) out.append('.');
    for (size_t i = at + 1; i <= at + length; ++i) {
      const char low = name_character(static_cast<char>(raw[i]));
      if (low == 0) usable = false;
      out.append(low);
    }
    at += 1 + length;
  }
  if (pointers == 0) offset = at + 1;
  return usable ? NameRead::ok : NameRead::unusable;
}

// One resource record (RFC 1035 §4.1.3), its data still in the message.
struct Record {
  Name owner;
  bool owner_usable = false;
  uint16_t type = 0;
  uint16_t klass = 0;
  uint32_t ttl_s = 0;
  size_t data = 0;
  size_t length = 0;

  // Moves `offset` behind the record; false if it does not lie in the message.
  bool read(Bytes raw, size_t& offset) {
    const NameRead name = read_name(raw, offset, owner);
    if (name == NameRead::malformed || raw.size() - offset < 10) return false;
    owner_usable = name == NameRead::ok;
    type = u16(raw, offset);
    klass = u16(raw, offset + 2);
    ttl_s = u32(raw, offset + 4);
    length = u16(raw, offset + 8);
    data = offset + 10;
    if (raw.size() - data < length) return false;
    offset = data + length;
    return true;
  }

  // RFC 2181 §8: a set sign bit means 0.
  uint32_t time_to_live() const { return ttl_s > 0x7FFFFFFF ? 0 : ttl_s; }
};

// A name that is the last `length - skip` bytes of the record's data.
NameRead read_data_name(Bytes raw, const Record& record, size_t skip, Name& out) {
  if (record.length <= skip) return NameRead::malformed;
  size_t offset = record.data + skip;
  const NameRead result = read_name(raw, offset, out);
  return offset == record.data + record.length ? result : NameRead::malformed;
}

bool take_txt(Bytes raw, const Record& record, Answer& out) {
  std::string text;
  size_t at = record.data;
  const size_t end = record.data + record.length;
  while (at < end) {
    const size_t length = raw[at];
    if (end - at - 1 < length) return false;
    text.append(reinterpret_cast<const char*>(raw.data()) + at + 1, length);
    at += 1 + length;
  }
  out.txt.push_back(std::move(text));
  return true;
}

// Takes the value of a record of the type asked for; false if it is malformed.
bool take(Bytes raw, const Record& record, RecordType type, Answer& out) {
  switch (type) {
    case RecordType::a:
    case RecordType::aaaa: {
      IpAddress address;
      if (type == RecordType::aaaa) address.family = IpAddress::Family::v6;
      if (record.length != address.size()) return false;
      std::copy_n(raw.begin() + static_cast<std::ptrdiff_t>(record.data), record.length,
                  address.bytes.begin());
      out.addresses.push_back(address);
      return true;
    }
    case RecordType::mx: {
      Name name;
      const NameRead read = read_data_name(raw, record, 2, name);
      if (read == NameRead::malformed) return false;
      if (read == NameRead::unusable) {
        ++out.unusable;
      } else {
        out.mx.push_back({u16(raw, record.data), std::string(name.view())});
      }
      return true;
    }
    case RecordType::cname: {
      Name name;
      const NameRead read = read_data_name(raw, record, 0, name);
      if (read == NameRead::malformed) return false;
      if (read == NameRead::unusable) {
        ++out.unusable;
      } else {
        out.cname = name.view();
      }
      return true;
    }
    case RecordType::txt:
      return take_txt(raw, record, out);
    case RecordType::tlsa: {
      if (record.length < 3) return false;
      const auto begin = raw.begin() + static_cast<std::ptrdiff_t>(record.data);
      out.tlsa.push_back({begin[0],
                          begin[1],
                          begin[2],
                          {begin + 3, begin + static_cast<std::ptrdiff_t>(record.length)}});
      return true;
    }
  }
  return false;
}

// What one pass over the answer section has found at one name.
struct Pass {
  bool found = false;
  bool alias = false;
  uint32_t ttl_s = UINT32_MAX;
  uint32_t alias_ttl_s = 0;
  Name target;
};

// Reads the answer section from `offset` (moved behind what was read) and takes what belongs to
// `name`.
ParseStatus scan_answers(Bytes raw, size_t& offset, size_t count, const Name& name, RecordType type,
                         Answer& out, Pass& pass) {
  Record record;
  for (size_t i = 0; i < count; ++i) {
    if (!record.read(raw, offset)) return ParseStatus::malformed;
    if (record.klass != kClassInternet || !record.owner_usable ||
        record.owner.view() != name.view())
      continue;
    if (record.type == static_cast<uint16_t>(type)) {
      if (!take(raw, record, type, out)) return ParseStatus::malformed;
      pass.found = true;
      pass.ttl_s = std::min(pass.ttl_s, record.time_to_live());
    } else if (record.type == static_cast<uint16_t>(RecordType::cname) && !pass.alias) {
      if (read_data_name(raw, record, 0, pass.target) != NameRead::ok || pass.target.empty()) {
        return ParseStatus::malformed;
      }
      pass.alias = true;
      pass.alias_ttl_s = record.time_to_live();
    }
  }
  return ParseStatus::ok;
}

// Follows aliases from the name asked to the records of the type asked. Their order in the message
// does not matter.
ParseStatus follow(Bytes raw, size_t& offset, size_t count, RecordType type, Name& name,
                   Answer& out) {
  const size_t begin = offset;
  uint32_t ttl_s = UINT32_MAX;
  while (true) {
    Pass pass;
    offset = begin;
    const ParseStatus status = scan_answers(raw, offset, count, name, type, out, pass);
    if (status != ParseStatus::ok) return status;
    if (pass.found || !pass.alias) {
      ttl_s = std::min(ttl_s, pass.ttl_s);
      break;
    }
    if (++out.aliases > kMaxAliases) return ParseStatus::too_many_aliases;
    ttl_s = std::min(ttl_s, pass.alias_ttl_s);
    name = pass.target;
  }
  out.ttl_s = ttl_s == UINT32_MAX ? 0 : ttl_s;
  return ParseStatus::ok;
}

// The SOA record that bounds how long "nothing there" may be believed: the lesser of its time to
// live and its MINIMUM.
bool read_authority(Bytes raw, size_t& offset, size_t count, Answer& out) {
  Record record;
  for (size_t i = 0; i < count; ++i) {
    if (!record.read(raw, offset)) return false;
    if (record.type != kTypeSoa || record.klass != kClassInternet || out.has_soa) continue;
    if (record.length < 22) return false;  // two names and five numbers
    out.has_soa = true;
    const uint32_t minimum = u32(raw, record.data + record.length - 4);
    out.negative_ttl_s = std::min(record.time_to_live(), minimum > 0x7FFFFFFF ? 0 : minimum);
  }
  return true;
}

// The upper bits of the response code are in the OPT record (RFC 6891 §6.1.3).
bool read_additional(Bytes raw, size_t& offset, size_t count, Answer& out) {
  Record record;
  for (size_t i = 0; i < count; ++i) {
    if (!record.read(raw, offset)) return false;
    if (record.type == kTypeOpt)
      out.rcode = static_cast<uint16_t>(out.rcode | (record.ttl_s >> 24) << 4);
  }
  return true;
}

void clear(Answer& out) {
  out.rcode = 0;
  out.truncated = out.secure = out.clipped = out.has_soa = false;
  out.aliases = out.unusable = 0;
  out.ttl_s = out.negative_ttl_s = 0;
  out.canonical.clear();
  out.cname.clear();
  out.mx.clear();
  out.addresses.clear();
  out.txt.clear();
  out.tlsa.clear();
}

}  // namespace

const char* rcode_text(uint16_t rcode) {
  static constexpr const char* kTexts[] = {"NOERROR",  "FORMERR", "SERVFAIL",
                                           "NXDOMAIN", "NOTIMP",  "REFUSED"};
  return rcode < std::size(kTexts) ? kTexts[rcode] : "an unknown code";
}

bool parse_question(std::span<const uint8_t> raw, Name& name, uint16_t& type) {
  if (raw.size() < kHeader || u16(raw, 4) != 1) return false;
  size_t offset = kHeader;
  if (read_name(raw, offset, name) != NameRead::ok || raw.size() - offset < 4) return false;
  type = u16(raw, offset);
  return u16(raw, offset + 2) == kClassInternet;
}

ParseStatus parse_answer(std::span<const uint8_t> raw, std::string_view asked, RecordType type,
                         Answer& out) {
  clear(out);
  if (raw.size() < kHeader || (raw[2] & 0xF8) != 0x80)
    return ParseStatus::malformed;  // QR, opcode QUERY
  out.rcode = raw[3] & 0x0F;
  out.secure = (raw[3] & 0x20) != 0;
  out.canonical = asked;
  size_t offset = kHeader;
  Name name;
  if (u16(raw, 4) == 0 && out.rcode != kRcodeNoError && out.rcode != kRcodeNameError) {
    return ParseStatus::ok;  // a bare error: some servers leave the question out
  }
  if (u16(raw, 4) != 1 || read_name(raw, offset, name) != NameRead::ok || name.view() != asked ||
      raw.size() - offset < 4 || u16(raw, offset) != static_cast<uint16_t>(type) ||
      u16(raw, offset + 2) != kClassInternet) {
    return ParseStatus::malformed;
  }
  offset += 4;
  if ((raw[2] & 0x02) != 0) {
    out.truncated = true;
    return ParseStatus::ok;
  }
  const size_t answers = u16(raw, 6), authority = u16(raw, 8), additional = u16(raw, 10);
  out.clipped = answers > kMaxAnswerRecords;
  const ParseStatus status =
      follow(raw, offset, std::min(answers, kMaxAnswerRecords), type, name, out);
  if (status != ParseStatus::ok) return status;
  out.canonical = name.view();
  if (out.has_records()) return ParseStatus::ok;
  // What was asked for may be in the unread rest: "nothing there" would be a guess.
  if (out.clipped) return ParseStatus::malformed;
  if (authority > kMaxAnswerRecords || additional > kMaxAnswerRecords ||
      !read_authority(raw, offset, authority, out) ||
      !read_additional(raw, offset, additional, out)) {
    return ParseStatus::malformed;
  }
  return ParseStatus::ok;
}

}  // namespace veredus::dns
