#include "engine/control/config_reader.h"
#include "engine/control/config_sending_table.h"
#include "engine/control/config_special.h"
#include "engine/control/config_syntax.h"

// The settings of [routes.NAME].

namespace veredus::control {
namespace {

using Route = Config::Route;

constexpr std::array<std::string_view, 3> kVerifyWords = {"with-auth", "never", "always"};
constexpr std::array<std::string_view, 5> kRouteTlsWords = {"as-provider", "none", "opportunistic",
                                                            "required", "implicit"};
constexpr std::array<std::string_view, 3> kMechanismWords = {"any", "plain", "login"};

bool is_domain_pattern(std::string_view text) {
  return text == "*" || is_host_pattern(text);
}

// --- hosts

absl::Status read_hosts(const Reading& reading, Route& route) {
  const std::string rule =
      "write a list of hosts, each with or without port, as in [\"relay.example.org:587\", "
      "\"[2001:db8::1]:465\", \"192.0.2.1\"]";
  const auto* list = reading.node.as<TreeNode::List>();
  if (list == nullptr) return fault(reading, rule);
  route.hosts.clear();
  for (const TreeNode& item : *list) {
    const Reading here{reading.file, reading.name, item};
    const auto* text = item.as<std::string>();
    if (text == nullptr) return fault(here, rule);
    const std::optional<NextHop> hop = parse_next_hop(*text);
    if (!hop) {
      return fault(here, "\"" + *text +
                             "\" is no host name or numeric address, with or without port, as in "
                             "\"relay.example.org:587\" or \"[2001:db8::1]:465\"");
    }
    route.hosts.push_back(*hop);
  }
  return absl::OkStatus();
}

std::string show_hosts(const Route& route) {
  std::vector<std::string> texts;
  for (const NextHop& hop : route.hosts) {
    const bool v6 = hop.host.find(':') != std::string::npos;
    texts.push_back(v6 ? "[" + hop.host + "]" : hop.host);
    if (hop.port != 0) texts.back() += ":" + std::to_string(hop.port);
  }
  return toml_list(texts);
}

void copy_hosts(const Route& from, Route& to) {
  to.hosts = from.hosts;
}

// --- auth.password: what it is like, but not what it is

absl::Status read_password(const Reading& reading, Route& route) {
  return take_text(reading, "the password", route.auth.password);
}

std::string show_password(const Route&) {
  return "";
}

void copy_password(const Route& from, Route& to) {
  to.auth.password = from.auth.password;
}

SettingList<Route> make_route_settings() {
  SettingList<Route> out;
  const auto add = [&out](std::string_view key, const auto& kind, std::string_view help) {
    const size_t dot = key.find('.');
    const bool below = dot != std::string_view::npos;
    out.push_back({below ? key.substr(0, dot) : "", below ? key.substr(dot + 1) : key, kind, help,
                   Applies::at_reload});
  };
  using Text = TextKind<Route>;
  using smtp::Credentials;
  add("domains",
      TextsKind<Route>{member<Route, &Route::domains>,
                       "a domain, \".example.org\" for all below it, or \"*\" for all others",
                       is_domain_pattern},
      "of recipients; \".example.org\": all below it; \"*\": all that no other route has");
  add("hosts", SpecialKind<Route>{read_hosts, show_hosts, copy_hosts},
      "names or numeric addresses, with or without port, in order of preference (1 to 16)");
  add("port",
      CountKind<Route, uint16_t>{member<Route, &Route::port>, 0, 65535,
                                 "465 with implicit TLS, else smtp.port"},
      "of hosts that are named without one; default: 0");
  add("tls", choice_kind<Route, &member<Route, &Route::tls>>(kRouteTlsWords),
      "implicit: from the connection on; default: as-provider (smtp.tls, or of the provider that "
      "fits), with auth required");
  add("verify", choice_kind<Route, &member<Route, &Route::verify>>(kVerifyWords),
      "certificates must be for the host's name, by one of smtp.authorities; default: with-auth, "
      "where a password is sent under TLS only");
  add("auth.user", Text{member<Route, &Route::auth, &Credentials::user>, "a name"},
      "what we are known as there; default: none, and no AUTH");
  add("auth.password", SpecialKind<Route>{read_password, show_password, copy_password},
      "is never shown");
  add("auth.password_file", Text{member<Route, &Route::password_file>, "an absolute path"},
      "instead: a file whose first line it is; read at start and reload");
  add("auth.mechanism",
      choice_kind<Route, &member<Route, &Route::auth, &Credentials::mechanism>>(kMechanismWords),
      "any: PLAIN where it is offered, else LOGIN; default: any");
  add("auth.allow_in_clear",
      FlagKind<Route>{member<Route, &Route::auth, &Credentials::allow_in_clear>},
      "whether the password may be sent without TLS; default: false");
  return out;
}

}  // namespace

Settings<Route> route_settings() {
  static const SettingList<Route> all = make_route_settings();
  return all;
}

}  // namespace veredus::control
