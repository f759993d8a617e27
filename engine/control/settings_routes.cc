#include <memory>

#include "engine/control/config_table.h"
#include "engine/control/settings.h"
#include "engine/control/small_file.h"

// Static routes: what the engine is told of them, passwords that lie in files of their own
// included.

namespace veredus::control {
namespace {

// The first line of the file.
absl::StatusOr<std::string> read_password(const std::string& path) {
  constexpr size_t kMost = 1024;
  constexpr size_t kFileMost = 64 << 10;
  const absl::StatusOr<SmallFile> file = read_small_file(path, kFileMost);
  if (!file.ok()) return file.status();
  std::string_view line = file->bytes;
  line = line.substr(0, line.find('\n'));
  if (line.ends_with('\r')) line.remove_suffix(1);
  if (line.empty() || line.size() > kMost || line.find('\0') != std::string_view::npos) {
    return absl::InvalidArgumentError(path + ": its first line is no password of 1 to " +
                                      std::to_string(kMost) + " bytes, without NUL");
  }
  return std::string(line);
}

absl::Status take_credentials(const Config& config, const Config::Route& route, StaticRoute& made) {
  if (route.auth.user.empty()) return absl::OkStatus();
  smtp::Credentials credentials = route.auth;
  const std::string heading = "routes." + route.name + ".auth";
  if (!route.password_file.empty()) {
    absl::StatusOr<std::string> password = read_password(route.password_file);
    if (!password.ok())
      return setting_fault(config, heading + ".password_file", password.status().message());
    credentials.password = *std::move(password);
  }
  made.credentials = std::make_shared<const smtp::Credentials>(std::move(credentials));
  made.credentials_origin = origin_of(config, heading + ".user");
  made.credentials_origin.setting = heading;
  return absl::OkStatus();
}

}  // namespace

absl::Status set_routes(const Config& config, EngineSettings& settings) {
  using Tls = Config::Route::Tls;
  for (const Config::Route& route : config.routes) {
    StaticRoute made;
    made.name = route.name;
    made.domains = route.domains;
    made.origin = origin_of(config, "routes." + route.name);
    made.implicit_tls = route.tls == Tls::implicit;
    made.verify = route.verifies();
    if (route.tls == Tls::none) made.tls = smtp::TlsUse::none;
    if (route.tls == Tls::opportunistic) made.tls = smtp::TlsUse::opportunistic;
    if (route.tls == Tls::required || made.implicit_tls) made.tls = smtp::TlsUse::required;
    const uint16_t usual = made.implicit_tls ? 465 : config.smtp_port;
    for (const NextHop& hop : route.hosts) {
      made.hops.push_back(hop);
      if (hop.port == 0) made.hops.back().port = route.port != 0 ? route.port : usual;
    }
    if (absl::Status status = take_credentials(config, route, made); !status.ok()) return status;
    settings.routes.push_back(std::move(made));
  }
  return absl::OkStatus();
}

}  // namespace veredus::control
