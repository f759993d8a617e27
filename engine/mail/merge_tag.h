#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace veredus::mail {

inline constexpr size_t kVariableNameMax = 64;  // bytes, of [A-Za-z0-9_.-]

// One {{…}} of a template, as it is written. The views point into the text.
struct MergeTag {
  enum class Kind : uint8_t {
    literal,   // {{"{{"}}: the two braces themselves
    value,     // {{name}}, {{name|text}}
    raw,       // {{{name}}}, {{{name|text}}}: not escaped in HTML
    open,      // {{#name}}
    inverted,  // {{^name}}
    close,     // {{/name}}
  };
  Kind kind = Kind::value;
  bool has_fallback = false;
  std::string_view name;      // empty for a literal
  std::string_view fallback;  // what stands behind |, blanks and all
  size_t begin = 0, end = 0;  // in the text, braces included
};

// Reads the tag that begins at `at`, where "{{" stands. A tag ends on its line. False: `why_not`
// (static) says what is wrong with it.
bool read_merge_tag(std::string_view text, size_t at, MergeTag& tag, std::string_view& why_not);

// Offset behind the tag at `at`, or behind its braces if it is none: for readers of what stands
// around tags.
size_t behind_merge_tag(std::string_view text, size_t at);

}  // namespace veredus::mail
