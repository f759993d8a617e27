#include "engine/mail/builder.h"

#include <algorithm>
#include <tuple>

#include "engine/mail/builder_header.h"
#include "engine/mail/cid_shown.h"
#include "engine/mail/hex.h"
#include "engine/mail/html_text.h"
#include "engine/mail/part_text.h"
#include "engine/mail/sha256.h"
#include "engine/mail/tag_span.h"
#include "engine/mail/utf8.h"

namespace veredus::mail {
namespace {

constexpr size_t kBoundaryBytes = 12;  // of the digest

std::string text_part_fault(std::string_view text, bool merge) {
  if (text.find('\0') != std::string_view::npos) return "has a NUL";
  if (!is_utf8(text)) return "is not UTF-8";
  return merge ? tag_fault(text) : "";
}

// Adds a text to a digest with its length, so that no two lists of texts are the same.
void add_text(std::string_view text, Sha256& digest) {
  const uint64_t size = text.size();
  digest.update(reinterpret_cast<const char*>(&size), sizeof size);
  digest.update(text.data(), text.size());
}

class Builder {
 public:
  Builder(const MessageParts& parts, const BuildSettings& settings, std::string& out,
          BuildFault& fault)
      : parts_(parts), settings_(settings), out_(out), fault_(fault), text_(parts.text) {}

  bool run() {
    if (!check_texts() || !check_attachments()) return false;
    if (!choose_text()) return false;
    sort_attachments();
    if (!has_text_ && parts_.html.empty() && parts_.attachments.empty()) {
      fault_.hint = "\"text\":\"\" makes an empty message";
      return fail(MessagePart::whole, "the message has neither \"text\" nor \"html\"");
    }
    if (!make_boundary()) return false;
    // Soft breaks, line ends of base64 and what stands around the parts are not in it.
    const size_t least = bytes_least();
    if (least > settings_.bytes_max) return too_large();
    out_.reserve(4096 + least + least / 16);
    if (!append_header_fields(parts_, settings_, out_, fault_)) return false;
    out_ += "MIME-Version: 1.0\r\n";
    if (!(beside_.empty() ? put_body() : put_mixed())) return false;
    if (!out_.ends_with("\r\n")) out_ += "\r\n";
    return out_.size() <= settings_.bytes_max || too_large();
  }

 private:
  bool fail(MessagePart part, std::string reason) {
    fault_.part = part;
    fault_.reason = std::move(reason);
    return false;
  }

  bool too_large() {
    fault_.too_large = true;
    return fail(MessagePart::whole, "the message made from the parts is larger than " +
                                        std::to_string(settings_.bytes_max) + " bytes");
  }

  bool check_texts() {
    // No part is written with fewer bytes than it has.
    size_t bytes = parts_.text.size() + parts_.html.size();
    for (const Attachment& attachment : parts_.attachments) bytes += attachment.base64.size();
    if (bytes > settings_.bytes_max) return too_large();
    for (const auto& [part, name, text] :
         {std::tuple{MessagePart::text, "\"text\" ", parts_.text},
          std::tuple{MessagePart::html, "\"html\" ", parts_.html}}) {
      const std::string fault = text_part_fault(text, settings_.merge);
      if (!fault.empty()) return fail(part, name + fault);
    }
    return true;
  }

  bool check_attachments() {
    for (size_t i = 0; i < parts_.attachments.size(); ++i) {
      fault_.index = i;
      const std::string which = "attachment " + std::to_string(i + 1) + ": ";
      const std::string_view cid = parts_.attachments[i].cid;
      const std::string fault = attachment_fault(parts_.attachments[i], settings_.merge);
      if (!fault.empty()) return fail(MessagePart::attachments, which + fault);
      const auto here = parts_.attachments.begin() + static_cast<ptrdiff_t>(i);
      const bool doubled = std::any_of(parts_.attachments.begin(), here,
                                       [&](const Attachment& other) { return other.cid == cid; });
      if (!cid.empty() && doubled)
        return fail(MessagePart::attachments, which + "the cid is that of another one, too");
    }
    return true;
  }

  bool choose_text() {
    has_text_ = parts_.has_text && (!parts_.text.empty() || parts_.html.empty());
    if (parts_.has_text || parts_.html.empty() || parts_.html.size() > kDerivedFromMax) return true;
    if (!append_html_text(parts_.html, settings_.merge, derived_)) {
      fault_.hint = "give a \"text\", or an empty one, and HTML goes alone";
      return fail(MessagePart::html,
                  "\"html\" has a section that begins in what a text leaves out (a style, an "
                  "attribute) and ends elsewhere, so no text can be made of it");
    }
    // HTML that says nothing goes alone.
    has_text_ = !derived_.empty();
    text_ = derived_;
    return true;
  }

  void sort_attachments() {
    std::vector<std::string_view> cids;
    for (const Attachment& attachment : parts_.attachments) cids.push_back(attachment.cid);
    const std::vector<bool> shows = cids_shown(parts_.html, settings_.merge, cids);
    for (size_t i = 0; i < cids.size(); ++i) (shows[i] ? shown_ : beside_).push_back(i);
    text_encoding_ = text_encoding(text_, settings_.merge);
    html_encoding_ = text_encoding(parts_.html, settings_.merge);
  }

