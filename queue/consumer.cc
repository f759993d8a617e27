#include "queue/consumer.h"

#include "queue/bytes.h"

namespace veredus::queue {
namespace {

constexpr uint8_t kConsumerVersion = 1;

}  // namespace

void encode_consumer(const Consumer& consumer, std::string& out) {
  out.clear();
  put_number(out, kConsumerVersion);
  put_bytes(out, consumer.name);
  put_bytes(out, consumer.cursor);
  put_number(out, consumer.acked_wall_ns);
}

absl::StatusOr<Consumer> decode_consumer(std::string_view bytes) {
  ByteReader in(bytes);
  const uint8_t version = in.u8();
  if (in.ok() && version != kConsumerVersion) {
    return absl::FailedPreconditionError("consumer of format version " + std::to_string(version) +
                                         ", this program reads version " +
                                         std::to_string(kConsumerVersion));
  }
  Consumer consumer;
  consumer.name = in.bytes();
  consumer.cursor = in.bytes();
  consumer.acked_wall_ns = in.i64();
  if (!in.ok() || !in.at_end() || consumer.name.empty())
    return absl::DataLossError("damaged consumer record");
  return consumer;
}

}  // namespace veredus::queue
