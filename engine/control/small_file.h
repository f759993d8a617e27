#pragma once

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"

namespace veredus::control {

// What a file of secrets holds: one that a setting names, of `most` bytes at most. Errors name it.
struct SmallFile {
  std::string bytes;
  bool others_may_read = false;  // or write
  std::string mark;              // file_mark() of the file that was read, as the reading began
};
absl::StatusOr<SmallFile> read_small_file(const std::string& path, size_t most);

// What tells whether a file is another than before, without reading it. Empty: it is not there.
std::string file_mark(const std::string& path);

}  // namespace veredus::control
