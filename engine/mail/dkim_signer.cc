#include "engine/mail/dkim_signer.h"

#include <algorithm>
#include <array>
#include <charconv>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

#include "engine/mail/content.h"
#include "engine/mail/header_field.h"

namespace veredus::mail {
namespace {

constexpr size_t kLineMax = 76;  // columns, as far as no single word is longer
constexpr std::string_view kFold = "\r\n\t";
constexpr size_t kFoldColumns = 8;

// Writes a field of tags, folded between tags, between names of h=, and anywhere in b=.
class FieldWriter {
 public:
  explicit FieldWriter(std::string& out) : out_(out), line_(out.size()) {}

  void first(std::string_view text) { out_ += text; }
  // Another tag, a space or a fold in front of it.
  void tag(std::string_view name, std::string_view value) {
    out_ += ';';
    if (column() + 1 + name.size() + value.size() + 1 > kLineMax) {
      fold();
    } else {
      out_ += ' ';
    }
    out_ += name;
    out_ += value;
  }
  void tag(std::string_view name, int64_t value) {
    std::array<char, 24> digits;
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value);
    tag(name, {digits.data(), static_cast<size_t>(end.ptr - digits.data())});
  }
  // "h=a:b:c", folded behind colons.
  void names(std::string_view list) {
    std::string_view name = next(list);
    tag("h=", name);
    while (!list.empty()) {
      name = next(list);
      out_ += ':';
      if (column() + name.size() + 1 > kLineMax) fold();
      out_ += name;
    }
  }
  // An empty b= at the end, on a line of its own; then its value.
  void last() {
    out_ += ';';
    fold();
    out_ += "b=";
  }
  void value(std::string_view base64) {
    while (column() + base64.size() > kLineMax) {
      const size_t fits = kLineMax - column();
      out_ += base64.substr(0, fits);
      base64.remove_prefix(fits);
      fold();
    }
    out_ += base64;
    out_ += "\r\n";
  }

 private:
  size_t column() const { return out_.size() - line_ + extra_; }
  void fold() {
    out_ += kFold;
    line_ = out_.size();
    extra_ = kFoldColumns;
  }
  static std::string_view next(std::string_view& list) {
    const size_t colon = list.find(':');
    const std::string_view name = list.substr(0, colon);
    list.remove_prefix(colon == std::string_view::npos ? list.size() : colon + 1);
    return name;
  }

  std::string& out_;
  size_t line_;       // where in out_ the line begins, behind its tab
  size_t extra_ = 0;  // columns of that
};

class HashingSink final : public CanonSink {
 public:
  explicit HashingSink(Sha256& sha) : sha_(sha) {}
  void take(const char* data, size_t size) override { sha_.update(data, size); }

 private:
  Sha256& sha_;
};

DkimCanon canon_of(bool relaxed) {
  return relaxed ? DkimCanon::relaxed : DkimCanon::simple;
}

std::string_view bytes_of(const Sha256Digest& digest) {
  return {reinterpret_cast<const char*>(digest.data()), digest.size()};
}

bool is_among(std::string_view name, const std::vector<std::string>& fields) {
  return std::any_of(fields.begin(), fields.end(),
                     [&](const std::string& field) { return same_name(name, field); });
}

// How many fields choose_fields() takes, those included that are added when the message is sent.
size_t count_signed_fields(std::string_view header_block, const std::vector<std::string>& fields,
                           const std::vector<std::string>& oversigned) {
  size_t count = 0;
  bool date = false, message_id = false;
  HeaderField field;
  for (std::string_view whole; !header_block.empty();) {
    if (!take_field(header_block, whole, field)) continue;
    date = date || same_name(field.name, "date");
    message_id = message_id || same_name(field.name, "message-id");
    if (is_among(field.name, fields) || is_among(field.name, oversigned)) ++count;
  }
  return count + (date ? 0 : 1) + (message_id ? 0 : 1);
}

bool has_from(std::string_view header_block) {
  HeaderField field;
  for (std::string_view whole; !header_block.empty();) {
    if (take_field(header_block, whole, field) && same_name(field.name, "from")) return true;
  }
  return false;
}

absl::Status library_failed(std::string_view what) {
  std::array<char, 256> text{};
  ERR_error_string_n(ERR_get_error(), text.data(), text.size());
  ERR_clear_error();
  return absl::InternalError("DKIM: " + std::string(what) + " has failed: " + text.data());
}

}  // namespace

