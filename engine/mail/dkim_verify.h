#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace veredus::mail {

inline constexpr size_t kDkimVerifiedMax = 16;          // signatures of one message
inline constexpr size_t kDkimHeaderFieldsMax = 10'000;  // of a message that is verified

// What is found of one signature.
struct DkimVerdict {
  // As in Authentication-Results (RFC 8601 §2.7.1). All but `pass` is as if it were not there.
  enum class Result : uint8_t {
    pass,
    fail,       // what was signed is not what is here, or it has expired
    permerror,  // the signature, or the key that it names, is not as it must be
    temperror,  // the key could not be asked for
  };
  Result result = Result::permerror;
  std::string reason;            // of all but `pass`
  std::string domain, selector;  // d=, s=; empty where the field has none
  std::string algorithm, canon;  // a=, c=, as written
  std::string signed_fields;     // h=, without white space
  unsigned key_bits = 0;         // 0: there was no key to look at
  bool partial_body = false;     // l= covers not all of the body: anybody can append to it
  bool testing = false;          // the key's record says t=y
  bool not_looked_at = false;    // nor what is behind it: there is too much of something
};

// "pass", "fail", …
std::string_view dkim_result_name(DkimVerdict::Result result);

// What the DNS has at a name.
struct DkimKeyAnswer {
  enum class Status : uint8_t { found, none, failed };
  Status status = Status::none;
  std::vector<std::string> records;  // TXT, strings of a record joined
  std::string why_not;               // when it failed
};
// `name`: SELECTOR._domainkey.DOMAIN, in small letters, as the signature has it.
using DkimKeyLookup = std::function<DkimKeyAnswer(const std::string& name)>;

// Verifies all signatures of a message, from the top (RFC 6376 §6.1, RFC 8301, RFC 8463).
// `message`: as it came over the wire, lines ending with CRLF; whatever else is in it is looked at
// as it is. SHA-1 is no hash any more.
std::vector<DkimVerdict> verify_dkim(std::string_view message, int64_t wall_ns,
                                     const DkimKeyLookup& lookup);

}  // namespace veredus::mail
