#include "engine/mail/dkim_record.h"

#include <algorithm>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "engine/mail/content.h"

namespace veredus::mail {
namespace {

bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

bool is_tag_name(std::string_view name) {
  const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  if (name.empty() || !letter(name.front())) return false;
  for (const char c : name) {
    if (!letter(c) && !(c >= '0' && c <= '9') && c != '_') return false;
  }
  return true;
}

// Bytes over 127 are allowed where names of domains are (RFC 8616 §4).
bool is_tag_value(std::string_view value) {
  for (const char c : value) {
    if ((static_cast<unsigned char>(c) < 32 && !is_space(c)) || c == 127) return false;
  }
  return true;
}

// Of SubjectPublicKeyInfo, which the examples of the RFC have and everybody publishes, or of the
// bare RSAPublicKey that its text asks for (RFC 6376 §3.6.1, p=).
EVP_PKEY* rsa_key_of(const std::string& der) {
  const auto* at = reinterpret_cast<const unsigned char*>(der.data());
  EVP_PKEY* key = d2i_PUBKEY(nullptr, &at, static_cast<long>(der.size()));
  if (key == nullptr) {
    at = reinterpret_cast<const unsigned char*>(der.data());
    key = d2i_PublicKey(EVP_PKEY_RSA, nullptr, &at, static_cast<long>(der.size()));
  }
  ERR_clear_error();
  return key;
}

bool take_rsa_key(const std::string& der, DkimRecord& out, std::string& why) {
  out.key.reset(rsa_key_of(der));
  if (out.key == nullptr || EVP_PKEY_is_a(out.key.get(), "RSA") != 1) {
    why = "has no RSA key in p=";
    return false;
  }
  out.bits = static_cast<unsigned>(EVP_PKEY_get_bits(out.key.get()));
  if (out.bits >= kDkimRsaBitsMin && out.bits <= kDkimVerifiedRsaBitsMax) return true;
  why = "has an RSA key of " + std::to_string(out.bits) +
        " bits: " + (out.bits < kDkimRsaBitsMin ? "too short (RFC 8301 section 3.2)" : "too long");
  return false;
}

bool take_ed25519_key(const std::string& raw, DkimRecord& out, std::string& why) {
  constexpr size_t kBytes = 32;
  if (raw.size() == kBytes) {
    out.key.reset(EVP_PKEY_new_raw_public_key(
        EVP_PKEY_ED25519, nullptr, reinterpret_cast<const unsigned char*>(raw.data()), raw.size()));
  }
  ERR_clear_error();
  out.bits = 256;
  if (out.key != nullptr) return true;
  why = "has no Ed25519 key in p= (32 bytes in base64, RFC 8463 section 4)";
  return false;
}

}  // namespace

void DkimKeyFree::operator()(evp_pkey_st* key) const {
  EVP_PKEY_free(key);
}

bool parse_dkim_tags(std::string_view list, std::vector<DkimTag>& out, std::string& why) {
  out.clear();
  for (size_t at = 0; at <= list.size();) {
    const size_t end = std::min(list.find(';', at), list.size());
    const std::string_view tag = list.substr(at, end - at);
    const size_t equals = tag.find('=');
    const std::string_view name = trimmed(tag.substr(0, equals));
    if (equals == std::string_view::npos) {
      const bool behind_last = name.empty() && end == list.size() && !out.empty();
      if (behind_last) return true;
      why = "has a tag without \"=\"";
      return false;
    }
    const std::string_view value = trimmed(tag.substr(equals + 1));
    if (!is_tag_name(name) || !is_tag_value(value)) {
      why = "has a tag with a byte that may not be in it";
      return false;
    }
    if (find_dkim_tag(out, name) != nullptr || out.size() == kDkimTagsMax) {
      why = out.size() == kDkimTagsMax ? "has more than 64 tags"
                                       : "has the tag " + std::string(name) + "= twice";
      return false;
    }
    out.push_back({name, value, at + equals + 1, end});
    at = end + 1;
  }
  return true;
}

const DkimTag* find_dkim_tag(const std::vector<DkimTag>& tags, std::string_view name) {
  for (const DkimTag& tag : tags) {
    if (tag.name == name) return &tag;
  }
  return nullptr;
}

bool dkim_list_has(std::string_view list, std::string_view wanted) {
  for (size_t at = 0; at <= list.size();) {
    const size_t end = std::min(list.find(':', at), list.size());
    if (trimmed(list.substr(at, end - at)) == wanted) return true;
    at = end + 1;
  }
  return false;
}

bool decode_dkim_base64(std::string_view text, std::string& out) {
  std::string digits;
  for (const char c : text) {
    if (!is_space(c)) digits += c;
  }
  out.clear();
  size_t fault = 0;
  return append_base64_decoded(digits, out, fault);
}

bool parse_dkim_record(std::string_view text, DkimRecord& out, std::string& why) {
  out = DkimRecord();
  std::vector<DkimTag> tags;
  if (text.size() > kDkimRecordMax) {
    why = "is too long";
    return false;
  }
  if (!parse_dkim_tags(text, tags, why)) return false;
  const auto value_of = [&](std::string_view name, std::string_view otherwise) {
    const DkimTag* const tag = find_dkim_tag(tags, name);
    return tag != nullptr ? tag->value : otherwise;
  };
  const DkimTag* const version = find_dkim_tag(tags, "v");
  if (version != nullptr && (version != tags.data() || version->value != "DKIM1")) {
    why = "does not begin with v=DKIM1";
    return false;
  }
  const DkimTag* const key = find_dkim_tag(tags, "p");
  if (key == nullptr) {
    why = "has no p=, the key itself";
    return false;
  }
  if (key->value.empty()) {
    why = "is revoked (p= is empty)";
    return false;
  }
  if (!dkim_list_has(value_of("h", "sha256"), "sha256")) {
    why = "is not for SHA-256 (h=)";
    return false;
  }
  const std::string_view service = value_of("s", "*");
  if (!dkim_list_has(service, "*") && !dkim_list_has(service, "email")) {
    why = "is not for mail (s=)";
    return false;
  }
  const std::string_view flags = value_of("t", "");
  out.testing = dkim_list_has(flags, "y");
  out.strict = dkim_list_has(flags, "s");
  std::string bytes;
  if (!decode_dkim_base64(key->value, bytes)) {
    why = "has a p= that is no base64";
    return false;
  }
  const std::string_view kind = value_of("k", "rsa");
  if (kind == "rsa") return take_rsa_key(bytes, out, why);
  out.algorithm = DkimAlgorithm::ed25519_sha256;
  if (kind == "ed25519") return take_ed25519_key(bytes, out, why);
  why = "is of a kind that is not known: k=" + std::string(kind.substr(0, 40));
  return false;
}

}  // namespace veredus::mail
