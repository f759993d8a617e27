#include "dns/reading.h"

namespace veredus::dns {

Reading read_answer(QueryStatus status, std::span<const uint8_t> raw, std::string_view asked,
                    RecordType type, Answer& out) {
  using Kind = Reading::Kind;
  switch (status) {
    case QueryStatus::timed_out:
      return {Kind::failed, "the name servers did not answer in time"};
    case QueryStatus::unreachable:
      return {Kind::failed, "no name server could be reached, or all failed"};
    case QueryStatus::refused:
      return {Kind::busy, "too many lookups are waiting"};
    case QueryStatus::answered:
      break;
  }
  switch (parse_answer(raw, asked, type, out)) {
    case ParseStatus::malformed:
      return {Kind::failed, "the name server's answer was malformed"};
    case ParseStatus::too_many_aliases:
      return {Kind::failed, "too many aliases"};
    case ParseStatus::ok:
      break;
  }
  if (out.truncated) return {Kind::failed, "the name server's answer was cut off"};
  switch (out.rcode) {
    case kRcodeNoError:
      break;
    case kRcodeNameError:
      return {Kind::no_such_name};
    case kRcodeFormatError:
      return {Kind::failed, "the name server answered FORMERR"};
    case kRcodeServerFailure:
      return {Kind::failed, "the name server answered SERVFAIL"};
    case kRcodeNotImplemented:
      return {Kind::failed, "the name server answered NOTIMP"};
    case kRcodeRefused:
      return {Kind::failed, "the name server answered REFUSED"};
    default:
      return {Kind::failed, "the name server answered an error"};
  }
  if (out.has_records()) return {Kind::records};
  if (out.aliases > 0 && !out.has_soa) return {Kind::alias_only};
  return {Kind::no_records};
}

}  // namespace veredus::dns
