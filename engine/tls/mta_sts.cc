#include "engine/tls/mta_sts.h"

#include <algorithm>
#include <cassert>
#include <optional>
#include <type_traits>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"

namespace veredus::tls {
namespace {

constexpr std::string_view kVersion = "STSv1";
constexpr std::string_view kRecordVersion = "v=STSv1";
constexpr size_t kFieldNameMax = 32;       // characters, of record and policy
constexpr size_t kQuotedMax = 64;          // bytes of what was found, in an error
constexpr size_t kNumberDigitsMax = 10;    // of max_age
constexpr uint64_t kWallMax = 1ull << 40;  // seconds: the year 36812

bool is_blank(char c) {
  return c == ' ' || c == '\t';
}

std::string_view without_blanks_behind(std::string_view text) {
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}
std::string_view without_blanks_before(std::string_view text) {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  return text;
}

// Whether `text` began with it; then it is taken off.
bool consume(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

// Texts and numbers joined.
template <typename... Parts>
std::string text_of(const Parts&... parts) {
  std::string text;
  const auto add = [&text](const auto& part) {
    if constexpr (std::is_integral_v<std::decay_t<decltype(part)>>) {
      text += std::to_string(part);
    } else {
      text += part;
    }
  };
  (add(parts), ...);
  return text;
}

std::string quoted(std::string_view found) {
  return "\"" + absl::CHexEscape(std::string(found.substr(0, kQuotedMax))) +
         (found.size() > kQuotedMax ? "...\"" : "\"");
}

// Of fields in record and policy: a letter or digit, and up to 31 of these, '_', '-', '.'.
bool is_field_name(std::string_view name) {
  if (name.empty() || name.size() > kFieldNameMax || !absl::ascii_isalnum(name.front()))
    return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return absl::ascii_isalnum(c) || c == '_' || c == '-' || c == '.';
  });
}

bool is_id(std::string_view text) {
  return !text.empty() && text.size() <= kStsIdMax &&
         std::all_of(text.begin(), text.end(), [](char c) { return absl::ascii_isalnum(c); });
}

// Digits only, at most `digits` of them.
std::optional<uint64_t> read_number(std::string_view text, size_t digits) {
  if (text.empty() || text.size() > digits) return std::nullopt;
  uint64_t number = 0;
  for (const char c : text) {
    if (!absl::ascii_isdigit(c)) return std::nullopt;
    number = number * 10 + static_cast<uint64_t>(c - '0');
  }
  return number;
}

bool prefixed(std::string_view label, std::string_view domain, dns::Name& out) {
  if (domain.empty() || label.size() + domain.size() > dns::kMaxName) return false;
  out.clear();
  for (const char c : label) out.append(c);
  for (const char c : domain) out.append(c);
  return true;
}

// -------------------------------------------------------------------------------------------------
// record

bool begins_sts_record(std::string_view text) {
  return consume(text, kRecordVersion) && without_blanks_before(text).starts_with(';');
}

absl::Status record_error(size_t at, std::string_view what) {
  return absl::InvalidArgumentError(text_of("MTA-STS record, byte ", at + 1, ": ", what));
}

// One field between semicolons, at `at` of the record. `id`: the first one that was found.
absl::Status read_record_field(std::string_view field, size_t at, std::optional<std::string>& id) {
  const size_t equals = field.find('=');
  if (equals == std::string_view::npos || !is_field_name(field.substr(0, equals)))
    return record_error(at, text_of(quoted(field), " is no field: name=value is"));
  const std::string_view value = field.substr(equals + 1);
  if (field.substr(0, equals) == "id" && !id.has_value()) {
    if (!is_id(value)) {
      return record_error(at, text_of("the id is ", quoted(value), ", not 1 to ", kStsIdMax,
                                      " letters and digits"));
    }
    id = std::string(value);
    return absl::OkStatus();
  }
  for (const char c : value) {
    if (c <= ' ' || c > '~' || c == '=')
      return record_error(at, text_of(quoted(field), " has a character that none may have"));
  }
  return absl::OkStatus();
}

// -------------------------------------------------------------------------------------------------
// policy

// What has been read of a policy.
class PolicyReader {
 public:
  absl::Status read_line(std::string_view line);
  absl::StatusOr<StsPolicy> finish();

 private:
  absl::Status error(std::string_view what) const {
    return absl::InvalidArgumentError(text_of("MTA-STS policy, line ", line_, ": ", what));
  }
  absl::Status read_field(std::string_view name, std::string_view value);
  absl::Status read_mode(std::string_view value);
  absl::Status read_max_age(std::string_view value);
  absl::Status read_mx(std::string_view value);

