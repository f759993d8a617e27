#include "queue/extent.h"

#include <deque>
#include <random>

#include <gtest/gtest.h>

#include "queue/bytes.h"
#include "queue/crc32c.h"

namespace veredus::queue {
namespace {

void expect_same(const Entry& got, const Entry& want) {
  EXPECT_EQ(got.index, want.index);
  EXPECT_EQ(got.to, want.to);
  EXPECT_EQ(got.id, want.id);
  EXPECT_EQ(got.name, want.name);
  EXPECT_EQ(got.meta_json, want.meta_json);
  EXPECT_EQ(got.vars, want.vars);
  EXPECT_EQ(got.has_sender, want.has_sender);
  EXPECT_EQ(got.sender, want.sender);
  EXPECT_EQ(got.pool, want.pool);
  EXPECT_EQ(got.not_before_wall_ns, want.not_before_wall_ns);
  EXPECT_EQ(got.expires_wall_ns, want.expires_wall_ns);
  EXPECT_EQ(got.priority, want.priority);
  EXPECT_EQ(got.has_message, want.has_message);
  EXPECT_EQ(got.content_flags, want.content_flags);
  EXPECT_EQ(got.message, want.message);
}

// Entries whose views point into a store of texts that lives as long.
class Source {
 public:
  explicit Source(uint64_t seed) : random_(seed) {}
  Entry entry(uint32_t index) {
    Entry made;
    made.index = index;
    made.to = text(60);
    if (one_in(4)) made.id = text(20);
    if (one_in(4)) made.name = text(40);
    if (one_in(4)) made.meta_json = text(200);
    for (uint64_t n = one_in(2) ? random_() % 5 : 0; n > 0; --n) {
      made.vars.emplace_back(text(10), text(50));
    }
    if (one_in(8)) made.has_sender = true;
    if (made.has_sender && one_in(2)) made.sender = text(30);
    if (one_in(8)) made.pool = text(12);
    if (one_in(8)) made.not_before_wall_ns = static_cast<int64_t>(random_());
    if (one_in(8)) made.expires_wall_ns = static_cast<int64_t>(random_());
    if (one_in(8)) made.priority = static_cast<int16_t>(random_() % 101);
    if (one_in(50)) {
      made.has_message = true;
      made.content_flags = static_cast<uint8_t>(random_() % 32);
      made.message = text(one_in(4) ? 40000 : 2000);
    }
    return made;
  }
  uint64_t number() { return random_(); }
  bool one_in(uint64_t n) { return random_() % n == 0; }

