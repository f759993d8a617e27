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
#include "engine/mail/piece.h"
#include "queue/batch.h"
#include "queue/extent.h"

namespace veredus::mail {

inline constexpr size_t kSlotsMax = 4096;       // of one message
inline constexpr size_t kVariableNameMax = 64;  // bytes, of [A-Za-z0-9_.-]
inline constexpr size_t kVerpLocalPartMax =
    200;  // bytes of the local part of a reverse-path made by VERP

// What is the same in every message of this engine.
struct RenderSettings {
  std::string hostname =
      "localhost";               // `by` of the trace field, right side of a Message-ID that we add
  std::string node = "veredus";  // in the trace field's id
  bool trace = true;             // whether a Received field is put in front
};

// {{name}} or {{name|text}}.
struct Slot {
  enum class Builtin : uint8_t { none, to, name, id, batch, index };
  std::string name;
  std::string fallback;
  Builtin builtin = Builtin::none;
  bool has_fallback = false;
  bool in_header = false;
  // Whether this value, of find_value(), becomes encoded words if it has bytes over 127: in the
  // header, but for the recipient's own address, which may stand where an address must (RFC 2047
  // §5) and then goes to hosts with SMTPUTF8 only. A variable named "to" is none.
  bool in_words(std::string_view value, const queue::Entry& entry) const {
    return in_header && value.data() != entry.to.data();
  }
};

// The slot's value for a recipient: its own vars, else what is always there (to, name, id, batch,
// index), else the batch's vars, else the slot's own default; `name` and `id` of a recipient
// without are empty. False: undefined. `digits` is room for the index.
bool find_value(const Slot& slot, const queue::Batch& batch, const queue::Entry& entry,
                std::array<char, 16>& digits, std::string_view& value);

// A message cut into constant pieces and slots; made once, rendered once per recipient. The
// constant pieces point into the bytes it was compiled from, which must outlive it (or into its own
// dot-stuffed copy, if they have such lines). May be moved.
class Template {
 public:
  Template() = default;
  // `clean`: as normalise() leaves it. Without kContentMerge among the flags nothing is a slot. The
  // error names byte and line of a {{ that is not understood, not closed, or a section ({{#…}},
  // {{^…}}, {{/…}}: not offered yet).
  static absl::StatusOr<Template> compile(std::string_view clean, uint8_t flags);

  bool has_slots() const { return !slots_.empty(); }
  bool has_body_slots() const { return has_slots(); }
  const std::vector<Slot>& slots() const { return slots_; }
  uint8_t flags() const { return flags_; }
  std::string_view bytes() const { return bytes_; }

  // At the door: whether this recipient can be rendered. Refused: an undefined variable without
  // default; CR, LF, NUL or another control byte in a header; NUL anywhere; a line that becomes
  // longer than 998 bytes.
  bool check(const queue::Batch& batch, const queue::Entry& entry, Refusal& refusal) const;

 private:
  friend class Renderer;
  // Either a run of constant bytes or a slot.
  struct Op {
    uint32_t offset = 0;  // of the constant bytes, in bytes_ or stuffed_
    uint32_t length = 0;
    int32_t slot = -1;
    uint32_t head = 0;     // bytes before the first line end; length if there is none
    uint32_t tail = 0;     // bytes behind the last line end
    bool newline = false;  // has a line end
    bool after_slot = false;
    bool ends_line = false;
    bool starts_with_dot = false;
  };
  enum class Kind : uint8_t { message, address };
  // All but the dot-stuffed copy. Keeps the memory of `out`.
  static absl::Status compile_ops(std::string_view clean, uint8_t flags, Kind kind, Template& out);
  friend absl::Status check_slots(std::string_view text, bool& has_slots);
  void add_constant(size_t from, size_t to);
  // The tag at `at`; `next` is set behind it.
  absl::Status add_tag(size_t at, size_t header_bytes, Kind kind, size_t& next);
  void make_stuffed();

  std::string_view bytes_;
  std::string stuffed_;  // empty when no line starts with a dot
  std::vector<Op> ops_;
  std::vector<Op> stuffed_ops_;  // likewise
  std::vector<Slot> slots_;
  uint8_t flags_ = 0;
};

// What goes over the wire as the content of one transaction, without the final dot.
struct Rendered {
  std::vector<Piece> pieces;
  uint64_t size = 0;         // bytes, of all pieces
  uint64_t stuffing = 0;     // dots added
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
  absl::Status find_values(const Template& from, const RenderRequest& request, size_t& bytes);
  void put_front(const BatchText& text, const RenderRequest& request, uint8_t flags,
                 bool per_recipient, std::string& scratch) const;
  absl::Status put_content(const Template& from, bool own, const RenderRequest& request,
                           std::string& scratch, Rendered& out);

  const RenderSettings& settings_;
  static constexpr size_t kBatchesKept = 64;
  std::array<std::unique_ptr<BatchText>, kBatchesKept> texts_;
  Template own_;                          // of the message a recipient carries
  std::vector<std::string_view> values_;  // of the slots, in their order
  std::array<char, 16> digits_{};
};

// Whether an address has {{slots}}; an error says what is wrong with them.
absl::Status check_slots(std::string_view text, bool& has_slots);

}  // namespace veredus::mail
