#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace veredus::mail {

// The two ways in which DKIM looks at a message so that what happens to it underway does not
// matter (RFC 6376 §3.4): `simple` forgives nearly nothing, `relaxed` forgives changed white space.
enum class DkimCanon : uint8_t { simple, relaxed };

// "simple", "relaxed".
std::string_view dkim_canon_name(DkimCanon canon);

// Takes canonical bytes, in order. The data is valid during the call.
class CanonSink {
 public:
  virtual ~CanonSink() = default;
  virtual void take(const char* data, size_t size) = 0;
};

// A body, which comes in pieces cut anywhere, made canonical (RFC 6376 §3.4.3, §3.4.4) on its way
// to a sink. Lines end with CRLF; a bare CR or LF is a byte like others. Allocates nothing. What is
// long and stays as it is goes to the sink from where it lies, short runs are gathered first.
class DkimBodyCanon {
 public:
  DkimBodyCanon(DkimCanon canon, CanonSink& sink) : sink_(sink), canon_(canon) {}

  void update(std::string_view piece);
  // The body ends here: a last line end is added where it lacks one, but for an empty body by
  // `relaxed`, which stays empty. Nothing may follow.
  void finish();

 private:
  void update_simple(std::string_view piece);
  void update_relaxed(std::string_view piece);
  void put_relaxed(std::string_view text);
  void hold(char c);
  void release();
  void put(const char* data, size_t size);
  void flush();

  static constexpr size_t kGathered = 2048;
  // Shorter runs are copied, for a call of the sink costs more than that.
  static constexpr size_t kDirect = 512;

  CanonSink& sink_;
  const DkimCanon canon_;
  // Held back, for they do not count if the body, or its line, ends behind them; in this order.
  uint64_t line_ends_ = 0;
  bool blank_ = false;
  bool cr_ = false;
  bool any_ = false;  // something has been put
  size_t used_ = 0;
  std::array<char, kGathered> gathered_;
};

// Appends a header field made canonical (RFC 6376 §3.4.1, §3.4.2). `field`: the whole of it, its
// CRLF included or not; what is appended ends with CRLF if it did.
void append_canonical_field(DkimCanon canon, std::string_view field, std::string& out);

}  // namespace veredus::mail
