#include "engine/io/filer.h"

#include <utility>

#include <pthread.h>
#include <signal.h>

namespace veredus::io {

Filer::Filer(SpoolFiles files) : files_(std::move(files)) {
  // Signals are for the thread that waits for them, never for this one.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  thread_ = std::thread([this] { run(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

Filer::~Filer() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void Filer::start(Job& job) {
  {
    const std::lock_guard lock(mutex_);
    waiting_.push_back(&job);
  }
  changed_.notify_one();
}

void Filer::run() {
  pthread_setname_np(pthread_self(), "filer");
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return ending_ || !waiting_.empty(); });
    if (ending_) return;
    Job& job = *waiting_.front();
    waiting_.pop_front();
    lock.unlock();
    int64_t result = 0;
    switch (job.kind) {
      case Kind::create:
        result = files_.create(job.path, job.bytes);
        break;
      case Kind::open:
        result = files_.open_for_reading(job.path);
        break;
      case Kind::remove:
        result = files_.remove(job.path);
        break;
    }
    Wake& wake = *job.wake;
    job.completion.result = static_cast<int32_t>(result);
    job.ring->post_remote(job.completion);  // from here on the job is the shard's
    wake.wake();
    lock.lock();
  }
}

}  // namespace veredus::io
