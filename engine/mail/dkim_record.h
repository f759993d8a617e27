#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/mail/dkim_key.h"

struct evp_pkey_st;

namespace veredus::mail {

inline constexpr size_t kDkimTagsMax = 64;                 // of one list
inline constexpr size_t kDkimRecordMax = 16 * 1024;        // bytes
inline constexpr unsigned kDkimVerifiedRsaBitsMax = 8192;  // of somebody else's key

// name=value of a list parted by ';' (RFC 6376 §3.2). Views of the list.
struct DkimTag {
  std::string_view name;
  std::string_view value;  // without the white space around it
  size_t begin = 0;        // of the value in the list, white space included …
  size_t end = 0;          // … up to the ';' or the end
};

// False: it is no such list, or a tag is there twice; `why` says so.
bool parse_dkim_tags(std::string_view list, std::vector<DkimTag>& out, std::string& why);
// Null: there is none.
const DkimTag* find_dkim_tag(const std::vector<DkimTag>& tags, std::string_view name);
// Whether one of the values parted by ':' is `wanted`.
bool dkim_list_has(std::string_view list, std::string_view wanted);
// What the base64 text of a value, white space in it, stands for (RFC 6376 §3.2). False: it is
// none.
bool decode_dkim_base64(std::string_view text, std::string& out);

struct DkimKeyFree {
  void operator()(evp_pkey_st* key) const;
};

// What the DNS says of a key (RFC 6376 §3.6.1).
struct DkimRecord {
  DkimAlgorithm algorithm = DkimAlgorithm::rsa_sha256;  // k=
  unsigned bits = 0;
  bool testing = false;  // t=y: the domain tries DKIM out
  bool strict = false;   // t=s: i= must have the domain of d= itself
  std::unique_ptr<evp_pkey_st, DkimKeyFree> key;
};

// False: no signature can be verified with it; `why`: "is revoked (p= is empty)", to be put behind
// the key's name.
bool parse_dkim_record(std::string_view text, DkimRecord& out, std::string& why);

}  // namespace veredus::mail
