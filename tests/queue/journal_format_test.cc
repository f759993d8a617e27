// The bytes that FORMAT.md shows are the bytes that the journal writes.

#include "queue/journal_format.h"

#include <cstdio>
#include <fstream>
#include <sstream>

#include <gtest/gtest.h>

#include "queue/batch.h"
#include "queue/extent.h"
#include "queue/order.h"
#include "queue/outcome.h"
#include "tests/queue/journal_harness.h"

namespace veredus::queue {
namespace {

// The journal of the worked example: one batch, one recipient, delivered.
std::string example_segment() {
  sim::SimStorage storage(1);
  sim::SimDisk disk(storage);
  Heard heard;
  Visited visited;
  Journal journal(disk, heard, 7, "journal-7", small_options());
  EXPECT_TRUE(journal.recover(visited).ok());
  journal.start();

  Batch batch;
  batch.number = 42;
  batch.name = "spring-7";
  batch.sender = "b@news.example";
  batch.vars = {{"first", "friend"}};
  std::string payload;
  encode_batch(batch, payload);
  journal.append(FrameType::batch, payload);

  ExtentWriter extent(42, 0);
  Entry entry;
  entry.to = "ada@example.org";
  entry.vars = {{"first", "Ada"}};
  EXPECT_TRUE(extent.add(entry));
  journal.append(FrameType::extent, extent.finish());

  OutcomeWriter outcomes;
  Outcome outcome;
  outcome.type = OutcomeType::delivered;
  outcome.attempt = 1;
  outcome.code = 250;
  outcome.enhanced = {2, 0, 0};
  outcome.batch = 42;
  outcome.segment = 1;
  outcome.page_offset = 0x10a8;
  outcome.entry_offset = 16;
  outcome.bytes = 2048;
  outcome.wall_ns = 1'700'000'000'000'000'000;
  outcome.timing.dot_us = 900;
  outcome.text = "2.0.0 Ok";
  outcome.mx_name = "mx.example.org";
  outcome.site = "mx.example.org";
  outcomes.add(outcome);
  outcomes.take(payload);
  journal.append(FrameType::outcomes, payload);

  for (int turn = 0; turn < 10; ++turn) {
    journal.flush();
    while (disk.complete_one()) {
    }
  }
  EXPECT_TRUE(journal.idle());
  return storage.get("journal-7/seg-00000001.vrj");
}

std::string as_page(const std::string& bytes) {
  std::string page;
  char part[32];
  for (size_t at = 0; at < bytes.size(); at += 16) {
    if (bytes.find_first_not_of('\0', at) >= std::min(at + 16, bytes.size())) continue;
    std::snprintf(part, sizeof part, "%04zx:", at);
    page += part;
    for (size_t n = at; n < std::min(at + 16, bytes.size()); ++n) {
      std::snprintf(part, sizeof part, " %02x", static_cast<unsigned char>(bytes[n]));
      page += part;
    }
    page += '\n';
  }
  return page;
}

// The lines of the page's block that begins with this one, without their notes.
std::string shown_behind(const std::string& begin) {
  std::ifstream file(VEREDUS_SOURCE "/queue/FORMAT.md");
  EXPECT_TRUE(file.good());
  std::string shown, line;
  bool inside = false;
  while (std::getline(file, line)) {
    if (line.starts_with("```")) {
      inside = line == begin;
      continue;
    }
    if (!inside) continue;
    line = line.substr(0, line.find("  "));  // a note follows
    shown += line + '\n';
  }
  return shown;
}

TEST(JournalFormat, TheWorkedExampleOfTheFormatPageIsWhatIsWritten) {
  EXPECT_EQ(shown_behind("```hex"), as_page(example_segment()));
}

TEST(JournalFormat, TheOrderOfTheFormatPageIsWhatIsWritten) {
  Order order;
  order.number = 7;
  order.kind = Order::Kind::cancel;
  order.filter = {.tenant = "acme", .domain = "example.org"};
  order.given_wall_ns = 1'700'000'000'000'000'000;
  order.reason = "wrong price";
  order.last_batch = 42;
  std::string payload;
  encode_order(order, payload);
  EXPECT_EQ(shown_behind("```hex order"), as_page(payload));
}

TEST(JournalFormat, HeadersComeBackAsTheyWere) {
  SegmentHeader header;
  header.journal = 9;
  header.segment = 0x01020304;
  header.mark = {5, 0x1122334455667788, 0x1122334455667799};
  header.first_sequence = 0x2233;
  header.durable_up_to = 0x4455;
  std::string bytes;
  encode_segment_header(header, bytes);
  ASSERT_EQ(bytes.size(), kSegmentHeaderBytes);
  SegmentHeader got;
  ASSERT_TRUE(parse_segment_header(bytes, got).ok());
  EXPECT_EQ(got.journal, header.journal);
  EXPECT_EQ(got.segment, header.segment);
  EXPECT_EQ(got.mark, header.mark);
  EXPECT_EQ(got.first_sequence, header.first_sequence);
  EXPECT_EQ(got.durable_up_to, header.durable_up_to);
}

TEST(JournalFormat, EveryFlippedBitOfASegmentHeaderIsFound) {
  SegmentHeader header;
  header.mark = {5, 6, 7};
  std::string bytes;
  encode_segment_header(header, bytes);
  for (size_t bit = 0; bit < 8 * size_t{kSegmentHeaderBytes}; bit += bit < 1024 ? 1 : 97) {
    std::string damaged = bytes;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ 1 << bit % 8);
    EXPECT_TRUE(absl::IsDataLoss(parse_segment_header(damaged, header))) << bit;
  }
  EXPECT_TRUE(absl::IsNotFound(parse_segment_header(std::string(4096, '\0'), header)));
  EXPECT_TRUE(absl::IsDataLoss(parse_segment_header(bytes.substr(0, 4095), header)));
}

TEST(JournalFormat, FramesArePaddedAndBounded) {
  std::string group(kGroupHeaderBytes, '\0');
  EXPECT_EQ(put_frame(group, FrameType::commit, 3), kGroupHeaderBytes + kFrameHeaderBytes);
  group += "abc";
  end_frame(group);
  EXPECT_EQ(group.size() % kFrameAlign, 0u);
  Frame frame;
  uint32_t next = 0;
  ASSERT_TRUE(read_frame(group, kGroupHeaderBytes, frame, next));
  EXPECT_EQ(frame.type, FrameType::commit);
  EXPECT_EQ(frame.payload, "abc");
  EXPECT_EQ(next, group.size());
  EXPECT_FALSE(read_frame(group, next, frame, next));
  EXPECT_FALSE(read_frame(group, 0xffffffff, frame, next));
  group[kGroupHeaderBytes + 4] = 10;  // longer than the group
  EXPECT_FALSE(read_frame(group, kGroupHeaderBytes, frame, next));
  group[kGroupHeaderBytes + 7] = '\xff';
  EXPECT_FALSE(read_frame(group, kGroupHeaderBytes, frame, next));
}

}  // namespace
}  // namespace veredus::queue
