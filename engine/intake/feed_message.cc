#include "engine/intake/feed_message.h"

#include <algorithm>
#include <iterator>

#include "engine/intake/feed_json.h"

namespace veredus::intake {
namespace {

using mail::MessagePart;
using simdjson::ondemand::value;

// The keys of a message; from the third on in the order of MessagePart.
constexpr std::string_view kKeys[] = {"raw",      "raw_base64",  "from",       "to",
                                      "reply_to", "subject",     "text",       "html",
                                      "headers",  "attachments", "unsubscribe"};
constexpr size_t kRawKeys = 2;
static_assert(std::size(kKeys) - kRawKeys == static_cast<size_t>(MessagePart::unsubscribe));
constexpr std::string_view kAttachmentKeys[] = {"name", "type", "base64", "cid"};
constexpr std::string_view kUnsubscribeKeys[] = {"url", "mailto"};

class MessageReader {
 public:
  MessageReader(LineJson& json, const FeedLimits& limits, FedMessage& out)
      : json_(json), limits_(limits), out_(out) {}

  bool run(value& what, size_t at) {
    out_.at = static_cast<uint32_t>(at);
    simdjson::ondemand::object object;
    if (what.get_object().get(object)) return json_.wrong_type(at, "message", "an object");
    unsigned seen = 0;
    const bool read = each_field(object, at, kKeys, seen, [&](size_t which, value& inner) {
      const bool raw = which < kRawKeys;
      const auto form = raw ? which == 0 ? FedMessage::Form::raw : FedMessage::Form::raw_base64
                            : FedMessage::Form::parts;
      if (out_.form != FedMessage::Form::none && (raw || form != out_.form)) return mixed(raw);
      out_.form = form;
      return raw ? read_raw(which, inner) : read_part(which, inner);
    });
    if (!read) return false;
    if (seen != 0) return true;
    return json_.whole() &&
           json_.refuse(at, "a message wants \"raw\" or \"raw_base64\", or its parts",
                        "parts are from to reply_to subject text html headers attachments "
                        "unsubscribe");
  }

 private:
  // Calls `take` with the number of each key of an object and its value. key_at_: where it stands.
  template <size_t N, typename Take>
  bool each_field(simdjson::ondemand::object& object, size_t at, const std::string_view (&known)[N],
                  unsigned& seen, Take take) {
    for (auto each : object) {
      simdjson::ondemand::field field;
      if (std::move(each).get(field)) return json_.syntax(at);
      key_at_ = json_.offset_of(field.key().raw()) - 1;
      std::string_view key;
      if (field.unescaped_key().get(key)) return json_.syntax(key_at_);
      const auto found = std::find(std::begin(known), std::end(known), key);
      if (found == std::end(known)) {
        return json_.refuse(key_at_, "the key " + LineJson::quoted(key) + " is not known",
                            nearest(key, known));
      }
      const auto which = static_cast<size_t>(found - std::begin(known));
      if ((seen >> which & 1) != 0)
        return json_.refuse(key_at_, "the key " + LineJson::quoted(key) + " is there twice");
      seen |= 1u << which;
      if (!take(which, field.value())) return false;
    }
    return true;
  }

  bool mixed(bool raw) {
    const bool both_raw = raw && out_.form != FedMessage::Form::parts;
    if (both_raw)
      return json_.refuse(key_at_, "a message has one of \"raw\" and \"raw_base64\", once");
    return json_.refuse(key_at_, "a message is given whole or in parts, and this is both",
                        "\"raw\" and \"raw_base64\" stand alone");
  }

  // Where the value stands; what it takes is counted.
  size_t place(value& what) {
    const std::string_view token = what.raw_json_token();
    out_.token_bytes += token.size();
    return json_.offset_of(token.data());
  }

  bool read_text(value& what, std::string_view key, std::string_view& text) {
    const size_t at = place(what);
    return !what.get_string().get(text) || json_.wrong_type(at, key, "a string");
  }

  bool read_raw(size_t which, value& what) {
    out_.at = static_cast<uint32_t>(json_.offset_of(what.raw_json_token().data()));
    return read_text(what, kKeys[which], out_.raw);
  }

  bool read_part(size_t which, value& what) {
    const std::string_view key = kKeys[which];
    const auto part = static_cast<MessagePart>(which - kRawKeys + 1);
    const size_t at = json_.offset_of(what.raw_json_token().data());
    out_.part_at[static_cast<size_t>(part)] = static_cast<uint32_t>(at);
    mail::MessageParts& parts = out_.parts;
    switch (part) {
      case MessagePart::from:
        return read_text(what, key, parts.from);
      case MessagePart::to:
        parts.has_to = true;
        return read_text(what, key, parts.to);
      case MessagePart::reply_to:
        parts.has_reply_to = true;
        return read_text(what, key, parts.reply_to);
      case MessagePart::subject:
        parts.has_subject = true;
        return read_text(what, key, parts.subject);
      case MessagePart::text:
        parts.has_text = true;
        return read_text(what, key, parts.text);
      case MessagePart::html:
        return read_text(what, key, parts.html);
      case MessagePart::headers:
        return read_headers(what, at);
      case MessagePart::attachments:
        return read_attachments(what, at);
      case MessagePart::unsubscribe:
        return read_unsubscribe(what, at);
      case MessagePart::whole:
        break;
    }
    return false;
  }

