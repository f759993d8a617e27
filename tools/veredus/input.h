#pragma once

#include <cstddef>
#include <string>

namespace veredus::tools {

// Reads all of a file, or of standard input if it is called "-". EX_OK, or the exit status, and the
// user has been told what is wrong.
int read_input(const std::string& name, size_t bytes_max, std::string& out);

}  // namespace veredus::tools
