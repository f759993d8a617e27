// Arbitrary bytes as the journal's codecs and as segment files: recovery, then a life, then
// recovery again, which must find what the first one found and what was added. Wild bytes seldom
// have a right checksum, so in one mode the input says which groups to make and what to damage.

#include <cassert>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <string>
#include <string_view>

#include "queue/batch.h"
#include "queue/bytes.h"
#include "queue/extent.h"
#include "queue/journal.h"
#include "queue/journal_format.h"
#include "queue/order.h"
#include "queue/outcome.h"

namespace {

using namespace veredus::queue;  // NOLINT: one file

void check(bool holds) {
  if (!holds) std::abort();
}

// Files in memory; every operation completes when asked to.
class MemoryDisk final : public Disk {
 public:
  void complete_all() {
    while (!done_.empty()) {
      const auto [op, result] = done_.front();
      done_.erase(done_.begin());
      op->on_disk_done(result);
    }
  }
  void create(std::string_view path, uint64_t bytes, DiskOperation& op) override {
    files[std::string(path)] = std::string(bytes, '\0');
    done_.emplace_back(&op, handle(path));
  }
  void open(std::string_view path, DiskOperation& op) override {
    done_.emplace_back(&op, open_now(path));
  }
  void write(File file, uint64_t offset, std::span<const uint8_t> bytes,
             DiskOperation& op) override {
    std::string& into = files[handles_[file]];
    check(offset + bytes.size() <= into.size());
    into.replace(offset, bytes.size(), reinterpret_cast<const char*>(bytes.data()), bytes.size());
    done_.emplace_back(&op, bytes.size());
  }
  void sync(File, DiskOperation& op) override { done_.emplace_back(&op, 0); }
  void read(File file, uint64_t offset, std::span<uint8_t> bytes, DiskOperation& op) override {
    done_.emplace_back(&op, read_now(file, offset, bytes));
  }
  void remove(std::string_view path, DiskOperation& op) override {
    files.erase(std::string(path));
    done_.emplace_back(&op, 0);
  }
  void close(File file) override { handles_.erase(file); }
  int64_t list_now(std::string_view directory, std::vector<Entry>& entries) override {
    entries.clear();
    for (const auto& [path, bytes] : files) {
      entries.push_back({path.substr(directory.size() + 1), bytes.size()});
    }
    return 0;
  }
  int64_t open_now(std::string_view path) override {
    return files.count(std::string(path)) > 0 ? handle(path) : -2;
  }
  int64_t read_now(File file, uint64_t offset, std::span<uint8_t> bytes) override {
    const std::string& from = files[handles_[file]];
    if (offset >= from.size()) return 0;
    const size_t length = std::min<size_t>(bytes.size(), from.size() - offset);
    from.copy(reinterpret_cast<char*>(bytes.data()), length, offset);
    return static_cast<int64_t>(length);
  }
  int64_t sync_now(File) override { return 0; }
  int64_t map_now(std::string_view, uint64_t, std::span<uint8_t>&) override { return -38; }
  void unmap(std::span<uint8_t>) override {}

  std::map<std::string, std::string> files;

