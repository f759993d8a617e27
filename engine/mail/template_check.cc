#include <algorithm>
#include <array>
#include <cstring>

#include "engine/mail/content.h"
#include "engine/mail/expansion.h"
#include "engine/mail/template.h"

namespace veredus::mail {
namespace {

constexpr std::string_view kTooLong =
    "a line of the message becomes longer than 998 bytes by its variables";
constexpr std::string_view kBlankLine =
    "a folded line of the header becomes blank by its variables";
constexpr std::string_view kDelimiter =
    "a line that its variables have a part in begins like a boundary of the message's parts";

}  // namespace

// Looks at the lines of what is made. What is constant is not gone through byte by byte: where its
// lines end was seen when it was compiled, and normalise() saw those that it has alone.
class CheckSink {
 public:
  CheckSink(const Template& from, std::string& scratch) : from_(from), scratch_(scratch) {}

  void constant(size_t at) {
    const Template::Op& op = from_.ops_[at];
    const char* const text = from_.bytes_.data() + op.offset;
    extend(text, op.head);
    if (!op.newline) return;
    end_line();
    begin_line(false);
    extend(text + (op.cut ? std::min<size_t>(op.head, kLineStart) : op.length - op.tail), op.tail);
  }
  void dynamic(size_t begin) {
    std::string_view text(scratch_.data() + begin, scratch_.size() - begin);
    variable_ = true;
    for (size_t end; (end = text.find("\r\n")) != std::string_view::npos;) {
      extend(text.data(), end);
      text.remove_prefix(end + 2);
      end_line();
      begin_line(true);
    }
    extend(text.data(), text.size());
    scratch_.resize(begin);
  }
  void tag(MergeContext context) {
    variable_ = true;
    in_header_ = in_header_ || !is_body(context);
  }
  // Behind the last line. Empty: all lines are good.
  std::string_view fault() {
    end_line();
    return fault_;
  }

 private:
  static constexpr size_t kLineStart = Template::kLineStart;

  void begin_line(bool variable) {
    size_ = 0;
    variable_ = variable;
    // A fold that a value makes is in the header, too.
    in_header_ = variable && in_header_;
  }
  void extend(const char* text, size_t size) {
    if (size_ < start_.size())
      std::memcpy(&start_[size_], text, std::min(size, start_.size() - size_));
    size_ += size;
  }
  void end_line() {
    if (!variable_) return;
    if (size_ > kLineBytesMax) fault_ = kTooLong;
    const std::string_view start(start_.data(), std::min(size_, start_.size()));
    if (in_header_ && start.find_first_not_of(" \t") == std::string_view::npos) fault_ = kBlankLine;
    if (!start.starts_with("--")) return;
    for (const std::string& delimiter : from_.regions_.delimiters) {
      if (start.starts_with(std::string_view(delimiter).substr(0, start_.size())))
        fault_ = kDelimiter;
    }
  }

  const Template& from_;
  std::string& scratch_;
  std::string_view fault_;
  size_t size_ = 0;                       // of the line so far
  std::array<char, kLineStart> start_{};  // its first bytes
  bool variable_ = false;                 // some {{…}} has a part in it
  bool in_header_ = false;                // … that stands in a header
};

bool Template::check(const queue::Batch& batch, const queue::Entry& entry, Refusal& refusal) const {
  if (slots_.empty()) return true;
  std::string scratch, text;
  scratch.reserve(256);
  CheckSink sink(*this, scratch);
  Expansion<CheckSink> expansion(*this, batch, entry, scratch, text, sink);
  if (!expansion.run(refusal)) return false;
  const std::string_view fault = sink.fault();
  if (fault.empty()) return true;
  refusal.status = "5.6.0";
  refusal.reason = fault;
  return false;
}

}  // namespace veredus::mail
