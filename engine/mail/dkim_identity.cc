#include "engine/mail/dkim_identity.h"

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/string_view.h"
#include "engine/mail/address.h"
#include "engine/mail/field_syntax.h"
#include "engine/mail/header_field.h"
#include "engine/mail/idn.h"

namespace veredus::mail {
namespace {

absl::Status check_fields(const std::vector<std::string>& fields, std::string_view list) {
  const std::string where(list);
  if (fields.size() > kDkimNamedFieldsMax) {
    return absl::InvalidArgumentError(where + " has more than " +
                                      std::to_string(kDkimNamedFieldsMax) + " fields");
  }
  for (size_t i = 0; i < fields.size(); ++i) {
    const std::string& field = fields[i];
    const bool small = std::none_of(field.begin(), field.end(),
                                    [](char c) { return (c >= 'A' && c <= 'Z') || c == ';'; });
    if (field.empty() || field.size() > kDkimFieldNameMax || name_length(field) != field.size() ||
        !small) {
      return absl::InvalidArgumentError(where + " has \"" + field +
                                        "\", which is no name of a field in small letters");
    }
    // RFC 6376 §5.4: they are changed, taken away or added by those who carry the message.
    for (const std::string_view changed :
         {"dkim-signature", "return-path", "received", "authentication-results"}) {
      if (field == changed) {
        return absl::InvalidArgumentError(
            where + " has \"" + field +
            "\", which is changed on the way and must not be signed: take it out");
      }
    }
    if (std::find(fields.begin(), fields.begin() + static_cast<std::ptrdiff_t>(i), field) !=
        fields.begin() + static_cast<std::ptrdiff_t>(i)) {
      return absl::InvalidArgumentError(where + " has \"" + field + "\" twice");
    }
  }
  return absl::OkStatus();
}

}  // namespace

const std::vector<std::string>& default_signed_fields() {
  static const std::vector<std::string> fields = {
      "from",
      "sender",
      "reply-to",
      "to",
      "cc",
      "subject",
      "date",
      "message-id",
      "in-reply-to",
      "references",
      "mime-version",
      "content-type",
      "content-transfer-encoding",
      "resent-date",
      "resent-from",
      "resent-to",
      "resent-cc",
      "list-id",
      "list-help",
      "list-unsubscribe",
      "list-unsubscribe-post",
      "list-subscribe",
      "list-post",
      "list-owner",
      "list-archive",
      "feedback-id",
  };
  return fields;
}

const std::vector<std::string>& default_oversigned_fields() {
  static const std::vector<std::string> fields = {
      "from",
      "reply-to",
      "to",
      "cc",
      "subject",
      "date",
      "message-id",
      "mime-version",
      "content-type",
      "content-transfer-encoding",
      "list-unsubscribe",
      "list-unsubscribe-post",
      "feedback-id",
  };
  return fields;
}

absl::Status check_dkim_identity(const DkimIdentity& identity, DkimKeys keys) {
  if (identity.domain.empty()) return absl::InvalidArgumentError("has no domain (d=)");
  if (!is_dns_name(identity.domain)) {
    return absl::InvalidArgumentError("has the domain \"" + identity.domain +
                                      "\", which is no name in the DNS");
  }
  if (identity.selector.empty()) return absl::InvalidArgumentError("has no selector (s=)");
  if (!is_dns_name(identity.selector)) {
    return absl::InvalidArgumentError(
        "has the selector \"" + identity.selector +
        "\", which is no name in the DNS: use letters, digits, '-' and '.'");
  }
  constexpr std::string_view kBetween = "._domainkey.";
  if (identity.selector.size() + kBetween.size() + identity.domain.size() > kDomainBytesMax) {
    return absl::InvalidArgumentError(
        "has a selector and a domain that are too long together: "
        "SELECTOR._domainkey.DOMAIN may have 253 bytes");
  }
  if (identity.lifetime_ns != 0 && identity.lifetime_ns < kDkimLifetimeMin) {
    return absl::InvalidArgumentError(
        "has a lifetime under an hour: signatures would expire on the way; 0 means without end");
  }
  if (identity.key == nullptr && keys == DkimKeys::needed)
    return absl::InvalidArgumentError("has no key");
  const std::vector<std::string>& fields = identity.signed_fields;
  if (std::find(fields.begin(), fields.end(), "from") == fields.end()) {
    return absl::InvalidArgumentError("does not sign From, which must be (RFC 6376 section 5.4)");
  }
  if (absl::Status status = check_fields(fields, "signed_fields"); !status.ok()) return status;
  return check_fields(identity.oversigned_fields, "oversigned_fields");
}

absl::StatusOr<DkimIdentities> DkimIdentities::make(std::vector<DkimIdentity> identities,
                                                    DkimKeys keys) {
  DkimIdentities made;
  for (DkimIdentity& identity : identities) {
    const std::string name = "the DKIM identity \"" + identity.name + "\" ";
    if (has_high(identity.domain)) identity.domain = with_a_labels(identity.domain);
    identity.domain = in_small(identity.domain);
    if (const absl::Status status = check_dkim_identity(identity, keys); !status.ok()) {
      return absl::InvalidArgumentError(name + std::string(status.message()));
    }
    auto kept = std::make_unique<const DkimIdentity>(std::move(identity));
    if (!made.by_name_.emplace(kept->name, kept.get()).second) {
      return absl::InvalidArgumentError(name + "is there twice");
    }
    std::vector<const DkimIdentity*>& of_domain = made.by_domain_[kept->domain];
    if (of_domain.size() == kDkimSignaturesMax) {
      return absl::InvalidArgumentError(name + "is one too many for " + kept->domain +
                                        ": a message is signed by four at most");
    }
    of_domain.push_back(kept.get());
    made.all_.push_back(std::move(kept));
  }
  return made;
}

const DkimIdentity* DkimIdentities::named(std::string_view name) const {
  const auto found = by_name_.find(absl::string_view(name.data(), name.size()));
  return found == by_name_.end() ? nullptr : found->second;
}

std::span<const DkimIdentity* const> DkimIdentities::for_author(std::string_view domain) const {
  if (by_domain_.empty()) return {};
  if (has_high(domain)) {
    const std::string ascii = with_a_labels(domain);
    return has_high(ascii) ? std::span<const DkimIdentity* const>() : for_author(ascii);
  }
  std::array<char, kDomainBytesMax> small;
  if (domain.size() > small.size()) return {};
  std::transform(domain.begin(), domain.end(), small.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  std::string_view rest(small.data(), domain.size());
  while (!rest.empty()) {
    const auto found = by_domain_.find(absl::string_view(rest.data(), rest.size()));
    if (found != by_domain_.end()) return found->second;
    const size_t dot = rest.find('.');
    if (dot == std::string_view::npos) break;
    rest.remove_prefix(dot + 1);
  }
  return {};
}

}  // namespace veredus::mail