  bool read_headers(value& what, size_t at) {
    simdjson::ondemand::object object;
    if (what.get_object().get(object)) return json_.wrong_type(at, "headers", "an object");
    for (auto each : object) {
      simdjson::ondemand::field field;
      if (std::move(each).get(field)) return json_.syntax(at);
      const size_t key_at = json_.offset_of(field.key().raw()) - 1;
      std::string_view name, text;
      if (field.unescaped_key().get(name)) return json_.syntax(key_at);
      if (out_.header_at.size() == limits_.headers_max)
        return too_many(key_at, limits_.headers_max, "\"headers\"");
      const auto same = [&](const auto& other) { return other.first == name; };
      if (std::any_of(out_.parts.headers.begin(), out_.parts.headers.end(), same))
        return json_.refuse(key_at, "the key " + LineJson::quoted(name) + " is there twice");
      if (!read_text(field.value(), name, text)) return false;
      out_.token_bytes += name.size();
      out_.parts.headers.emplace_back(name, text);
      out_.header_at.push_back(static_cast<uint32_t>(key_at));
    }
    return !out_.header_at.empty() || json_.whole();
  }

  bool read_attachments(value& what, size_t at) {
    constexpr std::string_view kWanted = "an array of objects";
    simdjson::ondemand::array array;
    if (what.get_array().get(array)) return json_.wrong_type(at, "attachments", kWanted);
    for (auto each : array) {
      value element;
      if (std::move(each).get(element)) return json_.syntax(at);
      const size_t here = place(element);
      if (out_.attachment_at.size() == limits_.attachments_max)
        return too_many(here, limits_.attachments_max, "\"attachments\"");
      simdjson::ondemand::object object;
      if (element.get_object().get(object)) return json_.wrong_type(here, "attachments", kWanted);
      out_.attachment_at.push_back(static_cast<uint32_t>(here));
      if (!read_attachment(object, here)) return false;
    }
    return !out_.attachment_at.empty() || json_.whole();
  }

  bool read_attachment(simdjson::ondemand::object& object, size_t at) {
    mail::Attachment& made = out_.parts.attachments.emplace_back();
    out_.base64_at.push_back(static_cast<uint32_t>(at));
    unsigned seen = 0;
    bool content = false;
    const bool read = each_field(object, at, kAttachmentKeys, seen, [&](size_t which, value& what) {
      std::string_view* const texts[] = {&made.name, &made.type, &made.base64, &made.cid};
      if (texts[which] == &made.base64) {
        content = true;
        out_.base64_at.back() =
            static_cast<uint32_t>(json_.offset_of(what.raw_json_token().data()) + 1);
      }
      return read_text(what, kAttachmentKeys[which], *texts[which]);
    });
    if (!read) return false;
    return content || (json_.whole() && json_.refuse(at, "an attachment wants \"base64\""));
  }

  bool read_unsubscribe(value& what, size_t at) {
    simdjson::ondemand::object object;
    if (what.get_object().get(object)) return json_.wrong_type(at, "unsubscribe", "an object");
    mail::MessageParts& parts = out_.parts;
    parts.has_unsubscribe = true;
    unsigned seen = 0;
    const bool read =
        each_field(object, at, kUnsubscribeKeys, seen, [&](size_t which, value& inner) {
          (which == 0 ? parts.has_unsubscribe_url : parts.has_unsubscribe_mailto) = true;
          return read_text(inner, kUnsubscribeKeys[which],
                           which == 0 ? parts.unsubscribe_url : parts.unsubscribe_mailto);
        });
    return read && (seen != 0 || json_.whole());
  }

  bool too_many(size_t at, uint32_t limit, std::string_view what) {
    return json_.refuse(at, "more than " + std::to_string(limit) + " in " + std::string(what),
                        "GET /v1/limits lists the limits");
  }

  LineJson& json_;
  const FeedLimits& limits_;
  FedMessage& out_;
  size_t key_at_ = 0;
};

}  // namespace

void FedMessage::clear() {
  form = Form::none;
  raw = {};
  token_bytes = 0;
  at = 0;
  part_at = {};
  header_at.clear();
  attachment_at.clear();
  base64_at.clear();
  // The lists keep their memory.
  auto headers = std::move(parts.headers);
  auto attachments = std::move(parts.attachments);
  headers.clear();
  attachments.clear();
  parts = {};
  parts.headers = std::move(headers);
  parts.attachments = std::move(attachments);
}

size_t FedMessage::place_of(const mail::BuildFault& fault) const {
  const auto of = [&](const std::vector<uint32_t>& places) {
    return fault.index < places.size() ? places[fault.index] : at;
  };
  if (fault.part == MessagePart::headers) return of(header_at);
  if (fault.part == MessagePart::attachments)
    return fault.in_base64 ? of(base64_at) + fault.offset : of(attachment_at);
  const uint32_t place = part_at[static_cast<size_t>(fault.part)];
  return place == 0 ? at : place;  // a part that is not there is missed in the whole
}

bool read_fed_message(LineJson& json, const FeedLimits& limits, value& what, size_t at,
                      FedMessage& out) {
  return MessageReader(json, limits, out).run(what, at);
}

}  // namespace veredus::intake
