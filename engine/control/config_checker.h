#pragma once

#include <string>
#include <utility>
#include <vector>

#include "engine/control/config_table.h"
#include "queue/names.h"

namespace veredus::control {

// What checks of things with names have in common: [routes.NAME], [dkim.NAME].
class NamedChecker {
 protected:
  NamedChecker(const Config& config, std::vector<ConfigFault>& faults)
      : config_(config), faults_(faults) {}

  // All is about this one from now on.
  void begin(const std::string& table, const std::string& name) {
    where_ = table + "." + name;
    if (!queue::is_name(name))
      fault("", quoted(name) + " is no name: 1–128 of A–Z a–z 0–9 . _ : @ -");
  }
  // `setting`: ".hosts", or "" for all of it.
  void fault(const std::string& setting, std::string what) {
    faults_.push_back({where_ + setting, std::move(what)});
  }
  bool is_set(const std::string& setting) const {
    return config_.places.contains(where_ + setting);
  }
  static std::string quoted(const std::string& text) { return "\"" + text + "\""; }

  const Config& config_;

 private:
  std::vector<ConfigFault>& faults_;
  std::string where_;
};

}  // namespace veredus::control
