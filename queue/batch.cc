#include "queue/batch.h"

#include "queue/bytes.h"
#include "queue/fields.h"

namespace veredus::queue {
namespace {

constexpr uint8_t kBatchVersion = 1;
constexpr uint8_t kCommitVersion = 1;

// The numbers are stored: never renumber, never use one again. 1–99 batch, 100– commit.
enum Tag : uint64_t {
  kNumber = 1,
  kTenant = 2,
  kName = 3,
  kCampaign = 4,
  kSender = 5,
  kPool = 6,
  kTags = 7,
  kMeta = 8,
  // 9 was kept for `dsn` as JSON text, and never written
  kDkim = 10,  // once for each
  kVar = 11,   // once for each: name with its length, then the value
  kPriority = 12,
  kFlags = 13,
  kAccepted = 14,
  kNotBefore = 15,
  kExpires = 16,
  kContent = 17,
  kContentFlags = 18,
  kContentSum = 19,
  kDsn = 20,
  kOrigin = 21,
  kCommitNumber = 100,
  kCommitAccepted = 101,
  kCommitRefused = 102,
  kCommitExtents = 103,
  kCommitBody = 104,
  kCommitAnswer = 105,
  kCommitExtentBytes = 106,
  kCommitLastOrder = 107,
};

enum BatchFlags : uint64_t {
  kVerp = 1,
  kUnique = 2,
  kTlsRequired = 4,
  kSenderHasSlots = 8,
  kDkimNone = 16,
};

std::string location_bytes(const Location& location) {
  std::string raw;
  put_number(raw, location.journal);
  put_number(raw, location.segment);
  put_number(raw, location.offset);
  put_number(raw, location.length);
  return raw;
}

bool read_location(std::string_view value, Location& location) {
  ByteReader in(value);
  location.journal = in.u16();
  location.segment = in.u32();
  location.offset = in.u32();
  location.length = in.u32();
  return in.ok() && in.at_end();
}

bool read_var(std::string_view value, Batch& batch) {
  ByteReader in(value);
  const std::string_view name = in.bytes();
  if (!in.ok()) return false;
  batch.vars.emplace_back(name, in.rest());
  return true;
}

bool read_dsn(std::string_view value, Dsn& dsn) {
  ByteReader in(value);
  dsn.notify = in.u8();
  const uint8_t ret = in.u8();
  dsn.ret = static_cast<DsnReturn>(ret);
  dsn.envid = in.rest();
  return in.ok() && ret <= static_cast<uint8_t>(DsnReturn::headers);
}

bool read_batch_field(uint64_t tag, std::string_view value, Batch& batch) {
  bool sound = true;
  switch (tag) {
    case kNumber:
      batch.number = field_number(value, sound);
      break;
    case kTenant:
      batch.tenant = value;
      break;
    case kName:
      batch.name = value;
      break;
    case kCampaign:
      batch.campaign = value;
      break;
    case kSender:
      batch.sender = value;
      break;
    case kPool:
      batch.pool = value;
      break;
    case kTags:
      batch.tags_json = value;
      break;
    case kMeta:
      batch.meta_json = value;
      break;
    case kDkim:
      batch.dkim.emplace_back(value);
      break;
    case kVar:
      return read_var(value, batch);
    case kPriority:
      batch.priority = static_cast<uint8_t>(field_number(value, sound, 100));
      break;
    case kFlags: {
      const uint64_t flags = field_number(value, sound);
      batch.verp = flags & kVerp;
      batch.unique = flags & kUnique;
      batch.tls_required = flags & kTlsRequired;
      batch.sender_has_slots = flags & kSenderHasSlots;
      batch.dkim_none = flags & kDkimNone;
      break;
    }
    case kAccepted:
      batch.accepted_wall_ns = field_time(value, sound);
      break;
    case kNotBefore:
      batch.not_before_wall_ns = field_time(value, sound);
      break;
    case kExpires:
      batch.expires_wall_ns = field_time(value, sound);
      break;
    case kContent:
      return read_location(value, batch.content);
    case kContentFlags:
      batch.content_flags = static_cast<uint8_t>(field_number(value, sound, 255));
      break;
    case kContentSum:
      batch.content_sum = static_cast<uint32_t>(field_number(value, sound, UINT32_MAX));
      break;
    case kOrigin:
      batch.origin = value;
      break;
    case kDsn:
      return read_dsn(value, batch.dsn);
    default:
      break;  // of a later minor change: skipped
  }
  return sound;
}

bool read_commit_field(uint64_t tag, std::string_view value, Commit& commit) {
  bool sound = true;
  switch (tag) {
    case kCommitNumber:
      commit.number = field_number(value, sound);
      break;
    case kCommitAccepted:
      commit.accepted = static_cast<uint32_t>(field_number(value, sound, UINT32_MAX));
      break;
    case kCommitRefused:
      commit.refused = static_cast<uint32_t>(field_number(value, sound, UINT32_MAX));
      break;
    case kCommitExtents:
      commit.extents = static_cast<uint32_t>(field_number(value, sound, UINT32_MAX));
      break;
    case kCommitBody:
      commit.body_sha256 = value;
      break;
    case kCommitAnswer:
      commit.answer_json = value;
      break;
    case kCommitExtentBytes:
      commit.extent_bytes = field_number(value, sound);
      break;
    case kCommitLastOrder:
      commit.last_order = field_number(value, sound);
      break;
    default:
      break;
  }
  return sound;
}

}  // namespace

void encode_batch(const Batch& batch, std::string& out) {
  static const Batch kDefaults;
  put_number(out, kBatchVersion);
  FieldWriter fields(out);
  // A text that is as the reader would assume it is left out.
  const auto text = [&](Tag tag, const std::string& value, const std::string& assumed) {
    if (value != assumed) fields.text(tag, value);
  };
  fields.number(kNumber, batch.number);
  text(kTenant, batch.tenant, kDefaults.tenant);
  text(kName, batch.name, kDefaults.name);
  text(kCampaign, batch.campaign, kDefaults.campaign);
  text(kSender, batch.sender, kDefaults.sender);
  text(kPool, batch.pool, kDefaults.pool);
  text(kTags, batch.tags_json, kDefaults.tags_json);
  text(kMeta, batch.meta_json, kDefaults.meta_json);
  for (const std::string& name : batch.dkim) fields.text(kDkim, name);
  std::string pair;
  for (const auto& [name, value] : batch.vars) {
    pair.clear();
    put_bytes(pair, name);
    pair += value;
    fields.text(kVar, pair);
  }
  fields.number(kPriority, batch.priority);
  uint64_t flags = 0;
  if (batch.verp) flags |= kVerp;
  if (batch.unique) flags |= kUnique;
  if (batch.tls_required) flags |= kTlsRequired;
  if (batch.sender_has_slots) flags |= kSenderHasSlots;
  if (batch.dkim_none) flags |= kDkimNone;
  fields.number(kFlags, flags);
  fields.time(kAccepted, batch.accepted_wall_ns);
  if (batch.not_before_wall_ns != 0) fields.time(kNotBefore, batch.not_before_wall_ns);
  if (batch.expires_wall_ns != 0) fields.time(kExpires, batch.expires_wall_ns);
  if (batch.content != Location()) fields.text(kContent, location_bytes(batch.content));
  if (batch.content_flags != 0) fields.number(kContentFlags, batch.content_flags);
  if (batch.content_sum != 0) fields.number(kContentSum, batch.content_sum);
  text(kOrigin, batch.origin, kDefaults.origin);
  if (batch.dsn.asked()) {
    std::string raw;
    put_number(raw, batch.dsn.notify);
    put_number(raw, static_cast<uint8_t>(batch.dsn.ret));
    fields.text(kDsn, raw + batch.dsn.envid);
  }
}

absl::StatusOr<Batch> decode_batch(std::string_view bytes) {
  return decode_fields<Batch>(bytes, kBatchVersion, "batch", read_batch_field);
}

void encode_commit(const Commit& commit, std::string& out) {
  put_number(out, kCommitVersion);
  FieldWriter fields(out);
  fields.number(kCommitNumber, commit.number);
  fields.number(kCommitAccepted, commit.accepted);
  fields.number(kCommitRefused, commit.refused);
  fields.number(kCommitExtents, commit.extents);
  fields.text(kCommitBody, commit.body_sha256);
  fields.text(kCommitAnswer, commit.answer_json);
  if (commit.extent_bytes != 0) fields.number(kCommitExtentBytes, commit.extent_bytes);
  if (commit.last_order != 0) fields.number(kCommitLastOrder, commit.last_order);
}

absl::StatusOr<Commit> decode_commit(std::string_view bytes) {
  return decode_fields<Commit>(bytes, kCommitVersion, "commit", read_commit_field);
}

}  // namespace veredus::queue
