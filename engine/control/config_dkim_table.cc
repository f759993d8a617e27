#include "engine/control/config_sending_table.h"
#include "engine/mail/header_field.h"

// The settings of [dkim.NAME].

namespace veredus::control {
namespace {

using Dkim = Config::Dkim;

constexpr std::array<std::string_view, 4> kCanonicalizationWords = {
    "relaxed/relaxed", "relaxed/simple", "simple/relaxed", "simple/simple"};

bool is_field_name(std::string_view text) {
  return !text.empty() && text.size() <= 64 && mail::name_length(text) == text.size();
}

SettingList<Dkim> make_dkim_settings() {
  SettingList<Dkim> out;
  const auto add = [&out](std::string_view key, const auto& kind, std::string_view help) {
    out.push_back({"", key, kind, help, Applies::at_reload});
  };
  using Text = TextKind<Dkim>;
  add("domain", Text{member<Dkim, &Dkim::domain>, "a domain"},
      "that vouches (d=): signs mail whose From address is in it, or below it");
  add("selector", Text{member<Dkim, &Dkim::selector>, "a name in the DNS"},
      "the key is published at SELECTOR._domainkey.DOMAIN (s=)");
  add("key_file", Text{member<Dkim, &Dkim::key_file>, "an absolute path"},
      "private key, in PEM, RSA of 1024 to 4096 bits or Ed25519; not to be read by others (0640). "
      "Read again when it has changed");
  add("canonicalization",
      choice_kind<Dkim, &member<Dkim, &Dkim::canonicalization>>(kCanonicalizationWords),
      "of header/body: what may change on the way (c=)");
  add("lifetime", DurationKind<Dkim>{member<Dkim, &Dkim::lifetime_ns>, 0, 90 * kDay, "without end"},
      "after which a signature is not to be believed any more (x=)");
  add("also_sign",
      TextsKind<Dkim>{member<Dkim, &Dkim::also_sign>, "the name of a header field", is_field_name},
      "header fields beside those that are always signed where they are there");
  return out;
}

}  // namespace

Settings<Dkim> dkim_settings() {
  static const SettingList<Dkim> all = make_dkim_settings();
  return all;
}

}  // namespace veredus::control
