#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
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
// Read up to the first record that is damaged or cut off; what stands behind it is lost, and asked
// for again. Plain blocking calls: for a thread that may wait.
class StsFile {
 public:
  static constexpr char kVersion = 1;
  static constexpr size_t kBytesMax = 256 << 20;  // of the file

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
  absl::Status write_anew(int64_t wall_s);
  absl::Status error(std::string_view what) const;

  const std::string path_;
  std::map<std::string, tls::CachedSts, std::less<>> live_;
  uint64_t bytes_ = 0, live_bytes_ = 0;  // of the file; about so many of it hold
  int fd_ = -1;
  bool foreign_ = false;
};

}  // namespace veredus
