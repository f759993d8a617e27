#include <algorithm>

#include "absl/strings/ascii.h"
#include "engine/control/settings.h"
#include "engine/control/small_file.h"
#include "engine/mail/dkim_identity.h"
#include "engine/mail/dkim_key.h"
#include "engine/mail/idn.h"

// Signing identities: what the engine is told of them, with the keys that lie in files of their
// own.

namespace veredus::control {
namespace {

absl::StatusOr<std::shared_ptr<const mail::DkimKey>> read_key(const std::string& path) {
  const absl::StatusOr<SmallFile> file = read_small_file(path, mail::kDkimKeyFileMax);
  if (!file.ok()) return file.status();
  if (file->others_may_read) {
    return absl::PermissionDeniedError(
        path +
        ": everybody may read or write this private key: chmod 0640, and give it to a group "
        "that the engine is in");
  }
  auto key = mail::DkimKey::parse(file->bytes);
  if (key.ok()) return *std::move(key);
  return absl::InvalidArgumentError(path + ": " + std::string(key.status().message()));
}

absl::StatusOr<mail::DkimIdentity> make_identity(const Config::Dkim& from) {
  using Canonicalization = Config::Dkim::Canonicalization;
  mail::DkimIdentity made;
  made.name = from.name;
  made.domain = absl::AsciiStrToLower(mail::with_a_labels(from.domain));
  made.selector = absl::AsciiStrToLower(from.selector);
  made.relaxed_header = from.canonicalization == Canonicalization::relaxed_relaxed ||
                        from.canonicalization == Canonicalization::relaxed_simple;
  made.relaxed_body = from.canonicalization == Canonicalization::relaxed_relaxed ||
                      from.canonicalization == Canonicalization::simple_relaxed;
  made.lifetime_ns = from.lifetime_ns;
  for (const std::string& name : from.also_sign) {
    std::string field = absl::AsciiStrToLower(name);
    if (std::find(made.signed_fields.begin(), made.signed_fields.end(), field) ==
        made.signed_fields.end())
      made.signed_fields.push_back(std::move(field));
  }
  auto key = read_key(from.key_file);
  if (!key.ok()) return key.status();
  made.key = *std::move(key);
  return made;
}

}  // namespace

absl::Status set_dkim(const Config& config, EngineSettings& settings) {
  std::vector<mail::DkimIdentity> identities;
  for (const Config::Dkim& from : config.dkim) {
    absl::StatusOr<mail::DkimIdentity> made = make_identity(from);
    if (!made.ok())
      return setting_fault(config, "dkim." + from.name + ".key_file", made.status().message());
    identities.push_back(*std::move(made));
  }
  absl::StatusOr<mail::DkimIdentities> all = mail::DkimIdentities::make(std::move(identities));
  if (!all.ok()) return setting_fault(config, "dkim", all.status().message());
  settings.dkim =
      all->empty() ? nullptr : std::make_shared<const mail::DkimIdentities>(*std::move(all));
  return absl::OkStatus();
}

}  // namespace veredus::control
