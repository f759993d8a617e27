#include <algorithm>

#include "absl/container/flat_hash_map.h"
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

struct KeyFile {
  std::string mark;  // file_mark() of what was read
  std::shared_ptr<const mail::DkimKey> key;
};

absl::StatusOr<KeyFile> read_key(const std::string& path) {
  const absl::StatusOr<SmallFile> file = read_small_file(path, mail::kDkimKeyFileMax);
  if (!file.ok()) return file.status();
  if (file->others_may_read) {
    return absl::PermissionDeniedError(
        path +
        ": everybody may read or write this private key: chmod 0640, and give it to a group "
        "that the engine is in");
  }
  auto key = mail::DkimKey::parse(file->bytes);
  if (key.ok()) return KeyFile{file->mark, *std::move(key)};
  return absl::InvalidArgumentError(path + ": " + std::string(key.status().message()));
}

// Keys by their files. Each is read once, and only if it is another than when it was read before.
class KeyFiles {
 public:
  // `before` may be null.
  explicit KeyFiles(const mail::DkimIdentities* before) {
    if (before == nullptr) return;
    for (const auto& identity : before->all())
      before_.emplace(identity->key_file, KeyFile{identity->key_mark, identity->key});
  }

  absl::StatusOr<KeyFile> now(const std::string& path) {
    const auto found = now_.find(path);
    if (found != now_.end()) return found->second;
    const KeyFile* const old = before(path);
    const bool the_same = old != nullptr && old->key != nullptr && old->mark == file_mark(path);
    return now_.emplace(path, the_same ? *old : read_key(path)).first->second;
  }
  // Null: it was not among them.
  const KeyFile* before(const std::string& path) const {
    const auto found = before_.find(path);
    return found == before_.end() ? nullptr : &found->second;
  }

 private:
  absl::flat_hash_map<std::string, KeyFile> before_;
  absl::flat_hash_map<std::string, absl::StatusOr<KeyFile>> now_;
};

mail::DkimIdentity make_identity(const Config::Dkim& from, KeyFile file) {
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
  made.key = std::move(file.key);
  made.key_file = from.key_file;
  made.key_mark = std::move(file.mark);
  return made;
}

bool none_has_changed(const mail::DkimIdentities& identities) {
  return std::all_of(identities.all().begin(), identities.all().end(), [](const auto& identity) {
    return file_mark(identity->key_file) == identity->key_mark;
  });
}

absl::Status key_fault(const Config& config, const Config::Dkim& of, const absl::Status& fault) {
  return setting_fault(config, "dkim." + of.name + ".key_file", fault.message());
}

absl::Status put_identities(const Config& config, std::vector<mail::DkimIdentity> identities,
                            mail::DkimKeys keys, EngineSettings& settings) {
  absl::StatusOr<mail::DkimIdentities> all =
      mail::DkimIdentities::make(std::move(identities), keys);
  if (!all.ok()) return setting_fault(config, "dkim", all.status().message());
  settings.dkim =
      all->empty() ? nullptr : std::make_shared<const mail::DkimIdentities>(*std::move(all));
  return absl::OkStatus();
}

}  // namespace

absl::Status set_dkim(const Config& config, const KeyOptions& keys, EngineSettings& settings) {
  KeyFiles files(keys.known);
  std::vector<mail::DkimIdentity> identities;
  for (const Config::Dkim& from : config.dkim) {
    absl::StatusOr<KeyFile> file = files.now(from.key_file);
    if (!file.ok()) {
      const absl::Status fault = key_fault(config, from, file.status());
      if (keys.missing == nullptr) return fault;
      keys.missing->emplace_back(fault.message());
      file = KeyFile{};
    }
    identities.push_back(make_identity(from, *std::move(file)));
  }
  const bool needed = keys.missing == nullptr;
  return put_identities(config, std::move(identities),
                        needed ? mail::DkimKeys::needed : mail::DkimKeys::optional, settings);
}

KeyLook look_at_keys(const Config& config, EngineSettings& settings) {
  KeyLook look;
  if (settings.dkim == nullptr || none_has_changed(*settings.dkim)) return look;
  KeyFiles files(settings.dkim.get());
  std::vector<mail::DkimIdentity> identities;
  for (const Config::Dkim& from : config.dkim) {
    const KeyFile* const old = files.before(from.key_file);
    if (old == nullptr) return look;  // they are of another configuration
    absl::StatusOr<KeyFile> file = files.now(from.key_file);
    if (!file.ok()) {
      look.faults.push_back({from.key_file, file_mark(from.key_file),
                             std::string(key_fault(config, from, file.status()).message())});
      file = *old;
    }
    look.changed = look.changed || file->key != old->key;
    identities.push_back(make_identity(from, *std::move(file)));
  }
  if (look.changed) {
    // They were taken with other keys.
    put_identities(config, std::move(identities), mail::DkimKeys::needed, settings).IgnoreError();
  }
  return look;
}

}  // namespace veredus::control
