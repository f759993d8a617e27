// Any bytes as an MTA-STS record, as a policy file, and as a remembered policy: what is taken is
// within its bounds, printing it and reading it again gives the same, and a host that a pattern
// matches ends with what the pattern says. The first byte chooses, also whether what all of them
// begin with is put in front.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "dns/name.h"
#include "engine/tls/mta_sts.h"

namespace {

using namespace veredus::tls;  // NOLINT: one file
using veredus::dns::Name;
using veredus::dns::normalize_name;

void check(bool holds) {
  if (!holds) std::abort();
}

void check_error(const absl::Status& status) {
  const auto message = status.message();
  check(!message.empty() && message.size() < 512);
  check(std::all_of(message.begin(), message.end(), [](char c) { return c >= ' ' && c <= '~'; }));
}

void check_record(std::string_view text) {
  const absl::StatusOr<StsRecord> record = parse_sts_record(text);
  if (!record.ok()) return check_error(record.status());
  check(!record->id.empty() && record->id.size() <= kStsIdMax);
  check(text.find("id=" + record->id) != std::string_view::npos);
  check(parse_sts_record("v=STSv1; id=" + record->id + ";") == record);
}

// A host is matched only as far as the pattern says, whatever stands in front of it.
void check_match(const StsPattern& pattern, std::string_view host) {
  if (!matches(pattern, host)) return;
  Name name;
  check(normalize_name(host, name));
  check(name.view().ends_with(pattern.name));
  const std::string_view front = name.view().substr(0, name.size() - pattern.name.size());
  if (!pattern.wildcard) return check(front.empty());
  check(front.size() >= 2 && front.find('.') == front.size() - 1);
}

void check_policy(std::string_view text, std::string_view host) {
  const absl::StatusOr<StsPolicy> policy = parse_sts_policy(text);
  if (!policy.ok()) return check_error(policy.status());
  check(text.size() <= kStsPolicyBytesMax && policy->max_age_s <= kStsMaxAgeMax);
  check(policy->mx.size() <= std::min(kStsPatternsMax, text.size() / 5));  // "mx:a\n"
  check(policy->mode == StsMode::none || !policy->mx.empty());
  const std::string printed = sts_policy_text(*policy);
  check(printed.size() <= text.size());
  check(parse_sts_policy(printed) == policy);
  bool any = false;
  for (const StsPattern& pattern : policy->mx) {
    Name name;
    check(normalize_name(pattern.name, name) && name.view() == pattern.name);
    check(matches(pattern, "mx." + pattern.name) ==
          (pattern.wildcard && pattern.name.size() + 3 <= veredus::dns::kMaxName));
    check(matches(pattern, pattern.name) == !pattern.wildcard);
    check_match(pattern, host);
    check_match(pattern, std::string(host) + "." + pattern.name);
    check_match(pattern, std::string(host) + pattern.name);
    any = any || matches(pattern, host);
  }
  check(any == matches(*policy, host));
  const CachedSts cached = {"example.org", "1", static_cast<int64_t>(text.size()), *policy};
  const std::string bytes = encode(cached);
  check(bytes.size() <= kStsCachedBytesMax);
  const absl::StatusOr<CachedSts> again = decode_cached_sts(bytes);
  check(again.ok() && *again == cached);
}

void check_cached(std::string_view bytes) {
  const absl::StatusOr<CachedSts> cached = decode_cached_sts(bytes);
  if (!cached.ok()) return check_error(cached.status());
  check(encode(*cached) == bytes);
  check(!decode_cached_sts(bytes.substr(0, bytes.size() - 1)).ok());
  check(cached->expires_wall_s() >= cached->fetched_wall_s);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data + 1), size - 1);
  const size_t end = std::min(text.find('\n'), text.size());
  const std::string_view line = text.substr(0, end);
  const std::string behind(text.substr(std::min(end + 1, text.size())));
  switch (data[0] % 7) {
    case 0:
      check_record(text);
      break;
    case 1:
      check_record("v=STSv1; " + std::string(text) + "; id=1");
      break;
    case 2:
      check_policy(behind, line);
      break;
    case 3:
      check_policy("version:STSv1\nmode:enforce\nmax_age:1\n" + std::string(text),
                   "mx.example.org");
      break;
    case 4:
      check_policy("version:STSv1\nmode:none\nmax_age:3" + std::string(text), "mx.example.org");
      break;
    case 5:
      check_cached(text);
      break;
    default: {  // its length is right
      const std::string policy = "version:STSv1\nmode:none\nmax_age:1" + behind;
      check_cached("1 example.org 1 2" + std::string(line) + " " + std::to_string(policy.size()) +
                   "\n" + policy);
    }
  }
  return 0;
}
