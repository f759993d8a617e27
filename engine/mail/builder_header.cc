#include "engine/mail/builder_header.h"

#include <algorithm>
#include <array>
#include <tuple>

#include "engine/mail/field_writer.h"
#include "engine/mail/header_field.h"
#include "engine/mail/header_groups.h"
#include "engine/mail/tag_span.h"

namespace veredus::mail {
namespace {

template <size_t N>
bool is_among(const std::array<std::string_view, N>& names, std::string_view name) {
  return std::any_of(names.begin(), names.end(),
                     [&](std::string_view small) { return same_name(name, small); });
}

// With a key of their own, or made here, or by hosts on the way, who trace and sign.
constexpr std::array<std::string_view, 4> kOwnKeys = {"from", "to", "reply-to", "subject"};
constexpr std::array<std::string_view, 9> kMadeHere = {
    "mime-version", "dkim-signature",         "domainkey-signature", "received",
    "received-spf", "authentication-results", "return-path",         "bcc",
    "resent-bcc"};
constexpr std::array<std::string_view, 2> kPrefixesMadeHere = {"content-", "arc-"};
// There once at most: RFC 5322 §3.6, RFC 2369 §3, RFC 8058 §3.1, RFC 2919 §3.
constexpr std::array<std::string_view, 15> kOnce = {"date",
                                                    "sender",
                                                    "cc",
                                                    "message-id",
                                                    "in-reply-to",
                                                    "references",
                                                    "list-help",
                                                    "list-unsubscribe",
                                                    "list-subscribe",
                                                    "list-post",
                                                    "list-owner",
                                                    "list-archive",
                                                    "list-unsubscribe-post",
                                                    "list-id",
                                                    "feedback-id"};

constexpr size_t kUriMax = 900;  // bytes, so that it has room on a line
// RFC 3986 §2: what may stand in a URI, % among it.
bool is_uri_char(char c) {
  return c > 32 && c < 127 && std::string_view("\"<>\\^`{|}").find(c) == std::string_view::npos;
}

class HeaderWriter {
 public:
  HeaderWriter(const MessageParts& parts, const BuildSettings& settings, std::string& out,
               BuildFault& fault)
      : parts_(parts), settings_(settings), out_(out), fault_(fault) {}

  bool run() {
    if (parts_.from.empty()) {
      fault_.hint = "\"from\":\"News <news@example.org>\"";
      return fail(MessagePart::from, "the message has no \"from\"");
    }
    return put(MessagePart::from, "From", "from", parts_.from) &&
           (!parts_.has_reply_to ||
            put(MessagePart::reply_to, "Reply-To", "reply_to", parts_.reply_to)) &&
           put_to() &&
           (!parts_.has_subject ||
            put(MessagePart::subject, "Subject", "subject", parts_.subject)) &&
           put_headers() && put_unsubscribe() && put_feedback_id();
  }

 private:
  bool fail(MessagePart part, std::string reason) {
    fault_.part = part;
    fault_.reason = std::move(reason);
    return false;
  }

  bool put(MessagePart part, std::string_view name, std::string_view key, std::string_view value) {
    std::string why_not;
    if (append_field(name, value, settings_.merge, out_, why_not)) return fits(part);
    if (part != MessagePart::subject)
      fault_.hint =
          "as in Ada <ada@example.org>; names with , ; : @ ( ) in quotes: \"A, Inc.\" <…>";
    return fail(part, "\"" + std::string(key) + "\" " + why_not);
  }

  bool fits(MessagePart part) {
    return out_.size() <= kHeaderBytesMax ||
           fail(part, "the header fields have more than 262144 bytes together");
  }

  bool put_to() {
    if (parts_.has_to) return put(MessagePart::to, "To", "to", parts_.to);
    if (settings_.merge) {
      out_ += "To: {{name}} <{{to}}>\r\n";
    } else if (settings_.recipient.empty()) {
      out_ += "To: undisclosed-recipients:;\r\n";
    } else {
      const std::string why_not = text_fault(settings_.recipient_name, false);
      if (!why_not.empty()) return fail(MessagePart::to, "the recipient's \"name\" " + why_not);
      out_ += "To: ";
      size_t column = 4;
      append_mailbox(settings_.recipient_name, settings_.recipient, column, out_);
      out_ += "\r\n";
    }
    return true;
  }

  bool put_headers() {
    for (size_t i = 0; i < parts_.headers.size(); ++i) {
      fault_.index = i;
      const auto& [name, value] = parts_.headers[i];
      if (!check_name(name, i)) return false;
      std::string why_not;
      const FieldKind kind = field_kind(name);
      if (value.empty() && kind != FieldKind::unstructured) why_not = "is empty";
      if (!why_not.empty() || !append_field(name, value, settings_.merge, out_, why_not))
        return fail(MessagePart::headers, "\"headers\": " + std::string(name) + " " + why_not);
      if (!fits(MessagePart::headers)) return false;
    }
    fault_.index = 0;
    return true;
  }

