#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/mail/address.h"
#include "engine/mail/merge_regions.h"
#include "engine/mail/piece.h"
#include "queue/batch.h"
#include "queue/extent.h"

namespace veredus::mail {

inline constexpr size_t kSlotsMax = 4096;      // of one message, sections counted
inline constexpr size_t kSectionDepthMax = 8;  // of sections within sections
inline constexpr size_t kVerpLocalPartMax =
    200;  // bytes of the local part of a reverse-path made by VERP

// What is the same in every message of this engine.
struct RenderSettings {
  std::string hostname =
      "localhost";               // `by` of the trace field, right side of a Message-ID that we add
  std::string node = "veredus";  // in the trace field's id
  bool trace = true;             // whether a Received field is put in front
};

// What Message-IDs that are added have of it: a batch keeps it (queue::Batch::origin).
std::string message_id_origin(const RenderSettings& settings);

// A variable where it is used: {{name}}, {{name|text}}, {{{name}}}, or the name of a section. The
// views point into the bytes of the template.
struct Slot {
  enum class Builtin : uint8_t { none, to, name, id, batch, index };
  std::string_view name;
  std::string_view fallback;
  Builtin builtin = Builtin::none;
  bool has_fallback = false;
  bool raw = false;         // {{{name}}}: not escaped in HTML
  bool of_message = false;  // in the message's own header: UTF-8 there needs SMTPUTF8
  MergeContext context = MergeContext::body;
  std::string charset;  // of its text, if that is another than UTF-8
};

// The slot's value for a recipient: its own vars, else what is always there (to, name, id, batch,
// index), else the batch's vars, else the slot's own default; `name` and `id` of a recipient
// without are empty. False: undefined. `digits` is room for the index.
bool find_value(const Slot& slot, const queue::Batch& batch, const queue::Entry& entry,
                std::array<char, 16>& digits, std::string_view& value);

// A message cut into constant pieces and slots; made once, rendered once per recipient. How a value
// goes into the message is decided by where its slot stands (MergeContext): escaped in HTML,
// encoded in quoted-printable parts and in header fields, refused where it could say more than a
// value may. The constant pieces point into the bytes it was compiled from, which must outlive it
// (or into its own dot-stuffed copy, if they have such lines). May be moved.
class Template {
 public:
  Template() = default;
  // `clean`: as normalise() leaves it. Without kContentMerge among the flags nothing is a slot. The
  // error names byte and line of a {{…}} that is not understood, not closed, stands where none can,
  // or of a section that is not closed where it was opened: in the same text of a header field, in
  // the same part of the body.
  static absl::StatusOr<Template> compile(std::string_view clean, uint8_t flags);

  // The same for check() alone: what it reads is kept, and `clean` may go. It cannot be rendered.
  static absl::StatusOr<Template> compile_for_check(std::string_view clean, uint8_t flags);

  // Whether messages of recipients differ: some variable is used, be it by a section.
  bool has_slots() const { return !slots_.empty(); }
  // Whether some is used behind the message's own header. False: the body is the same for all.
  bool has_body_slots() const { return body_slots_; }
  const std::vector<Slot>& slots() const { return slots_; }
  uint8_t flags() const { return flags_; }
  std::string_view bytes() const { return bytes_; }

  // At the door: whether this recipient can be rendered. Refused (5.6.0): an undefined variable
  // without default, outside of sections that are left out; CR, LF, NUL or another control byte in
  // a header; NUL anywhere; what would leave an address or a parameter; a line that becomes longer
  // than 998 bytes, a line of the header that becomes blank, a line that would part the message at
  // a boundary.
  bool check(const queue::Batch& batch, const queue::Entry& entry, Refusal& refusal) const;

