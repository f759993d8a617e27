#include "queue/names.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"

namespace veredus::queue {
namespace {

constexpr size_t kNameBytesMax = 128;
constexpr size_t kDomainBytesMax = 253;
constexpr size_t kLabelBytesMax = 63;

bool is_label(std::string_view label) {
  if (label.empty() || label.size() > kLabelBytesMax) return false;
  return std::all_of(label.begin(), label.end(),
                     [](unsigned char c) { return absl::ascii_isalnum(c) || c == '-'; });
}

}  // namespace

bool is_name(std::string_view text) {
  if (text.empty() || text.size() > kNameBytesMax) return false;
  return std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return absl::ascii_isalnum(c) ||
           std::string_view("._:@-").find(static_cast<char>(c)) != std::string_view::npos;
  });
}

bool is_domain(std::string_view text) {
  if (text.size() > kDomainBytesMax) return false;
  for (;;) {
    const size_t dot = text.find('.');
    if (!is_label(text.substr(0, dot))) return false;
    if (dot == std::string_view::npos) return true;
    text.remove_prefix(dot + 1);
  }
}

bool fits_name(std::string_view pattern, std::string_view name) {
  const absl::string_view wanted(pattern.data(), pattern.size()), given(name.data(), name.size());
  if (!pattern.starts_with('.')) return absl::EqualsIgnoreCase(wanted, given);
  return name.size() > pattern.size() && absl::EndsWithIgnoreCase(given, wanted);
}

}  // namespace veredus::queue