 private:
  int64_t handle(std::string_view path) {
    handles_[++next_] = path;
    return next_;
  }
  std::map<File, std::string> handles_;
  File next_ = 0;
  std::vector<std::pair<DiskOperation*, int64_t>> done_;
};

struct Silent : JournalListener {
  void on_durable(uint64_t) override {}
  void on_lost(uint64_t, const absl::Status&) override { std::abort(); }
};
struct Collect : JournalVisitor {
  void on_frame(FrameType type, const Location& location, std::string_view payload) override {
    std::string frame(1, static_cast<char>(type));
    put_number(frame, location.segment);
    put_number(frame, location.offset);
    frame += payload;
    frames.push_back(frame);
  }
  void on_damage(uint32_t, uint64_t, const std::string&) override { ++damage; }
  std::vector<std::string> frames;
  int damage = 0;
};

void codecs(std::string_view bytes) {
  if (const auto batch = decode_batch(bytes); batch.ok()) {
    std::string again;
    encode_batch(*batch, again);
    check(decode_batch(again).ok());
  }
  decode_commit(bytes).status().IgnoreError();
  if (const auto order = decode_order(bytes); order.ok()) {
    std::string again;
    encode_order(*order, again);
    check(decode_order(again).value() == *order && check_order(*order).ok());
  }
  OutcomeReader outcomes(bytes);
  Outcome outcome;
  OutcomeWriter writer;
  while (outcomes.next(outcome)) writer.add(outcome);
  read_extent_header(bytes).status().IgnoreError();
  for (uint32_t offset = kExtentHeaderBytes; offset < bytes.size();) {
    const auto page = read_page(bytes, offset);
    if (!page.ok()) break;
    offset += static_cast<uint32_t>(page->bytes.size());
  }
  // As the inside of a page whose checksum is right.
  Entry entry;
  for (uint32_t at = kPageHeaderBytes, next = 0; at < bytes.size(); at = next) {
    const bool whole = read_entry(bytes, at, entry, next).ok();
    Entry head;
    uint32_t head_next = 0;
    check(!whole || (read_entry_head(bytes, at, head, head_next).ok() && head_next == next &&
                     head.to == entry.to));
    if (!whole || next == 0) break;
    check(next > at);
  }
}

// Segments from a script: each byte pair says what the next group is like.
void scripted(std::string_view script, MemoryDisk& disk) {
  ByteReader in(script);
  for (uint32_t segment = 1; segment < 5 && !in.at_end(); ++segment) {
    std::string bytes(16384, '\0');
    SegmentHeader header;
    header.segment = segment;
    header.mark.epoch = 1 + in.u8() % 4;
    header.mark.cut = 1 + in.u8() % 16;
    header.mark.first = header.mark.cut + in.u8() % 4;
    header.first_sequence = in.u8() % 16;
    header.durable_up_to = in.u8() % 16;
    std::string head;
    encode_segment_header(header, head);
    if (in.u8() % 8 != 0) bytes.replace(0, head.size(), head);
    uint32_t at = kSegmentHeaderBytes;
    uint64_t sequence = header.mark.first + in.u8() % 16;
    for (unsigned groups = in.u8() % 8; groups > 0 && !in.at_end(); --groups) {
      std::string group(kGroupHeaderBytes, '\0');
      GroupHeader made;
      made.segment = segment;
      made.offset = at;
      made.mark = header.mark;
      // Damage makes no group with a right checksum: as they lie, so they were written.
      made.sequence = sequence;
      sequence += 1 + in.u8() % 4;
      made.durable_up_to = in.u8() % 16;
      made.frames = in.u8() % 4;
      group += in.take(std::min<size_t>(in.rest().size(), in.u8()));
      end_frame(group);
      made.length = static_cast<uint32_t>(group.size() - kGroupHeaderBytes);
      seal_group(made, group);
      const uint8_t damage = in.u8();
      if (damage < 64) group[damage * group.size() / 64] = static_cast<char>(damage);
      bytes.replace(at, group.size(), group);
      at += static_cast<uint32_t>(group_extent(made));
    }
    disk.files[Journal::segment_path("j", segment)] = std::move(bytes);
  }
}

void recoveries(MemoryDisk& disk) {
  JournalOptions options;
  options.segment_bytes = 16384;
  Silent silent;
  Collect first, second;
  {
    Journal journal(disk, silent, 0, "j", options);
    if (!journal.recover(first).ok()) return;
    journal.start();
    journal.append(FrameType::batch, "added");
    while (!journal.idle()) {
      journal.flush();
      disk.complete_all();
    }
    JournalReader reader(disk, 0, "j");
    JournalReader::Position position;
    for (size_t steps = 0; steps < 1000; ++steps) {
      FrameType type{};
      Location location;
      std::string_view payload;
      const auto more = reader.next(position, journal.durable_end(), type, location, payload);
      if (more.ok() && !*more) break;
    }
    journal.close();
  }
  Journal journal(disk, silent, 0, "j", options);
  check(journal.recover(second).ok());
  check(second.frames.size() == first.frames.size() + 1);
  second.frames.pop_back();
  check(second.frames == first.frames);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (bytes.empty()) return 0;
  const char mode = bytes[0];
  bytes.remove_prefix(1);
  codecs(bytes);
  MemoryDisk disk;
  if (mode % 2 == 0) {
    std::string file(kSegmentHeaderBytes, '\0');
    if (mode % 4 == 0) encode_segment_header({0, 1, {1, 1, 1}, 1, 0, 0, {}, {}}, file);
    file += bytes;
    disk.files[Journal::segment_path("j", 1)] = file;
  } else {
    scripted(bytes, disk);
  }
  recoveries(disk);
  return 0;
}
