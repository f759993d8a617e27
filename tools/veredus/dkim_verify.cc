#include "engine/mail/dkim_verify.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <sysexits.h>
#include <unistd.h>

#include "engine/control/config.h"
#include "engine/intake/json_writer.h"
#include "engine/mail/dkim_record.h"
#include "engine/mail/header_field.h"
#include "engine/mail/utf8.h"
#include "tools/veredus/commands.h"
#include "tools/veredus/input.h"
#include "tools/veredus/txt_lookup.h"

namespace veredus::tools {
namespace {

using mail::DkimKeyAnswer;
using mail::DkimVerdict;

constexpr size_t kMessageMax = 256 * 1024 * 1024;  // bytes
constexpr int kNotJudged = EX_SOFTWARE;            // not EX_DATAERR, which is a verdict

// A record as it is, or as `veredus dkim keygen` prints it: then its strings count.
std::string record_in(std::string_view text) {
  std::string record;
  size_t at = text.find('"');
  while (at != std::string_view::npos) {
    const size_t end = text.find('"', at + 1);
    if (end == std::string_view::npos) break;
    record += text.substr(at + 1, end - at - 1);
    // What follows the record is the configuration.
    const size_t next = text.find_first_not_of(" \t\r\n", end + 1);
    at = next != std::string_view::npos && text[next] == '"' ? next : std::string_view::npos;
  }
  return record.empty() ? std::string(text) : record;
}

// UTF-8, whatever a stranger has written.
std::string as_utf8(std::string text) {
  if (mail::is_utf8(text)) return text;
  std::replace_if(
      text.begin(), text.end(), [](char c) { return (c & 0x80) != 0; }, '?');
  return text;
}

// Printable besides: it is shown on a terminal.
std::string shown(std::string text) {
  std::replace_if(
      text.begin(), text.end(),
      [](char c) { return static_cast<unsigned char>(c) < 32 || c == 127; }, '?');
  return as_utf8(std::move(text));
}

// As it came over the wire: a file may have LF where that had CRLF, at the end of the last line,
// too, and nothing at all. All else may have been signed as it is: a bare CR, NUL, long lines, any
// charset.
std::string with_crlf(std::string_view raw) {
  std::string out;
  out.reserve(raw.size() + raw.size() / 32 + 2);
  char before = '\0';
  for (const char c : raw) {
    if (c == '\n' && before != '\r') out += '\r';
    out += c;
    before = c;
  }
  if (!out.empty() && !out.ends_with("\r\n")) out += "\r\n";
  return out;
}

// Whether it begins as messages do: else it is a file of another kind.
bool has_header(std::string_view message) {
  mail::HeaderField field;
  std::string_view whole;
  return !message.empty() && mail::take_field(message, whole, field);
}

void print_json(const std::vector<DkimVerdict>& verdicts, bool good) {
  std::string out;
  intake::JsonWriter json(out);
  json.begin_object().field("ok", good).key("signatures").begin_array();
  for (const DkimVerdict& verdict : verdicts) {
    json.begin_object().field("result", mail::dkim_result_name(verdict.result));
    json.field_if("reason", as_utf8(verdict.reason)).field_if("domain", as_utf8(verdict.domain));
    json.field_if("selector", as_utf8(verdict.selector));
    json.field_if("algorithm", as_utf8(verdict.algorithm));
    json.field_if("canonicalization", as_utf8(verdict.canon));
    json.field_if("signed_fields", as_utf8(verdict.signed_fields));
    if (verdict.key_bits > 0) json.field("bits", verdict.key_bits);
    if (verdict.partial_body) json.field("partial_body", true);
    if (verdict.testing) json.field("testing", true);
    json.end_object();
  }
  json.end_array().end_object().newline();
  std::fputs(out.c_str(), stdout);
}

void print_text(const DkimVerdict& verdict) {
  std::string line(mail::dkim_result_name(verdict.result));
  line.resize(10, ' ');
  line += "d=" + verdict.domain + " s=" + verdict.selector + " a=" + verdict.algorithm;
  if (verdict.key_bits > 0) line += " (" + std::to_string(verdict.key_bits) + " bits)";
  line += " c=" + verdict.canon;
  if (!verdict.reason.empty()) line += ": " + verdict.reason;
  std::printf("%s\n", shown(line).c_str());
  if (verdict.partial_body)
    std::printf("%10s-> l= covers only a part of the body: anybody can append to it\n", "");
  if (verdict.testing)
    std::printf("%10s-> its record says t=y: the domain only tries DKIM out\n", "");
}

int exit_status_of(const DkimVerdict& verdict) {
  if (verdict.not_looked_at) return kNotJudged;
  if (verdict.result == DkimVerdict::Result::pass) return EX_OK;
  return verdict.result == DkimVerdict::Result::temperror ? EX_TEMPFAIL : EX_DATAERR;
}

// The worst: one that does not hold, whatever is not known of others.
int exit_status_of(const std::vector<DkimVerdict>& verdicts) {
  const auto any = [&](int status) {
    return std::any_of(verdicts.begin(), verdicts.end(), [&](const DkimVerdict& verdict) {
      return exit_status_of(verdict) == status;
    });
  };
  if (verdicts.empty() || any(EX_DATAERR)) return EX_DATAERR;
  return any(kNotJudged) ? kNotJudged : any(EX_TEMPFAIL) ? EX_TEMPFAIL : EX_OK;
}

// From --record; EX_OK, or the user has been told.
int read_record(const std::string& option, std::string& record) {
  std::string text = option;
  if (access(option.c_str(), F_OK) == 0) {
    const int status = read_input(option, mail::kDkimRecordMax, text);
    if (status != EX_OK) return status;
  }
  record = record_in(text);
  if (record.find('=') != std::string::npos) return EX_OK;
  complain("--record: \"" + option + "\" is no file, and no record (v=DKIM1; k=…; p=…)");
  return EX_USAGE;
}

int open_lookup(const Common& common, std::unique_ptr<TxtLookup>& lookup) {
  control::Config config = control::default_config();
  if (common.config_given || access(common.config_file.c_str(), F_OK) == 0) {
    auto loaded = control::load_config(common.config_file);
    if (!loaded.ok()) {
      complain(std::string(loaded.status().message()));
      return tools::exit_status_of(loaded.status());
    }
    config = *std::move(loaded);
  }
  lookup = std::make_unique<TxtLookup>(config);
  const absl::Status status = lookup->open();
  if (status.ok()) return EX_OK;
  complain(std::string(status.message()));
  return tools::exit_status_of(status);
}

}  // namespace

int run_dkim_verify(const Common& common, const DkimVerifyOptions& options) {
  std::string raw, record;
  int status = read_input(options.message, kMessageMax, raw);
  if (status != EX_OK) return status;
  std::unique_ptr<TxtLookup> dns;
  status = options.record.empty() ? open_lookup(common, dns) : read_record(options.record, record);
  if (status != EX_OK) return status;
  const std::string message = with_crlf(raw);
  if (!has_header(message)) {
    complain(options.message + " is no message: it does not begin with a header field");
    return kNotJudged;
  }
  const int64_t wall_ns = std::chrono::duration_cast<std::chrono::nanoseconds>(
                              std::chrono::system_clock::now().time_since_epoch())
                              .count();
  const auto verdicts = mail::verify_dkim(message, wall_ns, [&](const std::string& name) {
    if (dns != nullptr) return dns->ask(name);
    return DkimKeyAnswer{DkimKeyAnswer::Status::found, {record}, ""};
  });
  status = exit_status_of(verdicts);
  if (common.json) {
    print_json(verdicts, status == EX_OK);
  } else {
    for (const DkimVerdict& verdict : verdicts) print_text(verdict);
  }
  if (verdicts.empty()) complain(options.message + " has no DKIM-Signature");
  return std::fflush(stdout) == 0 ? status : EX_IOERR;
}

}  // namespace veredus::tools
