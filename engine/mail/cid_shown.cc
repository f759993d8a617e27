#include "engine/mail/cid_shown.h"

#include <algorithm>
#include <cstdint>
#include <string>

#include "engine/mail/header_field.h"
#include "engine/mail/html_entity.h"

namespace veredus::mail {
namespace {

constexpr std::string_view kScheme = "cid:";
constexpr size_t kCidMax = 255;  // bytes, decoded: kAttachmentNameMax

int digit_of(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char small = static_cast<char>(c | 0x20);
  return small >= 'a' && small <= 'f' ? small - 'a' + 10 : -1;
}

// What stands behind the scheme, decoded: up to what ends an attribute's value or a url(…).
std::string decoded(std::string_view text) {
  std::string made;
  while (!text.empty() && made.size() <= kCidMax) {
    const char c = text.front();
    uint32_t point = 0;
    if (c == '&' && take_entity(text, point)) {
      if (point <= 32 || point >= 127) break;
      made += static_cast<char>(point);
      continue;
    }
    if (c <= 32 || c >= 127 || std::string_view("\"'<>()").find(c) != std::string_view::npos) break;
    const int high = text.size() > 2 && c == '%' ? digit_of(text[1]) : -1;
    const int low = high >= 0 ? digit_of(text[2]) : -1;
    made += low >= 0 ? static_cast<char>(high * 16 + low) : c;
    text.remove_prefix(low >= 0 ? 3 : 1);
  }
  return made;
}

}  // namespace

std::vector<bool> cids_shown(std::string_view html, bool merge,
                             const std::vector<std::string_view>& cids) {
  std::vector<bool> shown(cids.size());
  std::vector<size_t> sorted;  // indices of those that are not found yet
  for (size_t i = 0; i < cids.size(); ++i) {
    if (!cids[i].empty()) sorted.push_back(i);
  }
  std::sort(sorted.begin(), sorted.end(), [&](size_t a, size_t b) { return cids[a] < cids[b]; });
  for (size_t colon = 0; !sorted.empty();) {
    colon = html.find(':', colon + 1);
    if (colon == std::string_view::npos) break;
    if (colon + 1 < kScheme.size()) continue;
    if (!same_name(html.substr(colon + 1 - kScheme.size(), kScheme.size()), kScheme)) continue;
    const std::string name = decoded(html.substr(colon + 1));
    if (merge && name.find("{{") != std::string::npos) {
      for (const size_t index : sorted) shown[index] = true;
      break;
    }
    const auto found = std::lower_bound(
        sorted.begin(), sorted.end(), name,
        [&](size_t index, const std::string& wanted) { return cids[index] < wanted; });
    if (found == sorted.end() || cids[*found] != name) continue;
    shown[*found] = true;
    sorted.erase(found);
  }
  return shown;
}

}  // namespace veredus::mail
