#include <algorithm>
#include <charconv>

#include "engine/mail/content.h"
#include "engine/mail/date.h"
#include "engine/mail/expansion.h"
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

}  // namespace

std::string message_id_origin(const RenderSettings& settings) {
  return atom_of(settings.node) + "@" + settings.hostname;
}

// Makes the pieces. Bytes in scratch move while it grows: their pieces have no address before
// finish().
class PieceSink {
 public:
  // `own`: the recipient's own message, which has no stuffed copy.
  PieceSink(const Template& from, bool own, bool dot_stuffed, std::string& scratch,
            std::string& text, Rendered& out)
      : from_(from), scratch_(scratch), text_(text), out_(out), dot_stuffed_(dot_stuffed) {
    const bool dot_lines = dot_stuffed && (from.flags_ & queue::kContentDotLines) != 0;
    stuff_here_ = dot_lines && own;
    const bool copied = dot_lines && !own;
    ops_ = copied ? from.stuffed_ops_.data() : from.ops_.data();
    base_ = copied ? from.stuffed_.data() : from.bytes_.data();
  }

  void constant(size_t at) {
    const Template::Op& op = ops_[at];
    const std::string_view text(base_ + op.offset, op.length);
    const size_t wanted = from_.ops_[at].length;
    size_t made = text.size();
    if (dot_stuffed_ && line_start_ && op.starts_with_dot) {
      scratch_ += '.';
      ++out_.stuffing;
    }
    if (stuff_here_) {
      const size_t begin = scratch_.size();
      append_dot_stuffed(text, false, scratch_);
      made = scratch_.size() - begin;
    } else {
      end_dynamic();
      out_.pieces.push_back({text.data(), text.size()});
    }
    out_.stuffing += made - wanted;
    line_start_ = op.ends_line;
  }

  void dynamic(size_t begin) {
    if (dot_stuffed_) stuff(begin);
    line_start_ = scratch_.back() == '\n';
  }

  void tag(MergeContext) {}

  void finish() {
    end_dynamic();
    size_t at = 0;
    for (Piece& piece : out_.pieces) {
      if (piece.data == nullptr) {
        piece.data = scratch_.data() + at;
        at += piece.size;
      }
      out_.size += piece.size;
    }
  }

 private:
  void end_dynamic() {
    if (scratch_.size() > dynamic_) out_.pieces.push_back({nullptr, scratch_.size() - dynamic_});
    dynamic_ = scratch_.size();
  }
  void stuff(size_t begin) {
    const std::string_view made(scratch_.data() + begin, scratch_.size() - begin);
    const bool dots =
        (line_start_ && made.front() == '.') || made.find("\n.") != std::string_view::npos;
    if (!dots) return;
    text_.assign(made);
    scratch_.resize(begin);
    append_dot_stuffed(text_, line_start_, scratch_);
    out_.stuffing += scratch_.size() - begin - text_.size();
  }

  const Template& from_;
  std::string& scratch_;
  std::string& text_;
  Rendered& out_;
  const Template::Op* ops_;
  const char* base_;
  size_t dynamic_ = 0;  // where the bytes in scratch begin that are in no piece yet
  bool dot_stuffed_, stuff_here_ = false;
  bool line_start_ = true;
};

// Makes a text without line ends, in one piece.
class TextSink {
 public:
  TextSink(const Template& from, std::string& out) : from_(from), out_(out) {}
  void constant(size_t at) {
    const Template::Op& op = from_.ops_[at];
    out_.append(from_.bytes_.substr(op.offset, op.length));
  }
  void dynamic(size_t) {}
  void tag(MergeContext) {}

 private:
  const Template& from_;
  std::string& out_;
};

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
  std::string origin = batch.origin;
  if (origin.find('@') == std::string::npos) origin = message_id_origin(settings_);
  const size_t at = origin.find('@');
  text.id_head = "Message-ID: <" + origin.substr(0, at) + ".";
  append_number(batch.number, 10, text.id_head);
  // Numbers start again in a new spool; the time of acceptance does not.
  text.id_tail = ".";
  append_number(static_cast<uint64_t>(batch.accepted_wall_ns), 36, text.id_tail);
  text.id_tail += origin.substr(at) + ">\r\n";
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

absl::Status Renderer::put_content(const Template& from, bool own, const RenderRequest& request,
                                   std::string& scratch, Rendered& out) {
  PieceSink sink(from, own, request.dot_stuffed, scratch, text_, out);
  Expansion<PieceSink> expansion(from, *request.batch, *request.entry, scratch, text_, sink);
  Refusal refusal;
  if (!expansion.run(refusal)) return absl::FailedPreconditionError(refusal.reason);
  sink.finish();
  out.eight_bit = expansion.eight_bit;
  out.header_utf8 = expansion.header_utf8;
  return absl::OkStatus();
}

absl::Status Renderer::render(const Template* compiled, const RenderRequest& request,
                              std::string& reverse_path_out, std::string& scratch, Rendered& out) {
  const queue::Batch& batch = *request.batch;
  const queue::Entry& entry = *request.entry;
  out.pieces.clear();
  out.size = out.stuffing = 0;
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
  put_front(text_of(batch), request, compiled->flags_, own || compiled->has_slots(), scratch);
  return put_content(*compiled, own, request, scratch, out);
}

absl::Status Renderer::put_sender(const Template& sender, const queue::Batch& batch,
                                  const queue::Entry& entry, std::string& out) {
  out.clear();
  TextSink sink(sender, out);
  Expansion<TextSink> expansion(sender, batch, entry, out, text_, sink);
  Refusal refusal;
  return expansion.run(refusal) ? absl::OkStatus() : absl::FailedPreconditionError(refusal.reason);
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
    const absl::Status put = put_sender(*sender, batch, entry, out);
    if (!put.ok()) return put;
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
