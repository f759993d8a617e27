#include "engine/extent_reader.h"

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cstring>
#include <utility>

#include "queue/journal.h"

namespace veredus {

struct ExtentReader::File : queue::DiskOperation {
  explicit File(ExtentReader& the_reader) : reader(the_reader) {}
  // While the disk reads from it, only the end of all things takes it away: then it stays open.
  ~File() override {
    if (handle >= 0 && reads == 0) reader.disk_.close(handle);
  }
  void on_disk_done(int64_t result) override {
    opening = false;
    --reader.under_way_;
    handle = static_cast<queue::Disk::File>(result);
    reader.file_opened(*this);
  }
  ExtentReader& reader;
  queue::Disk::File handle = -1;
  bool opening = true;
  uint32_t reads = 0;  // under way
  std::vector<Window*> waiting;
};

// A span of a segment, and what is wanted of it.
struct ExtentReader::Window : queue::DiskOperation {
  explicit Window(ExtentReader& the_reader) : reader(the_reader) {}
  void on_disk_done(int64_t result) override {
    --reader.under_way_;
    --reader.files_.at(segment)->reads;
    reader.window_read(*this, result);
  }
  ExtentReader& reader;
  uint32_t segment = 0;
  uint64_t offset = 0;
  std::string bytes;
  uint64_t have = 0;  // bytes that were read
  bool done = false;
  bool abandoned = false;
  int64_t error = 0;
  std::vector<Wanted> items;
  size_t next = 0;  // of items
};

ExtentReader::ExtentReader(queue::Disk& disk, std::string directory)
    : disk_(disk), directory_(std::move(directory)) {}
ExtentReader::~ExtentReader() = default;

void ExtentReader::want(uint64_t token, const queue::Location& at) {
  wanted_.push_back({token, at});
}

// Makes windows of what is wanted, as far as there is room for them.
void ExtentReader::read_on() {
  while (windows_.size() < kWindowsMax && !wanted_.empty()) {
    auto window = std::make_unique<Window>(*this);
    window->segment = wanted_.front().at.segment;
    window->offset = wanted_.front().at.offset;
    uint64_t end = window->offset;
    while (!wanted_.empty()) {
      const Wanted& next = wanted_.front();
      const uint64_t next_end = uint64_t{next.at.offset} + next.at.length;
      const bool first = window->items.empty();
      if (!first &&
          (next.at.segment != window->segment || next.at.offset < end ||
           next.at.offset - end > kGapBytes || next_end - window->offset > kWindowBytes)) {
        break;
      }
      end = next_end;
      window->items.push_back(next);
      wanted_.pop_front();
    }
    window->bytes.resize(end - window->offset);
    windows_.push_back(std::move(window));
    start(*windows_.back());
  }
}

void ExtentReader::start(Window& window) {
  std::unique_ptr<File>& file = files_[window.segment];
  if (file == nullptr) {
    file = std::make_unique<File>(*this);
    ++under_way_;
    disk_.open(queue::Journal::segment_path(directory_, window.segment), *file);
  }
  if (file->opening) {
    file->waiting.push_back(&window);
  } else if (file->handle < 0) {
    window.done = true;
    window.error = file->handle;
  } else if (window.have == window.bytes.size()) {
    window.done = true;
  } else {
    ++under_way_;
    ++file->reads;
    disk_.read(file->handle, window.offset + window.have,
               {reinterpret_cast<uint8_t*>(window.bytes.data()) + window.have,
                window.bytes.size() - window.have},
               window);
  }
}

void ExtentReader::file_opened(File& file) {
  for (Window* const window : std::exchange(file.waiting, {})) {
    if (window->abandoned) {
      drop_abandoned(*window);
    } else {
      start(*window);
    }
  }
}

void ExtentReader::forget_wanted() {
  wanted_.clear();
  taken_.reset();
  for (std::unique_ptr<Window>& window : windows_) {
    if (window->done) continue;
    window->abandoned = true;
    abandoned_.push_back(std::move(window));
  }
  windows_.clear();
  close_files();
}

void ExtentReader::drop_abandoned(const Window& window) {
  std::erase_if(abandoned_, [&](const auto& each) { return each.get() == &window; });
}

void ExtentReader::window_read(Window& window, int64_t result) {
  if (window.abandoned) return drop_abandoned(window);
  if (result > 0) {
    window.have += static_cast<uint64_t>(result);
    return start(window);
  }
  if (result == -EINTR || result == -EAGAIN) return start(window);
  window.done = true;
  window.error = result == 0 ? -EIO : result;  // the file ends before what is wanted
  if (window.items.size() == 1) return;
  // One bad place must not cost the neighbours: each is read alone.
  const auto at = std::find_if(windows_.begin(), windows_.end(),
                               [&](const auto& each) { return each.get() == &window; });
  assert(at != windows_.end());
  const size_t place = static_cast<size_t>(at - windows_.begin());
  const std::vector<Wanted> items(window.items.begin() + static_cast<ptrdiff_t>(window.next),
                                  window.items.end());
  windows_.erase(at);
  std::vector<Window*> made;
  for (size_t i = 0; i < items.size(); ++i) {
    auto single = std::make_unique<Window>(*this);
    single->segment = items[i].at.segment;
    single->offset = items[i].at.offset;
    single->bytes.resize(items[i].at.length);
    single->items.push_back(items[i]);
    made.push_back(single.get());
    windows_.insert(windows_.begin() + static_cast<ptrdiff_t>(place + i), std::move(single));
  }
  for (Window* const single : made) start(*single);
}

bool ExtentReader::next(Got& got) {
  taken_.reset();
  read_on();
  if (windows_.empty() || !windows_.front()->done) return false;
  Window& window = *windows_.front();
  const Wanted& item = window.items[window.next++];
  got.token = item.token;
  got.status = absl::OkStatus();
  got.payload = {};
  if (window.error != 0) {
    got.status = absl::UnavailableError(
        queue::Journal::segment_path(directory_, window.segment) + " cannot be read at offset " +
        std::to_string(item.at.offset) + ": " + std::strerror(static_cast<int>(-window.error)));
  } else {
    got.payload =
        std::string_view(window.bytes).substr(item.at.offset - window.offset, item.at.length);
  }
  if (window.next == window.items.size()) {
    taken_ = std::move(windows_.front());
    windows_.pop_front();
    close_files();
  }
  return true;
}

// Those that no window needs; the next one opens its own.
void ExtentReader::close_files() {
  for (auto file = files_.begin(); file != files_.end();) {
    const auto needs = [&](const auto& window) { return window->segment == file->first; };
    const bool needed = file->second->opening ||
                        std::any_of(windows_.begin(), windows_.end(), needs) ||
                        std::any_of(abandoned_.begin(), abandoned_.end(), needs);
    file = needed ? std::next(file) : files_.erase(file);
  }
}

}  // namespace veredus
