#include <charconv>
#include <cstdio>

#include "engine/control/config_table.h"
#include "engine/intake/json_writer.h"

// The configuration as TOML again, each setting with what it means, its unit and its range.

namespace veredus::control {
namespace {

std::string quoted(std::string_view text) {
  std::string out;
  intake::append_json_string(text, out);  // a JSON string is a TOML basic string
  return out;
}

std::string list_of(const std::vector<std::string>& texts) {
  std::string out = "[";
  for (const std::string& text : texts) {
    if (out.size() > 1) out += ", ";
    out += quoted(text);
  }
  return out + "]";
}

template <class T>
std::string numbers_of(const std::vector<T>& numbers) {
  std::string out = "[";
  for (const T number : numbers) {
    if (out.size() > 1) out += ", ";
    out += std::to_string(number);
  }
  return out + "]";
}

std::string real_text(double number) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.4g", number);
  std::string out = text.data();
  return out.find('.') == std::string::npos ? out + ".0" : out;
}

struct Shown {
  std::string value;
  std::string range;
};

Shown show_special(const Config& config, SpecialSetting kind) {
  switch (kind) {
    case SpecialSetting::pin:
      return {
          config.pin_cores.empty() ? (config.pin ? "true" : "false") : numbers_of(config.pin_cores),
          ""};
    case SpecialSetting::mode: {
      std::array<char, 16> text{};
      std::snprintf(text.data(), text.size(), "\"%04o\"", static_cast<unsigned>(config.feed_mode));
      return {text.data(), ""};
    }
    case SpecialSetting::users:
      return {numbers_of(config.feed_users), ""};
    case SpecialSetting::listen: {
      if (!config.http_on) return {"\"off\"", ""};
      const bool v6 = config.http_address.find(':') != std::string::npos;
      return {quoted((v6 ? "[" + config.http_address + "]" : config.http_address) + ":" +
                     std::to_string(config.http_port)),
              ""};
    }
    case SpecialSetting::in_doubt:
      break;
  }
  return {quoted(in_doubt_text(config.in_doubt)), "retry, hold, assume-delivered"};
}

template <class T>
Shown show_count(const Config& config, const CountSettingOf<T>& kind) {
  std::string range = std::to_string(kind.min) + " to " + std::to_string(kind.max);
  if (kind.zero != nullptr) range += std::string("; 0: ") + kind.zero;
  return {std::to_string(config.*kind.value), range};
}

template <class T>
Shown show_bytes(const Config& config, const BytesSettingOf<T>& kind) {
  return {quoted(bytes_text(config.*kind.value)),
          bytes_text(kind.min) + " to " + bytes_text(kind.max)};
}

struct Show {
  const Config& config;
  Shown operator()(const DurationSetting& kind) const {
    return {quoted(duration_text(config.*kind.value)),
            duration_text(kind.min) + " to " + duration_text(kind.max)};
  }
  Shown operator()(const BytesSetting& kind) const { return show_bytes(config, kind); }
  Shown operator()(const SmallBytesSetting& kind) const { return show_bytes(config, kind); }
  Shown operator()(const CountSetting& kind) const { return show_count(config, kind); }
  Shown operator()(const BigCountSetting& kind) const { return show_count(config, kind); }
  Shown operator()(const PortSetting& kind) const { return show_count(config, kind); }
  Shown operator()(const RealSetting& kind) const {
    return {real_text(config.*kind.value), real_text(kind.min) + " to " + real_text(kind.max)};
  }
  Shown operator()(const FlagSetting& kind) const {
    return {config.*kind.value ? "true" : "false", ""};
  }
  Shown operator()(const TextSetting& kind) const { return {quoted(config.*kind.value), ""}; }
  Shown operator()(const TextsSetting& kind) const { return {list_of(config.*kind.value), ""}; }
  Shown operator()(SpecialSetting kind) const { return show_special(config, kind); }
};

}  // namespace

std::string_view in_doubt_text(Config::InDoubt policy) {
  switch (policy) {
    case Config::InDoubt::retry:
      return "retry";
    case Config::InDoubt::hold:
      return "hold";
    case Config::InDoubt::assume_delivered:
      break;
  }
  return "assume-delivered";
}

std::string describe_config(const Config& config) {
  std::string out;
  std::string_view table;
  for (const Setting& setting : all_settings()) {
    if (setting.table != table) {
      table = setting.table;
      if (!out.empty()) out += '\n';
      out += "[" + std::string(table) + "]\n";
    }
    const Shown shown = std::visit(Show{config}, setting.kind);
    std::string line = std::string(setting.key) + " = " + shown.value;
    if (line.size() < 40) line.append(40 - line.size(), ' ');
    out += line + "  # " + std::string(setting.help);
    if (!shown.range.empty()) out += " (" + shown.range + ")";
    out += '\n';
  }
  for (const Config::Source& source : config.sources) {
    out += "\n[[sources]]\nname = " + quoted(source.name) +
           "\naddress = " + quoted(source.address) + "\nehlo = " + quoted(source.ehlo) + "\n";
  }
  for (const Config::InDoubtRule& rule : config.in_doubt_rules) {
    out += "\n[[in_doubt.rules]]\n";
    if (!rule.match.empty()) out += "match = " + quoted(rule.match) + "\n";
    if (!rule.domain.empty()) out += "domain = " + quoted(rule.domain) + "\n";
    if (rule.policy) out += "policy = " + quoted(in_doubt_text(*rule.policy)) + "\n";
    if (rule.delay_ns) out += "delay = " + quoted(duration_text(*rule.delay_ns)) + "\n";
  }
  for (const Config::Tenant& tenant : config.tenants) {
    out += "\n[tenants." + quoted(tenant.name) + "]\n";
    if (tenant.waiting) out += "waiting = " + std::to_string(*tenant.waiting) + "\n";
    if (tenant.bytes) out += "bytes = " + quoted(bytes_text(*tenant.bytes)) + "\n";
  }
  return out;
}

}  // namespace veredus::control
