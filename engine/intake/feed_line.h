#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/intake/feed_message.h"
#include "engine/intake/feed_parser.h"

namespace veredus::intake {

// The keys of the two kinds of lines.
enum class Field : uint8_t {
  batch,
  tenant,
  campaign,
  sender,
  verp,
  priority,
  not_before,
  expires,
  pool,
  unique,
  tags,
  meta,
  vars,
  merge,
  message,
  dkim,
  dsn,
  tls,
  to,
  id,
  name,
};
inline constexpr size_t kFields = 21;
std::string_view name_of(Field field);

// One line, its JSON taken apart and its types checked; what the values mean is not looked at. The
// views are valid until the reader reads the next line.
struct FeedLine {
  uint32_t seen = 0;                   // bit per Field
  std::array<uint32_t, kFields> at{};  // offset of the value in the line, from 0
  std::array<std::string_view, kFields>
      text;  // of fields that are strings; meta and tags: compact JSON
  std::vector<std::pair<std::string_view, std::string_view>> vars;
  std::vector<std::string_view> dkim;
  FedMessage message;
  bool verp = false, unique = false, merge = false;
  int64_t priority = 0;
  queue::Dsn dsn;

  bool has(Field field) const { return (seen >> static_cast<unsigned>(field) & 1) != 0; }
  std::string_view text_of(Field field) const { return text[static_cast<size_t>(field)]; }
  uint32_t at_of(Field field) const { return at[static_cast<size_t>(field)]; }
};

// Takes lines apart, with simdjson (feed_json.h).
class LineReader {
 public:
  static constexpr size_t kPadding = 64;  // bytes that must be readable behind a line

  explicit LineReader(const FeedLimits& limits);
  ~LineReader();

  // False: `error` is set, but for its line.
  bool read(std::string_view line, bool batch_line, FeedLine& out, FeedError& error);
  // Lets go of what a large line took.
  void shrink();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace veredus::intake