  size_t line_ = 0;
  bool has_version_ = false, has_mode_ = false, has_max_age_ = false;
  StsPolicy policy_;
};

absl::Status PolicyReader::read_line(std::string_view line) {
  ++line_;
  for (const char c : line) {
    if (absl::ascii_iscntrl(c) && c != '\t')
      return error(text_of("control byte ", quoted({&c, 1}), " in it"));
  }
  line = without_blanks_behind(line);
  if (line.empty()) return absl::OkStatus();
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos || !is_field_name(line.substr(0, colon)))
    return error(text_of(quoted(line), " is no field: name:value is"));
  return read_field(line.substr(0, colon), without_blanks_before(line.substr(colon + 1)));
}

absl::Status PolicyReader::read_field(std::string_view name, std::string_view value) {
  if (name == "mx") return read_mx(value);
  // §3.2: of those that are there twice the first counts.
  if (name == "version" && !std::exchange(has_version_, true)) {
    if (value == kVersion) return absl::OkStatus();
    return error(text_of("version is ", quoted(value), ", not ", kVersion));
  }
  if (name == "mode" && !std::exchange(has_mode_, true)) return read_mode(value);
  if (name == "max_age" && !std::exchange(has_max_age_, true)) return read_max_age(value);
  return absl::OkStatus();
}

absl::Status PolicyReader::read_mode(std::string_view value) {
  for (const StsMode mode : {StsMode::none, StsMode::testing, StsMode::enforce}) {
    if (value != sts_mode_text(mode)) continue;
    policy_.mode = mode;
    return absl::OkStatus();
  }
  return error(text_of("mode is ", quoted(value), ", not enforce, testing or none"));
}

absl::Status PolicyReader::read_max_age(std::string_view value) {
  const std::optional<uint64_t> seconds = read_number(value, kNumberDigitsMax);
  if (!seconds.has_value() || *seconds > kStsMaxAgeMax) {
    return error(text_of("max_age is ", quoted(value), ", not 0 to ", kStsMaxAgeMax, " seconds"));
  }
  policy_.max_age_s = static_cast<uint32_t>(*seconds);
  return absl::OkStatus();
}

absl::Status PolicyReader::read_mx(std::string_view value) {
  if (policy_.mx.size() == kStsPatternsMax)
    return error(text_of("more than ", kStsPatternsMax, " mx lines"));
  StsPattern pattern;
  std::string_view host = value;
  pattern.wildcard = consume(host, "*.");
  dns::Name name;
  if (!dns::normalize_name(host, name)) {
    return error(text_of("mx is ", quoted(value),
                         ", neither the name of a host nor one with \"*.\" in front"));
  }
  pattern.name = name.view();
  policy_.mx.push_back(std::move(pattern));
  return absl::OkStatus();
}

absl::StatusOr<StsPolicy> PolicyReader::finish() {
  const auto missing = [this](std::string_view what) {
    return absl::InvalidArgumentError(
        text_of("MTA-STS policy, ", line_, line_ == 1 ? " line" : " lines", ": no ", what));
  };
  if (!has_version_) return missing("version");
  if (!has_mode_) return missing("mode");
  if (!has_max_age_) return missing("max_age");
  if (policy_.mode != StsMode::none && policy_.mx.empty())
    return missing("mx, which only mode none goes without");
  return std::move(policy_);
}

// `host` in normal form.
bool pattern_matches(const StsPattern& pattern, std::string_view host) {
  if (!pattern.wildcard) return host == pattern.name;
  const size_t dot = host.find('.');
  return dot != std::string_view::npos && host.substr(dot + 1) == pattern.name;
}

absl::Status cached_error(size_t at, std::string_view what) {
  return absl::InvalidArgumentError(
      text_of("remembered MTA-STS policy, byte ", at + 1, ": ", what));
}

}  // namespace

absl::StatusOr<StsRecord> find_sts_record(const dns::Answer& answer) {
  const std::string* found = nullptr;
  for (const std::string& text : answer.txt) {
    if (!begins_sts_record(text)) continue;
    if (found != nullptr)
      return absl::InvalidArgumentError("several MTA-STS records, of which none counts");
    found = &text;
  }
  if (answer.clipped) {
    return absl::UnavailableError(
        text_of("more than ", dns::kMaxAnswerRecords, " records beside the MTA-STS record"));
  }
  if (found == nullptr) return absl::NotFoundError("no MTA-STS record");
  return parse_sts_record(*found);
}

absl::StatusOr<StsRecord> parse_sts_record(std::string_view text) {
  if (!begins_sts_record(text))
    return record_error(0, text_of("it does not begin with \"", kRecordVersion, ";\""));
  std::optional<std::string> id;
  size_t at = kRecordVersion.size();
  const auto pass_blanks = [&] {
    while (at < text.size() && is_blank(text[at])) ++at;
  };
  for (pass_blanks(); at < text.size(); pass_blanks()) {
    ++at;  // the semicolon
    pass_blanks();
    if (at == text.size()) break;
    const size_t end = std::min(text.find(';', at), text.size());
    absl::Status status =
        read_record_field(without_blanks_behind(text.substr(at, end - at)), at, id);
    if (!status.ok()) return status;
    at = end;
  }
  if (!id.has_value()) return record_error(text.size(), "no id in it");
  return StsRecord{*std::move(id)};
}

