#include "engine/mail/dkim_verify.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

#include "engine/mail/dkim_canon.h"
#include "engine/mail/dkim_header.h"
#include "engine/mail/dkim_record.h"
#include "engine/mail/dkim_signer.h"
#include "engine/mail/header_field.h"
#include "engine/mail/piece.h"
#include "engine/mail/sha256.h"

namespace veredus::mail {
namespace {

using Result = DkimVerdict::Result;

std::string without_space(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c != ' ' && c != '\t' && c != '\r' && c != '\n') out += c;
  }
  return out;
}

bool is_number(std::string_view text, int64_t& out) {
  const auto end = std::from_chars(text.data(), text.data() + text.size(), out);
  return !text.empty() && end.ec == std::errc() && end.ptr == text.data() + text.size() && out >= 0;
}

// Hashes the first `limit` bytes that come.
class LimitedSink final : public CanonSink {
 public:
  LimitedSink(Sha256& sha, uint64_t limit) : sha_(sha), limit_(limit) {}
  void take(const char* data, size_t size) override {
    const uint64_t left = limit_ > total ? limit_ - total : 0;
    sha_.update(data, static_cast<size_t>(std::min<uint64_t>(left, size)));
    total += size;
  }
  uint64_t total = 0;

 private:
  Sha256& sha_;
  const uint64_t limit_;
};

// One signature, looked at step by step: each step says whether the next has sense.
class Verification {
 public:
  Verification(const DkimHeader& header, size_t index, std::string_view body, DkimVerdict& verdict)
      : header_(header), index_(index), body_(body), verdict_(verdict) {}

  void run(int64_t wall_ns, const DkimKeyLookup& lookup) {
    if (!read_tags() || !read_algorithm() || !read_names() || !read_times(wall_ns)) return;
    if (!find_key(lookup) || !check_body() || !check_signature()) return;
    verdict_.result = Result::pass;
  }

 private:
  bool say(Result result, std::string reason) {
    verdict_.result = result;
    verdict_.reason = std::move(reason);
    return false;
  }
  bool permerror(std::string reason) { return say(Result::permerror, std::move(reason)); }
  std::string_view value_of(std::string_view name, std::string_view otherwise = "") const {
    const DkimTag* const tag = find_dkim_tag(tags_, name);
    return tag != nullptr ? tag->value : otherwise;
  }

  bool read_tags() {
    field_ = header_.field(index_);
    if (field_.ends_with("\r\n")) field_.remove_suffix(2);
    const size_t value = field_.find(':') + 1;
    std::string why;
    if (!parse_dkim_tags(field_.substr(value), tags_, why)) return permerror("the field " + why);
    for (DkimTag& tag : tags_) {
      tag.begin += value;
      tag.end += value;
    }
    verdict_.domain = in_small(value_of("d"));
    verdict_.selector = in_small(value_of("s"));
    verdict_.algorithm = value_of("a");
    verdict_.canon = without_space(value_of("c", "simple/simple"));
    verdict_.signed_fields = without_space(value_of("h"));
    for (const std::string_view name : {"v", "a", "b", "bh", "d", "h", "s"}) {
      if (value_of(name).empty()) return permerror("the field has no " + std::string(name) + "=");
    }
    if (value_of("v") != "1") return permerror("the field is of another version than v=1");
    return true;
  }

  bool read_algorithm() {
    if (verdict_.algorithm == "rsa-sha256") {
      algorithm_ = DkimAlgorithm::rsa_sha256;
    } else if (verdict_.algorithm == "ed25519-sha256") {
      algorithm_ = DkimAlgorithm::ed25519_sha256;
    } else if (verdict_.algorithm == "rsa-sha1") {
      return permerror("a=rsa-sha1 must not be used any more (RFC 8301 section 3.1)");
    } else {
      return permerror("the algorithm of a= is not known");
    }
    const std::string_view canon = verdict_.canon;
    const size_t slash = canon.find('/');
    const std::string_view of_header = canon.substr(0, slash);
    const std::string_view of_body =
        slash == std::string_view::npos ? "simple" : canon.substr(slash + 1);
    if (!take_canon(of_header, header_canon_) || !take_canon(of_body, body_canon_))
      return permerror("the canonicalization of c= is not known");
    if (!decode_dkim_base64(value_of("bh"), body_hash_) ||
        body_hash_.size() != std::tuple_size_v<Sha256Digest>) {
      return permerror("bh= is no SHA-256 hash in base64");
    }
    if (!decode_dkim_base64(value_of("b"), signature_)) return permerror("b= is no base64");
    const DkimTag* const length = find_dkim_tag(tags_, "l");
    int64_t bytes = 0;
    if (length == nullptr) return true;
    if (!is_number(length->value, bytes)) return permerror("l= is no number");
    body_limit_ = static_cast<uint64_t>(bytes);
    return true;
  }

