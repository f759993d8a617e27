#include "engine/mail/template.h"

#include <algorithm>
#include <cassert>
#include <charconv>

#include "engine/mail/content.h"
#include "engine/mail/idn.h"
#include "engine/mail/merge_tag.h"

namespace veredus::mail {
namespace {

std::string place(std::string_view text, size_t at) {
  const auto line = 1 + std::count(text.begin(), text.begin() + static_cast<ptrdiff_t>(at), '\n');
  return " at byte " + std::to_string(at + 1) + " (line " + std::to_string(line) + ")";
}

Slot::Builtin builtin_of(std::string_view name) {
  if (name == "to") return Slot::Builtin::to;
  if (name == "name") return Slot::Builtin::name;
  if (name == "id") return Slot::Builtin::id;
  if (name == "batch") return Slot::Builtin::batch;
  if (name == "index") return Slot::Builtin::index;
  return Slot::Builtin::none;
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

// Goes over the tags of a text and its regions side by side.
class TemplateCompiler {
 public:
  explicit TemplateCompiler(Template& out) : out_(out), text_(out.bytes_) {}

  absl::Status run() {
    for (size_t at = 0; (at = text_.find("{{", at)) != std::string_view::npos;) {
      absl::Status status = to_region_of(at);
      if (!status.ok()) return status;
      MergeTag tag;
      std::string_view why_not;
      if (!region_->fault.empty()) return error(std::string(region_->fault) + ": found one", at);
      if (!read_merge_tag(text_, at, tag, why_not)) return error(why_not, at);
      constant(at);
      status = add(tag);
      if (!status.ok()) return status;
      after_quoted_ = is_quoted(region_->context);
      from_ = at = tag.end;
    }
    const absl::Status left = leave_region();
    if (!left.ok()) return left;
    constant(text_.size());
    return absl::OkStatus();
  }

 private:
  using Op = Template::Op;
  struct Section {
    size_t op = 0;
    size_t at = 0;  // of its tag
  };

  absl::Status error(std::string_view what, size_t at) const {
    return absl::InvalidArgumentError(std::string(what) + place(text_, at));
  }

  // The constant bytes up to `to`.
  void constant(size_t to) {
    if (to > from_) add_constant(from_, to, after_quoted_);
    from_ = to;
  }

  void add_constant(size_t from, size_t to, bool soft) {
    const std::string_view text = text_.substr(from, to - from);
    Op op;
    op.offset = static_cast<uint32_t>(from);
    op.length = static_cast<uint32_t>(text.size());
    const size_t first = text.find("\r\n"), last = text.rfind('\n');
    op.newline = first != std::string_view::npos;
    op.head = static_cast<uint32_t>(op.newline ? first : text.size());
    op.tail = static_cast<uint32_t>(op.newline ? text.size() - last - 1 : text.size());
    op.ends_line = text.back() == '\n';
    op.starts_with_dot = text.front() == '.';
    op.soft = soft;
    op.in_group = in_group_;
    op.high = in_group_ && has_high(text);
    op.word = in_group_ && text.find("=?") != std::string_view::npos;
    op.blank = in_field_ && text.find_first_not_of(" \t\r\n,") == std::string_view::npos;
    const size_t mark = text.find_last_not_of(" \t\r\n");
    op.opens_uri = mark != std::string_view::npos && text[mark] == '<';
    if (in_group_) out_.ops_[group_].folded = out_.ops_[group_].folded || op.newline;
    out_.ops_.push_back(op);
  }

  absl::Status to_region_of(size_t at) {
    if (region_ != nullptr && at < region_->end) return absl::OkStatus();
    const absl::Status left = leave_region();
    if (!left.ok()) return left;
    while (out_.regions_.regions[next_].end <= at) ++next_;
    region_ = &out_.regions_.regions[next_];
    assert(region_->begin <= at && "every tag has its region");
    const bool groups = region_->context == MergeContext::text ||
                        region_->context == MergeContext::phrase ||
                        region_->context == MergeContext::address;
    constant(groups ? region_->begin : at);
    Op op;
    if (region_->name_size > 0 && !in_field_) {
      op.kind = Op::Kind::field;
      in_field_ = true;
      out_.ops_.push_back(op);
    }
    if (!groups) return absl::OkStatus();
    op.kind = Op::Kind::group;
    op.context = region_->context;
    in_group_ = true;
    group_ = out_.ops_.size();
    out_.ops_.push_back(op);
    return absl::OkStatus();
  }

  absl::Status leave_region() {
    if (region_ == nullptr) return absl::OkStatus();
    if (depth_ > 0) {
      const Section& open = sections_[depth_ - 1];
      const Slot& slot = out_.slots_[out_.ops_[open.op].slot];
      return error("the section \"" + std::string(slot.name) +
                       "\" is not closed where it was opened (the same text of a header field, the "
                       "same part): it begins",
                   open.at);
    }
    if (in_group_) {
      constant(region_->end);
      end_op(Op::Kind::group_end, group_);
      in_group_ = false;
    }
    const bool goes_on = next_ + 1 < out_.regions_.regions.size() &&
                         out_.regions_.regions[next_ + 1].name_size > 0 &&
                         out_.regions_.regions[next_ + 1].name == region_->name;
    if (in_field_ && !goes_on) {
      in_field_ = false;
      Op op;
      op.kind = Op::Kind::field_end;
      op.offset = static_cast<uint32_t>(region_->name);
      op.length = static_cast<uint32_t>(region_->name_size);
      out_.ops_.push_back(op);
    }
    region_ = nullptr;
    return absl::OkStatus();
  }

  void end_op(Op::Kind kind, size_t begin) {
    out_.ops_[begin].end = static_cast<uint32_t>(out_.ops_.size());
    Op op;
    op.kind = kind;
    op.context = region_->context;
    out_.ops_.push_back(op);
  }

  absl::Status add(const MergeTag& tag) {
    switch (tag.kind) {
      case MergeTag::Kind::literal:
        add_constant(tag.begin + 3, tag.begin + 5, is_quoted(region_->context));
        return absl::OkStatus();
      case MergeTag::Kind::close:
        return close(tag);
      case MergeTag::Kind::value:
      case MergeTag::Kind::raw:
        return add_slot(Op::Kind::value, tag);
      case MergeTag::Kind::open:
      case MergeTag::Kind::inverted:
        break;
    }
    if (depth_ == kSectionDepthMax) return error("sections are nested deeper than 8", tag.begin);
    sections_[depth_++] = {out_.ops_.size(), tag.begin};
    return add_slot(Op::Kind::section, tag);
  }

  absl::Status close(const MergeTag& tag) {
    if (depth_ == 0) {
      return error("{{/" + std::string(tag.name) + "}} closes no section that was opened here",
                   tag.begin);
    }
    const size_t op = sections_[--depth_].op;
    const std::string_view open = out_.slots_[out_.ops_[op].slot].name;
    if (open != tag.name) {
      return error("{{/" + std::string(tag.name) + "}} stands where the section \"" +
                       std::string(open) + "\" is to be closed",
                   tag.begin);
    }
    end_op(Op::Kind::section_end, op);
    return absl::OkStatus();
  }

  absl::Status add_slot(Op::Kind kind, const MergeTag& tag) {
    if (out_.slots_.size() == kSlotsMax) return error("more than 4096 slots", tag.begin);
    Op op;
    op.kind = kind;
    op.context = region_->context;
    op.inverted = tag.kind == MergeTag::Kind::inverted;
    op.slot = static_cast<uint32_t>(out_.slots_.size());
    out_.ops_.push_back(op);
    Slot slot;
    slot.name = tag.name;
    slot.fallback = tag.fallback;
    slot.has_fallback = tag.has_fallback;
    slot.builtin = builtin_of(tag.name);
    slot.raw = tag.kind == MergeTag::Kind::raw;
    slot.of_message = region_->of_message;
    slot.context = region_->context;
    slot.charset = region_->charset;
    out_.slots_.push_back(std::move(slot));
    out_.body_slots_ = out_.body_slots_ || tag.begin >= out_.regions_.header_bytes;
    return absl::OkStatus();
  }

  Template& out_;
  const std::string_view text_;
  const MergeRegion* region_ = nullptr;  // of the last tag
  size_t next_ = 0;                      // of the regions
  size_t from_ = 0;                      // where the constant begins that is not added yet
  size_t group_ = 0;                     // the open one's op, with in_group_
  bool in_group_ = false;
  bool in_field_ = false;
  bool after_quoted_ = false;  // the last tag stands in a quoted-printable part
  size_t depth_ = 0;
  std::array<Section, kSectionDepthMax> sections_;
};

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
  out.body_slots_ = false;
  MergeRegions& regions = out.regions_;
  regions.regions.clear();
  regions.delimiters.clear();
  regions.header_bytes = clean.size();
  const bool merge = (flags & queue::kContentMerge) != 0;
  if (merge && kind == Kind::message) {
    find_merge_regions(clean, regions);
  } else if (merge) {
    MergeRegion& whole = regions.regions.emplace_back();
    whole.end = clean.size();
    whole.context = MergeContext::envelope;
  }
  if (merge) return TemplateCompiler(out).run();
  if (clean.empty()) return absl::OkStatus();
  Op whole;
  whole.length = static_cast<uint32_t>(clean.size());
  whole.newline = whole.ends_line = true;
  whole.head = static_cast<uint32_t>(std::min(clean.find("\r\n"), clean.size()));
  whole.starts_with_dot = clean.front() == '.';
  out.ops_.push_back(whole);
  return absl::OkStatus();
}

void Template::make_stuffed() {
  stuffed_ops_ = ops_;
  stuffed_.reserve(bytes_.size() + bytes_.size() / 16 + 16);
  for (Op& op : stuffed_ops_) {
    if (op.kind != Op::Kind::constant) continue;
    const size_t offset = stuffed_.size();
    append_dot_stuffed(bytes_.substr(op.offset, op.length), false, stuffed_);
    op.offset = static_cast<uint32_t>(offset);
    op.length = static_cast<uint32_t>(stuffed_.size() - offset);
  }
}

absl::StatusOr<Template> Template::compile_for_check(std::string_view clean, uint8_t flags) {
  Template made;
  const absl::Status status = compile_ops(clean, flags, Kind::message, made);
  if (!status.ok()) return status;
  made.keep_for_check();
  return made;
}

// Names and default texts of slots, the constant texts of groups, and of other constants what
// begins their first and their last line.
void Template::keep_for_check() {
  std::vector<char> kept;
  const auto keep = [&](std::string_view text) {
    kept.insert(kept.end(), text.begin(), text.end());
    return kept.size() - text.size();
  };
  if (slots_.empty()) ops_.clear();  // nothing is checked
  for (Op& op : ops_) {
    if (op.kind == Op::Kind::field_end)
      op.offset = static_cast<uint32_t>(keep(bytes_.substr(op.offset, op.length)));
    if (op.kind != Op::Kind::constant) continue;
    const std::string_view text = bytes_.substr(op.offset, op.length);
    op.cut = !op.in_group && op.newline && op.length > 2 * kLineStart;
    op.offset = static_cast<uint32_t>(
        keep(op.cut ? text.substr(0, std::min<size_t>(op.head, kLineStart)) : text));
    if (op.cut) keep(text.substr(op.length - op.tail, kLineStart));
  }
  std::vector<size_t> offsets;
  for (const Slot& slot : slots_) {
    offsets.push_back(keep(slot.name));
    keep(slot.fallback);
  }
  kept_ = std::move(kept);
  bytes_ = {kept_.data(), kept_.size()};
  for (size_t i = 0; i < slots_.size(); ++i) {
    Slot& slot = slots_[i];
    slot.name = bytes_.substr(offsets[i], slot.name.size());
    slot.fallback = bytes_.substr(offsets[i] + slot.name.size(), slot.fallback.size());
  }
}

absl::Status check_slots(std::string_view text, bool& has_slots) {
  Template made;
  const absl::Status status =
      Template::compile_ops(text, queue::kContentMerge, Template::Kind::address, made);
  has_slots = made.has_slots() || made.ops_.size() > 1;
  return status;
}

}  // namespace veredus::mail
