#include "engine/control/config.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <system_error>

#include <netdb.h>
#include <pwd.h>
#include <unistd.h>

#include "engine/control/config_table.h"
#include "toml++/toml.h"

namespace veredus::control {
namespace {

constexpr uint64_t kFileBytesMax = 16 * kMiB;

std::string user_text(std::string_view text) {
  return "\"" + std::string(text) + "\"";
}

std::string full_host_name() {
  std::array<char, 256> name{};
  if (gethostname(name.data(), name.size() - 1) != 0 || name[0] == '\0') return "localhost";
  std::string host = name.data();
  if (host.find('.') != std::string::npos) return host;
  addrinfo hints{};
  hints.ai_flags = AI_CANONNAME;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(host.c_str(), nullptr, &hints, &found) == 0) {
    if (found != nullptr && found->ai_canonname != nullptr) host = found->ai_canonname;
    freeaddrinfo(found);
  }
  return host;
}

// Reads one document into a Config. Stops at the first fault, which it words with its place.
class Reader {
 public:
  Reader(Config& config, const std::string& file) : config_(config), file_(file) {}

  absl::Status read(const toml::table& root) {
    for (const auto& [key, node] : root) {
      if (absl::Status status = read_table(key.str(), node); !status.ok()) return status;
    }
    return absl::OkStatus();
  }

  absl::Status check() {
    for (const ConfigFault& fault : check_config(config_)) {
      return absl::InvalidArgumentError(place_of(fault.setting) + fault.setting + ": " +
                                        fault.what);
    }
    return absl::OkStatus();
  }

 private:
  using Places = std::vector<std::pair<std::string, toml::source_region>>;

  std::string place(const toml::source_region& at) const {
    return file_ + ":" + std::to_string(at.begin.line) + ":" + std::to_string(at.begin.column) +
           ": ";
  }
  std::string place_of(const std::string& setting) const {
    for (const auto& [name, at] : places_) {
      if (name == setting) return place(at);
    }
    return file_.empty() ? "" : file_ + ": ";
  }
  absl::Status fault(const toml::node& node, const std::string& what) const {
    return absl::InvalidArgumentError(place(node.source()) + what);
  }
  absl::Status unknown(const toml::key& key, const std::string& kind,
                       const std::vector<std::string>& known) const {
    const std::string best = nearest_name(key.str(), known);
    std::string what = "there is no " + kind + " " + user_text(key.str());
    if (!best.empty()) {
      what += ": did you mean " + user_text(best) + "?";
    } else {
      what += "; known are";
      for (const std::string& name : known) what += " " + name;
    }
    return absl::InvalidArgumentError(place(key.source()) + what);
  }

  absl::Status read_table(std::string_view table, const toml::node& node);
  absl::Status read_sources(const toml::node& node);
  absl::Status read_tenants(const toml::node& node);
  absl::Status read_in_doubt_rules(const toml::node& node);
  absl::Status read_in_doubt_rule(const std::string& where, const toml::table& entries);
  absl::Status read_tenant(const toml::key& name, const toml::node& node);
  absl::Status read_setting(const Setting& setting, const std::string& name,
                            const toml::node& node);

  template <class T>
  absl::Status read_count(const CountSettingOf<T>& kind, const std::string& name,
                          const toml::node& node) {
    uint64_t number = 0;
    const absl::Status status = take_count(name, node, kind.min, kind.max, number);
    config_.*kind.value = static_cast<T>(number);
    return status;
  }
  absl::Status take_count(const std::string& name, const toml::node& node, uint64_t min,
                          uint64_t max, uint64_t& into) const;
  template <class T>
  absl::Status read_bytes(const BytesSettingOf<T>& kind, const std::string& name,
                          const toml::node& node) {
    uint64_t bytes = 0;
    const absl::Status status = take_bytes(name, node, kind.min, kind.max, bytes);
    config_.*kind.value = static_cast<T>(bytes);
    return status;
  }
  absl::Status take_bytes(const std::string& name, const toml::node& node, uint64_t min,
                          uint64_t max, uint64_t& into) const;
  absl::Status take_duration(const std::string& name, const toml::node& node, int64_t min,
                             int64_t max, int64_t& into) const;
  absl::Status take_in_doubt(const std::string& name, const toml::node& node,
                             Config::InDoubt& into) const;
  absl::Status read_texts(const TextsSetting& kind, const std::string& name,
                          const toml::node& node);
  absl::Status read_special(SpecialSetting kind, const std::string& name, const toml::node& node);
  absl::Status read_pin(const std::string& name, const toml::node& node);
  absl::Status read_users(const std::string& name, const toml::node& node);
  absl::Status read_listen(const std::string& name, const toml::node& node);

