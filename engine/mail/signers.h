#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "engine/mail/admission.h"
#include "engine/mail/dkim_identity.h"
#include "queue/batch.h"

namespace veredus::mail {

// What a header block says of who is to sign its message.
struct Authorship {
  bool varies = false;     // From has a {{…}} that is replaced later
  bool is_signed = false;  // by whoever made it
};
Authorship authorship_of(std::string_view header_block, bool merge);

// Who signs the messages of a batch: the identities that it names; else those of the author's
// domain, unless the message is signed already.
class BatchSigners final : public Signers {
 public:
  // Both outlive this. `identities`: null: there are none.
  BatchSigners(const DkimIdentities* identities, const queue::Batch& batch)
      : identities_(identities), batch_(batch) {}

  // Whether the message that is signed decides, not the batch alone.
  bool by_author() const { return batch_.dkim.empty() && !batch_.dkim_none; }
  // Those that the batch names. False: `missing` is not there any more.
  bool named(std::vector<const DkimIdentity*>& out, std::string_view& missing) const;
  // Those of a message with this header block, by_author() or not. False: likewise.
  bool of_message(std::string_view header_block, std::vector<const DkimIdentity*>& out,
                  std::string_view& missing) const;
  // For the admission check.
  bool sign_what_is_signed() const override { return !by_author(); }
  void of_author(std::string_view domain, std::vector<Signature>& out) const override;

 private:
  const DkimIdentities* const identities_;
  const queue::Batch& batch_;
};

}  // namespace veredus::mail
