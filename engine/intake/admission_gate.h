#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/mail/admission.h"
#include "engine/mail/admission_fix.h"
#include "engine/mail/content.h"
#include "engine/mail/dkim_signer.h"
#include "engine/mail/signers.h"
#include "engine/mail/template.h"
#include "queue/batch.h"

namespace veredus::intake {

// What is done about what is found of a tenant's messages.
enum class AdmissionMode : uint8_t {
  off,     // nothing is looked for
  warn,    // it is told
  fix,     // what can be is mended, all is told
  refuse,  // the batch is refused, or the recipient whose own message it is
};
struct AdmissionRules {
  AdmissionMode mode = AdmissionMode::off;
  mail::Findings ignore;  // not told, not mended, not refused
  bool operator==(const AdmissionRules&) const = default;
};
struct AdmissionSettings {
  AdmissionRules each;                                    // of tenants not named in `of`
  std::map<std::string, AdmissionRules, std::less<>> of;  // by name, complete
  const AdmissionRules& of_tenant(std::string_view tenant) const {
    const auto named = of.find(tenant);
    return named == of.end() ? each : named->second;
  }
};

// What is found of one message.
struct MessageFindings {
  mail::Findings found;
  mail::Findings fixed;  // of these: what leaves does not have it any more
  std::array<std::string, mail::kFindings> details;  // of those found
  // In words, without the name.
  std::string reason(mail::Finding finding) const;
  // "from-missing: …; date-syntax: …".
  std::string reasons() const;
  // What to do about the first.
  std::string_view hint() const;
  // Enhanced status code of a recipient who is refused for them (static): 5.6.0 if one is about the
  // form of messages, else 5.7.1.
  std::string_view status() const;
};

// Takes messages through the door: normalised, checked, mended. Keeps what it knows of the last
// one.
class AdmissionGate {
 public:
  // All outlive the gate. `dkim`: who signs; null: nobody. `feedback_sender`: the last field of a
  // Feedback-ID that is made; empty: none is.
  AdmissionGate(const AdmissionSettings& settings, const mail::DkimIdentities* dkim,
                std::string_view feedback_sender);
  ~AdmissionGate();

  // The rules of its tenant hold from now on; the batch outlives the gate.
  void begin(const queue::Batch& batch);
  bool refuses(const MessageFindings& findings) const {
    return rules_.mode == AdmissionMode::refuse && !findings.found.empty();
  }

  // As mail::normalise(), and then what the tenant's mode says, but for refusing. False: the
  // message cannot be stored, and `fault` says why.
  bool normalise(std::string_view raw, bool merge, mail::ContentOrigin origin,
                 mail::Normalised& out, mail::ContentError& fault);
  // Of the message that was normalised last, whoever gets it.
  const MessageFindings& findings() const { return findings_; }

  // Whether the domain of From is each recipient's own, so that there is more to be found for each.
  bool varies() const { return varies_; }
  const MessageFindings& check_recipient(const queue::Entry& entry);
  // What was found for the one recipient of the message belongs to it.
  void add(const MessageFindings& more);

 private:
  struct Author;
  bool can_be_signed(const mail::Normalised& message, mail::ContentError& fault);
  bool shorten(std::string_view raw, mail::Normalised& out, mail::Findings& mended);
  mail::Findings check(const mail::Normalised& message, mail::Findings as_fed);
  void fix(mail::Normalised& message);
  void take(const mail::AdmissionReport& report, MessageFindings& out) const;
  void take_author(std::string_view clean);

  const AdmissionSettings& settings_;
  const mail::DkimIdentities* const dkim_;
  const std::string_view feedback_sender_;
  const queue::Batch* batch_ = nullptr;
  AdmissionRules rules_;
  std::unique_ptr<mail::BatchSigners> signers_;
  std::unique_ptr<Author> author_;
  mail::Admission admission_;
  std::vector<const mail::DkimIdentity*> identities_;  // scratch
  MessageFindings findings_, of_recipient_;
  bool varies_ = false, merge_ = false;  // of the last message
  mail::ContentOrigin origin_ = mail::ContentOrigin::fed;
};

}  // namespace veredus::intake
