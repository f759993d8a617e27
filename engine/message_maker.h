#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/context.h"
#include "engine/mail/dkim_signer.h"
#include "engine/mail/template.h"
#include "engine/smtp/session.h"
#include "engine/store.h"
#include "queue/extent.h"

namespace veredus {

// What signatures of one batch's message have in common, beside the message: kept with it
// (StoredContent::signing).
struct ContentSigning {
  // By which identities were chosen; others in force: they are chosen anew. Keeps no key alive.
  std::weak_ptr<const mail::DkimIdentities> by;
  bool by_each_author = false;  // From has a variable: chosen for each message
  std::vector<const mail::DkimIdentity*> identities;
  mail::DkimBodyHashes body;  // of a body that is the same for all
  // Where all of the message is the same for all, one signature serves for a while.
  std::string signature;
  std::weak_ptr<const mail::DkimIdentities> signed_under;  // in force then
  int64_t signed_wall_ns = 0;
};

// Makes what a transaction carries, at the moment of sending: rendered from what is stored, made
// seven bits where the host wants it, signed. One per shard.
class MessageMaker {
 public:
  // Why there is none: what becomes of its recipients.
  struct Fault {
    smtp::Result result = smtp::Result::never;
    smtp::Kind kind = smtp::Kind::hard;
    smtp::BounceClass bounce_class = smtp::BounceClass::content_related;
    std::string_view rule = "render";  // static
    std::array<uint16_t, 3> enhanced = {5, 6, 0};
    std::string reason;
  };
  // How the session wants it.
  struct Form {
    bool dot_stuffed = false;  // for DATA; else for BDAT
    bool eight_bit = false;    // as it is, 8BITMIME is offered
  };

  explicit MessageMaker(ShardContext& shard)  // which outlives this
      : shard_(shard), renderer_(shard.settings.render) {}

  // Fills reverse-path, content, size and what it needs of the host into `out`. `entry`: of the
  // first recipient; `alone`: there is no other. False: fault() says why.
  bool render(const Work& work, const queue::Entry& entry, bool alone, Form form,
              smtp::Outgoing& out);
  // The rest, for what is sent now: nothing of it is done in vain. Directly after render().
  bool finish(const Work& work, const queue::Entry& entry, Form form, smtp::Outgoing& out);
  const Fault& fault() const { return fault_; }

  // A signature takes long: so many are made in a turn, then what is to be signed waits for the
  // next. What one message takes, a large one or one with several signatures, is not cut.
  void begin_turn();
  bool may_sign() const { return signing_left_us_ > 0; }
  // Whether a signature has to be made for it, or may have to be.
  bool signs(const Work& work) const;

 private:
  using Identities = std::span<const mail::DkimIdentity* const>;
  static constexpr int64_t kSigningPerTurnUs = 2000;
  static constexpr int64_t kSignatureKeptNs = 60'000'000'000;

  absl::Status put_content(const Work& work, const queue::Entry& entry, bool dot_stuffed,
                           std::string& reverse_path, std::string& scratch, mail::Rendered& pieces);
  bool refuse(std::string_view rule, const absl::Status& status);
  bool make_seven_bit(const Work& work, const queue::Entry& entry, Form form, smtp::Outgoing& out);
  bool sign(const Work& work, std::span<const mail::Piece> message, bool as_stored,
            smtp::Outgoing& out);
  bool choose(const Work& work, std::span<const mail::Piece> message, Identities& chosen);
  void choose_for_all(const StoredContent& content, ContentSigning& common);
  bool wait_for(std::string_view identity);
  bool cannot_sign(const absl::Status& status);
  bool put_off(std::string_view rule, std::string reason);
  ContentSigning* signing_of(const Work& work);
  std::string_view header_of(std::span<const mail::Piece> message);
  bool has_signature(const ContentSigning& common) const;
  static int64_t cost_us(const mail::DkimIdentity& identity);

  ShardContext& shard_;
  mail::Renderer renderer_;
  mail::DkimSigner signer_;
  std::weak_ptr<const mail::DkimIdentities> signs_by_;  // in force at the last turn
  mail::Rendered rendered_;
  bool alone_ = true;
  // Of the message being signed, where it is not the one that is sent.
  std::string unstuffed_, unstuffed_path_;
  mail::Rendered unstuffed_pieces_;
  std::string header_;
  std::vector<const mail::DkimIdentity*> chosen_;
  Fault fault_;
  int64_t signing_left_us_ = kSigningPerTurnUs;
};

}  // namespace veredus
