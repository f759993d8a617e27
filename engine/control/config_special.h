#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "engine/control/config_table.h"

namespace veredus::control {

// Settings with a form of their own.
extern const SpecialKind<Config> kPinSpecial, kModeSpecial, kUsersSpecial, kListenSpecial,
    kRedirectSpecial;
// The address of either family; that of IPv6 beside one of IPv4.
extern const SpecialKind<SourceSettings> kAddressSpecial, kAddress6Special;

// As TOML.
std::string toml_text(std::string_view text);
std::string toml_key(std::string_view name);
std::string toml_list(const std::vector<std::string>& texts);

}  // namespace veredus::control
