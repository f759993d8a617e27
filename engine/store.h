#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <string_view>

#include "absl/container/flat_hash_map.h"
#include "engine/mail/template.h"
#include "queue/attempt_marks.h"
#include "queue/disk.h"
#include "queue/extent.h"
#include "queue/live_batch.h"
#include "queue/ticket.h"

namespace veredus {

struct Page;
struct StoredContent;
struct ContentSigning;  // message_maker.h
class Lane;

// A ticket at work on the lane's shard: with what it names read back from the journal. Lives in the
// shard's slab from the ticket's arrival to its return.
struct Work {
  queue::Ticket ticket;
  Work* next = nullptr;  // in the list of whatever it waits for
  Lane* lane = nullptr;
  Page* page = nullptr;              // pinned
  StoredContent* content = nullptr;  // pinned; null when the recipient carries its own message
  const queue::LiveBatch* batch = nullptr;
  std::string_view to;  // into the page
  uint32_t index = 0;
  uint32_t mark = queue::AttemptMarks::kNoPlace;  // where its attempt mark lies
  int64_t taken_up_mono_ns = 0;                   // when the lane got it
  int64_t expires_wall_ns = 0;                    // as the recipient's entry has it; 0: none
  bool own_message = false;
  bool shareable = false;  // content and sender have no slot: may share a transaction
};

// FIFO of works, linked through Work::next.
struct WorkList {
  Work* head = nullptr;
  Work* tail = nullptr;
  uint32_t count = 0;
  void push_back(Work* work) {
    work->next = nullptr;
    (head == nullptr ? head : tail->next) = work;
    tail = work;
    ++count;
  }
  void push_front(Work* work) {
    work->next = head;
    head = work;
    if (tail == nullptr) tail = work;
    ++count;
  }
  Work* pop_front() {
    Work* work = head;
    head = work->next;
    if (head == nullptr) tail = nullptr;
    --count;
    return work;
  }
  bool empty() const { return head == nullptr; }
};

// A page of recipients in memory, CRC-checked. In the cache while unpinned.
struct Page : queue::DiskOperation {
  enum class State : uint8_t { loading, ready, unreadable };
  void on_disk_done(int64_t result) override;
  class Store* store = nullptr;
  std::unique_ptr<char[]> memory;
  std::string_view bytes;  // of memory
  WorkList waiters;
  std::list<Page*>::iterator unused_at;
  uint32_t segment = 0, offset = 0, pins = 0;
  uint16_t journal = 0;
  State state = State::loading;
};

// A batch's message, compiled; one per batch and shard while anybody needs it, and as long as the
// cache has room.
struct StoredContent : queue::DiskOperation {
  enum class State : uint8_t { loading, ready, unreadable };
  void on_disk_done(int64_t result) override;
  class Store* store = nullptr;
  std::shared_ptr<const queue::LiveBatch> batch;
  queue::Location at;  // where it was last read
  std::unique_ptr<char[]> memory;
  std::string_view bytes;  // of memory
  mail::Template compiled;
  std::shared_ptr<ContentSigning> signing;  // null: nobody has signed it
  std::string trouble;
  WorkList waiters;
  std::list<StoredContent*>::iterator unused_at;
  uint32_t pins = 0;
  State state = State::loading;
};

// What a shard has read back from the journals, of all shards: pages and contents, each in a cache
// with a bound. Bytes are read through queue::Disk, never mapped; what fails its check is never
// sent.
class Store {
 public:
  class Owner {
   public:
    virtual ~Owner() = default;
    virtual void on_work_ready(Work& work) = 0;
    // The journal could not be read: the recipient is tried again later, and an operator must hear
    // of it.
    virtual void on_work_unreadable(Work& work, std::string_view why) = 0;
    // What was read is not what was written, or could not be read: once for each time it is tried.
    virtual void on_damage(const queue::Location& at, const std::string& what) = 0;
    virtual std::shared_ptr<const queue::LiveBatch> find_batch(uint32_t number) = 0;
  };
  // `disk` and `owner` outlive the store.
  Store(queue::Disk& disk, Owner& owner, uint64_t page_cache_bytes, uint64_t content_cache_bytes);
  ~Store();

  // Reads what the work's ticket names; on_work_ready or on_work_unreadable follows, at once when
  // it is cached.
  void fetch(Work& work);
  // Unpins.
  void release(Work& work);
  void segment_removed(uint16_t journal, uint32_t segment);
  // The batch is finished: its content is let go. False: it is pinned still, ask again.
  bool forget(uint32_t batch);

  uint64_t cached_bytes() const { return page_bytes_ + content_bytes_; }
  size_t open_files() const { return files_.size(); }
  static constexpr size_t kFilesMax =
      64;  // segments held open; more only while all of them are being read
  static std::string journal_directory(uint16_t journal);

 private:
  friend struct Page;
  friend struct StoredContent;
  struct File;

  void page_done(Page& page, int64_t result);
  void content_done(StoredContent& content, int64_t result);
  bool take_up(StoredContent& content, int64_t result);
  void settle_page(Page& page, Page::State state, std::string_view why);
  void want_content(Work& work);
  bool shareable(const StoredContent& content) const;
  void work_has_page(Work& work);
  void read(uint16_t journal, uint32_t segment, uint64_t offset, std::span<uint8_t> into,
            queue::DiskOperation& op);
  void read_done(uint16_t journal, uint32_t segment);
  void make_room_for_file();
  void erase(StoredContent& content);
  void unpin(Page& page);
  void unpin(StoredContent& content);
  void trim_pages();
  void trim_contents();

  queue::Disk& disk_;
  Owner& owner_;
  const uint64_t page_limit_, content_limit_;
  uint64_t page_bytes_ = 0, content_bytes_ = 0;
  uint64_t reads_ = 0;  // so far: says which file was used longest ago
  absl::flat_hash_map<uint64_t, std::unique_ptr<File>> files_;
  absl::flat_hash_map<std::pair<uint64_t, uint32_t>, std::unique_ptr<Page>> pages_;
  absl::flat_hash_map<uint32_t, std::unique_ptr<StoredContent>> contents_;
  std::list<Page*> unused_pages_;  // oldest first
  std::list<StoredContent*> unused_contents_;
  queue::Entry entry_;  // scratch
};

}  // namespace veredus
