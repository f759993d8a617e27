#pragma once

#include <array>
#include <cstddef>
#include <string_view>
#include <utility>

namespace veredus::mail {

// A tag of HTML, or a comment, as it stands: names in any case, values with their entities.
struct Markup {
  static constexpr size_t kAttributesMax = 32;  // further ones are passed over

  std::string_view name;  // empty: a comment, or the like
  bool closes = false;    // </name>
  std::array<std::pair<std::string_view, std::string_view>, kAttributesMax> attributes;
  size_t attribute_count = 0;

  // `small`: in small letters. Empty: it has none of that name.
  std::string_view attribute(std::string_view small) const;
};

// What begins with the < at the front of `html` is taken off it; all the rest, where it is not
// closed, as HTML has it. {{…}} within are passed over when `merge`. False: that < is text, and
// nothing is taken.
bool take_markup(std::string_view& html, bool merge, Markup& found);

// Takes off `html` all up to and including </name …>; all of it, if there is none.
void skip_to_end_of(std::string_view& html, std::string_view name);

}  // namespace veredus::mail
