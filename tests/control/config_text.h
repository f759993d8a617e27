#pragma once

#include <string>
#include <string_view>

#include "engine/control/config.h"
#include "engine/control/settings.h"
#include "gtest/gtest.h"

// What comes of the text of a configuration.

namespace veredus::control {

inline Config good(std::string_view text) {
  const absl::StatusOr<Config> config = parse_config(text, "a.toml");
  EXPECT_TRUE(config.ok()) << config.status().ToString() << "\n" << text;
  return config.ok() ? *config : Config{};
}

inline EngineSettings settings_of(std::string_view text) {
  const absl::StatusOr<EngineSettings> settings = engine_settings(good(text));
  EXPECT_TRUE(settings.ok()) << settings.status().ToString() << "\n" << text;
  return settings.ok() ? *settings : EngineSettings{};
}

inline const Provider& provider(const EngineSettings& settings, std::string_view name) {
  static const Provider none;
  for (const Provider& known : settings.providers) {
    if (known.name == name) return known;
  }
  ADD_FAILURE() << "no provider " << name;
  return none;
}

inline std::string at(const Origin& origin) {
  return origin.setting + " " + origin.file + ":" + std::to_string(origin.line);
}

}  // namespace veredus::control