  bool check_name(std::string_view name, size_t index) {
    if (name.size() > kFieldNameMax)
      return fail(MessagePart::headers, "\"headers\": a name is longer than 255 bytes");
    if (!is_field_name(name) || name.find("{{") != std::string_view::npos) {
      fault_.hint = "printable ASCII without blanks and colons (RFC 5322 section 3.6.8)";
      return fail(MessagePart::headers, "\"headers\": a name is none of a header field");
    }
    const std::string field = "\"headers\": " + std::string(name);
    if (is_among(kOwnKeys, name)) {
      fault_.hint = "\"from\", \"to\", \"reply_to\" and \"subject\" are keys of the message";
      return fail(MessagePart::headers, field + " has a key of its own");
    }
    const bool prefixed = std::any_of(
        kPrefixesMadeHere.begin(), kPrefixesMadeHere.end(),
        [&](std::string_view small) { return same_name(name.substr(0, small.size()), small); });
    if (prefixed || is_among(kMadeHere, name)) {
      fault_.hint = "leave it out";
      return fail(MessagePart::headers, field + " is made by the engine, or by nobody");
    }
    if (!is_among(kOnce, name)) return true;
    const auto begin = parts_.headers.begin();
    const bool doubled = std::any_of(begin, begin + static_cast<ptrdiff_t>(index),
                                     [&](const auto& other) { return same(other.first, name); });
    if (doubled) return fail(MessagePart::headers, field + " is there twice");
    const bool unsubscribe =
        same_name(name, "list-unsubscribe") || same_name(name, "list-unsubscribe-post");
    if (unsubscribe && parts_.has_unsubscribe)
      return fail(MessagePart::headers, field + " is there twice: \"unsubscribe\" makes it, too");
    has_feedback_id_ = has_feedback_id_ || same_name(name, "feedback-id");
    return true;
  }

  static bool same(std::string_view a, std::string_view b) {
    const auto small = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
    return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                      [&](char x, char y) { return small(x) == small(y); });
  }

  bool put_unsubscribe() {
    if (!parts_.has_unsubscribe) return true;
    const std::string_view url = parts_.unsubscribe_url;
    std::string mailto(parts_.unsubscribe_mailto);
    if (url.empty() && mailto.empty())
      return fail(MessagePart::unsubscribe, "\"unsubscribe\" wants \"url\", \"mailto\" or both");
    for (const auto& [given, key, uri] :
         {std::tuple{parts_.has_unsubscribe_url, "url", url},
          std::tuple{parts_.has_unsubscribe_mailto, "mailto", parts_.unsubscribe_mailto}}) {
      if (given && uri.empty())
        return fail(MessagePart::unsubscribe,
                    "\"unsubscribe\": \"" + std::string(key) + "\" is empty");
    }
    // Who gives a variable for the beginning is believed to give https; a section may be left out.
    const bool variable =
        settings_.merge && url.starts_with("{{") &&
        std::string_view("#^/\"").find(url.substr(2, 1)) == std::string_view::npos;
    const bool https = variable || starts_with_scheme(url, "https://");
    if (!url.empty() && !https && !starts_with_scheme(url, "http://"))
      return fail(MessagePart::unsubscribe,
                  "\"unsubscribe\": \"url\" begins with neither https://, http:// nor a variable");
    if (!mailto.empty() && !starts_with_scheme(mailto, "mailto:")) mailto.insert(0, "mailto:");
    if (!mailto.empty() && mailto.find('@') == std::string::npos &&
        !(settings_.merge && mailto.find("{{") != std::string::npos))
      return fail(MessagePart::unsubscribe, "\"unsubscribe\": \"mailto\" has no @");
    if (!check_uri("url", url) || !check_uri("mailto", mailto)) return false;
    // The one that needs no reader of mail first (RFC 2369 §2).
    out_ += "List-Unsubscribe: ";
    if (!url.empty()) ((out_ += '<') += url) += '>';
    if (!url.empty() && !mailto.empty()) out_ += ",\r\n ";
    if (!mailto.empty()) ((out_ += '<') += mailto) += '>';
    out_ += "\r\n";
    if (https) out_ += "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n";
    return true;
  }

  static bool starts_with_scheme(std::string_view text, std::string_view scheme) {
    return same_name(text.substr(0, scheme.size()), scheme);
  }

  bool check_uri(std::string_view key, std::string_view uri) {
    std::string fault = text_fault(uri, settings_.merge);
    if (fault.empty() && uri.size() > kUriMax) fault = "is longer than 900 bytes";
    std::string_view constant, tag;
    do {
      take_to_tag(uri, settings_.merge, constant, tag);
      if (fault.empty() && !std::all_of(constant.begin(), constant.end(), is_uri_char)) {
        fault = "has what stands in no URI";
        fault_.hint = "percent-encode blanks, <, > and what is not ASCII (RFC 3986)";
      }
    } while (!tag.empty());
    return fault.empty() ||
           fail(MessagePart::unsubscribe, "\"unsubscribe\": \"" + std::string(key) + "\" " + fault);
  }

  bool put_feedback_id() {
    if (settings_.feedback_sender.empty() || has_feedback_id_) return true;
    (out_ += "Feedback-ID: ") += feedback_id(settings_.campaign, settings_.tenant, settings_.batch,
                                             settings_.feedback_sender);
    out_ += "\r\n";
    return true;
  }

  const MessageParts& parts_;
  const BuildSettings& settings_;
  std::string& out_;
  BuildFault& fault_;
  bool has_feedback_id_ = false;
};

}  // namespace

std::string feedback_id(std::string_view campaign, std::string_view tenant, std::string_view batch,
                        std::string_view sender) {
  std::string id;
  for (const std::string_view name : {campaign, tenant, batch}) {
    if (name.empty()) continue;
    for (const char c : name) id += is_uri_char(c) && c != ':' ? c : '-';
    id += ':';
  }
  return id.append(sender);
}

bool append_header_fields(const MessageParts& parts, const BuildSettings& settings,
                          std::string& out, BuildFault& fault) {
  return HeaderWriter(parts, settings, out, fault).run();
}

}  // namespace veredus::mail
