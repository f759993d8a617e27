#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "engine/control/config_special.h"
#include "engine/control/config_table.h"

// Delivery windows: one text or a list of them, as queue::parse_windows() takes them.

namespace veredus::control {

inline constexpr const char* kWindowsHelp =
    "in which mail goes there, as in \"Mo-Fr 08:00-20:00 Europe/Berlin\"; []: always";

// [] is none. The error stands at the text that is wrong.
absl::Status take_windows(const Reading& reading, std::vector<std::string>& into);
// Of texts that take_windows() took. nullptr: none, always open.
std::shared_ptr<const queue::DeliveryWindows> windows_of(const std::vector<std::string>& texts);

// Path: to the texts.
template <class Of, auto... Path>
SpecialKind<Of> windows_kind() {
  constexpr auto kFind = member<Of, Path...>;
  using Texts = Field<Of, std::vector<std::string>>;
  return {[](const Reading& reading, Of& of) { return take_windows(reading, Texts(kFind).in(of)); },
          [](const Of& of) { return toml_list(kFind(of)); },
          [](const Of& from, Of& to) { Texts(kFind).in(to) = kFind(from); }};
}

}  // namespace veredus::control
