#include <algorithm>
#include <cassert>

#include "engine/smtp/dialogue.h"
#include "engine/smtp/dialogue_parts.h"

// What the dialogue writes of an envelope, and what it refuses to write.

namespace veredus::smtp {
namespace {

enum class Address : uint8_t { ascii, utf8, unsendable };

// Whether `address` can stand between angle brackets without ending them or the line (RFC 5321
// §4.1.2). Not a full syntax check: that is intake's.
Address look_at(std::string_view address) {
  if (address.size() > kAddressMax) return Address::unsendable;
  bool utf8 = false;
  bool quoted = false;
  for (size_t i = 0; i < address.size(); ++i) {
    const auto c = static_cast<unsigned char>(address[i]);
    if (c < 0x20 || c == 0x7f) return Address::unsendable;
    if (c >= 0x80) utf8 = true;
    if (c == '"') quoted = !quoted;
    if (c == '\\' && quoted) {
      // The next byte is quoted, whatever it is; a control byte is still none to send.
      if (++i == address.size()) return Address::unsendable;
      const auto next = static_cast<unsigned char>(address[i]);
      if (next < 0x20 || next >= 0x7f) return Address::unsendable;
    }
    if (!quoted && (c == ' ' || c == '<' || c == '>')) return Address::unsendable;
  }
  if (quoted) return Address::unsendable;
  return utf8 ? Address::utf8 : Address::ascii;
}

EnhancedStatus status_of(Reason reason) {
  switch (reason) {
    case Reason::bad_recipient:
      return {5, 1, 3};
    case Reason::bad_sender:
      return {5, 1, 7};
    case Reason::message_too_big:
      return {5, 3, 4};
    case Reason::needs_8bitmime:
      return {5, 6, 3};
    case Reason::needs_smtputf8:
      return {5, 6, 7};
    case Reason::needs_tls:
    case Reason::tls_missing:
      return {4, 7, 4};
    case Reason::auth_missing:
      return {4, 7, 8};
    case Reason::auth_in_clear:
      return {4, 7, 11};
    case Reason::needs_ehlo:  // said with that of what is needed
    case Reason::none:
    case Reason::connect_refused:
    case Reason::connect_timed_out:
    case Reason::unreachable:
    case Reason::connection_lost:
    case Reason::timed_out:
    case Reason::too_slow:
    case Reason::bad_reply:
    case Reason::unexpected_reply:
    case Reason::local_close:
    case Reason::tls_injected:
    case Reason::tls_failed:
    case Reason::tls_untrusted:
      return {};
  }
  return {};
}

}  // namespace

// An outcome without its recipient, judged. `detail` only with a reason.
Outcome Output::make(const Said& said, std::string_view detail) {
  Outcome made;
  made.stage = said.stage;
  made.reason = said.reason;
  made.code = said.code;
  made.enhanced = said.enhanced;
  made.verdict = rules != nullptr ? judge(said, *rules) : judge(said);
  const size_t begin = texts_.size();
  if (said.reason == Reason::none) {
    texts_.append(said.text);
  } else {
    texts_.append(words(said.reason));
    if (!said.enhanced.present() || said.code != 0) {
      texts_.append(" ").append(row_of(said.stage).failed);
    }
    if (!detail.empty()) texts_.append(": ").append(detail);
    if (said.code != 0) {
      texts_.append(": ");
      append_number(texts_, said.code);
      texts_.append(" ").append(said.text);
    }
  }
  made.text_begin = static_cast<uint32_t>(begin);
  made.text_size = static_cast<uint16_t>(texts_.size() - begin);
  return made;
}

// Settles what must not, or need not, be sent, and marks it as not written.
void Dialogue::refuse_unsendable(Open& open, Output& output) {
  const Transaction& transaction = *open.transaction;
  const auto made = [&](Reason reason) {
    Said said;
    said.stage = Phase::mail;
    said.reason = reason;
    said.enhanced = status_of(reason);
    const bool of_content = reason == Reason::needs_8bitmime;
    if (after_helo_ && (of_content || reason == Reason::needs_smtputf8)) {
      said.reason = Reason::needs_ehlo;
      said.enhanced.status_class = 4;
      return output.make(said, words(reason));
    }
    return output.make(said, of_content ? transaction.why_eight_bit : std::string_view());
  };
  const bool takes_utf8 = capabilities_.has(Capability::smtputf8);
  const Address sender = look_at(transaction.reverse_path);
  Reason all = Reason::none;
  if (sender == Address::unsendable) {
    all = Reason::bad_sender;
  } else if ((sender == Address::utf8 || transaction.header_utf8) && !takes_utf8) {
    all = Reason::needs_smtputf8;
  } else if (capabilities_.size_limit != 0 && transaction.size > capabilities_.size_limit) {
    all = Reason::message_too_big;
  } else if (transaction.eight_bit && !capabilities_.has(Capability::eight_bit_mime)) {
    all = Reason::needs_8bitmime;
  } else if (transaction.needs_tls && !secured_) {
    all = Reason::needs_tls;
  }
  if (all != Reason::none) {
    settle_all(open, made(all), output);
    return;
  }
  open.utf8 = sender == Address::utf8 || transaction.header_utf8;
  for (size_t i = 0; i < open.count; ++i) {
    const std::string_view address = transaction.recipients[i];
    const Address kind = look_at(address);
    if (address.empty() || kind == Address::unsendable) {
      settle(open, i, made(Reason::bad_recipient), output);
    } else if (kind == Address::utf8 && !takes_utf8) {
      settle(open, i, made(Reason::needs_smtputf8), output);
    } else {
      open.utf8 |= kind == Address::utf8;
    }
  }
  open.skipped = open.settled;
}

void Dialogue::append_mail(const Open& open, std::string& bytes) const {
  bytes.append("MAIL FROM:<").append(open.transaction->reverse_path).append(">");
  if (capabilities_.has(Capability::size)) {
    bytes.append(" SIZE=");
    append_number(bytes, open.transaction->size);
  }
  if (open.transaction->eight_bit) bytes.append(" BODY=8BITMIME");
  if (open.utf8) bytes.append(" SMTPUTF8");
  if (capabilities_.has(Capability::dsn)) append_mail_dsn(open.transaction->dsn, bytes);
  bytes.append("\r\n");
}

void Dialogue::append_rcpt(const Open& open, std::string_view recipient, std::string& bytes) const {
  bytes.append("RCPT TO:<").append(recipient).append(">");
  if (capabilities_.has(Capability::dsn)) append_rcpt_dsn(open.transaction->dsn, recipient, bytes);
  bytes.append("\r\n");
}

bool valid_ehlo_name(std::string_view name) {
  if (name.empty() || name.size() > kAddressMax) return false;
  const bool literal = name.front() == '[';
  if (literal && (name.size() < 3 || name.back() != ']')) return false;
  if (literal) name = name.substr(1, name.size() - 2);
  if (!literal && (name.front() == '.' || name.front() == '-')) return false;
  return std::all_of(name.begin(), name.end(), [literal](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || (literal && c == ':');
  });
}

}  // namespace veredus::smtp