  Config& config_;
  const std::string file_;
  Places places_;
};

absl::Status Reader::read_table(std::string_view table, const toml::node& node) {
  if (table == "sources") return read_sources(node);
  if (table == "tenants") return read_tenants(node);
  std::vector<std::string> keys, tables = {"sources", "tenants"};
  for (const Setting& setting : all_settings()) {
    if (setting.table == table) keys.emplace_back(setting.key);
    if (tables.back() != setting.table) tables.emplace_back(setting.table);
  }
  if (keys.empty()) {
    return unknown(toml::key(table, node.source()), "table", tables);
  }
  const toml::table* entries = node.as_table();
  if (entries == nullptr) {
    return fault(node, std::string(table) + " is a table: write [" + std::string(table) +
                           "] on a line of its own");
  }
  for (const auto& [key, value] : *entries) {
    if (table == "in_doubt" && key.str() == "rules") {
      if (absl::Status status = read_in_doubt_rules(value); !status.ok()) return status;
      continue;
    }
    const Setting* found = nullptr;
    for (const Setting& setting : all_settings()) {
      if (setting.table == table && setting.key == key.str()) found = &setting;
    }
    if (found == nullptr) {
      return unknown(key, "setting in [" + std::string(table) + "]", keys);
    }
    const std::string name = std::string(table) + "." + std::string(key.str());
    places_.emplace_back(name, value.source());
    if (absl::Status status = read_setting(*found, name, value); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status Reader::read_sources(const toml::node& node) {
  const toml::array* list = node.as_array();
  if (list == nullptr || list->empty()) {
    return fault(node, "sources: write each as a table of its own, headed [[sources]]");
  }
  config_.sources.clear();
  for (const toml::node& item : *list) {
    const toml::table* entries = item.as_table();
    if (entries == nullptr) return fault(item, "sources: write each headed [[sources]]");
    Config::Source source;
    const std::string where = "sources[" + std::to_string(config_.sources.size()) + "].";
    for (const auto& [key, value] : *entries) {
      std::string* into = key.str() == "name"      ? &source.name
                          : key.str() == "address" ? &source.address
                          : key.str() == "ehlo"    ? &source.ehlo
                                                   : nullptr;
      if (into == nullptr) {
        return unknown(key, "setting in [[sources]]", {"name", "address", "ehlo"});
      }
      const auto text = value.value_exact<std::string>();
      if (!text) return fault(value, where + std::string(key.str()) + ": write a text in quotes");
      *into = *text;
      places_.emplace_back(where + std::string(key.str()), value.source());
    }
    config_.sources.push_back(std::move(source));
  }
  return absl::OkStatus();
}

absl::Status Reader::read_tenants(const toml::node& node) {
  const toml::table* tenants = node.as_table();
  if (tenants == nullptr) {
    return fault(node, "tenants: write each as a table of its own, as in [tenants.acme]");
  }
  for (const auto& [name, entries] : *tenants) {
    if (absl::Status status = read_tenant(name, entries); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status Reader::read_tenant(const toml::key& name, const toml::node& node) {
  Config::Tenant tenant;
  tenant.name = name.str();
  const std::string where = "tenants." + tenant.name;
  const toml::table* entries = node.as_table();
  if (entries == nullptr) {
    return fault(node, where + ": write it as a table, headed [" + where + "]");
  }
  places_.emplace_back(where, name.source());
  for (const auto& [key, value] : *entries) {
    const std::string setting = where + "." + std::string(key.str());
    absl::Status status;
    if (key.str() == "waiting") {
      status = take_count(setting, value, 0, kTenantWaitingMax, tenant.waiting.emplace());
    } else if (key.str() == "bytes") {
      status = take_bytes(setting, value, 0, kTenantBytesMax, tenant.bytes.emplace());
    } else {
      status = unknown(key, "setting in [" + where + "]", {"waiting", "bytes"});
    }
    if (!status.ok()) return status;
  }
  config_.tenants.push_back(std::move(tenant));
  return absl::OkStatus();
}

absl::Status Reader::take_count(const std::string& name, const toml::node& node, uint64_t min,
                                uint64_t max, uint64_t& into) const {
  const auto number = node.value_exact<int64_t>();
  if (!number || *number < 0 || static_cast<uint64_t>(*number) < min ||
      static_cast<uint64_t>(*number) > max) {
    return fault(node, name + ": write a whole number from " + std::to_string(min) + " to " +
                           std::to_string(max));
  }
  into = static_cast<uint64_t>(*number);
  return absl::OkStatus();
}

absl::Status Reader::take_bytes(const std::string& name, const toml::node& node, uint64_t min,
                                uint64_t max, uint64_t& into) const {
  std::optional<uint64_t> bytes;
  if (const auto number = node.value_exact<int64_t>(); number && *number >= 0) {
    bytes = static_cast<uint64_t>(*number);
  } else if (const auto text = node.value_exact<std::string_view>()) {
    bytes = parse_bytes(*text);
  }
  if (!bytes || *bytes < min || *bytes > max) {
    return fault(node, name + ": write a size from " + user_text(bytes_text(min)) + " to " +
                           user_text(bytes_text(max)) + ", as in \"64MiB\"");
  }
  into = *bytes;
  return absl::OkStatus();
}

absl::Status Reader::read_setting(const Setting& setting, const std::string& name,
                                  const toml::node& node) {
  struct Visitor {
    Reader& reader;
    const std::string& name;
    const toml::node& node;
    absl::Status operator()(const DurationSetting& kind) {
      return reader.take_duration(name, node, kind.min, kind.max, reader.config_.*kind.value);
    }
    absl::Status operator()(const BytesSetting& kind) {
      return reader.read_bytes(kind, name, node);
    }
    absl::Status operator()(const SmallBytesSetting& kind) {
      return reader.read_bytes(kind, name, node);
    }
    absl::Status operator()(const CountSetting& kind) {
      return reader.read_count(kind, name, node);
    }
    absl::Status operator()(const BigCountSetting& kind) {
      return reader.read_count(kind, name, node);
    }
    absl::Status operator()(const PortSetting& kind) { return reader.read_count(kind, name, node); }
    absl::Status operator()(const RealSetting& kind) {
      const auto number = node.value<double>();
      // Written so that NaN is refused, too.
      if (!node.is_number() || !(*number >= kind.min && *number <= kind.max)) {
        return reader.fault(node, name + ": write a number from " + std::to_string(kind.min) +
                                      " to " + std::to_string(kind.max));
      }
      reader.config_.*kind.value = *number;
      return absl::OkStatus();
    }
    absl::Status operator()(const FlagSetting& kind) {
      const auto flag = node.value_exact<bool>();
      if (!flag) return reader.fault(node, name + ": write true or false");
      reader.config_.*kind.value = *flag;
      return absl::OkStatus();
    }
    absl::Status operator()(const TextSetting& kind) {
      const auto text = node.value_exact<std::string>();
      if (!text) return reader.fault(node, name + ": write " + kind.rule + ", in quotes");
      reader.config_.*kind.value = *text;
      return absl::OkStatus();
    }
    absl::Status operator()(const TextsSetting& kind) {
      return reader.read_texts(kind, name, node);
    }
    absl::Status operator()(SpecialSetting kind) { return reader.read_special(kind, name, node); }
  };
  return std::visit(Visitor{*this, name, node}, setting.kind);
}

absl::Status Reader::take_duration(const std::string& name, const toml::node& node, int64_t min,
                                   int64_t max, int64_t& into) const {
  std::optional<int64_t> ns;
  if (const auto text = node.value_exact<std::string_view>()) ns = parse_duration_ns(*text);
  if (!ns || *ns < min || *ns > max) {
    return fault(node, name + ": write a time from " + user_text(duration_text(min)) + " to " +
                           user_text(duration_text(max)) +
                           ", as in \"500ms\", \"30s\", \"10m\", \"1h30m\" or \"5d\"");
  }
  into = *ns;
  return absl::OkStatus();
}

absl::Status Reader::read_texts(const TextsSetting& kind, const std::string& name,
                                const toml::node& node) {
  const std::string rule = name + ": write a list of texts in quotes, each " + kind.rule;
  const toml::array* list = node.as_array();
  if (list == nullptr) return fault(node, rule);
  std::vector<std::string> texts;
  for (const toml::node& item : *list) {
    const auto text = item.value_exact<std::string>();
    if (!text) return fault(item, rule);
    texts.push_back(*text);
  }
  config_.*kind.value = std::move(texts);
  return absl::OkStatus();
}

absl::Status Reader::read_special(SpecialSetting kind, const std::string& name,
                                  const toml::node& node) {
  switch (kind) {
    case SpecialSetting::pin:
      return read_pin(name, node);
    case SpecialSetting::users:
      return read_users(name, node);
    case SpecialSetting::listen:
      return read_listen(name, node);
    case SpecialSetting::in_doubt:
      return take_in_doubt(name, node, config_.in_doubt);
    case SpecialSetting::mode:
      break;
  }
  const auto text = node.value_exact<std::string>();
  unsigned mode = 0;
  const bool fine =
      text && text->size() >= 3 && text->size() <= 4 &&
      std::all_of(text->begin(), text->end(), [](char c) { return c >= '0' && c <= '7'; }) &&
      std::from_chars(text->data(), text->data() + text->size(), mode, 8).ec == std::errc{} &&
      mode <= 0777;
  if (!fine) return fault(node, name + ": write octal permissions in quotes, as in \"0660\"");
  config_.feed_mode = mode;
  return absl::OkStatus();
}

absl::Status Reader::read_pin(const std::string& name, const toml::node& node) {
  config_.pin_cores.clear();
  if (const auto flag = node.value_exact<bool>()) {
    config_.pin = *flag;
    return absl::OkStatus();
  }
  const toml::array* list = node.as_array();
  if (list == nullptr || list->empty()) {
    return fault(node, name + ": write true, false, or a list of core numbers, as in [0, 2]");
  }
  config_.pin = true;
  for (const toml::node& item : *list) {
    const auto core = item.value_exact<int64_t>();
    if (!core || *core < 0 || *core > 4095) {
      return fault(item, name + ": write core numbers from 0 to 4095");
    }
    config_.pin_cores.push_back(static_cast<unsigned>(*core));
  }
  return absl::OkStatus();
}

absl::Status Reader::read_users(const std::string& name, const toml::node& node) {
  const toml::array* list = node.as_array();
  if (list == nullptr) {
    return fault(node, name + ": write a list of user names or uids, as in [\"feeder\", 1001]");
  }
  config_.feed_users.clear();
  for (const toml::node& item : *list) {
    if (const auto uid = item.value_exact<int64_t>(); uid && *uid >= 0 && *uid < 0xffffffffll) {
      config_.feed_users.push_back(static_cast<uid_t>(*uid));
      continue;
    }
    const auto user = item.value_exact<std::string>();
    if (!user) return fault(item, name + ": write user names in quotes, or uids");
    const passwd* entry = getpwnam(user->c_str());
    if (entry == nullptr) {
      return fault(item, name + ": there is no user " + user_text(*user) + " on this host");
    }
    config_.feed_users.push_back(entry->pw_uid);
  }
  return absl::OkStatus();
}

absl::Status Reader::read_listen(const std::string& name, const toml::node& node) {
  const std::string rule = name + ": write \"off\" or \"address:port\", as in \"127.0.0.1:8025\"";
  const auto text = node.value_exact<std::string>();
  if (!text) return fault(node, rule);
  config_.http_on = *text != "off";
  if (!config_.http_on) return absl::OkStatus();
  const size_t colon = text->rfind(':');
  unsigned port = 0;
  if (colon == std::string::npos || colon + 1 == text->size()) return fault(node, rule);
  const char* end = text->data() + text->size();
  const auto [at, error] = std::from_chars(text->data() + colon + 1, end, port);
  if (error != std::errc{} || at != end || port == 0 || port > 65535) return fault(node, rule);
  std::string host = text->substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  config_.http_address = host == "localhost" ? "127.0.0.1" : host;
  config_.http_port = static_cast<uint16_t>(port);
  return absl::OkStatus();
}

absl::Status Reader::take_in_doubt(const std::string& name, const toml::node& node,
                                   Config::InDoubt& into) const {
  using InDoubt = Config::InDoubt;
  const auto text = node.value_exact<std::string_view>();
  for (const InDoubt policy : {InDoubt::retry, InDoubt::hold, InDoubt::assume_delivered}) {
    if (text != in_doubt_text(policy)) continue;
    into = policy;
    return absl::OkStatus();
  }
  return fault(node, name + ": write \"retry\", \"hold\" or \"assume-delivered\"");
}

absl::Status Reader::read_in_doubt_rules(const toml::node& node) {
  const std::string rule =
      "in_doubt.rules: write each as a table of its own, headed "
      "[[in_doubt.rules]]";
  const toml::array* list = node.as_array();
  if (list == nullptr) return fault(node, rule);
  for (const toml::node& item : *list) {
    if (!item.is_table()) return fault(item, rule);
    const std::string where =
        "in_doubt.rules[" + std::to_string(config_.in_doubt_rules.size()) + "]";
    places_.emplace_back(where, item.source());
    if (absl::Status status = read_in_doubt_rule(where, *item.as_table()); !status.ok())
      return status;
  }
  return absl::OkStatus();
}

absl::Status Reader::read_in_doubt_rule(const std::string& where, const toml::table& entries) {
  Config::InDoubtRule made;
  for (const auto& [key, value] : entries) {
    const std::string name = where + "." + std::string(key.str());
    places_.emplace_back(name, value.source());
    absl::Status status;
    if (key.str() == "policy") {
      status = take_in_doubt(name, value, made.policy.emplace());
    } else if (key.str() == "delay") {
      status =
          take_duration(name, value, kInDoubtDelayMin, kInDoubtDelayMax, made.delay_ns.emplace());
    } else if (key.str() == "match" || key.str() == "domain") {
      const auto text = value.value_exact<std::string>();
      if (!text) return fault(value, name + ": write a text in quotes");
      (key.str() == "match" ? made.match : made.domain) = *text;
    } else {
      status =
          unknown(key, "setting in [[in_doubt.rules]]", {"match", "domain", "policy", "delay"});
    }
    if (!status.ok()) return status;
  }
  config_.in_doubt_rules.push_back(std::move(made));
  return absl::OkStatus();
}

}  // namespace

Config default_config() {
  Config config;
  config.hostname = full_host_name();
  config.name = config.hostname;
  return config;
}

absl::StatusOr<Config> parse_config(std::string_view text, const std::string& name) {
  Config config;
  config.file = name;
  toml::table root;
  try {
    root = toml::parse(text, std::string_view(name));
  } catch (const toml::parse_error& error) {
    const toml::source_position at = error.source().begin;
    return absl::InvalidArgumentError(name + ":" + std::to_string(at.line) + ":" +
                                      std::to_string(at.column) +
                                      ": not TOML: " + std::string(error.description()));
  }
  Reader reader(config, name);
  if (absl::Status status = reader.read(root); !status.ok()) return status;
  if (config.hostname.empty()) config.hostname = full_host_name();
  if (config.name.empty()) config.name = config.hostname;
  if (absl::Status status = reader.check(); !status.ok()) return status;
  return config;
}

absl::StatusOr<Config> load_config(const std::string& path) {
  const auto unreadable = [&path] {
    return absl::NotFoundError(path +
                               ": cannot be read: " + std::generic_category().message(errno) +
                               "; name the file with --config, or make one");
  };
  std::FILE* file = std::fopen(path.c_str(), "rbe");
  if (file == nullptr) return unreadable();
  std::string text;
  std::array<char, 16384> chunk{};
  size_t got = 0;
  while ((got = std::fread(chunk.data(), 1, chunk.size(), file)) > 0) {
    text.append(chunk.data(), got);
    if (text.size() > kFileBytesMax) break;
  }
  const bool failed = std::ferror(file) != 0;  // a directory, too, fails only here
  std::fclose(file);
  if (failed) return unreadable();
  if (text.size() > kFileBytesMax) {
    return absl::InvalidArgumentError(path + ": larger than 16 MiB, which no configuration is");
  }
  return parse_config(text, path);
}

}  // namespace veredus::control
