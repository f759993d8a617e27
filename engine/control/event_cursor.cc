#include "engine/control/event_cursor.h"

#include <array>

#include "queue/bytes.h"
#include "queue/crc32c.h"

namespace veredus::control {
namespace {

constexpr uint8_t kCursorVersion = 1;
constexpr size_t kCursorTextMax = 256 * 1024;
constexpr std::string_view kAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

std::string to_base64url(std::string_view bytes) {
  std::string out;
  out.reserve((bytes.size() * 4 + 2) / 3);
  uint32_t bits = 0;
  unsigned count = 0;
  for (const char c : bytes) {
    bits = bits << 8 | static_cast<uint8_t>(c);
    count += 8;
    while (count >= 6) out += kAlphabet[bits >> (count -= 6) & 63];
  }
  if (count > 0) out += kAlphabet[bits << (6 - count) & 63];
  return out;
}

bool from_base64url(std::string_view text, std::string& out) {
  uint32_t bits = 0;
  unsigned count = 0;
  for (const char c : text) {
    const size_t digit = kAlphabet.find(c);
    if (digit == std::string_view::npos) return false;
    bits = bits << 6 | static_cast<uint32_t>(digit);
    count += 6;
    if (count >= 8) out += static_cast<char>(bits >> (count -= 8) & 255);
  }
  return true;
}

void put_place(std::string& out, const FramePlace& place) {
  queue::put_varint(out, place.segment);
  queue::put_varint(out, place.offset);
  queue::put_varint(out, place.frame);
}

FramePlace read_place(queue::ByteReader& in) {
  FramePlace place;
  place.segment = static_cast<uint32_t>(in.varint(0xffffffff));
  place.offset = static_cast<uint32_t>(in.varint(0xffffffff));
  place.frame = static_cast<uint32_t>(in.varint(0xffffffff));
  return place;
}

}  // namespace

std::string encode_cursor(const EventCursor& cursor) {
  std::string bytes(1, static_cast<char>(kCursorVersion));
  queue::put_varint(bytes, cursor.streams.size());
  for (const StreamCursor& stream : cursor.streams) {
    put_place(bytes, stream.next);
    queue::put_varint(bytes, stream.within);
    queue::put_varint(bytes, stream.seq);
    const bool looks_back = stream.back != stream.next;
    queue::put_varint(bytes, looks_back ? 1 : 0);
    if (looks_back) put_place(bytes, stream.back);
  }
  queue::put_varint(bytes, cursor.pending.size());
  uint64_t last = 0;
  for (const uint64_t number : cursor.pending) {
    queue::put_varint(bytes, number - last);
    last = number;
  }
  queue::put_number(bytes, queue::crc32c(bytes));
  return to_base64url(bytes);
}

absl::StatusOr<EventCursor> decode_cursor(std::string_view text) {
  const absl::Status wrong = absl::InvalidArgumentError(
      "this is no cursor of ours: give the one of the last `cursor` line, or none to begin at the "
      "oldest event");
  std::string bytes;
  if (text.size() > kCursorTextMax || !from_base64url(text, bytes) || bytes.size() < 5)
    return wrong;
  const std::string_view body = std::string_view(bytes).substr(0, bytes.size() - 4);
  if (queue::load_number<uint32_t>(bytes.data() + body.size()) != queue::crc32c(body)) return wrong;
  queue::ByteReader in(body);
  if (in.u8() != kCursorVersion) {
    return absl::InvalidArgumentError("this cursor is of another version of Veredus");
  }
  EventCursor cursor;
  const uint64_t streams = in.varint(kCursorStreamsMax);
  for (uint64_t i = 0; i < streams && in.ok(); ++i) {
    StreamCursor stream;
    stream.next = read_place(in);
    stream.within = static_cast<uint32_t>(in.varint(0xffffffff));
    stream.seq = in.varint();
    stream.back = in.varint(1) == 1 ? read_place(in) : stream.next;
    cursor.streams.push_back(stream);
  }
  const uint64_t pending = in.varint(kCursorPendingMax);
  uint64_t number = 0;
  for (uint64_t i = 0; i < pending && in.ok(); ++i) {
    number += in.varint();
    cursor.pending.push_back(number);
  }
  if (!in.ok() || !in.at_end()) return wrong;
  return cursor;
}

}  // namespace veredus::control
