#include "engine/store.h"

#include <cassert>
#include <utility>
#include <vector>

#include "queue/crc32c.h"
#include "queue/journal.h"

namespace veredus {
namespace {

// Memory to read into; not zeroed, for all of it is read or nothing of it is used.
std::span<uint8_t> make_room(std::unique_ptr<char[]>& memory, std::string_view& bytes,
                             size_t size) {
  memory = std::make_unique_for_overwrite<char[]>(size);
  bytes = {memory.get(), size};
  return {reinterpret_cast<uint8_t*>(memory.get()), size};
}

}  // namespace

// A segment opened for reading. Reads that come before the open is done wait here.
struct Store::File : queue::DiskOperation {
  struct Waiting {
    uint64_t offset;
    std::span<uint8_t> into;
    queue::DiskOperation* op;
  };
  explicit File(queue::Disk& the_disk) : disk(the_disk) {}
  ~File() override {
    if (handle >= 0) disk.close(handle);
  }
  void on_disk_done(int64_t result) override {
    opening = false;
    handle = static_cast<queue::Disk::File>(result);
    for (Waiting& wait : std::exchange(waiting, {})) start(wait.offset, wait.into, *wait.op);
  }
  void start(uint64_t offset, std::span<uint8_t> into, queue::DiskOperation& op) {
    if (opening) {
      waiting.push_back({offset, into, &op});
    } else if (handle < 0) {
      op.on_disk_done(handle);
    } else {
      disk.read(handle, offset, into, op);
    }
  }
  queue::Disk& disk;
  queue::Disk::File handle = -1;
  bool opening = true;
  uint32_t reads = 0;  // under way, or waiting for the open
  uint64_t last_used = 0;
  std::vector<Waiting> waiting;
};

void Page::on_disk_done(int64_t result) {
  store->page_done(*this, result);
}
void StoredContent::on_disk_done(int64_t result) {
  store->content_done(*this, result);
}

std::string Store::journal_directory(uint16_t journal) {
  return "journal-" + std::to_string(journal);
}

Store::Store(queue::Disk& disk, Owner& owner, uint64_t page_cache_bytes,
             uint64_t content_cache_bytes)
    : disk_(disk),
      owner_(owner),
      page_limit_(page_cache_bytes),
      content_limit_(content_cache_bytes) {}

Store::~Store() = default;

void Store::read(uint16_t journal, uint32_t segment, uint64_t offset, std::span<uint8_t> into,
                 queue::DiskOperation& op) {
  const uint64_t key = uint64_t{journal} << 32 | segment;
  const auto found = files_.find(key);
  if (found == files_.end() && files_.size() >= kFilesMax) make_room_for_file();
  std::unique_ptr<File>& file = files_[key];
  if (file == nullptr || (!file->opening && file->handle < 0 && file->reads == 0)) {
    file = std::make_unique<File>(disk_);
    disk_.open(queue::Journal::segment_path(journal_directory(journal), segment), *file);
  }
  ++file->reads;
  file->last_used = ++reads_;
  file->start(offset, into, op);
}

void Store::read_done(uint16_t journal, uint32_t segment) {
  File& file = *files_.find(uint64_t{journal} << 32 | segment)->second;
  assert(file.reads > 0);
  --file.reads;
}

// The file is unlinked: its room is free when nobody has it open any more.
void Store::segment_removed(uint16_t journal, uint32_t segment) {
  const auto found = files_.find(uint64_t{journal} << 32 | segment);
  if (found == files_.end()) return;
  if (found->second->reads == 0 && !found->second->opening) {
    files_.erase(found);
  } else {
    found->second->last_used = 0;  // the first to be closed
  }
}

// Closes the file that was used longest ago and is not being read.
void Store::make_room_for_file() {
  auto oldest = files_.end();
  for (auto at = files_.begin(); at != files_.end();
       ++at) {  // no two were used last at the same read: order is no matter
    if (at->second->reads > 0 || at->second->opening) continue;
    if (oldest == files_.end() || at->second->last_used < oldest->second->last_used) oldest = at;
  }
  if (oldest != files_.end()) files_.erase(oldest);
}

void Store::fetch(Work& work) {
  const queue::Ticket& ticket = work.ticket;
  const uint64_t segment_key = uint64_t{ticket.home} << 32 | ticket.segment;
  std::unique_ptr<Page>& slot = pages_[{segment_key, ticket.page_offset}];
  if (slot == nullptr) {
    slot = std::make_unique<Page>();
    slot->store = this;
    slot->journal = ticket.home;
    slot->segment = ticket.segment;
    slot->offset = ticket.page_offset;
    const std::span<uint8_t> room = make_room(slot->memory, slot->bytes, ticket.page_bytes);
    page_bytes_ += ticket.page_bytes;
    slot->pins = 1;
    work.page = slot.get();
    slot->waiters.push_back(&work);
    read(ticket.home, ticket.segment, ticket.page_offset, room, *slot);
    trim_pages();
    return;
  }
  Page& page = *slot;
  if (page.pins++ == 0) unused_pages_.erase(page.unused_at);
  work.page = &page;
  if (page.state == Page::State::loading) {
    page.waiters.push_back(&work);
  } else {
    work_has_page(work);
  }
}

void Store::page_done(Page& page, int64_t result) {
  read_done(page.journal, page.segment);
  if (result < 0)
    return settle_page(page, Page::State::unreadable, "the spool could not be read (I/O error)");
  if (static_cast<uint64_t>(result) != page.bytes.size()) {
    return settle_page(page, Page::State::unreadable,
                       "the spool ends before this recipient's page");
  }
  const absl::Status sound = queue::check_page(page.bytes);
  if (!sound.ok())
    return settle_page(page, Page::State::unreadable,
                       "the recipient's page in the spool is damaged");
  settle_page(page, Page::State::ready, {});
}

void Store::settle_page(Page& page, Page::State state, std::string_view why) {
  page.state = state;
  if (state == Page::State::unreadable)
    owner_.on_damage({page.journal, page.segment, page.offset, 0}, std::string(why));
  WorkList waiters = std::exchange(page.waiters, {});
  // The page could go when the last waiter lets go of it; hold it to the end.
  ++page.pins;
  while (!waiters.empty()) {
    Work& work = *waiters.pop_front();
    if (state == Page::State::ready) {
      work_has_page(work);
    } else {
      owner_.on_work_unreadable(work, why);
    }
  }
  unpin(page);
}

void Store::work_has_page(Work& work) {
  Page& page = *work.page;
  if (page.state == Page::State::unreadable) {
    return owner_.on_work_unreadable(work, "the recipient's page in the spool is unreadable");
  }
  uint32_t next = 0;
  if (!queue::read_entry(page.bytes, work.ticket.entry_offset, entry_, next).ok()) {
    return owner_.on_work_unreadable(work, "the recipient's entry in the spool is damaged");
  }
  work.to = entry_.to;
  work.index = entry_.index;
  work.expires_wall_ns = entry_.expires_wall_ns;
  work.own_message = entry_.has_message;
  if (work.own_message) {
    work.shareable = false;
    return owner_.on_work_ready(work);
  }
  want_content(work);
}

void Store::want_content(Work& work) {
  const uint32_t number = work.ticket.batch;
  std::unique_ptr<StoredContent>& slot = contents_[number];
  if (slot == nullptr) {
    std::shared_ptr<const queue::LiveBatch> batch = owner_.find_batch(number);
    if (batch == nullptr || batch->batch.content.length == 0) {
      contents_.erase(number);
      return owner_.on_work_unreadable(work, "the batch's message is not in the spool");
    }
    slot = std::make_unique<StoredContent>();
    slot->store = this;
    slot->batch = std::move(batch);
    slot->at = slot->batch->content_at();
    const std::span<uint8_t> room = make_room(slot->memory, slot->bytes, slot->at.length);
    content_bytes_ += slot->at.length;
    slot->pins = 1;
    work.content = slot.get();
    slot->waiters.push_back(&work);
    read(slot->at.journal, slot->at.segment, slot->at.offset, room, *slot);
    trim_contents();
    return;
  }
  StoredContent& content = *slot;
  if (content.pins++ == 0) unused_contents_.erase(content.unused_at);
  work.content = &content;
  switch (content.state) {
    case StoredContent::State::loading:
      content.waiters.push_back(&work);
      return;
    case StoredContent::State::unreadable:
      return owner_.on_work_unreadable(work, content.trouble);
    case StoredContent::State::ready:
      work.shareable = shareable(content);
      return owner_.on_work_ready(work);
  }
}

// Whether the scratch entry's recipient may share a transaction: nothing of envelope or content is
// its own.
bool Store::shareable(const StoredContent& content) const {
  const queue::Batch& batch = content.batch->batch;
  return !content.compiled.has_slots() && !entry_.has_sender && !batch.sender_has_slots &&
         !batch.verp;
}

// What was read becomes a template, or `trouble` says why not.
bool Store::take_up(StoredContent& content, int64_t result) {
  if (result != static_cast<int64_t>(content.bytes.size())) {
    content.trouble = "the batch's message could not be read from the spool";
    return false;
  }
  const uint32_t sum = content.batch->batch.content_sum;
  if (sum != 0 && queue::crc32c(content.bytes) != sum) {
    content.trouble = "the batch's message in the spool is damaged: its checksum is wrong";
    return false;
  }
  absl::StatusOr<mail::Template> compiled =
      mail::Template::compile(content.bytes, content.batch->batch.content_flags);
  if (!compiled.ok()) {
    content.trouble =
        "the batch's message in the spool is damaged: " + std::string(compiled.status().message());
    return false;
  }
  content.compiled = *std::move(compiled);
  return true;
}

void Store::content_done(StoredContent& content, int64_t result) {
  read_done(content.at.journal, content.at.segment);
  const bool sound = take_up(content, result);
  const queue::Location now_at = content.batch->content_at();
  if (!sound && now_at != content.at) {
    // Its segment went while it was read: it had been carried forward before.
    content.at = now_at;
    const std::span<uint8_t> room = make_room(content.memory, content.bytes, now_at.length);
    return read(now_at.journal, now_at.segment, now_at.offset, room, content);
  }
  content.state = sound ? StoredContent::State::ready : StoredContent::State::unreadable;
  if (!sound)
    owner_.on_damage(content.at, "the message of batch " +
                                     std::to_string(content.batch->batch.number) + ": " +
                                     content.trouble);
  WorkList waiters = std::exchange(content.waiters, {});
  ++content.pins;
  while (!waiters.empty()) {
    Work& work = *waiters.pop_front();
    if (content.state == StoredContent::State::ready) {
      // The scratch entry has moved on to other works: look again.
      uint32_t next = 0;
      const bool readable =
          queue::read_entry(work.page->bytes, work.ticket.entry_offset, entry_, next).ok();
      assert(readable && "it was read before");
      work.shareable = readable && shareable(content);
      owner_.on_work_ready(work);
    } else {
      owner_.on_work_unreadable(work, content.trouble);
    }
  }
  unpin(content);
}

void Store::release(Work& work) {
  if (work.page != nullptr) unpin(*std::exchange(work.page, nullptr));
  if (work.content != nullptr) unpin(*std::exchange(work.content, nullptr));
}

void Store::unpin(Page& page) {
  assert(page.pins > 0);
  if (--page.pins > 0) return;
  if (page.state == Page::State::unreadable) {  // the next ticket tries the disk again
    page_bytes_ -= page.bytes.size();
    pages_.erase({uint64_t{page.journal} << 32 | page.segment, page.offset});
    return;
  }
  page.unused_at = unused_pages_.insert(unused_pages_.end(), &page);
  trim_pages();
}

void Store::unpin(StoredContent& content) {
  assert(content.pins > 0);
  if (--content.pins > 0) return;
  if (content.state == StoredContent::State::unreadable)
    return erase(content);  // the next ticket tries the disk again
  content.unused_at = unused_contents_.insert(unused_contents_.end(), &content);
  trim_contents();
}

void Store::trim_pages() {
  while (page_bytes_ > page_limit_ && !unused_pages_.empty()) {
    Page& page = *unused_pages_.front();
    unused_pages_.pop_front();
    page_bytes_ -= page.bytes.size();
    pages_.erase({uint64_t{page.journal} << 32 | page.segment, page.offset});
  }
}

void Store::trim_contents() {
  while (content_bytes_ > content_limit_ && !unused_contents_.empty()) {
    StoredContent& content = *unused_contents_.front();
    unused_contents_.pop_front();
    erase(content);
  }
}

void Store::erase(StoredContent& content) {
  content_bytes_ -= content.bytes.size();
  contents_.erase(static_cast<uint32_t>(content.batch->batch.number));
}

bool Store::forget(uint32_t batch) {
  const auto found = contents_.find(batch);
  if (found == contents_.end()) return true;
  if (found->second->pins > 0) return false;
  unused_contents_.erase(found->second->unused_at);
  erase(*found->second);
  return true;
}

}  // namespace veredus
