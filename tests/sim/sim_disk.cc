#include "tests/sim/sim_disk.h"

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cstring>
#include <functional>
#include <limits>
#include <utility>

namespace veredus::sim {
namespace {

constexpr size_t kCalledMax = 1'000'000;

std::string_view as_text(std::span<const uint8_t> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

int64_t read_from(const std::string& stored, uint64_t size, uint64_t offset,
                  std::span<uint8_t> into) {
  if (offset >= size) return 0;
  const uint64_t length = std::min<uint64_t>(into.size(), size - offset);
  std::memset(into.data(), 0, length);
  if (offset < stored.size()) {
    std::memcpy(into.data(), stored.data() + offset,
                std::min<uint64_t>(length, stored.size() - offset));
  }
  return static_cast<int64_t>(length);
}

}  // namespace

// --- the storage ---

SimStorage::SimStorage(uint64_t seed, DiskFaults disk_faults)
    : faults(disk_faults), random_(seed ^ 0x5bd1e9955bd1e995u) {}
SimStorage::~SimStorage() = default;

void SimStorage::store(std::string& bytes, uint64_t offset, std::string_view what) {
  if (bytes.size() < offset + what.size()) bytes.resize(offset + what.size());
  std::memcpy(bytes.data() + offset, what.data(), what.size());
}

bool SimStorage::chance(double probability) {
  if (probability <= 0) return false;
  const bool hit = static_cast<double>(random_() >> 11) * 0x1.0p-53 < probability;
  faults_injected += hit;
  return hit;
}

// Counts a call that can fail; true when it is one of those told to.
bool SimStorage::planned_failure(DiskCall call, const void* from) {
  ++calls;
  if (notes_calls && called.size() < kCalledMax) called.push_back({call, from, false});
  if (calls > calls_max) {
    ++spun;
    faults.fail_call = 0;
  }
  if (calls == faults.fail_first) {
    if (faults.fail_call > 1) --faults.fail_call;
    ++faults_injected;
    if (notes_calls) called.back().failed = true;
    return true;
  }
  if (faults.fail_call == 0) return false;
  if (faults.fail_call > 1) {
    --faults.fail_call;
    return false;
  }
  if (faults.fail_count == 0 || (faults.fail_kinds & bit(call)) == 0) return false;
  if (faults.fail_count != UINT64_MAX) --faults.fail_count;
  ++faults_injected;
  if (notes_calls && calls <= kCalledMax) called.back().failed = true;
  return true;
}

// What is not durable meets its fate. Each crash has a temper of its own, so that the even cases
// (all kept, all lost, whole writes lost) come up as often as the mixed ones.
void SimStorage::tear(File& file) {
  const uint64_t temper = below(4);  // 0: all kept, 1: all dropped, 2: whole writes, 3: sectors
  const uint64_t keep = below(101);  // per cent
  bool lost_before = false;
  for (const Dirty& write : file.dirty) {
    uint64_t kept = 0;
    if (temper == 3) {
      kept = keep_sectors(file, write, keep);
    } else if (temper == 0 || (temper == 2 && below(100) < keep)) {
      store(file.durable, write.offset, write.bytes);
      kept = write.bytes.size();
    }
    if (kept == 0) ++power_cuts.dropped;
    if (kept > 0 && kept < write.asked) ++power_cuts.torn;
    if (kept > 0 && lost_before) ++power_cuts.reordered;
    lost_before = lost_before || kept < write.asked;
  }
  file.dirty.clear();
  if (file.mapped) tear_memory(file, temper, keep);
  file.cached = file.durable;
}

// Of memory nobody knows what was stored when: each sector that is not as it lies on the disk is
// kept, dropped, or torn within.
void SimStorage::tear_memory(File& file, uint64_t temper, uint64_t keep_percent) {
  constexpr size_t kSector = 512;
  file.durable.resize(file.cached.size());
  for (size_t at = 0; at < file.cached.size(); at += kSector) {
    const std::string_view stored = std::string_view(file.cached).substr(at, kSector);
    if (std::string_view(file.durable).substr(at, kSector) == stored) continue;
    const bool kept = temper == 0 || (temper >= 2 && below(100) < keep_percent);
    if (kept && (temper != 3 || below(4) > 0)) {
      store(file.durable, at, stored);
      continue;
    }
    ++power_cuts.mapped_lost;
    if (kept) store(file.durable, at, stored.substr(0, below(stored.size())));
  }
}

// Each sector is kept or not; now and then one is torn within. How many bytes were kept.
uint64_t SimStorage::keep_sectors(File& file, const Dirty& write, uint64_t keep_percent) {
  uint64_t kept = 0;
  uint64_t at = write.offset;
  const uint64_t end = write.offset + write.bytes.size();
  while (at < end) {
    const uint64_t sector_end =
        std::min<uint64_t>(end, (at / faults.sector_bytes + 1) * faults.sector_bytes);
    uint64_t length = sector_end - at;
    if (below(100) < 3) length = below(length);
    if (below(100) < keep_percent) {
      store(file.durable, at, std::string_view(write.bytes).substr(at - write.offset, length));
      kept += length;
    }
    at = sector_end;
  }
  return kept;
}

// The kernel had them, nobody hears of them: each was done, partly done, or not.
void SimStorage::forget_operations(bool power_cut) {
  for (SimDisk* view : views_) {
    for (SimDisk::Pending& left : view->pending_) {
      const std::span<const uint8_t> bytes = left.out;
      switch (left.kind) {
        case SimDisk::Kind::write: {
          if (left.file == nullptr) break;
          if (below(3) > 0) left.out = bytes.first(below(bytes.size() + 1));
          if (below(4) == 0) left.out = {};
          if (left.out.empty() && !power_cut) break;
          const std::string part(as_text(left.out));
          store(left.file->cached, left.offset, part);
          left.file->size = std::max<uint64_t>(left.file->size, left.file->cached.size());
          left.file->dirty.push_back({next_write_++, left.offset, part, bytes.size()});
          break;
        }
        case SimDisk::Kind::create:
          if (below(2) > 0) {
            auto made = std::make_shared<File>();
            made->size = below(2) > 0 ? left.offset : below(left.offset + 1);
            files_[left.path] = made;
          }
          break;
        case SimDisk::Kind::remove:
          if (below(2) > 0) remove_file(left.path);
          break;
        case SimDisk::Kind::sync:
          if (power_cut && below(2) > 0) view->effect_sync(left);
          break;
        case SimDisk::Kind::open:
        case SimDisk::Kind::read:
        case SimDisk::Kind::list_now:
        case SimDisk::Kind::open_now:
        case SimDisk::Kind::read_now:
        case SimDisk::Kind::sync_now:
        case SimDisk::Kind::map_now:
          break;
      }
    }
    view->pending_.clear();
  }
  handles_.clear();
}

void SimStorage::crash() {
  ++power_cuts.cuts;
  power_cuts.met += unsynced();
  forget_operations(!faults.power_cuts_keep);
  if (faults.power_cuts_keep) return settle();
  for (const auto& [path, file] : files_) tear(*file);
}

void SimStorage::kill() {
  forget_operations(false);
}

void SimStorage::settle() {
  for (const auto& [path, file] : files_) {
    file->durable = file->cached;
    file->dirty.clear();
  }
}

uint64_t SimStorage::unsynced() const {
  uint64_t writes = 0;
  for (const auto& [path, file] : files_) writes += file->dirty.size();
  for (const SimDisk* view : views_) {
    writes += static_cast<uint64_t>(
        std::count_if(view->pending_.begin(), view->pending_.end(),
                      [](const auto& each) { return each.kind == SimDisk::Kind::write; }));
  }
  return writes;
}

bool SimStorage::corrupt(std::string_view path, uint64_t offset) {
  const std::shared_ptr<File> file = find(path);
  if (file == nullptr || offset >= file->size) return false;
  const char bit = static_cast<char>(1 << below(8));
  for (std::string* bytes : {&file->cached, &file->durable}) {
    if (bytes->size() <= offset) bytes->resize(offset + 1);
    (*bytes)[offset] = static_cast<char>((*bytes)[offset] ^ bit);
  }
  return true;
}

uint64_t SimStorage::written(std::string_view path) const {
  const std::shared_ptr<File> file = find(path);
  return file == nullptr ? 0 : file->durable.size();
}

void SimStorage::put(std::string_view path, std::string bytes) {
  auto file = std::make_shared<File>();
  file->size = bytes.size();
  file->cached = bytes;
  file->durable = std::move(bytes);
  files_[std::string(path)] = std::move(file);
}

std::string SimStorage::get(std::string_view path) const {
  const std::shared_ptr<File> file = find(path);
  if (file == nullptr) return {};
  std::string bytes = file->cached;
  bytes.resize(file->size);
  return bytes;
}

bool SimStorage::exists(std::string_view path) const {
  return find(path) != nullptr;
}

void SimStorage::erase(std::string_view path) {
  const auto at = files_.find(path);
  if (at != files_.end()) files_.erase(at);
}

void SimStorage::remove_file(std::string_view path) {
  const auto at = files_.find(path);
  if (at == files_.end()) return;
  const auto [gone, file] = *at;
  if (keep_removed) removed_[gone] = file;
  files_.erase(at);
  if (on_removed) on_removed(gone, file->cached);
}

std::map<std::string, uint64_t> SimStorage::sizes_ever() const {
  std::map<std::string, uint64_t> sizes;
  for (const auto* files : {&files_, &removed_}) {
    for (const auto& [path, file] : *files) sizes.emplace(path, file->size);
  }
  return sizes;
}

std::vector<std::string> SimStorage::paths() const {
  std::vector<std::string> all;
  for (const auto& [path, file] : files_) all.push_back(path);
  return all;
}

std::shared_ptr<SimStorage::File> SimStorage::find(std::string_view path) const {
  const auto at = files_.find(path);
  return at == files_.end() ? nullptr : at->second;
}

int32_t SimStorage::handle_for(std::shared_ptr<File> file) {
  handles_[next_handle_] = std::move(file);
  return next_handle_++;
}

SimStorage::File* SimStorage::file_of(int32_t handle) {
  const auto at = handles_.find(handle);
  return at == handles_.end() ? nullptr : at->second.get();
}

uint64_t SimStorage::used_bytes() const {
  uint64_t used = 0;
  for (const auto& [path, file] : files_) used += file->size;
  return used;
}

// --- a view ---

SimDisk::SimDisk(SimStorage& storage) : storage_(storage) {
  storage_.views_.push_back(this);
}
SimDisk::SimDisk(SimStorage& storage, Faultless) : SimDisk(storage) {
  faultless_ = true;
}
SimDisk::~SimDisk() {
  std::erase(storage_.views_, this);
}

size_t SimDisk::run(int64_t now_ns) {
  now_ns_ = now_ns;
  size_t completed = 0;
  const uint64_t started_before = next_order_;
  while (true) {
    size_t best = pending_.size();
    for (size_t i = 0; i < pending_.size(); ++i) {
      const Pending& each = pending_[i];
      if (each.due_ns > now_ns || each.order >= started_before) continue;
      if (best == pending_.size() || each.due_ns < pending_[best].due_ns) best = i;
    }
    if (best == pending_.size()) return completed;
    complete(best);
    ++completed;
  }
}

bool SimDisk::complete_one() {
  if (pending_.empty()) return false;
  complete(storage_.below(pending_.size()));
  return true;
}

int64_t SimDisk::next_due_ns() const {
  int64_t due = std::numeric_limits<int64_t>::max();
  for (const Pending& each : pending_) due = std::min(due, each.due_ns);
  return due;
}

SimDisk::Pending& SimDisk::start(Kind kind, const void* from, queue::DiskOperation& op,
                                 File handle) {
  for (const Pending& each : pending_) {
    assert(each.op != &op && "one operation is used twice at once");
    static_cast<void>(each);
  }
  const DiskFaults& faults = storage_.faults;
  const int64_t longest =
      kind == Kind::create ? faults.create_latency_max_ns : faults.latency_max_ns;
  Pending& made = pending_.emplace_back();
  made.kind = kind;
  made.from = from;
  made.op = &op;
  made.handle = handle;
  const auto file = storage_.handles_.find(handle);
  if (file != storage_.handles_.end()) made.file = file->second;
  made.order = next_order_++;
  const int64_t spread = std::max<int64_t>(0, longest - faults.latency_min_ns);
  made.due_ns = now_ns_ + faults.latency_min_ns +
                static_cast<int64_t>(storage_.below(static_cast<uint64_t>(spread) + 1));
  return made;
}

void SimDisk::complete(size_t index) {
  Pending done = std::move(pending_[index]);
  pending_.erase(pending_.begin() + static_cast<ptrdiff_t>(index));
  const bool fails = storage_.planned_failure(done.kind, done.from);
  const int64_t result = fails ? failure(done) : effect(done);
  done.op->on_disk_done(result);
}

// The planned failure. What it leaves behind is the worst that can be: a part written, pages that
// count as clean and are on no disk.
int64_t SimDisk::failure(Pending& done) {
  const int error = storage_.faults.fail_errno;
  if (done.kind == Kind::write && done.file != nullptr) {
    if (error == 0) {
      done.out = done.out.first((done.out.size() + 1) / 2);
      done.sum = std::hash<std::string_view>()(as_text(done.out));
      return effect_write(done);
    }
    done.out = done.out.first(done.out.size() / 2);
    done.sum = std::hash<std::string_view>()(as_text(done.out));
    if (!done.out.empty()) effect_write(done);
  }
  if (done.kind == Kind::sync && done.file != nullptr) {
    std::erase_if(done.file->dirty,
                  [&](const SimStorage::Dirty& write) { return write.number <= done.up_to; });
  }
  if (done.kind == Kind::read && error == 0) {
    done.in = done.in.first((done.in.size() + 1) / 2);
    return effect(done);
  }
  return error == 0 ? effect(done) : -error;
}

bool SimDisk::fails_now(Kind kind, const void* from) {
  return !faultless_ && storage_.planned_failure(kind, from);
}

int64_t SimDisk::effect(Pending& done) {
  switch (done.kind) {
    case Kind::create:
      return effect_create(done);
    case Kind::write:
      return effect_write(done);
    case Kind::sync:
      return effect_sync(done);
    case Kind::open: {
      if (storage_.chance(storage_.faults.read_error)) return -EIO;
      std::shared_ptr<SimStorage::File> file = storage_.find(done.path);
      return file == nullptr ? -ENOENT : storage_.handle_for(std::move(file));
    }
    case Kind::read:
      if (done.file == nullptr) return -EBADF;
      if (storage_.chance(storage_.faults.read_error)) return -EIO;
      return read_from(done.file->cached, done.file->size, done.offset, done.in);
    case Kind::remove:
      if (storage_.chance(storage_.faults.remove_error)) return -EIO;
      if (!storage_.exists(done.path)) return -ENOENT;
      storage_.remove_file(done.path);
      return 0;
    case Kind::list_now:
    case Kind::open_now:
    case Kind::read_now:
    case Kind::sync_now:
    case Kind::map_now:
      break;
  }
  return -EINVAL;
}

int64_t SimDisk::effect_create(Pending& done) {
  if (storage_.chance(storage_.faults.create_error)) return -EIO;
  if (storage_.chance(storage_.faults.create_full)) return -ENOSPC;
  const std::shared_ptr<SimStorage::File> old = storage_.find(done.path);
  const uint64_t others = storage_.used_bytes() - (old == nullptr ? 0 : old->size);
  if (others + done.offset > storage_.faults.capacity_bytes) return -ENOSPC;
  auto made = std::make_shared<SimStorage::File>();
  made->size = done.offset;
  storage_.files_[done.path] = made;
  return storage_.handle_for(std::move(made));
}

int64_t SimDisk::effect_write(Pending& done) {
  if (done.file == nullptr) return -EBADF;
  assert(std::hash<std::string_view>()(as_text(done.out)) == done.sum &&
         "the bytes of a write changed while it was under way");
  SimStorage::File& file = *done.file;
  std::span<const uint8_t> bytes = done.out;
  const bool fails = storage_.chance(storage_.faults.write_error);
  if (fails || (bytes.size() > 1 && storage_.chance(storage_.faults.write_short))) {
    bytes = bytes.first(storage_.below(bytes.size()) + (fails ? 0 : 1));
  }
  storage_.store(file.cached, done.offset, as_text(bytes));
  file.dirty.push_back(
      {storage_.next_write_++, done.offset, std::string(as_text(bytes)), bytes.size()});
  file.size = std::max<uint64_t>(file.size, file.cached.size());
  return fails ? -EIO : static_cast<int64_t>(bytes.size());
}

int64_t SimDisk::effect_sync(Pending& done) {
  if (done.file == nullptr) return -EBADF;
  ++storage_.syncs;
  SimStorage::File& file = *done.file;
  const bool fails = storage_.chance(storage_.faults.sync_error);
  // After a failed sync the pages count as clean: what did not get out is never written, and no
  // later sync says so.
  const bool lost = fails && storage_.below(2) > 0;
  std::vector<SimStorage::Dirty> rest;
  for (SimStorage::Dirty& write : file.dirty) {
    if (write.number > done.up_to) {
      rest.push_back(std::move(write));
    } else if (!lost || storage_.below(2) > 0) {
      storage_.store(file.durable, write.offset, write.bytes);
    }
  }
  file.dirty = std::move(rest);
  return fails ? -EIO : 0;
}

// Whoever calls is noted by the address it is called from: none of these is inlined.
[[gnu::noinline]] void SimDisk::create(std::string_view path, uint64_t bytes,
                                       queue::DiskOperation& op) {
  Pending& made = start(Kind::create, __builtin_return_address(0), op);
  made.path = path;
  made.offset = bytes;
}

[[gnu::noinline]] void SimDisk::open(std::string_view path, queue::DiskOperation& op) {
  start(Kind::open, __builtin_return_address(0), op).path = path;
}

[[gnu::noinline]] void SimDisk::write(File file, uint64_t offset, std::span<const uint8_t> bytes,
                                      queue::DiskOperation& op) {
  assert(!bytes.empty());
  Pending& made = start(Kind::write, __builtin_return_address(0), op, file);
  made.offset = offset;
  made.out = bytes;
  made.sum = std::hash<std::string_view>()(as_text(bytes));
}

[[gnu::noinline]] void SimDisk::sync(File file, queue::DiskOperation& op) {
  Pending& made = start(Kind::sync, __builtin_return_address(0), op, file);
  made.up_to = storage_.next_write_ - 1;
}

[[gnu::noinline]] void SimDisk::read(File file, uint64_t offset, std::span<uint8_t> bytes,
                                     queue::DiskOperation& op) {
  Pending& made = start(Kind::read, __builtin_return_address(0), op, file);
  made.offset = offset;
  made.in = bytes;
}

[[gnu::noinline]] void SimDisk::remove(std::string_view path, queue::DiskOperation& op) {
  start(Kind::remove, __builtin_return_address(0), op).path = path;
}

void SimDisk::close(File file) {
  // A handle from before a crash is unknown, and is let go without a word.
  for (const Pending& each : pending_) {
    assert(each.handle != file && "closed with an operation under way");
    static_cast<void>(each);
  }
  storage_.handles_.erase(file);
}

[[gnu::noinline]] int64_t SimDisk::list_now(std::string_view directory,
                                            std::vector<Entry>& entries) {
  entries.clear();
  if (fails_now(Kind::list_now, __builtin_return_address(0))) return -storage_.faults.fail_errno;
  std::map<std::string, uint64_t> found;
  std::string prefix(directory);
  prefix += '/';
  const auto look = [&](const auto& files) {
    for (auto at = files.lower_bound(prefix); at != files.end(); ++at) {
      if (!at->first.starts_with(prefix)) break;
      const std::string name = at->first.substr(prefix.size());
      if (name.find('/') == name.npos) found.emplace(name, at->second->size);
    }
  };
  look(storage_.files_);
  if (looks_back_) look(storage_.removed_);
  for (const auto& [name, bytes] : found) entries.push_back({name, bytes});
  return 0;
}

[[gnu::noinline]] int64_t SimDisk::open_now(std::string_view path) {
  if (fails_now(Kind::open_now, __builtin_return_address(0))) return -storage_.faults.fail_errno;
  std::shared_ptr<SimStorage::File> file = storage_.find(path);
  if (file == nullptr && looks_back_) {
    if (const auto at = storage_.removed_.find(path); at != storage_.removed_.end())
      file = at->second;
  }
  return file == nullptr ? -ENOENT : storage_.handle_for(std::move(file));
}

[[gnu::noinline]] int64_t SimDisk::map_now(std::string_view path, uint64_t bytes,
                                           std::span<uint8_t>& memory) {
  if (fails_now(Kind::map_now, __builtin_return_address(0))) {
    return storage_.faults.fail_errno != 0 ? -storage_.faults.fail_errno : -ENOSPC;
  }
  if (storage_.exists(path)) return -EEXIST;
  auto made = std::make_shared<SimStorage::File>();
  made->size = bytes;
  made->cached.resize(bytes);
  made->durable.resize(bytes);
  made->mapped = true;
  memory = {reinterpret_cast<uint8_t*>(made->cached.data()), bytes};
  storage_.files_[std::string(path)] = std::move(made);
  return 0;
}

[[gnu::noinline]] int64_t SimDisk::read_now(File file, uint64_t offset, std::span<uint8_t> bytes) {
  if (fails_now(Kind::read_now, __builtin_return_address(0))) {
    if (storage_.faults.fail_errno != 0) return -storage_.faults.fail_errno;
    bytes = bytes.first((bytes.size() + 1) / 2);
  }
  const SimStorage::File* const found = storage_.file_of(file);
  return found == nullptr ? -EBADF : read_from(found->cached, found->size, offset, bytes);
}

[[gnu::noinline]] int64_t SimDisk::sync_now(File file) {
  const bool fails = fails_now(Kind::sync_now, __builtin_return_address(0));
  SimStorage::File* const found = storage_.file_of(file);
  if (found == nullptr) return -EBADF;
  if (fails) {
    found->dirty.clear();
    return -storage_.faults.fail_errno;
  }
  if (found->mapped) found->durable = found->cached;
  for (const SimStorage::Dirty& write : found->dirty) {
    storage_.store(found->durable, write.offset, write.bytes);
  }
  found->dirty.clear();
  return 0;
}

}  // namespace veredus::sim
