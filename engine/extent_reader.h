#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "queue/batch.h"
#include "queue/disk.h"

namespace veredus {

// Reads many frames of one journal back, in the order in which they were asked for: at start all
// extents in which somebody waits, later those that reclaim carries forward. Neighbours are read
// together, some reads ahead of what is taken. One thread.
class ExtentReader {
 public:
  // `disk` outlives it.
  ExtentReader(queue::Disk& disk, std::string directory);
  ~ExtentReader();
  ExtentReader(const ExtentReader&) = delete;
  ExtentReader& operator=(const ExtentReader&) = delete;

  void want(uint64_t token, const queue::Location& at);
  struct Got {
    uint64_t token = 0;
    absl::Status status;       // not ok: the disk would not give it
    std::string_view payload;  // valid until the next call of next()
  };
  // False: nothing is there yet, or nothing is wanted any more.
  bool next(Got& got);
  // Wanted and not taken.
  bool empty() const { return wanted_.empty() && windows_.empty(); }
  // Whether the disk is at work for it: it must not go now.
  bool busy() const { return under_way_ > 0; }
  // What was wanted and not taken is never given.
  void forget_wanted();

 private:
  static constexpr uint64_t kWindowBytes = 1u << 20;  // of neighbours that are read together
  static constexpr uint64_t kGapBytes = 64u << 10;    // between them that is read in vain
  static constexpr size_t kWindowsMax = 4;
  struct File;
  struct Window;
  struct Wanted {
    uint64_t token;
    queue::Location at;
  };

  void read_on();
  void start(Window& window);
  void file_opened(File& file);
  void window_read(Window& window, int64_t result);
  void close_files();
  void drop_abandoned(const Window& window);

  queue::Disk& disk_;
  const std::string directory_;
  std::deque<Wanted> wanted_;
  std::deque<std::unique_ptr<Window>> windows_;
  std::vector<std::unique_ptr<Window>> abandoned_;   // the disk is at work for them still
  std::unique_ptr<Window> taken_;                    // whose payload was given last
  std::map<uint32_t, std::unique_ptr<File>> files_;  // by segment
  size_t under_way_ = 0;
};

}  // namespace veredus
