#include "engine/io/filer.h"

#include <utility>

#include <pthread.h>
#include <signal.h>

namespace veredus::io {

Filer::Filer(SpoolFiles files) : files_(std::move(files)) {
  // Signals are for the thread that waits for them, never for these.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  making_.thread = std::thread([this] { run(making_, "filer"); });
  opening_.thread = std::thread([this] { run(opening_, "opener"); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

Filer::~Filer() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  for (Line* const line : {&making_, &opening_}) {
    line->changed.notify_one();
    line->thread.join();
  }
}

void Filer::start(Job& job) {
  Line& line = job.kind == Kind::open ? opening_ : making_;
  {
    const std::lock_guard lock(mutex_);
    line.waiting.push_back(&job);
  }
  line.changed.notify_one();
}

void Filer::run(Line& line, const char* name) {
  pthread_setname_np(pthread_self(), name);
  std::unique_lock lock(mutex_);
  while (true) {
    line.changed.wait(lock, [&] { return ending_ || !line.waiting.empty(); });
    if (ending_) return;
    Job& job = *line.waiting.front();
    line.waiting.pop_front();
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
