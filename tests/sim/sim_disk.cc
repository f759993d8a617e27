#include "tests/sim/sim_disk.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace veredus::sim {

uint64_t SimStorage::unsynced_sectors() const {
  uint64_t sum = 0;
  for (const auto& [path, data] : files_) sum += data->dirty.size();
  return sum;
}

void SimStorage::crash(bool page_cache) {
  const uint64_t unit = random.below(2) == 0 ? kSector : 4096;
  const double kept = random.unit();
  for (auto at = files_.begin(); at != files_.end();) {
    FileData& data = *at->second;
    if (!data.created && !page_cache && random.below(2) == 0) {
      at = files_.erase(at);
      continue;
    }
    // One decision for each unit: its newest bytes, or the durable ones.
    uint64_t decided_for = UINT64_MAX;
    bool keep = true;
    for (const uint64_t sector : data.dirty) {
      const uint64_t offset = sector * kSector;
      if (offset / unit != decided_for) {
        decided_for = offset / unit;
        keep = page_cache || random.unit() < kept;
      }
      if (keep) continue;
      const size_t length = std::min<size_t>(kSector, data.bytes.size() - offset);
      data.bytes.replace(offset, length, data.durable, offset, length);
    }
    data.created = true;
    // What only the page cache holds is still not durable: a later crash may take it.
    if (!page_cache) {
      data.dirty.clear();
      data.durable = data.bytes;
    }
    // Nobody of the dead process can write to it any more.
    at->second = std::make_shared<FileData>(data);
    ++at;
  }
}

void SimDisk::finish(queue::DiskOperation& op, std::function<int64_t()> effect) {
  later_([this, alive = alive_, &op, effect = std::move(effect)] {
    if (!*alive) return;
    ready_.emplace_back(&op, effect());
    if (on_ready) on_ready();
  });
}

void SimDisk::run_ready() {
  for (const auto& [op, result] : std::exchange(ready_, {})) op->on_disk_done(result);
}

queue::Disk::File SimDisk::handle_of(std::shared_ptr<FileData> data) {
  open_[next_handle_] = std::move(data);
  return next_handle_++;
}

void SimDisk::put(FileData& data, uint64_t offset, std::span<const uint8_t> bytes) {
  if (data.bytes.size() < offset + bytes.size()) data.bytes.resize(offset + bytes.size());
  if (data.durable.size() < data.bytes.size()) data.durable.resize(data.bytes.size());
  std::memcpy(data.bytes.data() + offset, bytes.data(), bytes.size());
  if (bytes.empty()) return;
  for (uint64_t sector = offset / SimStorage::kSector; sector <= (offset + bytes.size() - 1) / SimStorage::kSector;
       ++sector) {
    data.dirty.insert(sector);
  }
}

void SimDisk::create(std::string_view path, uint64_t bytes, queue::DiskOperation& op) {
  if (storage_.random.unit() < storage_.faults.create_error) return finish(op, [] { return -ENOSPC; });
  auto data = std::make_shared<FileData>();
  storage_.files_[std::string(path)] = data;
  finish(op, [this, data, bytes] {
    data->bytes.assign(bytes, '\0');
    data->durable = data->bytes;
    data->created = true;
    return int64_t{handle_of(data)};
  });
}

void SimDisk::open(std::string_view path, queue::DiskOperation& op) {
  finish(op, [this, name = std::string(path)] { return open_now(name); });
}

void SimDisk::write(File file, uint64_t offset, std::span<const uint8_t> bytes, queue::DiskOperation& op) {
  FileData& data = *open_.at(file);
  if (storage_.random.unit() < storage_.faults.write_error) {
    put(data, offset, bytes.first(storage_.random.below(bytes.size() + 1)));
    return finish(op, [] { return -EIO; });
  }
  if (bytes.size() > 1 && storage_.random.unit() < storage_.faults.write_short) {
    bytes = bytes.first(1 + storage_.random.below(bytes.size() - 1));
  }
  put(data, offset, bytes);
  finish(op, [size = bytes.size()] { return static_cast<int64_t>(size); });
}

void SimDisk::sync(File file, queue::DiskOperation& op) {
  const std::shared_ptr<FileData> data = open_.at(file);
  if (storage_.random.unit() < storage_.faults.sync_error) {
    // The kernel may have dropped the dirty pages' state: a later sync would say all is well.
    return finish(op, [] { return -EIO; });
  }
  // Durable is what was written before this call, as it is when the call ends.
  finish(op, [data, dirty = data->dirty] {
    for (const uint64_t sector : dirty) {
      const uint64_t offset = sector * SimStorage::kSector;
      const size_t length = std::min<size_t>(SimStorage::kSector, data->bytes.size() - offset);
      data->durable.replace(offset, length, data->bytes, offset, length);
      data->dirty.erase(sector);
    }
    return int64_t{0};
  });
}

void SimDisk::read(File file, uint64_t offset, std::span<uint8_t> bytes, queue::DiskOperation& op) {
  finish(op, [this, file, offset, bytes] { return read_now(file, offset, bytes); });
}

void SimDisk::remove(std::string_view path, queue::DiskOperation& op) {
  finish(op, [this, name = std::string(path)] {
    return storage_.files_.erase(name) == 1 ? int64_t{0} : int64_t{-ENOENT};
  });
}

void SimDisk::close(File file) { open_.erase(file); }

std::vector<queue::Disk::Entry> SimDisk::list_now(std::string_view directory) {
  std::vector<Entry> entries;
  const std::string prefix = std::string(directory) + "/";
  for (const auto& [path, data] : storage_.files_) {
    if (path.starts_with(prefix)) entries.push_back({path.substr(prefix.size()), data->bytes.size()});
  }
  return entries;
}

int64_t SimDisk::open_now(std::string_view path) {
  const auto found = storage_.files_.find(std::string(path));
  return found == storage_.files_.end() ? -ENOENT : handle_of(found->second);
}

int64_t SimDisk::read_now(File file, uint64_t offset, std::span<uint8_t> bytes) {
  const FileData& data = *open_.at(file);
  if (offset >= data.bytes.size()) return 0;
  const size_t length = std::min<size_t>(bytes.size(), data.bytes.size() - offset);
  std::memcpy(bytes.data(), data.bytes.data() + offset, length);
  return static_cast<int64_t>(length);
}

int64_t SimDisk::sync_now(File file) {
  FileData& data = *open_.at(file);
  data.durable = data.bytes;
  data.dirty.clear();
  return 0;
}

}  // namespace veredus::sim
