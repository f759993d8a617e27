#include "engine/control/config_special.h"

#include <algorithm>
#include <charconv>
#include <cstdio>

#include <pwd.h>

#include "engine/control/config_reader.h"
#include "engine/control/config_syntax.h"
#include "engine/intake/json_writer.h"

namespace veredus::control {
namespace {

template <class T>
std::string toml_numbers(const std::vector<T>& numbers) {
  std::string out = "[";
  for (const T number : numbers) {
    if (out.size() > 1) out += ", ";
    out += std::to_string(number);
  }
  return out + "]";
}

std::string with_port(const std::string& host, uint16_t port) {
  const bool v6 = host.find(':') != std::string::npos;
  return (v6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

// --- node.pin

absl::Status read_pin(const Reading& reading, Config& config) {
  config.pin_cores.clear();
  if (const auto* flag = reading.node.as<bool>()) {
    config.pin = *flag;
    return absl::OkStatus();
  }
  const auto* list = reading.node.as<TreeNode::List>();
  if (list == nullptr || list->empty()) {
    return fault(reading, "write true, false, or a list of core numbers, as in [0, 2]");
  }
  config.pin = true;
  for (const TreeNode& item : *list) {
    const auto* core = item.as<int64_t>();
    if (core == nullptr || *core < 0 || *core > 4095) {
      return fault({reading.file, reading.name, item}, "write core numbers from 0 to 4095");
    }
    config.pin_cores.push_back(static_cast<unsigned>(*core));
  }
  return absl::OkStatus();
}

std::string show_pin(const Config& config) {
  if (!config.pin_cores.empty()) return toml_numbers(config.pin_cores);
  return config.pin ? "true" : "false";
}

void copy_pin(const Config& from, Config& to) {
  to.pin = from.pin;
  to.pin_cores = from.pin_cores;
}

// --- feed.mode

absl::Status read_mode(const Reading& reading, Config& config) {
  const auto* text = reading.node.as<std::string>();
  unsigned mode = 0;
  const bool fine =
      text != nullptr && text->size() >= 3 && text->size() <= 4 &&
      std::all_of(text->begin(), text->end(), [](char c) { return c >= '0' && c <= '7'; }) &&
      std::from_chars(text->data(), text->data() + text->size(), mode, 8).ec == std::errc{} &&
      mode <= 0777;
  if (!fine) return fault(reading, "write octal permissions in quotes, as in \"0660\"");
  config.feed_mode = mode;
  return absl::OkStatus();
}

std::string show_mode(const Config& config) {
  std::array<char, 16> text{};
  std::snprintf(text.data(), text.size(), "\"%04o\"", static_cast<unsigned>(config.feed_mode));
  return text.data();
}

void copy_mode(const Config& from, Config& to) {
  to.feed_mode = from.feed_mode;
}

// --- feed.users

absl::Status read_users(const Reading& reading, Config& config) {
  const auto* list = reading.node.as<TreeNode::List>();
  if (list == nullptr) {
    return fault(reading, "write a list of user names or uids, as in [\"feeder\", 1001]");
  }
  config.feed_users.clear();
  for (const TreeNode& item : *list) {
    const Reading here{reading.file, reading.name, item};
    const auto* uid = item.as<int64_t>();
    if (uid != nullptr && *uid >= 0 && *uid < 0xffffffffll) {
      config.feed_users.push_back(static_cast<uid_t>(*uid));
      continue;
    }
    const auto* user = item.as<std::string>();
    if (user == nullptr) return fault(here, "write user names in quotes, or uids");
    const passwd* entry = getpwnam(user->c_str());
    if (entry == nullptr) return fault(here, "there is no user \"" + *user + "\" on this host");
    config.feed_users.push_back(entry->pw_uid);
  }
  return absl::OkStatus();
}

std::string show_users(const Config& config) {
  return toml_numbers(config.feed_users);
}

void copy_users(const Config& from, Config& to) {
  to.feed_users = from.feed_users;
}

// --- http.listen

absl::Status read_listen(const Reading& reading, Config& config) {
  const auto* text = reading.node.as<std::string>();
  config.http_on = text == nullptr || *text != "off";
  if (!config.http_on) return absl::OkStatus();
  if (text == nullptr || !split_port(*text, config.http_address, config.http_port)) {
    return fault(reading, "write \"off\" or \"address:port\", as in \"127.0.0.1:8025\"");
  }
  if (config.http_address == "localhost") config.http_address = "127.0.0.1";
  return absl::OkStatus();
}

std::string show_listen(const Config& config) {
  return toml_text(config.http_on ? with_port(config.http_address, config.http_port) : "off");
}

void copy_listen(const Config& from, Config& to) {
  to.http_on = from.http_on;
  to.http_address = from.http_address;
  to.http_port = from.http_port;
}

// --- smtp.redirect

absl::Status read_redirect(const Reading& reading, Config& config) {
  const auto* text = reading.node.as<std::string>();
  config.redirect_host.clear();
  config.redirect = {};
  if (text != nullptr && text->empty()) return absl::OkStatus();
  if (text == nullptr || !split_port(*text, config.redirect_host, config.redirect.port) ||
      !io::parse_address(config.redirect_host, config.redirect)) {
    return fault(reading,
                 "write a numeric address and a port, as in \"127.0.0.1:2525\" or \"[::1]:2525\", "
                 "or \"\" for none");
  }
  return absl::OkStatus();
}

std::string show_redirect(const Config& config) {
  if (config.redirect_host.empty()) return toml_text("");
  return toml_text(with_port(config.redirect_host, config.redirect.port));
}

void copy_redirect(const Config& from, Config& to) {
  to.redirect_host = from.redirect_host;
  to.redirect = from.redirect;
}

// --- sources: address, address6

template <auto Which>
absl::Status read_address(const Reading& reading, SourceSettings& source) {
  const auto* text = reading.node.as<std::string>();
  io::Endpoint made;
  const bool none = text != nullptr && text->empty();
  if (text == nullptr || (!none && !io::parse_address(*text, made))) {
    return fault(reading,
                 "write a numeric address of this host, as in \"192.0.2.1\" or "
                 "\"2001:db8::1\"");
  }
  source.*Which = made;
  return absl::OkStatus();
}

template <auto Which>
std::string show_address(const SourceSettings& source) {
  const io::Endpoint& address = source.*Which;
  return toml_text(address.family == 0 ? "" : io::to_text(address));
}

template <auto Which>
void copy_address(const SourceSettings& from, SourceSettings& to) {
  to.*Which = from.*Which;
}

}  // namespace

const SpecialKind<Config> kPinSpecial = {read_pin, show_pin, copy_pin};
const SpecialKind<Config> kModeSpecial = {read_mode, show_mode, copy_mode};
const SpecialKind<Config> kUsersSpecial = {read_users, show_users, copy_users};
const SpecialKind<Config> kListenSpecial = {read_listen, show_listen, copy_listen};
const SpecialKind<Config> kRedirectSpecial = {read_redirect, show_redirect, copy_redirect};
const SpecialKind<SourceSettings> kAddressSpecial = {read_address<&SourceSettings::address>,
                                                     show_address<&SourceSettings::address>,
                                                     copy_address<&SourceSettings::address>};
const SpecialKind<SourceSettings> kAddress6Special = {read_address<&SourceSettings::address6>,
                                                      show_address<&SourceSettings::address6>,
                                                      copy_address<&SourceSettings::address6>};

std::string toml_text(std::string_view text) {
  std::string out;
  intake::append_json_string(text, out);  // a JSON string is a TOML basic string
  return out;
}

std::string toml_key(std::string_view name) {
  const bool bare = !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
  });
  return bare ? std::string(name) : toml_text(name);
}

std::string toml_list(const std::vector<std::string>& texts) {
  std::string out = "[";
  for (const std::string& text : texts) {
    if (out.size() > 1) out += ", ";
    out += toml_text(text);
  }
  return out + "]";
}

}  // namespace veredus::control
