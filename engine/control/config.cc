#include "engine/control/config.h"

#include <array>
#include <cerrno>
#include <cstdio>
#include <system_error>

#include <netdb.h>
#include <unistd.h>

#include "engine/control/config_document.h"
#include "engine/control/config_table.h"
#include "engine/control/config_tree.h"

namespace veredus::control {
namespace {

constexpr uint64_t kFileBytesMax = 16 * kMiB;

std::string look_up_host_name() {
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

// Once a process: a reload must not stand still for a name server.
const std::string& full_host_name() {
  static const std::string name = look_up_host_name();
  return name;
}

void complete_names(Config& config) {
  if (config.hostname.empty()) config.hostname = full_host_name();
  if (config.name.empty()) config.name = config.hostname;
}

absl::Status read_document(std::string_view text, const std::string& name, Config& config) {
  const absl::StatusOr<TreeNode> root = parse_tree(text, name);
  if (!root.ok()) return root.status();
  return ConfigDocument(config, name).read(*root->as<TreeNode::Table>());
}

// With what is shipped. A fault there is one of ours: a test reads it.
absl::StatusOr<Config> shipped_config() {
  Config config;
  absl::Status status = read_document(shipped_providers(), kShippedProvidersFile, config);
  if (!status.ok()) return status;
  return config;
}

// Where the setting stands, or else the heading it would stand under.
std::string place_text(const Config& config, std::string_view setting) {
  for (;;) {
    const auto found = config.places.find(setting);
    if (found != config.places.end()) {
      const FilePlace& place = found->second;
      return place.file + ":" + std::to_string(place.line) + ":" + std::to_string(place.column) +
             ": ";
    }
    const size_t dot = setting.rfind('.');
    if (dot == std::string_view::npos) return config.file.empty() ? "" : config.file + ": ";
    setting = setting.substr(0, dot);
  }
}

}  // namespace

Provider default_sending() {
  Provider sending;
  sending.per_source.connections = 20;
  sending.retry.initial_ns = 15 * kMinute;
  sending.dialogue.tls = smtp::TlsUse::opportunistic;
  for (size_t phase = 0; phase < smtp::kPhases; ++phase) {
    sending.dialogue.time_limit_ns[phase] = smtp::kPhaseTable[phase].time_limit_ns;
  }
  return sending;
}

LimitSettings default_global_limits() {
  LimitSettings limits;
  limits.connections = 10'000;
  return limits;
}

Config default_config() {
  Config config = shipped_config().value_or(Config{});
  complete_names(config);
  return config;
}

absl::StatusOr<Config> parse_config(std::string_view text, const std::string& name) {
  absl::StatusOr<Config> config = shipped_config();
  if (!config.ok()) return config;
  config->file = name;
  if (absl::Status status = read_document(text, name, *config); !status.ok()) return status;
  complete_names(*config);
  for (const ConfigFault& fault : check_config(*config)) {
    return absl::InvalidArgumentError(place_text(*config, fault.setting) + fault.setting + ": " +
                                      fault.what);
  }
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
