#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "engine/tls/mta_sts.h"

namespace veredus {

// MTA-STS policies on disk, so that a restart does not open the door that they keep shut (RFC 8461
// §5.1 has them cached for up to a year). A log: what is kept is appended, the last record of a
// domain holds, and the file is written anew when most of it holds no more.
//
//   file    version byte 1, then records
//   record  u32 length of the body, u32 CRC-32C of it (both little-endian), body: as
//           tls::encode() has it
//
// A record that is damaged is passed over, by its length; what cannot be read on is lost, and asked
// for again. What is over first goes where there is too much. Plain blocking calls: for a thread
// that may wait.
class StsFile {
 public:
  static constexpr char kVersion = 1;
  static constexpr size_t kBytesMax = 256 << 20;     // of the file
  static constexpr size_t kLiveBytesMax = 64 << 20;  // of it: that hold

  explicit StsFile(std::string path) : path_(std::move(path)) {}
  ~StsFile();
  StsFile(const StsFile&) = delete;
  StsFile& operator=(const StsFile&) = delete;

  // What was kept, without what is over at `wall_s` (Unix time). Once, first. A file that is not
  // there is empty. FailedPrecondition: another version, by a newer program; it is left alone, and
  // nothing is kept by this one. DataLoss: the rest is there, some was damaged; that is mended.
  // Otherwise as errno has it.
  absl::Status load(int64_t wall_s, std::vector<tls::CachedSts>& out);
  // On disk when this returns, unless it says otherwise. The file is whole after an error, too, and
  // the next call tries again.
  absl::Status keep(const std::vector<tls::CachedSts>& cached, int64_t wall_s);

 private:
  void take(tls::CachedSts cached, uint64_t bytes);
  void drop(const std::string& domain);
  absl::Status write_anew(int64_t wall_s);
  absl::Status error(std::string_view what) const;

  const std::string path_;
  struct Live {
    tls::CachedSts cached;
    uint64_t bytes = 0;  // of its record
  };
  std::map<std::string, Live, std::less<>> live_;
  std::set<std::pair<int64_t, std::string>> ends_;  // of these: when each is over
  uint64_t bytes_ = 0, live_bytes_ = 0;             // of the file; so many of it hold
  int fd_ = -1;
  bool foreign_ = false;
};

}  // namespace veredus
