#include "queue/journal_files.h"

#include <algorithm>
#include <cassert>
#include <charconv>
#include <cstring>
#include <system_error>

#include "queue/journal.h"

namespace veredus::queue {
namespace {

constexpr std::string_view kPrefix = "seg-", kSuffix = ".vrj";
constexpr size_t kDigits = 8;
constexpr uint64_t kReadBlock = 4u << 20;
constexpr uint64_t kSmallRead = 4096;  // what is given up around a bad sector

// Like Disk::read_now, but fewer bytes only at the end of the file.
int64_t read_fully(Disk& disk, Disk::File file, uint64_t offset, char* into, uint64_t length) {
  uint64_t done = 0;
  while (done < length) {
    const int64_t got = disk.read_now(file, offset + done,
                                      {reinterpret_cast<uint8_t*>(into) + done, length - done});
    if (got < 0) return got;
    if (got == 0) break;
    done += static_cast<uint64_t>(got);
  }
  return static_cast<int64_t>(done);
}

}  // namespace

std::string Journal::segment_path(std::string_view directory, uint32_t segment) {
  std::string digits = std::to_string(segment);
  if (digits.size() < 8) digits.insert(0, 8 - digits.size(), '0');
  std::string path(directory);
  path += '/';
  path += kPrefix;
  path += digits;
  path += kSuffix;
  return path;
}

absl::StatusOr<std::vector<SegmentFile>> list_segments(Disk& disk, const std::string& directory) {
  std::vector<Disk::Entry> entries;
  const int64_t listed = disk.list_now(directory, entries);
  if (listed < 0) {
    return absl::UnavailableError("the directory " + directory + " of the spool cannot be read: " +
                                  error_text(listed) + ": look at the disk and at its rights");
  }
  std::vector<SegmentFile> found;
  for (const Disk::Entry& entry : entries) {
    const std::string_view name = entry.name;
    if (!name.starts_with(kPrefix) || !name.ends_with(kSuffix)) continue;
    if (name.size() < kPrefix.size() + 8 + kSuffix.size()) continue;
    const char* const begin = name.data() + kPrefix.size();
    const char* const end = name.data() + name.size() - kSuffix.size();
    uint32_t number = 0;
    const auto [at, error] = std::from_chars(begin, end, number);
    if (error != std::errc() || at != end || number == 0) continue;
    found.push_back({number, entry.bytes});
  }
  std::sort(found.begin(), found.end(),
            [](const SegmentFile& a, const SegmentFile& b) { return a.number < b.number; });
  return found;
}

std::string numbered_path(std::string_view directory, std::string_view prefix, uint32_t number) {
  std::string digits = std::to_string(number);
  if (digits.size() < kDigits) digits.insert(0, kDigits - digits.size(), '0');
  std::string path(directory);
  path += '/';
  path += prefix;
  path += digits;
  return path;
}

absl::StatusOr<std::vector<NumberedFile>> list_numbered(Disk& disk, const std::string& directory,
                                                        std::string_view prefix) {
  std::vector<Disk::Entry> entries;
  const int64_t listed = disk.list_now(directory, entries);
  if (listed < 0) {
    return absl::UnavailableError("the directory " + directory + " of the spool cannot be read: " +
                                  error_text(listed) + ": look at the disk and at its rights");
  }
  std::vector<NumberedFile> found;
  for (const Disk::Entry& entry : entries) {
    const std::string_view name = entry.name;
    if (!name.starts_with(prefix) || name.size() < prefix.size() + kDigits) continue;
    const char* const end = name.data() + name.size();
    uint32_t number = 0;
    const auto [at, error] = std::from_chars(name.data() + prefix.size(), end, number);
    if (error == std::errc() && at == end && number != 0) found.push_back({number, entry.bytes});
  }
  std::sort(found.begin(), found.end(),
            [](const NumberedFile& a, const NumberedFile& b) { return a.number < b.number; });
  return found;
}

void read_range(Disk& disk, Disk::File file, uint64_t offset, uint64_t length, std::string& out,
                std::vector<Unreadable>& unreadable) {
  out.clear();
  append_range(disk, file, offset, length, out, unreadable);
}

void append_range(Disk& disk, Disk::File file, uint64_t offset, uint64_t length, std::string& out,
                  std::vector<Unreadable>& unreadable) {
  const size_t before = out.size();
  out.resize(before + length);
  char* const into = out.data() + before;
  uint64_t done = 0, step = kReadBlock;
  while (done < length) {
    const uint64_t wanted = std::min(step, length - done);
    const int64_t got = read_fully(disk, file, offset + done, into + done, wanted);
    if (got < 0 && step > kSmallRead) {
      step = kSmallRead;  // find the bad place
      continue;
    }
    if (got < 0) {
      std::memset(into + done, 0, wanted);
      if (!unreadable.empty() &&
          unreadable.back().offset + unreadable.back().bytes == offset + done) {
        unreadable.back().bytes += wanted;
      } else {
        unreadable.push_back({offset + done, wanted, static_cast<int>(-got)});
      }
      done += wanted;
      continue;
    }
    done += static_cast<uint64_t>(got);
    if (static_cast<uint64_t>(got) < wanted) break;
    if (done % kReadBlock == 0) step = kReadBlock;
  }
  out.resize(before + done);
}

std::string_view FileWindow::at(uint64_t offset, uint64_t bytes) {
  assert(offset >= begin_ && "it goes on only");
  while (begin_ + bytes_.size() < offset + bytes && begin_ + bytes_.size() < end_) {
    const uint64_t passed = std::min<uint64_t>(offset - begin_, bytes_.size());
    bytes_.erase(0, passed);
    begin_ += passed;
    const uint64_t from = begin_ + bytes_.size();
    const uint64_t before = bytes_.size(), wanted = std::min(kReadBlock, end_ - from);
    append_range(disk_, file_.handle(), from, wanted, bytes_, unreadable_);
    if (bytes_.size() - before < wanted) end_ = begin_ + bytes_.size();
  }
  const std::string_view all = bytes_;
  return offset - begin_ < all.size() ? all.substr(offset - begin_) : std::string_view();
}

OpenFile::OpenFile(Disk& disk, std::string_view path) : disk_(disk), handle_(disk.open_now(path)) {}

OpenFile::~OpenFile() {
  if (handle_ >= 0) disk_.close(handle());
}

std::string error_text(int64_t error) {
  return std::generic_category().message(static_cast<int>(error < 0 ? -error : error));
}

}  // namespace veredus::queue
