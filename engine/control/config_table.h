#pragma once

#include <array>
#include <concepts>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "engine/control/config.h"

namespace veredus::control {

// The settings of the file, each once: what parsing, check-config, reload and the list of known
// names all go by.

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
inline constexpr uint64_t kWeightMax = 1000;
inline constexpr uint64_t kRateMax = 1'000'000'000;  // of connections or messages
inline constexpr uint64_t kByteRateMax = 1024 * kGiB;

// Where a value lies in an Of: by members of members.
template <class Of, auto... Path>
const auto& member(const Of& of) {
  return (of.*....*Path);
}

template <class Of, class T>
class Field {
 public:
  using Find = const T& (*)(const Of&);
  template <std::convertible_to<Find> F>
  constexpr Field(F find) : find_(find) {}

  const T& in(const Of& of) const { return find_(of); }
  // Who may change the whole may change its parts.
  T& in(Of& of) const { return const_cast<T&>(find_(of)); }

 private:
  Find find_;
};

// One value of the file, as it is being read.
struct Reading;

template <class Of>
struct DurationKind {
  Field<Of, int64_t> field;  // ns
  int64_t min, max;
  const char* zero = nullptr;  // what 0 means; null: nothing special
};
template <class Of>
struct DurationsKind {
  Field<Of, std::vector<int64_t>> field;  // ns
  int64_t min, max;                       // of each
  size_t count_max;
};
template <class Of, class T>
struct BytesKind {
  Field<Of, T> field;
  uint64_t min, max;
};
template <class Of, class T>
struct CountKind {
  Field<Of, T> field;
  uint64_t min, max;
  const char* zero;  // as above
};
template <class Of>
struct RealKind {
  Field<Of, double> field;
  double min, max;
};
template <class Of>
struct FlagKind {
  Field<Of, bool> field;
};
template <class Of>
struct TextKind {
  Field<Of, std::string> field;
  const char*
      rule;  // what it must look like, in words; checked where all is there (config_check.cc)
};
template <class Of>
struct TextsKind {
  Field<Of, std::vector<std::string>> field;
  const char* rule;
  bool (*fits)(std::string_view) = nullptr;  // each; null: checked later, likewise
};
template <class Of>
struct RateKind {
  Field<Of, queue::Rate> field;
  bool bytes;  // else things
};
// One of some words.
template <class Of>
struct ChoiceKind {
  std::span<const std::string_view> words;
  size_t (*get)(const Of&);
  void (*set)(Of&, size_t);
};
// Those with a form of their own.
template <class Of>
struct SpecialKind {
  absl::Status (*read)(const Reading&, Of&);
  std::string (*show)(const Of&);  // as TOML
  void (*copy)(const Of& from, Of& to);
};

// When a change of it begins to hold.
enum class Applies : uint8_t { at_start, at_reload };

template <class Of>
struct SettingOf {
  std::string_view table;  // "": of the heading itself
  std::string_view key;
  std::variant<DurationKind<Of>, DurationsKind<Of>, BytesKind<Of, uint64_t>,
               BytesKind<Of, uint32_t>, CountKind<Of, unsigned>, CountKind<Of, uint64_t>,
               CountKind<Of, uint16_t>, RealKind<Of>, FlagKind<Of>, TextKind<Of>, TextsKind<Of>,
               RateKind<Of>, ChoiceKind<Of>, SpecialKind<Of>>
      kind;
  std::string_view help;
  Applies applies = Applies::at_start;

  std::string name() const {
    return table.empty() ? std::string(key) : std::string(table) + "." + std::string(key);
  }
};
template <class Of>
using Settings = std::span<const SettingOf<Of>>;

using Setting = SettingOf<Config>;
Settings<Config> all_settings();  // [node] … [cache]
// Of one heading each.
Settings<Config::ProviderRule> provider_settings();
Settings<ProviderGroup> group_settings();
Settings<SourceSettings> source_settings();
Settings<Config::Route> route_settings();
Settings<Config::Dkim> dkim_settings();
// Is never shown, and compared by itself.
inline constexpr std::string_view kPasswordSetting = "auth.password";
// The setting of [smtp], [retry] or [in_doubt] that holds where a provider does not say: of
// "host_down" "smtp.host_down". Empty: there is none.
std::string top_name(std::string_view provider_setting);
// The tables that have a form of their own, beside those of all_settings().
inline constexpr std::array<std::string_view, 7> kOwnTables = {
    "sources", "pools", "providers", "groups", "routes", "dkim", "tenants"};

template <class Of>
struct CopyValue {
  const Of& from;
  Of& to;
  void operator()(const ChoiceKind<Of>& kind) const { kind.set(to, kind.get(from)); }
  void operator()(const SpecialKind<Of>& kind) const { kind.copy(from, to); }
  void operator()(const auto& kind) const { kind.field.in(to) = kind.field.in(from); }
};
// Makes the setting in `to` as it is in `from`.
template <class Of>
void copy_value(const SettingOf<Of>& setting, const Of& from, Of& to) {
  std::visit(CopyValue<Of>{from, to}, setting.kind);
}

template <class Of>
struct CompareValue {
  const Of& a;
  const Of& b;
  bool operator()(const ChoiceKind<Of>& kind) const { return kind.get(a) == kind.get(b); }
  bool operator()(const SpecialKind<Of>& kind) const { return kind.show(a) == kind.show(b); }
  bool operator()(const auto& kind) const { return kind.field.in(a) == kind.field.in(b); }
};
template <class Of>
bool same_value(const SettingOf<Of>& setting, const Of& a, const Of& b) {
  return std::visit(CompareValue<Of>{a, b}, setting.kind);
}

inline constexpr int64_t kInDoubtDelayMin = kSecond;
inline constexpr int64_t kInDoubtDelayMax = kDay;
inline constexpr std::array<std::string_view, 3> kInDoubtWords = {
    "retry", "hold", "assume-delivered"};  // by InDoubtPolicy
inline constexpr std::array<std::string_view, 4> kAdmissionWords = {
    "off", "warn", "fix", "refuse"};  // by intake::AdmissionMode
inline constexpr const char* kFindingName =
    "the name of a finding, as in \"feedback-id-missing\": engine/intake/README.md has all";
bool is_finding(std::string_view name);
inline constexpr std::array<std::string_view, 4> kFamilyWords = {
    "prefer-ipv6", "prefer-ipv4", "ipv6-only", "ipv4-only"};  // by AddressFamily

inline constexpr std::array<std::string_view, 3> kTlsWords = {"none", "opportunistic",
                                                              "required"};  // by smtp::TlsUse

// Of the known names the one that was probably meant; empty: none is near.
std::string nearest_name(std::string_view wrong, const std::vector<std::string>& known);
// ": did you mean …?", or the names there are.
std::string known_text(std::string_view wrong, const std::vector<std::string>& known);
// A policy as it is written: retry, hold, assume-delivered.
std::string_view in_doubt_text(InDoubtPolicy policy);

// What the types alone do not say: addresses, names, and settings that must fit each other. Empty:
// all is well; else "table.key" and what is wrong with it.
struct ConfigFault {
  std::string setting;  // "retry.initial", "sources[1].address"
  std::string what;
};
std::vector<ConfigFault> check_config(const Config& config);
// The part of it about how mail is sent: providers, groups, sources, pools.
void check_sending(const Config& config, std::vector<ConfigFault>& faults);
// … and static routes.
void check_routes(const Config& config, std::vector<ConfigFault>& faults);
// … and signing identities.
void check_dkim(const Config& config, std::vector<ConfigFault>& faults);

}  // namespace veredus::control
