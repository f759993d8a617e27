#include <algorithm>
#include <cassert>
#include <charconv>
#include <cstring>

#include "engine/mail/content.h"
#include "engine/mail/date.h"
#include "engine/mail/encoded_word.h"
#include "engine/mail/idn.h"
#include "engine/mail/template.h"

namespace veredus::mail {
namespace {

void append_number(uint64_t number, int base, std::string& out) {
  std::array<char, 24> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number, base);
  out.append(digits.data(), static_cast<size_t>(end.ptr - digits.data()));
}

// A name made fit for the atoms of a Message-ID and of a trace field.
std::string atom_of(std::string_view name) {
  std::string atom(name.empty() ? "veredus" : name);
  for (char& c : atom) {
    const bool fits = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (!fits) c = '-';
  }
  return atom;
}

// Appends a value in the body: line ends become CRLF, lines that start with a dot get another one
// if wanted. `line_start` says whether the text so far ends with a line end, and is kept up.
void append_body_value(std::string_view value, bool dot_stuffed, bool& line_start,
                       std::string& out) {
  for (size_t at = 0; at < value.size(); ++at) {
    const char c = value[at];
    if (c == '\r' || c == '\n') {
      out += "\r\n";
      if (c == '\r' && at + 1 < value.size() && value[at + 1] == '\n') ++at;
      line_start = true;
      continue;
    }
    if (line_start && dot_stuffed && c == '.') out += '.';
    out += c;
    line_start = false;
  }
}

bool fits_header(std::string_view value) {
  return std::none_of(value.begin(), value.end(),
                      [](char c) { return c == '\r' || c == '\n' || c == '\0'; });
}

}  // namespace

// What the messages of one batch have in common.
struct Renderer::BatchText {
  uint64_t number = 0;
  int64_t accepted_wall_ns = 0;
  std::string trace_head;  // up to where ".INDEX" goes
  std::string trace_tail;
  std::string date;
  std::string id_head;  // likewise
  std::string id_tail;
  std::string sender_bytes;
  Template sender;
  absl::Status sender_status;
  bool sender_has_slots = false;
};

Renderer::Renderer(const RenderSettings& settings) : settings_(settings) {}
Renderer::~Renderer() = default;

Renderer::BatchText& Renderer::text_of(const queue::Batch& batch) {
  std::unique_ptr<BatchText>& slot = texts_[batch.number % kBatchesKept];
  if (slot != nullptr && slot->number == batch.number &&
      slot->accepted_wall_ns == batch.accepted_wall_ns)
    return *slot;
  slot = std::make_unique<BatchText>();
  BatchText& text = *slot;
  text.number = batch.number;
  text.accepted_wall_ns = batch.accepted_wall_ns;
  const std::string node = atom_of(settings_.node);
  std::string date;
  append_rfc5322_date(batch.accepted_wall_ns, date);
  text.trace_head = "Received: by " + settings_.hostname + " (Veredus) id " + node + "-";
  append_number(batch.number, 10, text.trace_head);
  text.trace_tail = ";\r\n\t" + date + "\r\n";
  text.date = "Date: " + date + "\r\n";
  text.id_head = "Message-ID: <" + node + ".";
  append_number(batch.number, 10, text.id_head);
  // Numbers start again in a new spool; the time of acceptance does not.
  text.id_tail = ".";
  append_number(static_cast<uint64_t>(batch.accepted_wall_ns), 36, text.id_tail);
  text.id_tail += "@" + settings_.hostname + ">\r\n";
  text.sender_bytes = batch.sender;
  if (batch.sender_has_slots) {
    text.sender_status = Template::compile_ops(text.sender_bytes, queue::kContentMerge,
                                               Template::Kind::address, text.sender);
    text.sender_has_slots = true;
  }
  return text;
}

