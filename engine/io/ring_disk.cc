#include "engine/io/ring_disk.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>

#include <unistd.h>

namespace veredus::io {
namespace {

// The kernel counts bytes in 32 bits; a short result is a result.
constexpr size_t kTransferMax = size_t{1} << 30;

unsigned length_of(size_t bytes) {
  return static_cast<unsigned>(std::min(bytes, kTransferMax));
}

[[noreturn]] void asynchronous_call() {
  std::fputs("veredus: bug: asynchronous call on a blocking disk\n", stderr);
  std::abort();
}

}  // namespace

RingDisk::~RingDisk() {
  if (under_way_ > 0) ring_.abandon();
}

RingDisk::Call& RingDisk::take_call(queue::DiskOperation& op) {
  if (free_.empty()) {
    free_.push_back(&calls_.emplace_back());
    free_.back()->disk = this;
  }
  Call& call = *free_.back();
  free_.pop_back();
  call.op = &op;
  ++under_way_;
  return call;
}

// The record is free again before the owner hears of it: it often begins the next call from there.
void RingDisk::Call::on_complete(int32_t result, uint32_t /*flags*/) {
  queue::DiskOperation& done = *op;
  --disk->under_way_;
  disk->free_.push_back(this);
  done.on_disk_done(result);
}

void RingDisk::file_job(Filer::Kind kind, std::string_view path, uint64_t bytes,
                        queue::DiskOperation& op) {
  Call& call = take_call(op);
  call.job.kind = kind;
  call.job.path = path;
  call.job.bytes = bytes;
  call.job.ring = &ring_;
  call.job.wake = &wake_;
  call.job.completion.operation = &call;
  filer_.start(call.job);
}

void RingDisk::create(std::string_view path, uint64_t bytes, queue::DiskOperation& op) {
  file_job(Filer::Kind::create, path, bytes, op);
}

void RingDisk::open(std::string_view path, queue::DiskOperation& op) {
  file_job(Filer::Kind::open, path, 0, op);
}

void RingDisk::remove(std::string_view path, queue::DiskOperation& op) {
  file_job(Filer::Kind::remove, path, 0, op);
}

void RingDisk::write(File file, uint64_t offset, std::span<const uint8_t> bytes,
                     queue::DiskOperation& op) {
  io_uring_prep_write(ring_.sqe(&take_call(op)), file, bytes.data(), length_of(bytes.size()),
                      offset);
}

void RingDisk::sync(File file, queue::DiskOperation& op) {
  io_uring_prep_fsync(ring_.sqe(&take_call(op)), file, IORING_FSYNC_DATASYNC);
}

void RingDisk::read(File file, uint64_t offset, std::span<uint8_t> bytes,
                    queue::DiskOperation& op) {
  io_uring_prep_read(ring_.sqe(&take_call(op)), file, bytes.data(), length_of(bytes.size()),
                     offset);
}

void RingDisk::close(File file) {
  ::close(file);
}

int64_t RingDisk::list_now(std::string_view directory, std::vector<Entry>& entries) {
  return filer_.files().list(directory, entries);
}

int64_t RingDisk::open_now(std::string_view path) {
  return filer_.files().open_for_reading(std::string(path));
}

int64_t RingDisk::sync_now(File file) {
  return fdatasync(file) == 0 ? 0 : -errno;
}

int64_t RingDisk::read_now(File file, uint64_t offset, std::span<uint8_t> bytes) {
  return SpoolFiles::read(file, offset, bytes);
}

// ----------------------------------------------------------------------------------- BlockingDisk

void BlockingDisk::create(std::string_view, uint64_t, queue::DiskOperation&) {
  asynchronous_call();
}

void BlockingDisk::open(std::string_view, queue::DiskOperation&) {
  asynchronous_call();
}

void BlockingDisk::write(File, uint64_t, std::span<const uint8_t>, queue::DiskOperation&) {
  asynchronous_call();
}

void BlockingDisk::sync(File, queue::DiskOperation&) {
  asynchronous_call();
}

void BlockingDisk::read(File, uint64_t, std::span<uint8_t>, queue::DiskOperation&) {
  asynchronous_call();
}

void BlockingDisk::remove(std::string_view, queue::DiskOperation&) {
  asynchronous_call();
}

void BlockingDisk::close(File file) {
  ::close(file);
}

int64_t BlockingDisk::list_now(std::string_view directory, std::vector<Entry>& entries) {
  return files_.list(directory, entries);
}

int64_t BlockingDisk::open_now(std::string_view path) {
  return files_.open_for_reading(std::string(path));
}

int64_t BlockingDisk::sync_now(File file) {
  return fdatasync(file) == 0 ? 0 : -errno;
}

int64_t BlockingDisk::read_now(File file, uint64_t offset, std::span<uint8_t> bytes) {
  return SpoolFiles::read(file, offset, bytes);
}

}  // namespace veredus::io