bool can_be_signed(std::string_view header_block, std::string_view& why_not,
                   std::span<const DkimIdentity* const> by) {
  if (!has_from(header_block)) return why_not = "has no From field, which must be signed", false;
  // With so few lines the fields need not be counted.
  constexpr size_t kAdded = 2;  // Date, Message-ID
  const auto lines = std::count(header_block.begin(), header_block.end(), '\n');
  if (static_cast<size_t>(lines) + kAdded < kDkimHashedFieldsMax) return true;
  const auto fit = [&](const std::vector<std::string>& fields,
                       const std::vector<std::string>& oversigned) {
    return count_signed_fields(header_block, fields, oversigned) <= kDkimHashedFieldsMax;
  };
  const bool all_fit = by.empty()
                           ? fit(default_signed_fields(), default_oversigned_fields())
                           : std::all_of(by.begin(), by.end(), [&](const DkimIdentity* identity) {
                               return fit(identity->signed_fields, identity->oversigned_fields);
                             });
  static_assert(kDkimHashedFieldsMax == 1000, "the reason says so");
  if (!all_fit) why_not = "has more than 1000 fields to be signed";
  return all_fit;
}

struct DkimSigner::KeyCopy {
  std::weak_ptr<const DkimKey> of;
  EVP_PKEY* own = nullptr;
  EVP_PKEY_CTX* rsa = nullptr;    // of an RSA key
  EVP_MD_CTX* ed25519 = nullptr;  // of an Ed25519 key

  ~KeyCopy() {
    EVP_PKEY_CTX_free(rsa);
    EVP_MD_CTX_free(ed25519);
    EVP_PKEY_free(own);
  }
  bool make(const std::shared_ptr<const DkimKey>& key) {
    of = key;
    own = EVP_PKEY_dup(key->native());
    if (own == nullptr) return false;
    if (key->algorithm() == DkimAlgorithm::ed25519_sha256) {
      ed25519 = EVP_MD_CTX_new();
      return ed25519 != nullptr;
    }
    rsa = EVP_PKEY_CTX_new_from_pkey(nullptr, own, nullptr);
    return rsa != nullptr && EVP_PKEY_sign_init(rsa) == 1 &&
           EVP_PKEY_CTX_set_rsa_padding(rsa, RSA_PKCS1_PADDING) == 1 &&
           EVP_PKEY_CTX_set_signature_md(rsa, EVP_sha256()) == 1;
  }
};

DkimSigner::DkimSigner() = default;
DkimSigner::~DkimSigner() = default;

absl::Status DkimSigner::sign(std::span<const DkimIdentity* const> identities,
                              std::span<const Piece> message, int64_t wall_ns,
                              DkimBodyHashes* constant_body, std::string& out) {
  if (identities.empty()) return absl::OkStatus();
  if (--calls_until_look_ == 0) forget_gone_keys();
  header_.read(message);
  DkimBodyHashes of_this;
  DkimBodyHashes& hashes = constant_body != nullptr ? *constant_body : of_this;
  const size_t before = out.size();
  const DkimIdentity* chosen_for = nullptr;
  for (const DkimIdentity* identity : identities) {
    const DkimCanon body_canon = canon_of(identity->relaxed_body);
    std::optional<Sha256Digest>& body_hash = hashes.of(body_canon);
    absl::Status status;
    if (!body_hash) {
      Sha256Digest made;
      status = hash_body(body_canon, message, made);
      if (status.ok()) body_hash = made;
    }
    // The signatures of a domain with several keys cover the same fields.
    const bool as_chosen = chosen_for != nullptr &&
                           chosen_for->relaxed_header == identity->relaxed_header &&
                           chosen_for->signed_fields == identity->signed_fields &&
                           chosen_for->oversigned_fields == identity->oversigned_fields;
    if (status.ok() && !as_chosen) status = choose_fields(*identity);
    chosen_for = identity;
    if (status.ok()) status = append_signature(*identity, *body_hash, wall_ns, out);
    if (!status.ok()) {
      out.resize(before);
      return status;
    }
  }
  return absl::OkStatus();
}

absl::Status DkimSigner::hash_body(DkimCanon canon, std::span<const Piece> message,
                                   Sha256Digest& out) {
  sha_.begin();
  HashingSink sink(sha_);
  DkimBodyCanon body(canon, sink);
  size_t offset = header_.body_offset();
  for (size_t i = header_.body_piece(); i < message.size(); ++i) {
    body.update({message[i].data + offset, message[i].size - offset});
    offset = 0;
  }
  body.finish();
  return sha_.finish(out) ? absl::OkStatus() : library_failed("SHA-256");
}

