#pragma once

#include <string_view>

// Names that people and programs give, and patterns of host names. Pure.
namespace veredus::queue {

// Names and ids of the feed's contract: 1–128 of letters, digits and . _ : @ -
bool is_name(std::string_view text);

// A name of the DNS as mail uses it, without trailing dot: labels of letters, digits and hyphens,
// 1–63 bytes each, 253 in all. In any case.
bool is_domain(std::string_view text);

// ".example.net" fits every name below example.net, "example.net" that name only. In any case.
bool fits_name(std::string_view pattern, std::string_view name);

}  // namespace veredus::queue
