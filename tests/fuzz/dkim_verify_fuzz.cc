#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <openssl/evp.h>

#include "engine/mail/content.h"
#include "engine/mail/dkim_identity.h"
#include "engine/mail/dkim_record.h"
#include "engine/mail/dkim_signer.h"
#include "engine/mail/dkim_verify.h"

namespace {

using namespace veredus::mail;

constexpr int64_t kWall = 1'782'898'205'000'000'000;

// Always the same Ed25519 key, which costs little.
std::shared_ptr<const DkimKey> key() {
  static const std::shared_ptr<const DkimKey> made = [] {
    std::array<unsigned char, 32> seed{};
    seed[0] = 1;
    return DkimKey::of(EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, seed.data(), 32))
        .value();
  }();
  return made;
}

DkimIdentity identity(bool relaxed_header, bool relaxed_body) {
  DkimIdentity made;
  made.name = "it";
  made.domain = "example.org";
  made.selector = "s1";
  made.relaxed_header = relaxed_header;
  made.relaxed_body = relaxed_body;
  made.key = key();
  return made;
}

// By chance alone hardly any input is a message: half of it is the value of a field here, with
// folds for line ends, the other half a body.
std::string message_of(std::string_view input) {
  std::string message = "From: a@b.c\r\nSubject:";
  for (const char c : input.substr(0, input.size() / 2)) {
    if (c == '\n') message += "\r\n\t";
    if ((c >= ' ' && c < 127) || c == '\t') message += c;
  }
  message += "\r\n\r\n";
  for (const char c : input.substr(input.size() / 2)) {
    if (c != '\0') message += c;
  }
  return message;
}

// What the door lets in, and has an author, can be signed; then the signature is valid.
void sign_and_verify(std::string_view message, size_t cut) {
  static const DkimIdentity identities[] = {identity(false, false), identity(true, true)};
  static DkimSigner signer;
  const DkimIdentity* const both[] = {&identities[0], &identities[1]};
  std::vector<Piece> pieces;
  for (size_t at = 0; at < message.size(); at += cut)
    pieces.push_back({message.data() + at, std::min(cut, message.size() - at)});
  std::string out;
  const absl::Status status = signer.sign(both, pieces, kWall, nullptr, out);
  if (!status.ok()) {
    if (!out.empty() || absl::IsInternal(status)) abort();
    return;
  }
  out += message;
  size_t ours = 0;
  for (const DkimVerdict& verdict : verify_dkim(out, kWall, [](const std::string&) {
         return DkimKeyAnswer{DkimKeyAnswer::Status::found, {key()->public_record()}, ""};
       })) {
    if (++ours <= 2 && verdict.result != DkimVerdict::Result::pass) abort();
  }
  if (ours < 2) abort();
}

}  // namespace

// Up to the first NUL a key's record, behind it a message: verdicts of any such pair, whatever they
// are, and a good one of what was signed here.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t nul = input.find('\0');
  const std::string record(input.substr(0, nul == std::string_view::npos ? 0 : nul));
  const std::string_view message = nul == std::string_view::npos ? input : input.substr(nul + 1);
  DkimRecord parsed;
  std::string why;
  if (parse_dkim_record(record, parsed, why) ? parsed.key == nullptr : why.empty()) abort();
  for (const DkimVerdict& verdict : verify_dkim(message, kWall, [&](const std::string&) {
         return DkimKeyAnswer{DkimKeyAnswer::Status::found, {record}, ""};
       })) {
    if ((verdict.result == DkimVerdict::Result::pass) != verdict.reason.empty()) abort();
  }
  // Signing and verifying costs a thousand times what the rest does.
  if (size % 32 != 0) return 0;
  Normalised clean;
  ContentError error;
  const std::string made = message_of(message);
  for (const std::string_view each : {message, std::string_view(made)}) {
    if (normalise(each, false, clean, error)) sign_and_verify(clean.bytes, 1 + size % 70);
  }
  return 0;
}
