#include "queue/erasure.h"

#include "queue/bytes.h"

namespace veredus::queue {
namespace {

constexpr uint8_t kErasureVersion = 1;

}  // namespace

void encode_erasure(const Erasure& erasure, std::string& out) {
  out.clear();
  put_number(out, kErasureVersion);
  put_number(out, erasure.due_wall_ns);
  put_varint(out, erasure.segments.size());
  uint32_t before = 0;
  for (const uint32_t segment : erasure.segments) {
    put_varint(out, segment - before);
    before = segment;
  }
}

absl::StatusOr<Erasure> decode_erasure(std::string_view bytes) {
  ByteReader in(bytes);
  const uint8_t version = in.u8();
  if (in.ok() && version != kErasureVersion) {
    return absl::FailedPreconditionError("erasure of format version " + std::to_string(version) +
                                         ", this program reads version " +
                                         std::to_string(kErasureVersion));
  }
  Erasure erasure;
  erasure.due_wall_ns = in.i64();
  uint64_t segment = 0;
  for (uint64_t left = in.varint(); left > 0 && in.ok(); --left) {
    const uint64_t further = in.varint();
    if (further == 0 || further > UINT32_MAX - segment)
      return absl::DataLossError("damaged erasure record");
    segment += further;
    erasure.segments.push_back(static_cast<uint32_t>(segment));
  }
  if (!in.ok() || !in.at_end()) return absl::DataLossError("damaged erasure record");
  return erasure;
}

}  // namespace veredus::queue
