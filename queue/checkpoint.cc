#include "queue/checkpoint.h"

#include <algorithm>
#include <cassert>

#include "queue/bytes.h"
#include "queue/extent.h"

namespace veredus::queue {
namespace {

constexpr uint8_t kCheckpointVersion = 1;
// The latest moment, either way, that has nanoseconds.
constexpr int64_t kDueMsMax = INT64_MAX / kDueGrainNs;

// What begins an item of a `waiting` part.
enum Item : uint8_t {
  kExtent = 0,     // batch, first index, segment, offset, length: what follows is of this one
  kUntouched = 1,  // ordinals passed over, count
  kTried = 2,      // ordinals passed over, attempts, due − the due before (ms, zigzag)
  kTriedInDoubt = 3,
  kHeld = 4,  // the same without due
};

void put_head(CheckpointPart part, std::string& out) {
  out.clear();
  put_number(out, kCheckpointVersion);
  put_number(out, static_cast<uint8_t>(part));
}

absl::Status damaged() {
  return absl::DataLossError("damaged checkpoint record");
}

void put_location(std::string& out, const Location& at) {
  put_varint(out, at.segment);
  put_varint(out, at.offset);
  put_varint(out, at.length);
}

Location read_location(ByteReader& in, uint16_t journal) {
  Location at;
  at.journal = journal;
  at.segment = static_cast<uint32_t>(in.varint(UINT32_MAX));
  at.offset = static_cast<uint32_t>(in.varint(UINT32_MAX));
  at.length = static_cast<uint32_t>(in.varint(UINT32_MAX));
  return at;
}

}  // namespace

absl::Status read_checkpoint_part(std::string_view payload, CheckpointPart& part,
                                  std::string_view& body) {
  ByteReader in(payload);
  const uint8_t version = in.u8();
  if (in.ok() && version != kCheckpointVersion) {
    return absl::FailedPreconditionError("checkpoint of format version " + std::to_string(version) +
                                         ", this program reads version " +
                                         std::to_string(kCheckpointVersion));
  }
  const uint8_t number = in.u8();
  if (!in.ok() || number < 1 || number > static_cast<uint8_t>(CheckpointPart::order)) {
    return damaged();
  }
  part = static_cast<CheckpointPart>(number);
  body = in.rest();
  return absl::OkStatus();
}

void encode_checkpoint_begin(const CheckpointBegin& begin, std::string& out) {
  put_head(CheckpointPart::begin, out);
  put_number(out, begin.highest_batch);
  put_number(out, begin.wall_ns);
  put_number(out, begin.highest_order);
}

absl::StatusOr<CheckpointBegin> decode_checkpoint_begin(std::string_view body) {
  ByteReader in(body);
  CheckpointBegin begin;
  begin.highest_batch = in.u64();
  begin.wall_ns = in.i64();
  begin.highest_order = in.u64();
  if (!in.ok() || !in.at_end()) return damaged();
  return begin;
}

void encode_checkpoint_consumer(const Consumer& consumer, std::string& out) {
  std::string body;
  encode_consumer(consumer, body);
  put_head(CheckpointPart::consumer, out);
  out += body;
}

void encode_checkpoint_erasure(const Erasure& erasure, std::string& out) {
  std::string body;
  encode_erasure(erasure, body);
  put_head(CheckpointPart::erasure, out);
  out += body;
}

void encode_checkpoint_order(const Order& order, std::string& out) {
  std::string body;
  encode_order(order, body);
  put_head(CheckpointPart::order, out);
  out += body;
}

void encode_checkpoint_end(const CheckpointPlace& place, std::string& out) {
  put_head(CheckpointPart::end, out);
  put_number(out, place.segment);
  put_number(out, place.offset);
  put_number(out, place.sequence);
  put_number(out, place.events_before);
}

absl::StatusOr<CheckpointPlace> decode_checkpoint_end(std::string_view body) {
  ByteReader in(body);
  CheckpointPlace place;
  place.segment = in.u32();
  place.offset = in.u32();
  place.sequence = in.u64();
  place.events_before = in.u64();
  if (!in.ok() || !in.at_end() || place.segment == 0) return damaged();
  return place;
}

// --- who waits ---

void WaitingWriter::add(uint64_t key, const WaitingExtent& extent, uint16_t ordinal,
                        const WaitingState& state) {
  if (!open_ || key != key_ || ordinal < next_ordinal_) {
    end_run();
    put_number(bytes_, static_cast<uint8_t>(kExtent));
    put_varint(bytes_, extent.batch);
    put_varint(bytes_, extent.first_index);
    put_location(bytes_, extent.at);
    open_ = true;
    key_ = key;
    next_ordinal_ = written_to_ = 0;
  }
  if (state.untouched()) {
    if (run_count_ > 0 && run_first_ + run_count_ == ordinal) {
      ++run_count_;
    } else {
      end_run();
      run_first_ = ordinal;
      run_count_ = 1;
    }
    next_ordinal_ = ordinal + 1u;
    return;
  }
  end_run();
  put_number(bytes_, static_cast<uint8_t>(state.held       ? kHeld
                                          : state.in_doubt ? kTriedInDoubt
                                                           : kTried));
  put_varint(bytes_, ordinal - written_to_);
  put_number(bytes_, state.attempts);
  written_to_ = next_ordinal_ = ordinal + 1u;
  if (state.held) return;
  const int64_t due_ms = std::min(
      state.due_wall_ns / kDueGrainNs + (state.due_wall_ns % kDueGrainNs > 0 ? 1 : 0), kDueMsMax);
  put_varint(bytes_, zigzag(due_ms - last_due_ms_));
  last_due_ms_ = due_ms;
}

void WaitingWriter::end_run() {
  if (run_count_ > 0) {
    put_number(bytes_, static_cast<uint8_t>(kUntouched));
    put_varint(bytes_, run_first_ - written_to_);
    put_varint(bytes_, run_count_);
    written_to_ = run_first_ + run_count_;
  }
  run_count_ = 0;
}

void WaitingWriter::take(std::string& out) {
  end_run();
  put_head(CheckpointPart::waiting, out);
  out += bytes_;
  *this = WaitingWriter();
}

absl::Status read_waiting(std::string_view body, uint16_t journal, WaitingHandler& handler) {
  ByteReader in(body);
  WaitingExtent extent;
  bool open = false;
  uint64_t ordinal = 0;
  int64_t due_ms = 0;
  while (in.ok() && !in.at_end()) {
    const uint8_t item = in.u8();
    if (item == kExtent) {
      extent.batch = in.varint();
      extent.first_index = static_cast<uint32_t>(in.varint(UINT32_MAX));
      extent.at = read_location(in, journal);
      open = true;
      ordinal = 0;
      continue;
    }
    if (!open || item > kHeld) return damaged();
    ordinal += in.varint(kExtentRecipientsMax);
    WaitingState state;
    uint64_t count = 1;
    if (item == kUntouched) {
      count = in.varint(kExtentRecipientsMax);
    } else {
      state.attempts = in.u8();
      state.in_doubt = item != kTried;
      state.held = item == kHeld;
      if (!state.held) {
        // Without a sign, for it may be any number.
        due_ms = static_cast<int64_t>(static_cast<uint64_t>(due_ms) +
                                      static_cast<uint64_t>(unzigzag(in.varint())));
        if (due_ms < -kDueMsMax || due_ms > kDueMsMax) return damaged();
        state.due_wall_ns = due_ms * kDueGrainNs;
      }
    }
    if (!in.ok() || count == 0 || ordinal + count > kExtentRecipientsMax) return damaged();
    handler.on_waiting(extent, static_cast<uint32_t>(ordinal), static_cast<uint32_t>(count), state);
    ordinal += count;
  }
  return in.ok() ? absl::OkStatus() : damaged();
}

// --- batches ---

void encode_checkpoint_batch(const KnownBatch& known, std::string& out) {
  put_head(CheckpointPart::batch, out);
  std::string part;
  encode_batch(known.batch, part);
  put_bytes(out, part);
  put_number(out, static_cast<uint8_t>(known.committed));
  if (known.committed) {
    part.clear();
    encode_commit(known.commit, part);
    put_bytes(out, part);
  }
  put_varint(out, known.refusals.size());
  for (const Location& at : known.refusals) put_location(out, at);
}

absl::StatusOr<KnownBatch> decode_checkpoint_batch(std::string_view body, uint16_t journal) {
  ByteReader in(body);
  KnownBatch known;
  absl::StatusOr<Batch> batch = decode_batch(in.bytes());
  if (!batch.ok()) return batch.status();
  known.batch = *std::move(batch);
  known.committed = in.u8() != 0;
  if (known.committed) {
    absl::StatusOr<Commit> commit = decode_commit(in.bytes());
    if (!commit.ok()) return commit.status();
    known.commit = *std::move(commit);
  }
  const uint64_t refusals = in.varint(in.rest().size() / 3);
  for (uint64_t i = 0; i < refusals && in.ok(); ++i) {
    known.refusals.push_back(read_location(in, journal));
  }
  if (!in.ok() || !in.at_end()) return damaged();
  return known;
}

// --- tallies ---

void Settled::count(const Outcome& outcome) {
  ++attempts;
  last_outcome_wall_ns = std::max(last_outcome_wall_ns, outcome.wall_ns);
  switch (outcome.type) {
    case OutcomeType::delivered:
      ++delivered;
      return;
    case OutcomeType::failed:
      ++failed;
      return;
    case OutcomeType::expired:
      ++expired;
      return;
    case OutcomeType::cancelled:
      ++cancelled;
      return;
    case OutcomeType::suppressed:
      ++suppressed;
      return;
    case OutcomeType::deferred:
    case OutcomeType::in_doubt:
      return;
  }
}

void TalliesWriter::add(uint64_t batch, const Settled& settled) {
  assert(batch > last_batch_);
  put_varint(bytes_, batch - last_batch_);
  last_batch_ = batch;
  for (const uint64_t count :
       {uint64_t{settled.delivered}, uint64_t{settled.failed}, uint64_t{settled.expired},
        uint64_t{settled.cancelled}, uint64_t{settled.suppressed}, settled.attempts}) {
    put_varint(bytes_, count);
  }
  put_varint(bytes_, zigzag(settled.last_outcome_wall_ns));
}

void TalliesWriter::take(std::string& out) {
  put_head(CheckpointPart::tallies, out);
  out += bytes_;
  bytes_.clear();
  last_batch_ = 0;
}

bool TalliesReader::next(uint64_t& batch, Settled& settled) {
  if (rest_.empty()) return false;
  ByteReader in(rest_);
  batch = last_batch_ + in.varint();
  if (batch <= last_batch_) in.fail();  // they ascend
  last_batch_ = batch;
  for (uint32_t* const count : {&settled.delivered, &settled.failed, &settled.expired,
                                &settled.cancelled, &settled.suppressed}) {
    *count = static_cast<uint32_t>(in.varint(UINT32_MAX));
  }
  settled.attempts = in.varint();
  settled.last_outcome_wall_ns = unzigzag(in.varint());
  if (!in.ok()) {
    rest_ = {};
    status_ = damaged();
    return false;
  }
  rest_ = in.rest();
  return true;
}

}  // namespace veredus::queue
