#include "engine/mail/template.h"

#include <algorithm>
#include <cassert>
#include <charconv>
#include <cstring>

#include "engine/mail/content.h"

namespace veredus::mail {
namespace {

constexpr std::string_view kLiteral = "{{\"{{\"}}";

std::string place(std::string_view text, size_t at) {
  const auto line = 1 + std::count(text.begin(), text.begin() + static_cast<ptrdiff_t>(at), '\n');
  return " at byte " + std::to_string(at + 1) + " (line " + std::to_string(line) + ")";
}

bool is_name(std::string_view name) {
  if (name.empty() || name.size() > kVariableNameMax) return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.' || c == '-';
  });
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

Slot::Builtin builtin_of(std::string_view name) {
  if (name == "to") return Slot::Builtin::to;
  if (name == "name") return Slot::Builtin::name;
  if (name == "id") return Slot::Builtin::id;
  if (name == "batch") return Slot::Builtin::batch;
  if (name == "index") return Slot::Builtin::index;
  return Slot::Builtin::none;
}

// Whether a slot at `at` stands where a header field has its name: it could make another field of
// it.
bool in_field_name(std::string_view text, size_t at) {
  const size_t before = text.substr(0, at).rfind('\n');
  const size_t start = before == std::string_view::npos ? 0 : before + 1;
  const std::string_view line = text.substr(start, at - start);
  if (!line.empty() && (line.front() == ' ' || line.front() == '\t')) return false;
  return line.find(':') == std::string_view::npos;
}

bool refuse(Refusal& refusal, const Slot& slot, std::string_view what,
            std::string_view status = "5.6.0") {
  refusal.status = status;
  refusal.reason = "the variable \"" + slot.name + "\" " + std::string(what);
  return false;
}

// How the value of a slot stretches lines: bytes of its first and its last line.
struct Stretch {
  size_t head = 0, tail = 0;
  bool newline = false;
  bool too_long = false;  // a line within the value
};

Stretch stretch_of(std::string_view value) {
  Stretch stretch;
  size_t start = 0;
  for (size_t at = 0; at < value.size(); ++at) {
    if (value[at] != '\r' && value[at] != '\n') continue;
    if (!stretch.newline) stretch.head = at;
    stretch.too_long = stretch.too_long || at - start > kLineBytesMax;
    stretch.newline = true;
    start = at + 1;
  }
  stretch.tail = value.size() - start;
  if (!stretch.newline) stretch.head = value.size();
  return stretch;
}

}  // namespace

bool find_value(const Slot& slot, const queue::Batch& batch, const queue::Entry& entry,
                std::array<char, 16>& digits, std::string_view& value) {
  for (const auto& [name, text] : entry.vars) {
    if (name == slot.name) return value = text, true;
  }
  switch (slot.builtin) {
    case Slot::Builtin::to:
      return value = entry.to, true;
    case Slot::Builtin::batch:
      return value = batch.name, true;
    case Slot::Builtin::index: {
      const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), entry.index);
      return value = {digits.data(), static_cast<size_t>(end.ptr - digits.data())}, true;
    }
    case Slot::Builtin::name:
      if (!entry.name.empty()) return value = entry.name, true;
      break;
    case Slot::Builtin::id:
      if (!entry.id.empty()) return value = entry.id, true;
      break;
    case Slot::Builtin::none:
      break;
  }
  for (const auto& [name, text] : batch.vars) {
    if (name == slot.name) return value = text, true;
  }
  value = slot.fallback;
  return slot.has_fallback || slot.builtin != Slot::Builtin::none;
}

absl::StatusOr<Template> Template::compile(std::string_view clean, uint8_t flags) {
  Template made;
  const absl::Status status = compile_ops(clean, flags, Kind::message, made);
  if (!status.ok()) return status;
  if ((flags & queue::kContentDotLines) != 0) made.make_stuffed();
  return made;
}

absl::Status Template::compile_ops(std::string_view clean, uint8_t flags, Kind kind,
                                   Template& out) {
  assert(clean.size() <= UINT32_MAX);
  out.bytes_ = clean;
  out.flags_ = flags;
  out.ops_.clear();
  out.slots_.clear();
  size_t from = 0;
  if ((flags & queue::kContentMerge) != 0) {
    const size_t header_bytes = kind == Kind::message ? header_end(clean) : 0;
    for (size_t at = 0; (at = clean.find("{{", at)) != std::string_view::npos; from = at) {
      out.add_constant(from, at);
      const absl::Status added = out.add_tag(at, header_bytes, kind, at);
      if (!added.ok()) return added;
    }
  }
  out.add_constant(from, clean.size());
  return absl::OkStatus();
}

void Template::add_constant(size_t from, size_t to) {
  if (from == to) return;
  const std::string_view text = bytes_.substr(from, to - from);
  Op op;
  op.offset = static_cast<uint32_t>(from);
  op.length = static_cast<uint32_t>(text.size());
  const size_t first = text.find('\r');
  op.newline = first != std::string_view::npos;
  op.head = static_cast<uint32_t>(op.newline ? first : text.size());
  op.tail = static_cast<uint32_t>(op.newline ? text.size() - 1 - text.rfind('\n') : text.size());
  op.after_slot = !ops_.empty() && ops_.back().slot >= 0;
  op.ends_line = text.back() == '\n';
  op.starts_with_dot = text.front() == '.';
  ops_.push_back(op);
}

