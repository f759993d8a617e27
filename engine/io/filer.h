#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <thread>

#include "engine/io/ports.h"
#include "engine/io/ring.h"
#include "engine/io/spool_files.h"

namespace veredus::io {

// Makes, opens and unlinks files for all shards: zeroing a segment takes longer than a turn may.
// One thread of the process makes and unlinks, another opens, for who wants to read must not wait
// until somebody's segment is zeroed; each takes one job at a time, in the order given. The answer
// comes back through the shard's ring and wake.
class Filer {
 public:
  enum class Kind : uint8_t { create, open, remove };
  // Lives until its operation has run; its owner is told the result (≥ 0 or -errno) by
  // `completion.operation`.
  struct Job {
    Kind kind = Kind::open;
    std::string path;
    uint64_t bytes = 0;
    Ring* ring = nullptr;
    Wake* wake = nullptr;
    RemoteCompletion completion;
  };

  explicit Filer(SpoolFiles files);
  // Finishes the jobs under way, drops those that wait. Goes before the rings and wakes of its
  // users.
  ~Filer();
  Filer(const Filer&) = delete;
  Filer& operator=(const Filer&) = delete;

  void start(Job& job);  // any thread
  const SpoolFiles& files() const { return files_; }

 private:
  struct Line {
    std::condition_variable changed;
    std::deque<Job*> waiting;  // bounded by the operations that their owners have
    std::thread thread;
  };
  void run(Line& line, const char* name);

  const SpoolFiles files_;
  std::mutex mutex_;
  Line making_, opening_;
  bool ending_ = false;
};

}  // namespace veredus::io
