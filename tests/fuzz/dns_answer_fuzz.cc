// Any bytes as an answer: bounded, in normal form, and never a crash. The first byte chooses the
// type asked for; the name asked is the message's own question, so that the fuzzer gets behind it.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string_view>

#include "dns/answer.h"

namespace {

using veredus::dns::Answer;
using veredus::dns::Name;
using veredus::dns::RecordType;

void check(bool holds) {
  if (!holds) std::abort();
}

void check_name(std::string_view text) {
  Name name;
  check(veredus::dns::normalize_name(text, name) && name.view() == text);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  static constexpr RecordType kTypes[] = {RecordType::a,   RecordType::cname, RecordType::mx,
                                          RecordType::txt, RecordType::aaaa,  RecordType::tlsa};
  RecordType type = kTypes[data[0] % std::size(kTypes)];
  const std::span<const uint8_t> raw(data + 1, size - 1);
  Name asked;
  uint16_t question_type = 0;
  if (veredus::dns::parse_question(raw, asked, question_type)) {
    for (RecordType known : kTypes) {
      if (static_cast<uint16_t>(known) == question_type) type = known;
    }
  } else {
    normalize_name("example.org", asked);
  }
  static Answer answer;
  if (parse_answer(raw, asked.view(), type, answer) != veredus::dns::ParseStatus::ok) return 0;
  const size_t records =
      answer.mx.size() + answer.addresses.size() + answer.txt.size() + answer.tlsa.size();
  check(records <= veredus::dns::kMaxAnswerRecords && answer.aliases <= veredus::dns::kMaxAliases);
  check(answer.ttl_s <= 0x7FFFFFFF && answer.negative_ttl_s <= 0x7FFFFFFF);
  if (!answer.canonical.empty()) check_name(answer.canonical);
  if (!answer.cname.empty()) check_name(answer.cname);
  for (const auto& record : answer.mx) {
    if (!record.name.empty()) check_name(record.name);
  }
  return 0;
}