 private:
  friend class Renderer;
  template <typename Sink>
  friend class Expansion;
  friend class CheckSink;
  friend class PieceSink;
  friend class TextSink;
  friend class TemplateCompiler;
  struct Op {
    enum class Kind : uint8_t {
      constant,
      value,
      section,
      section_end,
      group,
      group_end,
      field,  // from here to its end variables have to say something
      field_end
    };
    Kind kind = Kind::constant;
    // Of a constant:
    bool newline = false;  // has a line end
    bool ends_line = false;
    bool starts_with_dot = false;
    bool high = false;  // has bytes over 127; only said within a group
    bool cut = false;   // of its bytes those that keep_for_check() leaves
    bool in_group = false;
    bool soft = false;       // a soft break may be put in front (RFC 2045 §6.7)
    bool word = false;       // has =? in it; only said within a group
    bool blank = false;      // has nothing but blanks and commas; only said within a field
    bool opens_uri = false;  // ends with <, blanks not counted: a URI begins behind it
    // Of a section:
    bool inverted = false;
    // Of a group, a text, a phrase or an address of a header field, whose text is looked at as a
    // whole:
    bool folded = false;  // goes over more lines than one
    MergeContext context = MergeContext::body;
    uint32_t offset = 0;  // of the constant bytes, in bytes_ or stuffed_; of a field_end its name
    uint32_t length = 0;
    uint32_t head = 0;  // bytes before the first line end; length if there is none
    uint32_t tail = 0;  // bytes behind the last line end
    uint32_t slot = 0;  // of a value, or a section
    uint32_t end = 0;   // of a section or a group: the op that ends it
  };
  enum class Kind : uint8_t { message, address };
  // All but the dot-stuffed copy. Keeps the memory of `out`.
  static absl::Status compile_ops(std::string_view clean, uint8_t flags, Kind kind, Template& out);
  friend absl::Status check_slots(std::string_view text, bool& has_slots);
  void make_stuffed();
  void keep_for_check();

  // Bytes at the front of a line are looked at, so many: boundaries have 70 at most (RFC 2046
  // §5.1.1).
  static constexpr size_t kLineStart = 96;

  std::string_view bytes_;
  std::vector<char> kept_;  // what bytes_ is, after keep_for_check()
  std::string stuffed_;     // empty when no line starts with a dot
  std::vector<Op> ops_;
  // The same with offsets into stuffed_. The dot that an op begins with is not doubled there:
  // whether it begins a line is known when it is rendered.
  std::vector<Op> stuffed_ops_;
  std::vector<Slot> slots_;
  MergeRegions regions_;
  uint8_t flags_ = 0;
  bool body_slots_ = false;
};

// What goes over the wire as the content of one transaction, without the final dot.
struct Rendered {
  std::vector<Piece> pieces;
  uint64_t size = 0;         // bytes, of all pieces
  uint64_t stuffing = 0;     // of these, dots put in front of lines that begin with one
  bool eight_bit = false;    // some byte of a value is over 127: needs 8BITMIME
  bool header_utf8 = false;  // … in the header: needs SMTPUTF8
};

struct RenderRequest {
  const queue::Batch* batch = nullptr;
  const queue::Entry* entry = nullptr;  // of the transaction's first recipient
  bool index_in_trace = true;           // false when several recipients share the transaction
  bool dot_stuffed = false;             // for DATA; BDAT takes it as it is
};

// Makes messages at the moment of sending. One per shard, not thread-safe. What is the same for a
// whole batch is kept for the batches used last.
//
// In front of the content stand, as wanted: the trace field; Date; Message-ID. They are the same at
// every attempt: made from the batch (its number and time of acceptance) and the recipient's index;
// recipients of content without slots, who may share a transaction, have one Message-ID.
class Renderer {
 public:
  explicit Renderer(const RenderSettings& settings);  // which outlive the renderer
  ~Renderer();

  // `compiled`: of the batch's message; null when the recipient carries its own. Pieces point into
  // the template's bytes (or the entry's message) and into `scratch`, which is overwritten; all
  // must stay until the message is sent. `reverse_path` gets what reverse_path() makes. An error
  // means that what the door checked does not hold any more.
  absl::Status render(const Template* compiled, const RenderRequest& request,
                      std::string& reverse_path, std::string& scratch, Rendered& out);

  // The sender with its slots replaced; with VERP, bounce@news.example for ada@example.org becomes
  // bounce+ada=example.org@news.example. Empty: the null reverse-path. Its syntax is not checked
  // here.
  absl::Status reverse_path(const queue::Batch& batch, const queue::Entry& entry, std::string& out);

 private:
  struct BatchText;
  BatchText& text_of(const queue::Batch& batch);
  void put_front(const BatchText& text, const RenderRequest& request, uint8_t flags,
                 bool per_recipient, std::string& scratch) const;
  absl::Status put_content(const Template& from, bool own, const RenderRequest& request,
                           std::string& scratch, Rendered& out);
  absl::Status put_sender(const Template& sender, const queue::Batch& batch,
                          const queue::Entry& entry, std::string& out);

  const RenderSettings& settings_;
  static constexpr size_t kBatchesKept = 64;
  std::array<std::unique_ptr<BatchText>, kBatchesKept> texts_;
  Template own_;      // of the message a recipient carries
  std::string text_;  // of a group, or of a value on its way
};

// Whether an address has {{slots}}, or other {{…}}; an error says what is wrong with them.
absl::Status check_slots(std::string_view text, bool& has_slots);

}  // namespace veredus::mail
