#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "engine/control/config.h"

namespace veredus::control {

// The settings of the file, each once: what parsing, check-config and the list of known names all
// go by.

inline constexpr int64_t kMs = 1'000'000;
inline constexpr int64_t kSecond = 1000 * kMs;
inline constexpr int64_t kMinute = 60 * kSecond;
inline constexpr int64_t kHour = 60 * kMinute;
inline constexpr int64_t kDay = 24 * kHour;
inline constexpr uint64_t kKiB = 1024;
inline constexpr uint64_t kMiB = 1024 * kKiB;
inline constexpr uint64_t kGiB = 1024 * kMiB;
inline constexpr uint64_t kSpoolBytesMax = 1'000'000 * kGiB;
inline constexpr uint64_t kTenantBytesMax = 1'000'000 * kGiB;
inline constexpr uint64_t kTenantWaitingMax = 1'000'000'000;

struct DurationSetting {
  int64_t Config::*value;
  int64_t min, max;
};
template <class T>
struct BytesSettingOf {
  T Config::*value;
  uint64_t min, max;
};
using BytesSetting = BytesSettingOf<uint64_t>;
using SmallBytesSetting = BytesSettingOf<uint32_t>;
template <class T>
struct CountSettingOf {
  T Config::*value;
  uint64_t min, max;
  const char* zero;  // what 0 means; null: nothing special
};
using CountSetting = CountSettingOf<unsigned>;
using BigCountSetting = CountSettingOf<uint64_t>;
using PortSetting = CountSettingOf<uint16_t>;
struct RealSetting {
  double Config::*value;
  double min, max;
};
struct FlagSetting {
  bool Config::*value;
};
struct TextSetting {
  std::string Config::*value;
  const char*
      rule;  // what it must look like, in words; checked where the words are (config_check.cc)
};
struct TextsSetting {
  std::vector<std::string> Config::*value;
  const char* rule;
};
// Those with a form of their own.
enum class SpecialSetting : uint8_t { pin, mode, users, listen, in_doubt };

struct Setting {
  std::string_view table, key;
  std::variant<DurationSetting, BytesSetting, SmallBytesSetting, CountSetting, BigCountSetting,
               PortSetting, RealSetting, FlagSetting, TextSetting, TextsSetting, SpecialSetting>
      kind;
  std::string_view help;
};
std::span<const Setting> all_settings();
inline constexpr int64_t kInDoubtDelayMin = kSecond;
inline constexpr int64_t kInDoubtDelayMax = kDay;

// Of the known names the one that was probably meant; empty: none is near.
std::string nearest_name(std::string_view wrong, const std::vector<std::string>& known);
// A policy as it is written: retry, hold, assume-delivered.
std::string_view in_doubt_text(Config::InDoubt policy);

// What the types alone do not say: addresses, names, and settings that must fit each other. Empty:
// all is well; else "table.key" and what is wrong with it.
struct ConfigFault {
  std::string setting;  // "retry.initial", "sources[1].address"
  std::string what;
};
std::vector<ConfigFault> check_config(const Config& config);

}  // namespace veredus::control
