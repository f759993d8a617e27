#include "engine/message_maker.h"

#include <algorithm>

#include "engine/mail/content.h"
#include "engine/mail/dkim_identity.h"
#include "engine/mail/mailbox_list.h"
#include "engine/mail/seven_bit.h"
#include "engine/mail/signers.h"

namespace veredus {
namespace {

using IdentitiesPtr = std::shared_ptr<const mail::DkimIdentities>;

// Whether it points to these. There are some.
bool same(const std::weak_ptr<const mail::DkimIdentities>& known, const IdentitiesPtr& now) {
  return now != nullptr && !known.owner_before(now) && !now.owner_before(known);
}

}  // namespace

void MessageMaker::begin_turn() {
  signing_left_us_ = kSigningPerTurnUs;
  const IdentitiesPtr& now = shard_.policy->dkim;
  if (!signs_by_.owner_before(now) && !now.owner_before(signs_by_)) return;
  signs_by_ = now;
  signer_.forget_gone_keys();
}

// The content as it was accepted, for DATA or for BDAT: `pieces` says where it lies.
absl::Status MessageMaker::put_content(const Work& work, const queue::Entry& entry,
                                       bool dot_stuffed, std::string& reverse_path,
                                       std::string& scratch, mail::Rendered& pieces) {
  mail::RenderRequest request;
  request.batch = &work.batch->batch;
  request.entry = &entry;
  request.index_in_trace = alone_;
  request.dot_stuffed = dot_stuffed;
  const mail::Template* compiled = work.content == nullptr ? nullptr : &work.content->compiled;
  return renderer_.render(compiled, request, reverse_path, scratch, pieces);
}

bool MessageMaker::refuse(std::string_view rule, const absl::Status& status) {
  fault_ = {};
  fault_.rule = rule;
  fault_.reason = std::string(status.message());
  return false;
}

bool MessageMaker::render(const Work& work, const queue::Entry& entry, bool alone, Form form,
                          smtp::Outgoing& out) {
  alone_ = alone;
  const absl::Status made =
      put_content(work, entry, form.dot_stuffed, out.reverse_path, out.scratch, rendered_);
  if (!made.ok()) return refuse("render", made);
  out.content.clear();
  for (const mail::Piece& piece : rendered_.pieces)
    out.content.push_back({const_cast<char*>(piece.data), piece.size});
  const uint8_t flags = work.own_message ? entry.content_flags : work.batch->batch.content_flags;
  smtp::Transaction& transaction = out.transaction;
  transaction.reverse_path = out.reverse_path;
  transaction.size = rendered_.size - rendered_.stuffing;
  transaction.eight_bit = (flags & queue::kContentEightBit) != 0 || rendered_.eight_bit;
  transaction.header_utf8 = (flags & queue::kContentHeaderUtf8) != 0 || rendered_.header_utf8;
  transaction.why_eight_bit = {};
  return true;
}

bool MessageMaker::finish(const Work& work, const queue::Entry& entry, Form form,
                          smtp::Outgoing& out) {
  if (out.transaction.eight_bit && !out.transaction.header_utf8 && !form.eight_bit)
    return make_seven_bit(work, entry, form, out);
  if (rendered_.stuffing == 0) return sign(work, rendered_.pieces, true, out);
  if (shard_.policy->dkim == nullptr && work.batch->batch.dkim.empty()) return true;  // unsigned
  // What is signed is the message, not what DATA makes of it.
  const absl::Status made =
      put_content(work, entry, false, unstuffed_path_, unstuffed_, unstuffed_pieces_);
  if (!made.ok()) return refuse("render", made);
  return sign(work, unstuffed_pieces_.pieces, true, out);
}

// The host takes no 8-bit content: it gets an equivalent one, or none. Nothing of this is kept, for
// hardly any host is like that. Limits of bytes have been asked with the size as it was accepted:
// what they hold back is not encoded in vain.
bool MessageMaker::make_seven_bit(const Work& work, const queue::Entry& entry, Form form,
                                  smtp::Outgoing& out) {
  if (form.dot_stuffed &&
      !put_content(work, entry, false, out.reverse_path, out.scratch, rendered_).ok())
    return true;
  std::string whole, encoded;
  whole.reserve(rendered_.size);
  for (const mail::Piece& piece : rendered_.pieces) whole.append(piece.data, piece.size);
  smtp::Transaction& transaction = out.transaction;
  // Without it the session refuses its recipients.
  if (!mail::append_seven_bit(whole, encoded, transaction.why_eight_bit)) return true;
  std::string().swap(whole);  // there may be another copy: three large ones at once are too many
  transaction.eight_bit = false;
  transaction.size = encoded.size();
  const mail::Piece message{encoded.data(), encoded.size()};
  out.content.clear();
  if (!sign(work, {&message, 1}, false, out)) return false;
  out.scratch.clear();
  form.dot_stuffed ? mail::append_dot_stuffed(encoded, true, out.scratch)
                   : out.scratch.swap(encoded);
  out.content.push_back({out.scratch.data(), out.scratch.size()});
  return true;
}

// -------------------------------------------------------------------------------------------------
// signatures

// Puts the signatures in front of the content. `as_stored`: it is what the stored message makes,
// not encoded anew.
bool MessageMaker::sign(const Work& work, std::span<const mail::Piece> message, bool as_stored,
                        smtp::Outgoing& out) {
  Identities identities;
  if (!choose(work, message, identities)) return false;
  if (identities.empty()) return true;
  ContentSigning* const common = as_stored ? signing_of(work) : nullptr;
  const bool the_same = common != nullptr && !work.content->compiled.has_slots();
  out.signature.clear();
  if (the_same && has_signature(*common)) {
    out.signature = common->signature;
  } else {
    const bool same_body = common != nullptr && !work.content->compiled.has_body_slots();
    const absl::Status made = signer_.sign(identities, message, shard_.wall_ns,
                                           same_body ? &common->body : nullptr, out.signature);
    for (const mail::DkimIdentity* identity : identities) signing_left_us_ -= cost_us(*identity);
    signing_left_us_ -= static_cast<int64_t>(out.transaction.size >> 10);  // hashed, a KiB in 1 us
    if (!made.ok()) return absl::IsInternal(made) ? cannot_sign(made) : refuse("dkim", made);
    Counters::add(shard_.counters.signatures, identities.size());
    if (the_same) {
      common->signature = out.signature;
      common->signed_under = shard_.policy->dkim;
      common->signed_wall_ns = shard_.wall_ns;
    }
  }
  out.content.insert(out.content.begin(), {out.signature.data(), out.signature.size()});
  out.transaction.size += out.signature.size();
  return true;
}

bool MessageMaker::choose(const Work& work, std::span<const mail::Piece> message,
                          Identities& chosen) {
  const auto& identities = shard_.policy->dkim;
  const mail::BatchSigners signers(identities.get(), work.batch->batch);
  chosen_.clear();
  if (!signers.by_author()) {
    std::string_view missing;
    if (!signers.named(chosen_, missing)) return wait_for(missing);
    chosen = chosen_;
    return true;
  }
  if (identities == nullptr) return true;
  ContentSigning* const common = signing_of(work);
  if (common != nullptr && !same(common->by, identities)) choose_for_all(*work.content, *common);
  if (common != nullptr && !common->by_each_author) {
    chosen = common->identities;
    return true;
  }
  std::string_view missing;
  signers.of_message(header_of(message), chosen_, missing);
  chosen = chosen_;
  return true;
}

// Whatever signs each message of a batch, or that it depends on the message.
void MessageMaker::choose_for_all(const StoredContent& content, ContentSigning& common) {
  const std::string_view header = content.bytes.substr(0, mail::header_end(content.bytes));
  const bool merge = (content.batch->batch.content_flags & queue::kContentMerge) != 0;
  const mail::Authorship authorship = mail::authorship_of(header, merge);
  common.by = shard_.policy->dkim;
  common.by_each_author = authorship.varies && !authorship.is_signed;
  common.identities.clear();
  if (authorship.varies || authorship.is_signed) return;
  const Identities found = shard_.policy->dkim->for_author(mail::author_domain(header));
  common.identities.assign(found.begin(), found.end());
}

// It was there when the batch was accepted, and may come back: unsigned the mail would be taken for
// forged.
bool MessageMaker::wait_for(std::string_view identity) {
  const std::string name(identity);
  return put_off("dkim-identity",
                 "the signing identity \"" + name +
                     "\" that the batch asks for is not configured any more: [dkim." + name + "]");
}

// Nothing is wrong with the message: there is no memory, or something is wrong with a key.
bool MessageMaker::cannot_sign(const absl::Status& status) {
  return put_off("dkim-key", "it cannot be signed now: " + std::string(status.message()));
}

bool MessageMaker::put_off(std::string_view rule, std::string reason) {
  fault_ = {};
  fault_.result = smtp::Result::later;
  fault_.kind = smtp::Kind::other;
  fault_.bounce_class = smtp::BounceClass::bad_configuration;
  fault_.rule = rule;
  fault_.enhanced = {4, 3, 5};
  fault_.reason = std::move(reason);
  return false;
}

bool MessageMaker::signs(const Work& work) const {
  const queue::Batch& batch = work.batch->batch;
  const auto& identities = shard_.policy->dkim;
  if (identities == nullptr || batch.dkim_none) return false;
  const ContentSigning* const common =
      work.content == nullptr ? nullptr : work.content->signing.get();
  if (common == nullptr) return true;
  if (!work.content->compiled.has_slots() && has_signature(*common)) return false;
  const bool chosen = same(common->by, identities) && !common->by_each_author;
  return !batch.dkim.empty() || !chosen || !common->identities.empty();
}

bool MessageMaker::has_signature(const ContentSigning& common) const {
  return same(common.signed_under, shard_.policy->dkim) &&
         shard_.wall_ns >= common.signed_wall_ns &&
         shard_.wall_ns - common.signed_wall_ns < kSignatureKeptNs;
}

// Null: the recipient carries its own message.
ContentSigning* MessageMaker::signing_of(const Work& work) {
  if (work.content == nullptr) return nullptr;
  if (work.content->signing == nullptr) work.content->signing = std::make_shared<ContentSigning>();
  return work.content->signing.get();
}

// The header block, in one piece.
std::string_view MessageMaker::header_of(std::span<const mail::Piece> message) {
  header_.clear();
  for (const mail::Piece& piece : message) {
    const std::string_view text(piece.data, piece.size);
    const size_t from = header_.size() < 3 ? 0 : header_.size() - 3;
    const size_t within = text.find("\r\n\r\n");
    header_ += within == std::string_view::npos ? text : text.substr(0, within + 4);
    const size_t end = header_.find("\r\n\r\n", from);
    if (end == std::string::npos) continue;
    header_.resize(end + 2);
    break;
  }
  return header_;
}

// About what a signature takes, on a slow machine.
int64_t MessageMaker::cost_us(const mail::DkimIdentity& identity) {
  if (identity.key->algorithm() == mail::DkimAlgorithm::ed25519_sha256) return 60;
  const unsigned bits = identity.key->bits();
  return bits <= 1024 ? 120 : bits <= 2048 ? 400 : bits <= 3072 ? 1800 : 4200;
}

}  // namespace veredus
