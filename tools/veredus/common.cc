#include <cstdio>

#include <sysexits.h>
#include <unistd.h>

#include "engine/control/config.h"
#include "simdjson.h"
#include "tools/veredus/commands.h"

namespace veredus::tools {

void complain(std::string_view text) {
  std::fprintf(stderr, "veredus: %.*s\n", static_cast<int>(text.size()), text.data());
}

int exit_status_of(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return EX_OK;
    case absl::StatusCode::kUnavailable:
      return EX_UNAVAILABLE;
    case absl::StatusCode::kPermissionDenied:
      return EX_NOPERM;
    case absl::StatusCode::kNotFound:
      return EX_NOINPUT;
    case absl::StatusCode::kDataLoss:
      return EX_IOERR;
    case absl::StatusCode::kFailedPrecondition:
      return EX_CONFIG;
    case absl::StatusCode::kInvalidArgument:
      return EX_CONFIG;
    case absl::StatusCode::kAlreadyExists:
      return EX_CANTCREAT;
    default:
      return EX_SOFTWARE;
  }
}

int exit_status_of_answer(int http_status) {
  switch (http_status) {
    case 400:
    case 413:
      return EX_DATAERR;
    case 403:
      return EX_NOPERM;
    case 404:
      return EX_NOINPUT;
    case 409:
    case 503:
      return EX_TEMPFAIL;
    default:
      return EX_PROTOCOL;
  }
}

std::string socket_of(const Common& common) {
  if (!common.socket.empty()) return common.socket;
  if (!common.config_given && access(common.config_file.c_str(), F_OK) != 0) {
    return control::Config{}.feed_socket;
  }
  const auto config = control::load_config(common.config_file);
  if (config.ok()) return config->feed_socket;
  complain(std::string(config.status().message()));
  return "";
}

std::string error_text(std::string_view body) {
  simdjson::dom::parser parser;
  simdjson::dom::element error;
  const simdjson::padded_string padded(body);
  if (parser.parse(padded)["error"].get(error) != simdjson::SUCCESS) {
    return std::string(body.substr(0, 500));
  }
  std::string out;
  int64_t number = 0;
  std::string_view text;
  if (error["line"].get(number) == simdjson::SUCCESS && number > 0) {
    out += "line " + std::to_string(number);
    if (error["byte"].get(number) == simdjson::SUCCESS && number > 0) {
      out += ", byte " + std::to_string(number);
    }
    out += ": ";
  }
  if (error["reason"].get(text) == simdjson::SUCCESS) out += text;
  if (error["hint"].get(text) == simdjson::SUCCESS && !text.empty()) {
    out += " (";
    out += text;
    out += ")";
  }
  return out;
}

}  // namespace veredus::tools
