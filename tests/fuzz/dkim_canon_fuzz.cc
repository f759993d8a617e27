#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "engine/mail/dkim_canon.h"
#include "tests/mail/naive_canon.h"

namespace {

using veredus::mail::CanonSink;
using veredus::mail::DkimBodyCanon;
using veredus::mail::DkimCanon;

struct Collected final : CanonSink {
  void take(const char* data, size_t size) override { text.append(data, size); }
  std::string text;
};

// In pieces of the sizes that `cuts` says, again and again; whole if it says none.
std::string body_of(DkimCanon canon, std::string_view text, std::string_view cuts) {
  Collected sink;
  DkimBodyCanon body(canon, sink);
  for (size_t turn = 0; !text.empty(); ++turn) {
    const size_t size =
        cuts.empty() ? text.size() : static_cast<unsigned char>(cuts[turn % cuts.size()]);
    const std::string_view piece = text.substr(0, size + (turn % 16 == 15 ? 1 : 0));
    body.update(piece);
    text.remove_prefix(piece.size());
  }
  body.finish();
  return sink.text;
}

// RFC 6376 §3.4.2, step by step.
std::string naive_relaxed_field(std::string_view field) {
  std::string text(field);
  for (size_t at = 0; (at = text.find("\r\n", at)) != std::string::npos;) text.erase(at, 2);
  std::string name = text.substr(0, text.find(':'));
  std::string value = text.substr(std::min(name.size() + 1, text.size()));
  for (char& c : name) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  for (std::string* part : {&name, &value}) {
    std::string made;
    for (const char c : *part) {
      const bool blank = c == ' ' || c == '\t';
      if (!blank || made.empty() || made.back() != ' ') made += blank ? ' ' : c;
    }
    if (part == &value && made.starts_with(' ')) made.erase(0, 1);
    if (made.ends_with(' ')) made.pop_back();
    if (part == &value) *part = made;
  }
  while (name.ends_with(' ') || name.ends_with('\t')) name.pop_back();
  return name + ":" + value;
}

}  // namespace

// However a body is cut, what comes out is what a naive reading of the RFC makes of it, and making
// it canonical once more changes nothing. The first byte says how many of the next ones cut.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace veredus::mail;
  std::string_view input(reinterpret_cast<const char*>(data), size);
  if (input.empty()) return 0;
  const size_t cuts_size = std::min<size_t>(static_cast<size_t>(data[0]) % 8, input.size() - 1);
  const std::string_view cuts = input.substr(1, cuts_size);
  const std::string_view text = input.substr(1 + cuts_size);
  for (const DkimCanon canon : {DkimCanon::simple, DkimCanon::relaxed}) {
    const std::string whole = body_of(canon, text, {});
    if (whole != testing::naive_canonical_body(text, canon == DkimCanon::relaxed)) abort();
    if (whole != body_of(canon, text, cuts)) abort();
    if (whole != body_of(canon, whole, cuts)) abort();
  }
  // A field begins with a name; what stands in front of its colon has no line end.
  const size_t colon = text.find(':');
  if (colon == std::string_view::npos || text.substr(0, colon).find_first_of("\r\n") < colon)
    return 0;
  std::string out;
  append_canonical_field(DkimCanon::relaxed, text, out);
  const bool has_end = text.ends_with("\r\n");
  if (out.ends_with("\r\n") != has_end && has_end) abort();
  if (has_end) out.resize(out.size() - 2);
  const std::string_view field = has_end ? text.substr(0, text.size() - 2) : text;
  if (out != naive_relaxed_field(field)) abort();
  return 0;
}