absl::Status Template::add_tag(size_t at, size_t header_bytes, Kind kind, size_t& next) {
  const auto error = [&](std::string what) {
    return absl::InvalidArgumentError(what + place(bytes_, at));
  };
  if (bytes_.substr(at).starts_with(kLiteral)) {
    add_constant(at + 3, at + 5);
    next = at + kLiteral.size();
    return absl::OkStatus();
  }
  const bool triple = bytes_.substr(at).starts_with("{{{");
  const std::string_view closing = triple ? "}}}" : "}}";
  const size_t start = at + closing.size();
  const size_t line_end = std::min(bytes_.find_first_of("\r\n", start), bytes_.size());
  const size_t end = bytes_.substr(0, line_end).find(closing, start);
  if (end == std::string_view::npos)
    return error(triple ? "{{{ is not closed by }}} on its line"
                        : "{{ is not closed by }} on its line");
  std::string_view tag = bytes_.substr(start, end - start);
  next = end + closing.size();
  if (!triple && !tag.empty() &&
      std::string_view("#^/").find(tag.front()) != std::string_view::npos) {
    return error("sections ({{#name}}, {{^name}}, {{/name}}) are not supported yet: found one");
  }
  Slot slot;
  const size_t bar = tag.find('|');
  if (bar != std::string_view::npos) {
    slot.fallback = tag.substr(bar + 1);
    slot.has_fallback = true;
    tag = tag.substr(0, bar);
  }
  slot.name = trimmed(tag);
  if (!is_name(slot.name)) {
    return error(
        "{{…}} wants a name of 1 to 64 letters, digits, '_', '.' or '-' (write {{\"{{\"}} for a "
        "literal {{): found none");
  }
  slot.builtin = builtin_of(slot.name);
  slot.in_header = at < header_bytes;
  if (slot.in_header && kind == Kind::message && in_field_name(bytes_, at)) {
    return error("the name of a header field cannot be a variable: found one");
  }
  if (slots_.size() == kSlotsMax) return error("more than 4096 slots");
  Op op;
  op.slot = static_cast<int32_t>(slots_.size());
  ops_.push_back(op);
  slots_.push_back(std::move(slot));
  return absl::OkStatus();
}

void Template::make_stuffed() {
  stuffed_ops_ = ops_;
  stuffed_.reserve(bytes_.size() + bytes_.size() / 16 + 16);
  bool line_start = true;
  for (Op& op : stuffed_ops_) {
    if (op.slot >= 0) {
      line_start = false;  // what follows is looked at when it is rendered
      continue;
    }
    const size_t offset = stuffed_.size();
    append_dot_stuffed(bytes_.substr(op.offset, op.length), line_start, stuffed_);
    op.offset = static_cast<uint32_t>(offset);
    op.length = static_cast<uint32_t>(stuffed_.size() - offset);
    line_start = op.ends_line;
  }
}

bool Template::check(const queue::Batch& batch, const queue::Entry& entry, Refusal& refusal) const {
  if (slots_.empty()) return true;
  std::array<char, 16> digits;
  size_t line = 0;
  for (const Op& op : ops_) {
    if (op.slot < 0) {
      if (line + op.head > kLineBytesMax) {
        refusal = {"5.6.0", "a line of the message becomes longer than 998 bytes by its variables"};
        return false;
      }
      line = op.newline ? op.tail : line + op.length;
      continue;
    }
    const Slot& slot = slots_[static_cast<size_t>(op.slot)];
    std::string_view value;
    if (!find_value(slot, batch, entry, digits, value))
      return refuse(refusal, slot, "is not defined and has no default");
    bool high = false;
    for (const char c : value) {
      if (c == '\0') return refuse(refusal, slot, "has a NUL byte");
      const auto byte = static_cast<unsigned char>(c);
      high = high || byte > 127;
      if (slot.in_header && (byte < 32 || byte == 127) && byte != '\t') {
        return refuse(refusal, slot,
                      "has CR, LF or another control byte, and stands in the header");
      }
    }
    if (slot.in_words(value, entry) && high) {  // becomes encoded words, folded
      line = line + 76 > kLineBytesMax ? kLineBytesMax + 1 : (value.size() > 45 ? 76 : line + 76);
      continue;
    }
    const Stretch stretch = stretch_of(value);
    if (stretch.too_long || line + stretch.head > kLineBytesMax) {
      return refuse(refusal, slot, "makes a line longer than 998 bytes");
    }
    line = stretch.newline ? stretch.tail : line + stretch.head;
  }
  if (line <= kLineBytesMax) return true;
  refusal = {"5.6.0", "a line of the message becomes longer than 998 bytes by its variables"};
  return false;
}

absl::Status check_slots(std::string_view text, bool& has_slots) {
  Template made;
  const absl::Status status =
      Template::compile_ops(text, queue::kContentMerge, Template::Kind::address, made);
  has_slots = made.has_slots() || made.ops_.size() > 1;
  return status;
}

}  // namespace veredus::mail
