// Arbitrary frames as a journal's ledger takes them: nobody waits twice in a run, and a checkpoint
// of what it then knows tells another ledger the same. A page needs a right checksum to be looked
// into, so those are made right here.

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "queue/audit.h"
#include "queue/bytes.h"
#include "queue/checkpoint.h"
#include "queue/crc32c.h"
#include "queue/extent.h"
#include "queue/ledger.h"

namespace {

using namespace veredus::queue;  // NOLINT: one file

constexpr uint16_t kJournal = 3;

void check(bool holds) {
  if (!holds) std::abort();
}

// A page that is read, whatever is in it.
std::string sound_extent(std::string_view bytes) {
  std::string extent(bytes);
  if (extent.size() < kExtentHeaderBytes + kPageHeaderBytes) return extent;
  extent[0] = 1;
  char* const page = extent.data() + kExtentHeaderBytes;
  const auto length = static_cast<uint32_t>(extent.size() - kExtentHeaderBytes);
  store_number(page + 4, length);
  store_number(page, crc32c(std::string_view(page, length).substr(4)));
  return extent;
}

struct Written {
  FrameType type;
  std::string payload;
};

// What a checkpoint of all that this ledger knows holds.
std::vector<Written> checkpoint_of(const Ledger& ledger) {
  std::vector<Written> frames;
  const auto put = [&](std::string payload) {
    frames.push_back({FrameType::checkpoint, std::move(payload)});
  };
  std::string payload;
  encode_checkpoint_begin({ledger.highest_batch(), ledger.latest_wall_ns(), ledger.highest_order()},
                          payload);
  put(payload);
  for (const auto& [name, consumer] : ledger.consumers()) {
    encode_checkpoint_consumer(consumer, payload);
    put(payload);
  }
  for (const auto& [number, order] : ledger.orders()) {
    check(order.number == number && order.state == Order::State::given);
    encode_checkpoint_order(order, payload);
    put(payload);
  }
  WaitingWriter waiting;
  for (const auto& [place, run] : ledger.runs()) {
    uint32_t live = 0;
    check(run.waits.size() * 64 <= kExtentRecipientsMax);
    for (uint32_t ordinal = 0; ordinal < run.waits.size() * 64; ++ordinal) {
      if (!run.has(ordinal)) continue;
      const uint32_t index = run.extent.first_index + ordinal;
      if (++live == 1) {
        check(index < run.extent.first_index ||
              ledger.waits(run.extent.batch, index, run.extent.at));
      }
      waiting.add(place, run.extent, static_cast<uint16_t>(ordinal), run.state(ordinal));
    }
    check(live == run.live && live > 0);
  }
  waiting.take(payload);
  put(payload);
  for (const auto& [number, known] : ledger.batches()) {
    if (known.batch.number != number) continue;  // a commit or refusals alone
    encode_checkpoint_batch(known, payload);
    put(payload);
  }
  TalliesWriter tallies;
  for (const auto& [batch, settled] : ledger.tallies()) {
    if (batch != 0) tallies.add(batch, settled);
  }
  tallies.take(payload);
  put(payload);
  encode_checkpoint_end({1, 4096, 1, 0}, payload);
  put(payload);
  return frames;
}

void tell(Ledger& ledger, const std::vector<Written>& frames) {
  uint32_t offset = 4096;
  for (const Written& frame : frames) {
    const auto length = static_cast<uint32_t>(frame.payload.size());
    ledger.on_frame(frame.type, {kJournal, 1, offset, length}, frame.payload);
    offset += 4096;
  }
}

// Each frame: type, length, bytes.
std::vector<Written> frames_of(std::string_view script) {
  std::vector<Written> frames;
  ByteReader in(script);
  while (!in.at_end()) {
    const auto type = static_cast<FrameType>(in.u8());
    const std::string_view bytes = in.take(std::min<size_t>(in.u16(), in.rest().size()));
    frames.push_back({type, type == FrameType::extent ? sound_extent(bytes) : std::string(bytes)});
  }
  return frames;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::vector<Written> frames = frames_of({reinterpret_cast<const char*>(data), size});
  JournalBooks books(kJournal);
  uint32_t offset = 4096;
  for (const Written& frame : frames) {
    const auto length = static_cast<uint32_t>(frame.payload.size());
    books.on_frame(frame.type, {kJournal, 1, offset, length}, frame.payload);
    offset += 4096;
  }
  Audit audit;
  audit.add(books);
  audit.judge(nullptr);

  const std::vector<Written> once = checkpoint_of(books.ledger);
  Ledger again(kJournal);
  tell(again, once);
  check(again.damage().empty());
  check(again.highest_batch() >= books.ledger.highest_batch());
  check(again.orders() == books.ledger.orders());
  check(again.highest_order() == books.ledger.highest_order());
  check(again.runs().size() == books.ledger.runs().size());
  const std::vector<Written> twice = checkpoint_of(again);
  check(once.size() == twice.size());
  for (size_t i = 0; i < once.size(); ++i) check(once[i].payload == twice[i].payload);
  return 0;
}