 private:
  std::string_view text(size_t longest) {
    std::string& made = texts_.emplace_back(random_() % longest, '\0');
    for (char& byte : made) byte = static_cast<char>(random_());
    return made;
  }
  std::mt19937_64 random_;
  std::deque<std::string> texts_;
};

// Walks all pages; every entry, or the first error.
absl::Status walk(std::string_view extent, std::vector<Entry>& entries) {
  const auto header = read_extent_header(extent);
  if (!header.ok()) return header.status();
  uint32_t offset = kExtentHeaderBytes;
  while (offset < extent.size()) {
    const auto page = read_page(extent, offset);
    if (!page.ok()) return page.status();
    uint32_t at = kPageHeaderBytes, count = 0;
    while (at != 0) {
      Entry entry;
      uint32_t next = 0;
      const absl::Status read = read_entry(page->bytes, at, entry, next);
      if (!read.ok()) return read;
      Entry head;
      uint32_t head_next = 0;
      if (!read_entry_head(page->bytes, at, head, head_next).ok() || head_next != next ||
          head.to != entry.to || head.index != entry.index) {
        return absl::InternalError("head differs from entry");
      }
      entries.push_back(entry);
      ++count;
      at = next;
    }
    if (count != page->count) return absl::DataLossError("page count differs");
    offset += static_cast<uint32_t>(page->bytes.size());
  }
  return absl::OkStatus();
}

TEST(Extent, EntriesComeBackAsTheyWere) {
  for (uint64_t seed = 0; seed < 200; ++seed) {
    Source source(seed);
    const uint32_t first = static_cast<uint32_t>(source.number() % 1000000);
    ExtentWriter writer(77 + seed, first);
    std::vector<Entry> wanted;
    uint32_t index = first + static_cast<uint32_t>(source.number() % 3);
    for (uint64_t n = source.number() % 600; n > 0; --n) {
      wanted.push_back(source.entry(index));
      ASSERT_TRUE(writer.add(wanted.back()));
      index += 1 + static_cast<uint32_t>(source.number() % 3);
    }
    EXPECT_EQ(writer.count(), wanted.size());
    const size_t promised = writer.bytes();
    const std::string extent = writer.finish();
    EXPECT_EQ(extent.size(), promised);
    const auto header = read_extent_header(extent);
    ASSERT_TRUE(header.ok());
    EXPECT_EQ(header->batch, 77 + seed);
    EXPECT_EQ(header->first_index, first);
    EXPECT_EQ(header->count, wanted.size());
    std::vector<Entry> got;
    ASSERT_TRUE(walk(extent, got).ok());
    ASSERT_EQ(got.size(), wanted.size());
    for (size_t i = 0; i < got.size(); ++i) expect_same(got[i], wanted[i]);
  }
}

TEST(Extent, PagesStayBelowTheTargetUnlessOneEntryExceedsIt) {
  Source source(9);
  ExtentWriter writer(1, 0);
  for (uint32_t index = 0; index < 3000; ++index) ASSERT_TRUE(writer.add(source.entry(index)));
  const std::string extent = writer.finish();
  uint32_t offset = kExtentHeaderBytes, pages = 0;
  while (offset < extent.size()) {
    const auto page = read_page(extent, offset);
    ASSERT_TRUE(page.ok());
    if (page->count > 1) {
      EXPECT_LE(page->bytes.size(), kPageBytesTarget);
    }
    offset += static_cast<uint32_t>(page->bytes.size());
    ++pages;
  }
  EXPECT_GT(pages, 10u);
}

TEST(Extent, AnIndexBeyondTheSpanIsRefused) {
  ExtentWriter writer(1, 100);
  Entry entry;
  entry.to = "ada@example.org";
  entry.index = 99;
  EXPECT_FALSE(writer.add(entry));
  entry.index = 100 + kExtentRecipientsMax - 1;
  EXPECT_TRUE(writer.add(entry));
  entry.index = 100 + kExtentRecipientsMax;
  EXPECT_FALSE(writer.add(entry));
  EXPECT_EQ(writer.count(), 1u);
}

TEST(Extent, SmallRecipientCostsLittleMoreThanItsAddress) {
  ExtentWriter writer(1, 0);
  const std::string to = "somebody.somewhere@example.org";
  for (uint32_t index = 0; index < 65536; ++index) {
    Entry entry;
    entry.index = index;
    entry.to = to;
    ASSERT_TRUE(writer.add(entry));
  }
  EXPECT_LE(writer.finish().size(), 65536u * (to.size() + 6));
}

TEST(Extent, EveryTruncationIsAnErrorNotACrash) {
  Source source(3);
  ExtentWriter writer(1, 0);
  for (uint32_t index = 0; index < 200; ++index) ASSERT_TRUE(writer.add(source.entry(index)));
  const std::string extent = writer.finish();
  std::vector<Entry> all;
  ASSERT_TRUE(walk(extent, all).ok());
  for (size_t length = 0; length < extent.size(); length += 1 + length / 50) {
    std::vector<Entry> got;
    const absl::Status status = walk(std::string_view(extent).substr(0, length), got);
    // A cut between two pages shows only against the header's count.
    EXPECT_TRUE(!status.ok() || got.size() < all.size()) << length;
  }
}

TEST(Extent, AFlippedBitInAPageIsFoundByItsChecksum) {
  Source source(4);
  ExtentWriter writer(1, 0);
  for (uint32_t index = 0; index < 100; ++index) ASSERT_TRUE(writer.add(source.entry(index)));
  const std::string extent = writer.finish();
  for (size_t at = kExtentHeaderBytes; at < extent.size(); at += 7) {
    std::string damaged = extent;
    damaged[at] = static_cast<char>(damaged[at] ^ 1 << at % 8);
    std::vector<Entry> got;
    EXPECT_FALSE(walk(damaged, got).ok()) << at;
  }
}

TEST(Extent, WildBytesUnderARightChecksumAreAnErrorNotACrash) {
  std::mt19937_64 random(5);
  int errors = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string page(kPageHeaderBytes + random() % 80, '\0');
    for (char& byte : page) byte = static_cast<char>(random() % 4 ? random() % 20 : random());
    store_number(page.data() + 4, static_cast<uint32_t>(page.size()));
    store_number(page.data(), crc32c(std::string_view(page).substr(4)));
    ASSERT_TRUE(check_page(page).ok());
    uint32_t at = static_cast<uint32_t>(random() % 100);
    for (int steps = 0; steps < 100; ++steps) {
      Entry entry;
      uint32_t next = 0;
      if (!read_entry(page, at, entry, next).ok()) {
        ++errors;
        break;
      }
      if (next == 0) break;
      ASSERT_GT(next, at);
      at = next;
    }
  }
  EXPECT_GT(errors, 1000);
}

TEST(Extent, ANewerVersionIsRefusedByName) {
  std::string extent = ExtentWriter(1, 0).finish();
  extent[0] = 2;
  const auto header = read_extent_header(extent);
  ASSERT_FALSE(header.ok());
  EXPECT_NE(std::string(header.status().message()).find("version 2"), std::string::npos);
}

}  // namespace
}  // namespace veredus::queue