void Renderer::put_front(const BatchText& text, const RenderRequest& request, uint8_t flags,
                         bool per_recipient, std::string& scratch) const {
  const auto put_index = [&] {
    scratch += '.';
    append_number(request.entry->index, 10, scratch);
  };
  if (settings_.trace) {
    scratch += text.trace_head;
    if (request.index_in_trace) put_index();
    scratch += text.trace_tail;
  }
  if ((flags & queue::kContentNoDate) != 0) scratch += text.date;
  if ((flags & queue::kContentNoMessageId) != 0) {
    scratch += text.id_head;
    if (per_recipient) put_index();
    scratch += text.id_tail;
  }
}

// Fills values_; `bytes` is the most that they can take in the message.
absl::Status Renderer::find_values(const Template& from, const RenderRequest& request,
                                   size_t& bytes) {
  values_.clear();
  bytes = 0;
  for (const Slot& slot : from.slots_) {
    std::string_view value;
    if (!find_value(slot, *request.batch, *request.entry, digits_, value)) {
      return absl::FailedPreconditionError("the variable \"" + slot.name + "\" is not defined");
    }
    if (slot.in_header && !fits_header(value)) {
      return absl::FailedPreconditionError("the variable \"" + slot.name +
                                           "\" has CR, LF or NUL and stands in the header");
    }
    bytes += 2 * value.size() + 96;
    values_.push_back(value);
  }
  return absl::OkStatus();
}

// `scratch` has room for all that is added: its bytes do not move.
absl::Status Renderer::put_content(const Template& from, bool own, const RenderRequest& request,
                                   std::string& scratch, Rendered& out) {
  const bool dot_stuffed = request.dot_stuffed;
  const bool has_dot_lines = (from.flags_ & queue::kContentDotLines) != 0;
  const bool copied =
      dot_stuffed && has_dot_lines && !own;  // the template's own stuffed copy serves
  const bool stuff_here = dot_stuffed && has_dot_lines && own;
  const std::vector<Template::Op>& ops = copied ? from.stuffed_ops_ : from.ops_;
  const char* const base = copied ? from.stuffed_.data() : from.bytes_.data();
  size_t dynamic = 0;  // where the bytes in scratch begin that are in no piece yet
  bool line_start = true;
  const auto end_dynamic = [&] {
    if (scratch.size() > dynamic)
      out.pieces.push_back({scratch.data() + dynamic, scratch.size() - dynamic});
    dynamic = scratch.size();
  };
  for (const Template::Op& op : ops) {
    if (op.slot >= 0) {
      const Slot& slot = from.slots_[static_cast<size_t>(op.slot)];
      const std::string_view value = values_[static_cast<size_t>(op.slot)];
      const bool high = has_high(value);
      if (slot.in_words(value, *request.entry) && high) {
        append_encoded_words(value, scratch);
        line_start = false;
      } else {
        out.eight_bit = out.eight_bit || high;
        out.header_utf8 = out.header_utf8 || (high && slot.in_header);
        append_body_value(value, dot_stuffed, line_start, scratch);
      }
      continue;
    }
    const std::string_view text(base + op.offset, op.length);
    // Behind an empty value, or one that ends its line, the constant text begins a line.
    if (dot_stuffed && op.after_slot && op.starts_with_dot && line_start && !stuff_here)
      scratch += '.';
    if (stuff_here) {
      append_dot_stuffed(text, line_start, scratch);
    } else {
      end_dynamic();
      out.pieces.push_back({text.data(), text.size()});
    }
    line_start = op.ends_line;
  }
  end_dynamic();
  return absl::OkStatus();
}