bool sts_record_name(std::string_view domain, dns::Name& out) {
  return prefixed("_mta-sts.", domain, out);
}

bool sts_policy_host(std::string_view domain, dns::Name& out) {
  return prefixed("mta-sts.", domain, out);
}

const char* sts_mode_text(StsMode mode) {
  switch (mode) {
    case StsMode::none:
      return "none";
    case StsMode::testing:
      return "testing";
    case StsMode::enforce:
      return "enforce";
  }
  return "";
}

absl::StatusOr<StsPolicy> parse_sts_policy(std::string_view text) {
  if (text.size() > kStsPolicyBytesMax) {
    return absl::InvalidArgumentError(text_of("MTA-STS policy of ", text.size(),
                                              " bytes: no more than ", kStsPolicyBytesMax,
                                              " are taken"));
  }
  PolicyReader reader;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    if (end != std::string_view::npos && line.ends_with('\r')) line.remove_suffix(1);
    absl::Status status = reader.read_line(line);
    if (!status.ok()) return status;
    text.remove_prefix(std::min(end, text.size() - 1) + 1);
  }
  return reader.finish();
}

std::string sts_policy_text(const StsPolicy& policy) {
  std::string text = text_of("version:", kVersion, "\nmode:", sts_mode_text(policy.mode), "\n");
  for (const StsPattern& pattern : policy.mx)
    text.append(pattern.wildcard ? "mx:*." : "mx:").append(pattern.name).append("\n");
  return text.append("max_age:").append(std::to_string(policy.max_age_s));
}

bool matches(const StsPattern& pattern, std::string_view host) {
  dns::Name name;
  return dns::normalize_name(host, name) && pattern_matches(pattern, name.view());
}

bool matches(const StsPolicy& policy, std::string_view host) {
  dns::Name name;
  if (!dns::normalize_name(host, name)) return false;
  return std::any_of(policy.mx.begin(), policy.mx.end(), [&](const StsPattern& pattern) {
    return pattern_matches(pattern, name.view());
  });
}

std::string encode(const CachedSts& cached) {
  const std::string policy = sts_policy_text(cached.policy);
  assert(policy.size() <= kStsPolicyBytesMax && is_id(cached.id));
  assert(cached.fetched_wall_s >= 0 && static_cast<uint64_t>(cached.fetched_wall_s) <= kWallMax);
  return text_of(std::string(1, kStsCachedVersion), " ", cached.domain, " ", cached.id, " ",
                 cached.fetched_wall_s, " ", policy.size(), "\n", policy);
}

absl::StatusOr<CachedSts> decode_cached_sts(std::string_view bytes) {
  if (bytes.empty()) return cached_error(0, "nothing there");
  if (bytes.size() > kStsCachedBytesMax)
    return cached_error(kStsCachedBytesMax, "longer than any that was written");
  if (bytes.front() != kStsCachedVersion) {
    return absl::FailedPreconditionError(text_of("remembered MTA-STS policy of version ",
                                                 quoted(bytes.substr(0, 1)),
                                                 ", of which nothing is known here"));
  }
  const size_t head = bytes.find('\n');
  if (head == std::string_view::npos)
    return cached_error(bytes.size(), "its first line is cut off");
  // The head, cut at spaces; its end is one, too.
  size_t at = 1;
  const auto next = [&]() -> std::string_view {
    if (at >= head || bytes[at] != ' ') return {};
    const size_t begin = at + 1;
    at = std::min(bytes.find(' ', begin), head);
    return bytes.substr(begin, at - begin);
  };
  CachedSts cached;
  dns::Name domain;
  if (!dns::normalize_name(next(), domain)) return cached_error(2, "no domain");
  cached.domain = domain.view();
  size_t field = at + 1;
  cached.id = next();
  if (!is_id(cached.id)) return cached_error(field, "no id");
  field = at + 1;
  const std::optional<uint64_t> fetched = read_number(next(), 13);
  if (!fetched.has_value() || *fetched > kWallMax) return cached_error(field, "no time");
  cached.fetched_wall_s = static_cast<int64_t>(*fetched);
  field = at + 1;
  const std::optional<uint64_t> length = read_number(next(), 5);
  if (!length.has_value() || at != head) return cached_error(field, "no number of bytes");
  if (*length != bytes.size() - head - 1) {
    return cached_error(bytes.size(), text_of("the policy is not of ", *length, " bytes"));
  }
  absl::StatusOr<StsPolicy> policy = parse_sts_policy(bytes.substr(head + 1));
  if (!policy.ok()) return cached_error(head + 1, std::string(policy.status().message()));
  cached.policy = *std::move(policy);
  if (encode(cached) != bytes) return cached_error(0, "not as it would be written");
  return cached;
}

}  // namespace veredus::tls