  bool make_boundary() {
    Sha256 sha256;
    Sha256Digest digest;
    // Chance makes it differ from all text; who knows how it is made may write it into one.
    for (std::string salt;; salt += '+') {
      sha256.begin();
      for (const std::string_view part :
           {std::string_view(salt), parts_.from, parts_.to, parts_.subject, text_, parts_.html})
        add_text(part, sha256);
      for (const Attachment& attachment : parts_.attachments) {
        add_text(attachment.name, sha256);
        add_text(attachment.base64, sha256);
      }
      if (!sha256.finish(digest)) return fail(MessagePart::whole, "there is no memory");
      // "=_" stands in no quoted-printable, and hyphens in no base64 (RFC 2045 §6.7).
      boundary_ = "=_";
      for (size_t i = 0; i < kBoundaryBytes; ++i)
        append_hex_byte(static_cast<char>(digest[i]), boundary_);
      boundary_ += '_';
      if (text_.find(boundary_) == std::string_view::npos &&
          parts_.html.find(boundary_) == std::string_view::npos)
        return true;
    }
  }

  size_t bytes_least() const {
    size_t bytes = text_bytes_least(text_, settings_.merge, text_encoding_) +
                   text_bytes_least(parts_.html, settings_.merge, html_encoding_);
    for (const Attachment& attachment : parts_.attachments) bytes += attachment.base64.size();
    return bytes;
  }

  // ---------------------------------------------------------------------------------------------
  // Each writes an entity: its header fields, an empty line, and its body, without the line end
  // that belongs to what follows (RFC 2046 §5.1.1).

  bool put_mixed() {
    const bool body = has_text_ || !parts_.html.empty();
    begin_multipart("mixed", 'm', has_text_, !parts_.html.empty());
    if (body) {
      delimiter('m');
      if (!put_body()) return false;
    }
    return put_attachments(beside_, 'm', false) && end_multipart('m');
  }

  bool put_body() {
    if (parts_.html.empty()) return put_text("plain", text_, text_encoding_);
    if (!has_text_) return put_html();
    begin_multipart("alternative", 'a', true, true);
    delimiter('a');
    put_text("plain", text_, text_encoding_);
    delimiter('a');
    return put_html() && end_multipart('a');
  }

  bool put_html() {
    if (shown_.empty()) return put_text("html", parts_.html, html_encoding_);
    begin_multipart("related; type=\"text/html\"", 'r', false, true);
    delimiter('r');
    put_text("html", parts_.html, html_encoding_);
    return put_attachments(shown_, 'r', true) && end_multipart('r');
  }

  bool put_text(std::string_view subtype, std::string_view text, TextEncoding encoding) {
    ((out_ += "Content-Type: text/") += subtype) += "; charset=utf-8\r\n";
    ((out_ += "Content-Transfer-Encoding: ") += name_of(encoding)) += "\r\n\r\n";
    append_text(text, settings_.merge, encoding, out_);
    return true;
  }

  bool put_attachments(const std::vector<size_t>& which, char kind, bool shown) {
    for (const size_t index : which) {
      delimiter(kind);
      if (append_attachment(parts_.attachments[index], shown, out_, fault_.offset)) continue;
      fault_.index = index;
      fault_.in_base64 = true;
      fault_.hint = "RFC 4648: the standard alphabet, padded, no line ends";
      return fail(MessagePart::attachments,
                  "attachment " + std::to_string(index + 1) + ": \"base64\" is no base64");
    }
    return true;
  }

  // A multipart is what its parts are (RFC 2045 §6.4).
  void begin_multipart(std::string_view subtype, char kind, bool with_text, bool with_html) {
    const bool eight_bit = (with_text && text_encoding_ == TextEncoding::eight_bit) ||
                           (with_html && html_encoding_ == TextEncoding::eight_bit);
    ((out_ += "Content-Type: multipart/") += subtype) += ";\r\n boundary=\"";
    ((out_ += boundary_) += kind) += "\"\r\n";
    if (eight_bit) out_ += "Content-Transfer-Encoding: 8bit\r\n";
    out_ += "\r\n";
    begun_ = true;
  }
  void delimiter(char kind) {
    // The line end in front of it is its own.
    out_ += begun_ ? "--" : "\r\n--";
    ((out_ += boundary_) += kind) += "\r\n";
    begun_ = false;
  }
  bool end_multipart(char kind) {
    (((out_ += "\r\n--") += boundary_) += kind) += "--";
    return true;
  }

  const MessageParts& parts_;
  const BuildSettings& settings_;
  std::string& out_;
  BuildFault& fault_;
  std::string_view text_;  // that was given, or derived_
  std::string derived_, boundary_;
  std::vector<size_t> shown_, beside_;  // attachments within the HTML part's related, and others
  TextEncoding text_encoding_ = TextEncoding::seven_bit, html_encoding_ = TextEncoding::seven_bit;
  bool has_text_ = false;
  bool begun_ = false;  // a multipart, no part of which is written yet
};

}  // namespace

bool build_message(const MessageParts& parts, const BuildSettings& settings, std::string& out,
                   BuildFault& fault) {
  fault = {};
  return Builder(parts, settings, out, fault).run();
}

}  // namespace veredus::mail