absl::Status Renderer::render(const Template* compiled, const RenderRequest& request,
                              std::string& reverse_path_out, std::string& scratch, Rendered& out) {
  const queue::Batch& batch = *request.batch;
  const queue::Entry& entry = *request.entry;
  out.pieces.clear();
  out.size = 0;
  out.eight_bit = out.header_utf8 = false;
  scratch.clear();
  const bool own = compiled == nullptr;
  if (own) {
    const absl::Status status =
        Template::compile_ops(entry.message, entry.content_flags, Template::Kind::message, own_);
    if (!status.ok()) return status;
    compiled = &own_;
  }
  const absl::Status sender = reverse_path(batch, entry, reverse_path_out);
  if (!sender.ok()) return sender;
  size_t dynamic_bytes = 0;
  const absl::Status found = find_values(*compiled, request, dynamic_bytes);
  if (!found.ok()) return found;
  const BatchText& text = text_of(batch);
  size_t room = text.trace_head.size() + text.trace_tail.size() + text.date.size() +
                text.id_head.size() + text.id_tail.size() + 64 + dynamic_bytes +
                compiled->ops_.size();
  if (own && request.dot_stuffed && (entry.content_flags & queue::kContentDotLines) != 0) {
    room += entry.message.size() + entry.message.size() / 3 + 16;
  }
  scratch.reserve(room);
  const size_t reserved = scratch.capacity();
  out.stuffing = request.dot_stuffed && (compiled->has_slots() ||
                                         (compiled->flags_ & queue::kContentDotLines) != 0)
                     ? 1
                     : 0;
  put_front(text, request, compiled->flags_, own || compiled->has_slots(), scratch);
  const absl::Status put = put_content(*compiled, own, request, scratch, out);
  if (!put.ok()) return put;
  assert(scratch.capacity() == reserved && "pieces point into it");
  static_cast<void>(reserved);
  for (const Piece& piece : out.pieces) out.size += piece.size;
  return absl::OkStatus();
}

absl::Status Renderer::reverse_path(const queue::Batch& batch, const queue::Entry& entry,
                                    std::string& out) {
  const Template* sender = nullptr;
  Template of_entry;
  if (!entry.has_sender) {
    const BatchText& text = text_of(batch);
    if (!text.sender_has_slots) {
      out.assign(text.sender_bytes);
    } else if (!text.sender_status.ok()) {
      return text.sender_status;
    } else {
      sender = &text.sender;
    }
  } else if (entry.sender.find("{{") == std::string_view::npos) {
    out.assign(entry.sender);
  } else {
    const absl::Status status = Template::compile_ops(entry.sender, queue::kContentMerge,
                                                      Template::Kind::address, of_entry);
    if (!status.ok()) return status;
    sender = &of_entry;
  }
  if (sender != nullptr) {
    out.clear();
    for (const Template::Op& op : sender->ops_) {
      if (op.slot < 0) {
        out.append(sender->bytes_.substr(op.offset, op.length));
        continue;
      }
      const Slot& slot = sender->slots_[static_cast<size_t>(op.slot)];
      std::string_view value;
      if (!find_value(slot, batch, entry, digits_, value)) {
        return absl::FailedPreconditionError("the variable \"" + slot.name +
                                             "\" of the sender is not defined");
      }
      if (!fits_header(value)) {
        return absl::FailedPreconditionError("the variable \"" + slot.name +
                                             "\" has CR, LF or NUL and stands in the sender");
      }
      out.append(value);
    }
    if (has_high(out)) out = with_a_labels(out);  // a value may have brought the domain
  }
  if (!batch.verp || out.empty()) return absl::OkStatus();
  const size_t at = out.rfind('@');
  const size_t recipient_at = entry.to.rfind('@');
  if (at == std::string::npos || recipient_at == std::string_view::npos) {
    return absl::FailedPreconditionError("VERP wants a sender and a recipient with an @");
  }
  if (entry.to.front() == '"' || out.front() == '"') {
    return absl::FailedPreconditionError("VERP cannot be made of a quoted local part");
  }
  std::string verp = out.substr(0, at) + "+";
  verp.append(entry.to.substr(0, recipient_at));
  verp += '=';
  verp.append(entry.to.substr(recipient_at + 1));
  verp.append(out, at);
  out = std::move(verp);
  return absl::OkStatus();
}

}  // namespace veredus::mail
