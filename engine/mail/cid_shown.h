#pragma once

#include <string_view>
#include <vector>

namespace veredus::mail {

// Which of `cids` (without <>; empty ones are none) HTML refers to as `cid:…` (RFC 2392), anywhere
// in it, percent-encoded or with entities or not. With `merge`, one with {{…}} in it may be any of
// them. Linear in the HTML.
std::vector<bool> cids_shown(std::string_view html, bool merge,
                             const std::vector<std::string_view>& cids);

}  // namespace veredus::mail
