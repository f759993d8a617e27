// Any bytes as the answer to a question about TLS: TLSA of a host, TXT at _mta-sts. What decides
// about protection is derived here from the bare answer once more, and must agree. The first byte
// says how the query ended, and whether what follows is the answer (the name asked is its own
// question, so that the fuzzer gets behind it), or says what the records of a well-formed one are.

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

constexpr uint8_t kMade = 0x10;  // of the first byte: the answer is made of what follows
constexpr uint8_t kText = 0x20;  // its records are TXT; else TLSA
constexpr uint8_t kSecure = 0x40;
constexpr uint8_t kNoName = 0x80;    // NXDOMAIN
constexpr size_t kMadeBytes = 8192;  // a made answer ends with the record that comes to it

void check(bool holds) {
  if (!holds) std::abort();
}

// Takes bytes off the input; zeros behind its end.
class Input {
 public:
  explicit Input(std::span<const uint8_t> bytes) : rest_(bytes) {}
  bool empty() const { return rest_.empty(); }
  uint8_t byte() {
    if (rest_.empty()) return 0;
    const uint8_t first = rest_[0];
    rest_ = rest_.subspan(1);
    return first;
  }

 private:
  std::span<const uint8_t> rest_;
};

// The data of one record: beginning, lengths and outer form may be such as are taken.
std::vector<uint8_t> record_data(bool text, Input& input) {
  std::vector<uint8_t> data;
  const uint8_t form = input.byte();
  size_t more = input.byte();
  if (text) {
    constexpr std::string_view kBegin = "\x0cv=STSv1; id=";
    if (form % 4 != 0) data.assign(kBegin.begin(), kBegin.end());
    if (form % 4 != 1) data.push_back(static_cast<uint8_t>(more));
    for (; more > 0; --more) data.push_back(input.byte());
    return data;
  }
  for (int i = 0; i < 3; ++i) data.push_back(input.byte());
  switch (form % 8) {
    case 0:
    case 1:
      data.resize(3 + 32, form);
      break;
    case 2:
      data.resize(3 + 64, form);
      break;
    case 3:
      more *= 100;  // above kMaxTlsaBytes, if it must be
      data.insert(data.end(),
                  {0x30, 0x82, static_cast<uint8_t>(more >> 8), static_cast<uint8_t>(more)});
      data.resize(data.size() + more);
      break;
    case 4:
      data.push_back(0x30);
      [[fallthrough]];
    default:
      for (; more > 0; --more) data.push_back(input.byte());
  }
  return data;
}

// A well-formed answer, but for what a record says.
std::vector<uint8_t> made_answer(uint8_t choice, std::span<const uint8_t> bytes) {
  const uint8_t type = (choice & kText) != 0 ? 16 : 52;
  std::vector<uint8_t> raw = {0, 0, 0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 'a', 0, 0, type, 0, 1};
  if ((choice & kSecure) != 0) raw[3] |= 0x20;
  if ((choice & kNoName) != 0) raw[3] |= kRcodeNameError;
  Input input(bytes);
  unsigned count = 0;
  while (!input.empty() && raw.size() < kMadeBytes) {
    constexpr unsigned kTimes[] = {1, 1, 2, 70};
    const uint8_t head = input.byte();
    const std::vector<uint8_t> data = record_data(type == 16, input);
    const unsigned times = data.size() > 256 ? 1 : kTimes[head % std::size(kTimes)];
    for (unsigned i = 0; i < times; ++i, ++count) {
      raw.insert(raw.end(), {0xC0, 12, 0, type, 0, 1, 0, 0, head, 60});
      raw.push_back(static_cast<uint8_t>(data.size() >> 8));
      raw.push_back(static_cast<uint8_t>(data.size()));
      raw.insert(raw.end(), data.begin(), data.end());
    }
  }
  raw[6] = static_cast<uint8_t>(count >> 8);
  raw[7] = static_cast<uint8_t>(count);
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
  if (answer.rcode == kRcodeNameError && answer.has_records())
    check(tlsa.status == TlsaStatus::failed);
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
  if ((data[0] & kMade) != 0) raw = made = made_answer(data[0], raw);
  Name asked;
  uint16_t type = 0;
  if (!parse_question(raw, asked, type)) normalize_name("a", asked);
  check_tlsa(status, raw, asked.view());
  check_txt(status, raw, asked.view());
  return 0;
}