  static bool take_canon(std::string_view name, DkimCanon& out) {
    for (const DkimCanon canon : {DkimCanon::simple, DkimCanon::relaxed}) {
      if (name != dkim_canon_name(canon)) continue;
      out = canon;
      return true;
    }
    return false;
  }

  // Who signs, by whose leave, and what.
  bool read_names() {
    const std::string identity = in_small(value_of("i", "@" + verdict_.domain));
    const size_t at = identity.rfind('@');
    if (at == std::string::npos) return permerror("i= has no @");
    of_subdomain_ = identity.substr(at + 1) != verdict_.domain;
    if (of_subdomain_ && !identity.ends_with("." + verdict_.domain))
      return permerror("i= is in another domain than d=");
    if (!dkim_list_has(value_of("q", "dns/txt"), "dns/txt"))
      return permerror("the key is not in the DNS (q=)");
    std::string_view names = verdict_.signed_fields;
    bool from = false;
    for (size_t begin = 0; begin <= names.size();) {
      const size_t end = std::min(names.find(':', begin), names.size());
      names_.push_back(in_small(names.substr(begin, end - begin)));
      if (names_.back().empty()) return permerror("h= has an empty name");
      from = from || names_.back() == "from";
      begin = end + 1;
    }
    if (!from) return permerror("h= does not have From");
    if (names_.size() > kDkimHashedFieldsMax) return permerror("h= has too many names");
    return true;
  }

  bool read_times(int64_t wall_ns) {
    int64_t signed_s = 0, expires_s = 0;
    const DkimTag* const time = find_dkim_tag(tags_, "t");
    const DkimTag* const expiry = find_dkim_tag(tags_, "x");
    if (time != nullptr && !is_number(time->value, signed_s)) return permerror("t= is no number");
    if (expiry == nullptr) return true;
    if (!is_number(expiry->value, expires_s)) return permerror("x= is no number");
    if (time != nullptr && expires_s <= signed_s) return permerror("x= is not later than t=");
    if (wall_ns / 1'000'000'000 > expires_s) return say(Result::fail, "it has expired (x=)");
    return true;
  }

  bool find_key(const DkimKeyLookup& lookup) {
    const std::string name = verdict_.selector + "._domainkey." + verdict_.domain;
    const DkimKeyAnswer answer = lookup(name);
    if (answer.status == DkimKeyAnswer::Status::failed)
      return say(Result::temperror, "the key at " + name + " cannot be had: " + answer.why_not);
    if (answer.status == DkimKeyAnswer::Status::none || answer.records.empty())
      return permerror("there is no key at " + name);
    // Other records at the name are passed over where they are clearly none of a key.
    const std::string* record = nullptr;
    for (const std::string& each : answer.records) {
      std::vector<DkimTag> tags;
      std::string ignored;
      const bool none = answer.records.size() > 1 && (!parse_dkim_tags(each, tags, ignored) ||
                                                      find_dkim_tag(tags, "p") == nullptr);
      if (none) continue;
      if (record != nullptr) return permerror("there are several keys at " + name);
      record = &each;
    }
    if (record == nullptr) return permerror("there is no key among the records at " + name);
    std::string why;
    if (!parse_dkim_record(*record, key_, why)) return permerror("the key at " + name + " " + why);
    verdict_.key_bits = key_.bits;
    verdict_.testing = key_.testing;
    if (key_.algorithm != algorithm_) return permerror("the key at " + name + " is not for a=");
    if (key_.strict && of_subdomain_) {
      return permerror("the key at " + name + " is not for subdomains (t=s), where i= is");
    }
    return true;
  }

  bool check_body() {
    Sha256 sha;
    sha.begin();
    LimitedSink sink(sha, body_limit_.value_or(UINT64_MAX));
    DkimBodyCanon canon(body_canon_, sink);
    canon.update(body_);
    canon.finish();
    Sha256Digest hash;
    if (!sha.finish(hash)) return say(Result::temperror, "out of memory");
    if (body_limit_) {
      if (*body_limit_ > sink.total) return permerror("l= is more than the body has");
      verdict_.partial_body = *body_limit_ < sink.total;
    }
    if (std::equal(hash.begin(), hash.end(), reinterpret_cast<const uint8_t*>(body_hash_.data())))
      return true;
    return say(Result::fail, "the body was changed after it was signed");
  }

  // What was signed: the fields named by h=, each name the next one up, and the signature's own
  // without what b= says (RFC 6376 §3.7).
  std::string signed_bytes() const {
    std::string bytes;
    std::vector<std::pair<std::string_view, size_t>> reached;
    for (const std::string& name : names_) {
      auto at = std::find_if(reached.begin(), reached.end(),
                             [&](const auto& known) { return known.first == name; });
      if (at == reached.end()) at = reached.insert(at, {name, header_.size()});
      if (at->second == DkimHeader::kNone) continue;
      at->second = header_.find_up(name, at->second);
      if (at->second == index_) at->second = header_.find_up(name, index_);
      if (at->second != DkimHeader::kNone)
        append_canonical_field(header_canon_, header_.field(at->second), bytes);
    }
    const DkimTag& signature = *find_dkim_tag(tags_, "b");
    std::string own(field_.substr(0, signature.begin));
    own += field_.substr(signature.end);
    append_canonical_field(header_canon_, own, bytes);
    return bytes;
  }

  bool check_signature() {
    const std::string bytes = signed_bytes();
    Sha256 sha;
    Sha256Digest hash;
    sha.begin();
    sha.update(bytes.data(), bytes.size());
    if (!sha.finish(hash)) return say(Result::temperror, "out of memory");
    const bool good = algorithm_ == DkimAlgorithm::rsa_sha256 ? rsa_fits(hash) : ed25519_fits(hash);
    ERR_clear_error();
    if (good) return true;
    return say(Result::fail,
               "the header was changed after it was signed, or another key has signed it");
  }

  const unsigned char* signature_bytes() const {
    return reinterpret_cast<const unsigned char*>(signature_.data());
  }
  bool rsa_fits(const Sha256Digest& hash) const {
    EVP_PKEY_CTX* const context = EVP_PKEY_CTX_new_from_pkey(nullptr, key_.key.get(), nullptr);
    const bool good = context != nullptr && EVP_PKEY_verify_init(context) == 1 &&
                      EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PADDING) == 1 &&
                      EVP_PKEY_CTX_set_signature_md(context, EVP_sha256()) == 1 &&
                      EVP_PKEY_verify(context, signature_bytes(), signature_.size(), hash.data(),
                                      hash.size()) == 1;
    EVP_PKEY_CTX_free(context);
    return good;
  }
  bool ed25519_fits(const Sha256Digest& hash) const {
    EVP_MD_CTX* const context = EVP_MD_CTX_new();
    const bool good =
        context != nullptr &&
        EVP_DigestVerifyInit(context, nullptr, nullptr, nullptr, key_.key.get()) == 1 &&
        EVP_DigestVerify(context, signature_bytes(), signature_.size(), hash.data(), hash.size()) ==
            1;
    EVP_MD_CTX_free(context);
    return good;
  }

