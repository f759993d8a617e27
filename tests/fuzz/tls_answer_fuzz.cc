// Any bytes as the answer to a question about TLS: TLSA of a host, TXT at _mta-sts. What decides
// about protection is derived here from the bare answer once more, and must agree. The name asked
// is the message's own question, so that the fuzzer gets behind it; the first byte says how the
// query ended, and now and then puts a question in front of what follows.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "dns/answer.h"
#include "dns/reading.h"
#include "dns/tlsa.h"
#include "engine/tls/mta_sts.h"

namespace {

using namespace veredus::dns;  // NOLINT: one file

constexpr uint8_t kAddQuestion = 0x10;  // of the first byte; 0x20: of the type TXT, 0x40: secure

void check(bool holds) {
  if (!holds) std::abort();
}

// A header and a question, and behind them what the fuzzer says of records.
std::vector<uint8_t> with_question(uint8_t choice, std::span<const uint8_t> records) {
  std::vector<uint8_t> raw = {0, 0, 0x80, 0x00, 0, 1, 0, 3, 0, 1, 0, 1, 1, 'a', 0, 0, 52, 0, 1};
  if ((choice & 0x20) != 0) raw[16] = 16;
  if ((choice & 0x40) != 0) raw[3] |= 0x20;
  raw.insert(raw.end(), records.begin(), records.end());
  return raw;
}

void check_tlsa(QueryStatus status, std::span<const uint8_t> raw, std::string_view asked) {
  const TlsaAnswer tlsa = read_tlsa(status, raw, asked);
  Answer answer;
  const Reading reading = read_answer(status, raw, asked, RecordType::tlsa, answer);
  const bool spoke = status == QueryStatus::answered && !reading.temporary();
  check(spoke || tlsa.status == TlsaStatus::failed);
  check(tlsa.status == TlsaStatus::failed || tlsa.secure == answer.secure);
  check(tlsa.status != TlsaStatus::failed ||
        (!tlsa.secure && !tlsa.has_ttl && tlsa.canonical.empty() && *tlsa.why != 0));
  check(tlsa.ttl_s <= 0x7FFFFFFF);
  check((tlsa.status == TlsaStatus::usable) == !tlsa.records.empty());
  check(tlsa.records.size() <= kMaxTlsaRecords);
  // A record is ten bytes, its owner at least one, and three of its own.
  size_t least = 12;
  size_t data = 0;
  for (const TlsaRecord& record : tlsa.records) {
    check(is_usable(record));
    least += 14 + record.data.size();
    data += record.data.size();
  }
  check(tlsa.records.empty() || (least <= raw.size() && data <= kMaxTlsaBytes));
  if (!spoke) return;
  // What was there, and validated, is never taken for "there is none".
  if (!answer.tlsa.empty())
    check(tlsa.status != TlsaStatus::none && tlsa.status != TlsaStatus::elsewhere);
  if (!answer.tlsa.empty() && answer.secure) check(tlsa.status != TlsaStatus::insecure);
  const bool any = std::any_of(answer.tlsa.begin(), answer.tlsa.end(), is_usable);
  if (any) check(tlsa.status != TlsaStatus::unusable);
  if (tlsa.status == TlsaStatus::usable || tlsa.status == TlsaStatus::unusable) {
    check(answer.secure);
    check(tlsa.records.size() + tlsa.passed_over + tlsa.left_out == answer.tlsa.size());
  }
}

void check_txt(QueryStatus status, std::span<const uint8_t> raw, std::string_view asked) {
  Answer answer;
  if (read_answer(status, raw, asked, RecordType::txt, answer).temporary()) return;
  size_t bytes = 12;
  size_t ours = 0;
  for (const std::string& text : answer.txt) {
    bytes += 11 + text.size();
    ours += veredus::tls::parse_sts_record(text).ok();
  }
  check(bytes <= raw.size() || answer.txt.empty());
  const auto record = veredus::tls::find_sts_record(answer);
  check(record.ok() ? ours == 1 : ours != 1 || answer.txt.size() > 1 || answer.clipped);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  static constexpr QueryStatus kEnds[] = {QueryStatus::answered, QueryStatus::answered,
                                          QueryStatus::answered, QueryStatus::timed_out};
  const QueryStatus status = kEnds[data[0] % std::size(kEnds)];
  std::span<const uint8_t> raw(data + 1, size - 1);
  std::vector<uint8_t> made;
  if ((data[0] & kAddQuestion) != 0) raw = made = with_question(data[0], raw);
  Name asked;
  uint16_t type = 0;
  if (!parse_question(raw, asked, type)) normalize_name("a", asked);
  check_tlsa(status, raw, asked.view());
  check_txt(status, raw, asked.view());
  return 0;
}