// Fills hashed_ and names_. Fields that occur several times are signed from the bottom up
// (RFC 6376 §5.4.2).
absl::Status DkimSigner::choose_fields(const DkimIdentity& identity) {
  hashed_.clear();
  if (hashed_.capacity() > DkimHeader::kKeptMax) hashed_.shrink_to_fit();
  names_.clear();
  const DkimCanon canon = canon_of(identity.relaxed_header);
  const std::vector<std::string>& oversigned = identity.oversigned_fields;
  size_t count = 0;
  const auto name = [&](const std::string& field) {
    if (!names_.empty()) names_ += ':';
    names_ += field;
  };
  const auto take = [&](const std::string& field) {
    size_t found = header_.size();
    while ((found = header_.find_up(field, found)) != DkimHeader::kNone) {
      append_canonical_field(canon, header_.field(found), hashed_);
      name(field);
      if (++count > kDkimHashedFieldsMax) return;
    }
  };
  if (header_.find_up("from", header_.size()) == DkimHeader::kNone) {
    return absl::InvalidArgumentError("DKIM: the message has no From field, which must be signed");
  }
  for (const std::string& field : identity.signed_fields) {
    take(field);
    if (std::find(oversigned.begin(), oversigned.end(), field) != oversigned.end()) name(field);
  }
  for (const std::string& field : oversigned) {
    const std::vector<std::string>& before = identity.signed_fields;
    if (std::find(before.begin(), before.end(), field) != before.end()) continue;
    take(field);
    name(field);
  }
  if (count <= kDkimHashedFieldsMax) return absl::OkStatus();
  return absl::InvalidArgumentError("DKIM: the message has more than " +
                                    std::to_string(kDkimHashedFieldsMax) + " fields to be signed");
}

absl::Status DkimSigner::append_signature(const DkimIdentity& identity,
                                          const Sha256Digest& body_hash, int64_t wall_ns,
                                          std::string& out) {
  const absl::StatusOr<KeyCopy*> key = copy_of(identity.key);
  if (!key.ok()) return key.status();
  const size_t begin = out.size();
  FieldWriter field(out);
  field.first("DKIM-Signature: v=1");
  field.tag("a=", dkim_algorithm_name(identity.key->algorithm()));
  base64_.assign(dkim_canon_name(canon_of(identity.relaxed_header)));
  base64_ += '/';
  base64_ += dkim_canon_name(canon_of(identity.relaxed_body));
  field.tag("c=", base64_);
  field.tag("d=", identity.domain);
  field.tag("s=", identity.selector);
  constexpr int64_t kSecond = 1'000'000'000;
  field.tag("t=", wall_ns / kSecond);
  if (identity.lifetime_ns > 0) field.tag("x=", (wall_ns + identity.lifetime_ns) / kSecond);
  field.names(names_);
  base64_.clear();
  append_base64(bytes_of(body_hash), base64_);
  field.tag("bh=", base64_);
  field.last();

  const size_t of_fields = hashed_.size();
  append_canonical_field(canon_of(identity.relaxed_header), std::string_view(out).substr(begin),
                         hashed_);
  const bool good = append_raw_signature(**key, hashed_, signature_);
  hashed_.resize(of_fields);
  if (!good) {
    return library_failed("signing with the key of the identity \"" + identity.name + "\"");
  }
  base64_.clear();
  append_base64(signature_, base64_);
  field.value(base64_);
  return absl::OkStatus();
}

// Both algorithms sign a SHA-256 hash: RSA as PKCS#1 v1.5 has it (RFC 6376 §3.3.1), Ed25519 as if
// it were the message (RFC 8463 §3).
bool DkimSigner::append_raw_signature(KeyCopy& key, std::string_view data, std::string& out) {
  Sha256Digest hash;
  sha_.begin();
  sha_.update(data.data(), data.size());
  if (!sha_.finish(hash)) return false;
  size_t size = kDkimRsaBitsMax / 8;
  out.resize(size);
  auto* const to = reinterpret_cast<unsigned char*>(out.data());
  const bool good =
      key.rsa != nullptr
          ? EVP_PKEY_sign(key.rsa, to, &size, hash.data(), hash.size()) == 1
          : EVP_DigestSignInit(key.ed25519, nullptr, nullptr, nullptr, key.own) == 1 &&
                EVP_DigestSign(key.ed25519, to, &size, hash.data(), hash.size()) == 1;
  out.resize(good ? size : 0);
  return good;
}

absl::StatusOr<DkimSigner::KeyCopy*> DkimSigner::copy_of(
    const std::shared_ptr<const DkimKey>& key) {
  const auto found = keys_.find(key.get());
  // Another key may have lain at the same address, until it went.
  if (found != keys_.end() && !found->second->of.expired()) return found->second.get();
  auto copy = std::make_unique<KeyCopy>();
  if (!copy->make(key)) return library_failed("copying a key");
  std::unique_ptr<KeyCopy>& kept = keys_[key.get()];
  kept = std::move(copy);
  // It may have come for another one. Not looked for at once: all of many keys come new one day.
  calls_until_look_ = std::min(calls_until_look_, static_cast<uint32_t>(keys_.size()));
  return kept.get();
}

void DkimSigner::forget_gone_keys() {
  calls_until_look_ = kCallsBetweenLooks;
  absl::erase_if(keys_, [](const auto& kept) { return kept.second->of.expired(); });
}

}  // namespace veredus::mail