  const DkimHeader& header_;
  const size_t index_;  // of the signature's field
  const std::string_view body_;
  DkimVerdict& verdict_;
  std::string_view field_;  // without its last line end
  std::vector<DkimTag> tags_;
  std::vector<std::string> names_;
  DkimAlgorithm algorithm_ = DkimAlgorithm::rsa_sha256;
  DkimCanon header_canon_ = DkimCanon::simple, body_canon_ = DkimCanon::simple;
  std::string body_hash_, signature_;
  std::optional<uint64_t> body_limit_;
  bool of_subdomain_ = false;
  DkimRecord key_;
};

}  // namespace

std::string_view dkim_result_name(Result result) {
  switch (result) {
    case Result::pass:
      return "pass";
    case Result::fail:
      return "fail";
    case Result::permerror:
      return "permerror";
    case Result::temperror:
      break;
  }
  return "temperror";
}

std::vector<DkimVerdict> verify_dkim(std::string_view message, int64_t wall_ns,
                                     const DkimKeyLookup& lookup) {
  DkimHeader header;
  const Piece whole{message.data(), message.size()};
  header.read({&whole, 1});
  const std::string_view body =
      header.body_piece() == 0 ? message.substr(header.body_offset()) : std::string_view();
  std::vector<DkimVerdict> verdicts;
  for (size_t i = 0; i < header.size(); ++i) {
    if (!same_name(header.name(i), "dkim-signature")) continue;
    DkimVerdict& verdict = verdicts.emplace_back();
    if (header.size() > kDkimHeaderFieldsMax) {
      verdict.not_looked_at = true;
      verdict.reason = "not looked at: the header has over 10000 fields";
      return verdicts;
    }
    if (verdicts.size() > kDkimVerifiedMax) {
      verdict.not_looked_at = true;
      verdict.reason = "not looked at: the message has over 16 signatures";
      return verdicts;
    }
    Verification(header, i, body, verdict).run(wall_ns, lookup);
  }
  return verdicts;
}

}  // namespace veredus::mail
