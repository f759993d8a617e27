#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <simdjson.h>

#include "engine/intake/feed_message.h"
#include "engine/intake/feed_parser.h"
#include "engine/intake/json_check.h"

namespace veredus::intake {

// For feed_line.cc and feed_message.cc alone, which take JSON apart: simdjson is a heavy header.

// What is known of a line while it is read, and how its faults are told.
class LineJson {
 public:
  explicit LineJson(const FeedLimits& limits) : limits_(limits) {}

  void begin(std::string_view line, FeedError& error) {
    line_ = line;
    error_ = &error;
  }
  // `offset`: in the line, from 0. All give false.
  bool refuse(size_t offset, std::string reason, std::string hint = {}) {
    error_->http = 400;
    error_->code = "malformed";
    error_->byte = offset + 1;
    error_->reason = std::move(reason);
    error_->hint = std::move(hint);
    return false;
  }
  bool unsupported(size_t offset, std::string what, std::string hint) {
    refuse(offset, std::move(what) + " is not supported yet", std::move(hint));
    error_->code = "unsupported";
    return false;
  }
  // The parser stumbled: where the JSON is wrong; or if it is right, that a value is not of the
  // type wanted.
  bool syntax(size_t offset, std::string otherwise = "this line is not understood") {
    JsonFault fault = find_json_fault(line_, limits_.nesting_max);
    if (!fault.reason.empty()) return refuse(fault.offset, std::move(fault.reason));
    return refuse(offset, std::move(otherwise));
  }
  bool wrong_type(size_t offset, std::string_view key, std::string_view wanted) {
    return syntax(offset, quoted(key) + " wants " + std::string(wanted));
  }
  // An empty array, or object, in the eyes of the lazy parser may hold anything but elements.
  bool whole() {
    JsonFault fault = find_json_fault(line_, limits_.nesting_max);
    return fault.reason.empty() || refuse(fault.offset, std::move(fault.reason));
  }
  size_t offset_of(const char* at) const { return static_cast<size_t>(at - line_.data()); }
  static std::string quoted(std::string_view key) {
    return "\"" + std::string(key.substr(0, 64)) + "\"";
  }

 protected:
  const FeedLimits& limits_;
  std::string_view line_;
  FeedError* error_ = nullptr;
};

// What to say of a key that is not known: the nearest one that is, or all of them.
std::string nearest(std::string_view key, std::span<const std::string_view> known);

// The value of `message`, which stands at `at`.
bool read_fed_message(LineJson& json, const FeedLimits& limits, simdjson::ondemand::value& what,
                      size_t at, FedMessage& out);

}  // namespace veredus::intake
