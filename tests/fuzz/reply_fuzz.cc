#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "engine/smtp/capabilities.h"
#include "engine/smtp/reply.h"

// Any bytes, cut anywhere: the same replies as in one piece, within the limits.

namespace {

using veredus::smtp::Reply;
using veredus::smtp::ReplyError;
using veredus::smtp::ReplyParser;

void check(bool good, const char* what) {
  if (good) return;
  std::fprintf(stderr, "%s\n", what);
  std::abort();
}

struct Result {
  std::vector<std::string> replies;
  ReplyError error = ReplyError::none;
  bool empty = true;
};

Result parse(std::string_view bytes, size_t piece) {
  Result result;
  ReplyParser parser;
  std::string chunk;  // memory of its own, so that reading beyond it is found
  Reply reply;
  while (!bytes.empty()) {
    char one = bytes[0];
    std::string_view rest(&one, 1);
    if (piece > 1) rest = chunk = std::string(bytes.substr(0, piece));
    bytes.remove_prefix(rest.size());
    ReplyParser::Result got;
    while ((got = parser.feed(rest, reply)) == ReplyParser::Result::reply) {
      check(reply.code >= 200 && reply.code <= 599, "code");
      check(reply.lines >= 1 && reply.lines <= veredus::smtp::kReplyLinesMax, "lines");
      check(reply.text.size() <= veredus::smtp::kReplyTextMax, "text");
      check(!reply.enhanced.present() || reply.enhanced.status_class == reply.code / 100, "class");
      veredus::smtp::parse_capabilities(reply.text);
      result.replies.push_back(
          std::to_string(reply.code) + " " + std::to_string(reply.enhanced.status_class) + "." +
          std::to_string(reply.enhanced.subject) + "." + std::to_string(reply.enhanced.detail) +
          " " + std::to_string(reply.lines) + " " + std::string(reply.text));
    }
    if (got == ReplyParser::Result::error) {
      result.error = parser.error();
      check(result.error != ReplyError::none, "an error without name");
      return result;
    }
    check(rest.empty(), "bytes were left");
  }
  result.empty = parser.empty();
  return result;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  // Some repeated, so that the limits on lines and bytes are reached from small inputs.
  const size_t times = data[0] >= 252 ? 128 : 1;
  const std::string_view once(reinterpret_cast<const char*>(data) + 1, size - 1);
  std::string bytes;
  for (size_t i = 0; i < times; ++i) bytes += once;
  const Result whole = parse(bytes, std::max<size_t>(bytes.size(), 1));
  const Result cut = parse(bytes, size_t{1} + data[0] % 32);
  check(cut.replies == whole.replies, "other replies when cut");
  check(cut.error == whole.error, "another error when cut");
  check(cut.error != ReplyError::none || cut.empty == whole.empty, "another state when cut");
  return 0;
}
