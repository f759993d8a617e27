#include <cassert>
#include <utility>

#include "engine/smtp/credentials.h"
#include "engine/smtp/dialogue.h"
#include "engine/smtp/dialogue_parts.h"

// How the dialogue says who we are (RFC 4954): AUTH PLAIN (RFC 4616), or LOGIN where only that is
// offered. What it writes of credentials is in Output::bytes and nowhere else.

namespace veredus::smtp {
namespace {

// RFC 4954 §4: of the line with an initial response, its end included.
constexpr size_t kAuthLineMax = 512;

// A refusal is no word about the mail: it waits until the configuration is put right.
Said refused_by(const Reply& reply) {
  Said said = said_by(reply, Phase::auth);
  if (reply.code < 500) return said;
  said.enhanced.status_class = 4;
  if (!reply.enhanced.present()) said.enhanced = {4, 7, 8};
  return said;
}

}  // namespace

// With TLS as it is to be.
Step Dialogue::authenticate(Output& output) {
  using Mechanism = Credentials::Mechanism;
  const Credentials& credentials = *settings_->credentials;
  const auto may = [&](Mechanism mechanism, Capability capability) {
    return (credentials.mechanism == Mechanism::any || credentials.mechanism == mechanism) &&
           capabilities_.has(capability);
  };
  if (settings_->verify && !verified_) return tls_failed({}, output, Reason::tls_untrusted);
  const bool plain = may(Mechanism::plain, Capability::auth_plain);
  const bool in_clear = !secured_ && !credentials.allow_in_clear;
  if (in_clear || (!plain && !may(Mechanism::login, Capability::auth_login))) {
    Said said;
    said.stage = Phase::auth;
    said.reason = in_clear ? Reason::auth_in_clear : Reason::auth_missing;
    said.enhanced = in_clear ? EnhancedStatus{4, 7, 11} : EnhancedStatus{4, 7, 8};
    output.outcomes.push_back(output.make(said, {}));
    receive_ = send_ = Cursor{Phase::quit, 0};
    return next_send(output);
  }
  receive_ = send_ = Cursor{Phase::auth, 0};
  ++pending_;
  if (!plain) {
    auth_step_ = AuthStep::user;
    output.bytes.append("AUTH LOGIN\r\n");
    return {};
  }
  const std::string line = "AUTH PLAIN " + plain_response(credentials) + "\r\n";
  const bool fits = line.size() <= kAuthLineMax;
  auth_step_ = fits ? AuthStep::done : AuthStep::plain;
  output.bytes.append(fits ? line : "AUTH PLAIN\r\n");
  return {};
}

Step Dialogue::on_auth_reply(const Reply& heard, Output& output) {
  // A host may say our own line back.
  const Credentials& credentials = *settings_->credentials;
  const std::string text = without_credentials(heard.text, credentials);
  Reply reply = heard;
  reply.text = text;
  if (reply.code == 421) return close(said_by(reply, Phase::auth), {}, output);
  if (owed_ == 0) return out_of_step(reply, output);
  --owed_;
  if (reply.code == 235) {
    // Not before all that the mechanism has to say was said.
    if (auth_step_ != AuthStep::done) return out_of_step(reply, output);
    receive_ = send_ = Cursor{Phase::idle, 0};
    return step_now();
  }
  if (is_refusal(reply)) {
    output.outcomes.push_back(output.make(refused_by(reply), {}));
    receive_ = send_ = Cursor{Phase::quit, 0};
    return next_send(output);
  }
  if (reply.code != 334 || auth_step_ == AuthStep::done) return out_of_step(reply, output);
  switch (std::exchange(auth_step_,
                        auth_step_ == AuthStep::user ? AuthStep::password : AuthStep::done)) {
    case AuthStep::plain:
      output.bytes.append(plain_response(credentials));
      break;
    case AuthStep::user:
      output.bytes.append(base64(credentials.user));
      break;
    case AuthStep::password:
      output.bytes.append(base64(credentials.password));
      break;
    case AuthStep::done:
      break;
  }
  output.bytes.append("\r\n");
  ++pending_;
  return {};
}

}  // namespace veredus::smtp
