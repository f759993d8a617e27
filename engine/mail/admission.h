#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "engine/mail/admission_findings.h"
#include "engine/mail/entity_header.h"
#include "engine/mail/field_syntax.h"
#include "engine/mail/mailbox_list.h"

namespace veredus::mail {

// A signature that will be on a message.
struct Signature {
  std::string domain;        // d=, in A-labels and small letters
  bool unsubscribe = false;  // covers List-Unsubscribe and List-Unsubscribe-Post (those there are)
};
// The identities by which messages of an author are signed when they are sent.
class Signers {
 public:
  virtual ~Signers() = default;
  // `domain`: of From, in A-labels and small letters. Appends to `out`.
  virtual void of_author(std::string_view domain, std::vector<Signature>& out) const = 0;
  // Whether they sign messages, too, that carry a signature already.
  virtual bool sign_what_is_signed() const { return true; }
};

// What is known of a message beside its bytes.
struct AdmissionFacts {
  bool merge = false;                // {{…}} in it is replaced later
  bool built = false;                // made from parts: Date and Message-ID are the engine's to add
  bool eight_bit = false;            // bytes over 127 somewhere (queue::kContentEightBit)
  bool header_utf8 = false;          // … in the header, not encoded (queue::kContentHeaderUtf8)
  Findings as_fed;                   // of line_findings()
  const Signers* signers = nullptr;  // null: the engine signs nothing of it
};

struct AdmissionReport {
  Findings found;
  // More about some of them: "To: an address has no @", as detail_of() leaves it. Empty: text_of()
  // says all.
  std::array<std::string, kFindings> details;
  // The address in From depends on variables: check_author() is to be asked for each recipient.
  bool author_varies = false;
};

// line-length, bare-cr, bare-lf: of a message as it was fed. CR and LF count as line ends.
Findings line_findings(std::string_view raw);

// Checks messages. It keeps its memory from one to the next: one per upload, not thread-safe.
class Admission {
 public:
  // `clean`: as normalise() leaves it. The result holds until the next call. Without bytes over 127
  // or variables in the body nothing but the header is looked at.
  const AdmissionReport& check(std::string_view clean, const AdmissionFacts& facts);

  // For the message that was checked last, where its author varies: what is found for a recipient
  // whose From is `rendered`, the whole field. The domain asked for last is remembered.
  // Holds until the next call.
  const AdmissionReport& check_author(std::string_view rendered);

 private:
  enum Known : uint8_t {
    kFrom,
    kSender,
    kReplyTo,
    kTo,
    kCc,
    kBcc,
    kDate,
    kMessageId,
    kInReplyTo,
    kReturnPath,
    kReferences,
    kSubject,
    kListUnsubscribe,
    kListUnsubscribePost,
    kFeedbackId,
    kMimeVersion,
    kContentType,
    kContentTransferEncoding,
    kDkimSignature,
    kOther
  };
  struct Seen {
    unsigned count = 0;
    std::string_view whole, value;  // of the first
  };
  static Known known(std::string_view name);
  void find(Finding finding, std::string_view detail = {});
  void forget_report();
  bool has_slots(std::string_view value) const;
  void read_header(std::string_view block);
  void check_from();
  void check_authors();
  void check_domain(std::string_view domain);
  void check_addresses();
  void check_origin();
  void check_unsubscribe();
  void check_mime(std::string_view body);
  void check_part(const EntityHeader& fields, std::string_view body);
  Findings signing_findings(std::string_view domain);
  bool aligned(std::string_view signer, std::string_view author);

  AdmissionFacts facts_;
  AdmissionReport report_;
  std::array<Seen, kOther> seen_;
  std::vector<SignatureTags> carried_;  // signatures of the message itself
  std::vector<Signature> signatures_;   // that will be made
  std::vector<Mailbox> mailboxes_;
  std::string masked_, author_, last_author_;
  // Asked for last: the list of public suffixes takes longer than all else of a check.
  std::string aligned_signer_, aligned_organization_, aligned_author_;
  bool aligned_ = false;
  bool one_click_ = false;  // both fields of RFC 8058 are there
};

}  // namespace veredus::mail
