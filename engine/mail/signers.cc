#include "engine/mail/signers.h"

#include <algorithm>

#include "engine/mail/header_field.h"
#include "engine/mail/mailbox_list.h"

namespace veredus::mail {
namespace {

bool covers(const DkimIdentity& identity, std::string_view field) {
  const std::vector<std::string>& fields = identity.signed_fields;
  return std::find(fields.begin(), fields.end(), field) != fields.end();
}

}  // namespace

Authorship authorship_of(std::string_view header_block, bool merge) {
  Authorship found;
  HeaderField field;
  for (std::string_view whole; !header_block.empty();) {
    if (!take_field(header_block, whole, field)) continue;
    found.is_signed = found.is_signed || same_name(field.name, "dkim-signature");
    found.varies = found.varies || (merge && same_name(field.name, "from") &&
                                    field.value.find("{{") != std::string_view::npos);
  }
  return found;
}

bool BatchSigners::named(std::vector<const DkimIdentity*>& out, std::string_view& missing) const {
  for (const std::string& name : batch_.dkim) {
    const DkimIdentity* const identity =
        identities_ == nullptr ? nullptr : identities_->named(name);
    if (identity == nullptr) return missing = name, false;
    out.push_back(identity);
  }
  return true;
}

bool BatchSigners::of_message(std::string_view header_block, std::vector<const DkimIdentity*>& out,
                              std::string_view& missing) const {
  if (!by_author()) return named(out, missing);
  if (identities_ == nullptr || authorship_of(header_block, false).is_signed) return true;
  for (const DkimIdentity* identity : identities_->for_author(author_domain(header_block)))
    out.push_back(identity);
  return true;
}

void BatchSigners::of_author(std::string_view domain, std::vector<Signature>& out) const {
  const auto add = [&](const DkimIdentity& identity) {
    out.push_back({identity.domain, covers(identity, "list-unsubscribe") &&
                                        covers(identity, "list-unsubscribe-post")});
  };
  if (by_author()) {
    if (identities_ == nullptr) return;
    for (const DkimIdentity* identity : identities_->for_author(domain)) add(*identity);
    return;
  }
  std::vector<const DkimIdentity*> found;
  std::string_view missing;
  named(found, missing);
  for (const DkimIdentity* identity : found) add(*identity);
}

}  // namespace veredus::mail
