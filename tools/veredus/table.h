#pragma once

#include <string>
#include <vector>

namespace veredus::tools {

// Columns as wide as their longest cell; the first one to the left, numbers to the right.
void print_table(const std::vector<std::vector<std::string>>& rows);

}  // namespace veredus::tools
