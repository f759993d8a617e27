#include "engine/mail/attachment.h"

#include <algorithm>

#include "engine/mail/content.h"
#include "engine/mail/entity_header.h"
#include "engine/mail/field_writer.h"
#include "engine/mail/header_field.h"
#include "engine/mail/idn.h"
#include "engine/mail/quoted_printable.h"

namespace veredus::mail {
namespace {

// RFC 2045 §5.1.
bool is_token_char(char c) {
  return c > 32 && c < 127 &&
         std::string_view("()<>@,;:\\\"/[]?=").find(c) == std::string_view::npos;
}

std::string_view take_token(std::string_view& text) {
  size_t length = 0;
  while (length < text.size() && is_token_char(text[length])) ++length;
  const std::string_view token = text.substr(0, length);
  text.remove_prefix(length);
  return token;
}

bool take(std::string_view& text, char c) {
  if (!text.starts_with(c)) return false;
  text.remove_prefix(1);
  return true;
}

bool take_quoted(std::string_view& text) {
  if (!take(text, '"')) return false;
  while (!text.empty() && text.front() != '"')
    text.remove_prefix(text.front() == '\\' ? std::min(size_t{2}, text.size()) : 1);
  return take(text, '"');
}

std::string type_fault(std::string_view type) {
  if (has_high(type)) return "the type is not ASCII";
  const std::string_view main = take_token(type);
  if (main.empty() || !take(type, '/') || take_token(type).empty())
    return "the type is not as in image/png (RFC 2045 section 5.1)";
  // RFC 2046 §5.1, §5.2: these have parts, which base64 would hide.
  if (same_name(main, "multipart") || same_name(main, "message"))
    return "the type is multipart/… or message/…, which cannot be base64: say "
           "application/octet-stream";
  while (!type.empty()) {
    while (take(type, ' ')) {
    }
    if (!take(type, ';')) return "the type has something behind it that is no parameter";
    while (take(type, ' ')) {
    }
    const std::string_view name = take_token(type);
    if (name.empty() || !take(type, '=') || (take_token(type).empty() && !take_quoted(type)))
      return "the type has a parameter that is not as in charset=utf-8 (RFC 2045 section 5.1)";
    // "name*" and "name*0" are "name", too (RFC 2231 §3, §4).
    const bool extended = name.find('*') != std::string_view::npos;
    if (extended || same_name(name, "name") || same_name(name, "boundary"))
      return "the type has a parameter \"" + std::string(name) + "\", which is not to be given";
  }
  return "";
}

std::string cid_fault(std::string_view cid) {
  for (const char c : cid) {
    if (c <= 32 || c >= 127 || std::string_view("<>()[],;:\\\"").find(c) != std::string_view::npos)
      return "the cid is not as in logo@news.example, without <>";
  }
  return "";
}

// RFC 2183 §2.3; RFC 2231 §4 for what is not ASCII, and for what looks like an encoded word, which
// many readers decode in a quoted string, too. On a line of its own, for it may be long.
void append_file_name(std::string_view name, std::string& out) {
  out += ";\r\n filename";
  if (has_high(name) || name.find("=?") != std::string_view::npos)
    return append_extended_value(name, out);
  out += "=\"";
  for (const char c : name) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  out += '"';
}

}  // namespace

std::string attachment_fault(const Attachment& attachment, bool merge) {
  const std::pair<std::string_view, std::string_view> texts[] = {
      {"name", attachment.name}, {"type", attachment.type}, {"cid", attachment.cid}};
  for (const auto& [what, text] : texts) {
    std::string fault = text_fault(text, false);
    if (fault.empty() && text.size() > kAttachmentNameMax) fault = "is longer than 255 bytes";
    if (fault.empty() && merge && text.find("{{") != std::string_view::npos)
      fault = "has a {{, and nothing is merged there";
    if (!fault.empty()) return "the " + std::string(what) + " " + fault;
  }
  std::string fault = attachment.type.empty() ? "" : type_fault(attachment.type);
  return fault.empty() ? cid_fault(attachment.cid) : fault;
}

bool append_attachment(const Attachment& attachment, bool shown, std::string& out, size_t& fault) {
  out += "Content-Type: ";
  out += attachment.type.empty() ? "application/octet-stream" : attachment.type;
  out += "\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: ";
  out += shown ? "inline" : "attachment";
  if (!attachment.name.empty()) append_file_name(attachment.name, out);
  out += "\r\n";
  if (!attachment.cid.empty()) ((out += "Content-ID: <") += attachment.cid) += ">\r\n";
  out += "\r\n";
  // It is written as it came, for there is one way only to write the same bytes.
  std::string decoded;
  std::string_view digits = attachment.base64;
  if (!append_base64_decoded(digits, decoded, fault)) return false;
  for (bool first = true; !digits.empty(); first = false) {
    if (!first) out += "\r\n";
    out += digits.substr(0, kEncodedLineMax);
    digits.remove_prefix(std::min(kEncodedLineMax, digits.size()));
  }
  return true;
}

}  // namespace veredus::mail
