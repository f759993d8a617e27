#include "dns/tlsa.h"

#include <algorithm>
#include <string>
#include <utility>

#include "dns/reading.h"

namespace veredus::dns {
namespace {

// Whether the bytes are one DER SEQUENCE, by its outermost length (X.690 §8.1.3, §10.1).
bool is_der_sequence(std::span<const uint8_t> data) {
  if (data.size() < 2 || data[0] != 0x30) return false;
  const size_t first = data[1];
  if (first < 0x80) return data.size() == 2 + first;
  const size_t bytes = first & 0x7F;
  if (bytes == 0 || bytes > 2 || data.size() < 2 + bytes) return false;  // data is below 64 KiB
  size_t length = 0;
  for (size_t i = 0; i < bytes; ++i) length = length << 8 | data[2 + i];
  return data.size() == 2 + bytes + length;
}

TlsaAnswer failed(const char* why) {
  TlsaAnswer answer;
  answer.why = why;
  return answer;
}

// The records that are usable, as far as there is room for them.
void take_usable(std::vector<TlsaRecord>& found, TlsaAnswer& out) {
  size_t bytes = 0;
  for (TlsaRecord& record : found) {
    if (!is_usable(record)) {
      ++out.passed_over;
    } else if (out.records.size() == kMaxTlsaRecords ||
               record.data.size() > kMaxTlsaBytes - bytes) {
      ++out.left_out;
    } else {
      bytes += record.data.size();
      out.records.push_back(std::move(record));
    }
  }
}

}  // namespace

bool is_usable(const TlsaRecord& record) {
  if (record.usage != kTlsaDaneTa && record.usage != kTlsaDaneEe) return false;
  if (record.selector != kTlsaCert && record.selector != kTlsaSpki) return false;
  switch (record.matching) {
    case kTlsaFull:
      return is_der_sequence(record.data);
    case kTlsaSha256:
      return record.data.size() == 32;
    case kTlsaSha512:
      return record.data.size() == 64;
    default:
      return false;
  }
}

TlsaAnswer read_tlsa(QueryStatus status, std::span<const uint8_t> raw, std::string_view asked) {
  Answer answer;
  const Reading reading = read_answer(status, raw, asked, RecordType::tlsa, answer);
  TlsaAnswer out;
  out.secure = answer.secure;
  out.canonical = std::move(answer.canonical);
  switch (reading.kind) {
    case Reading::Kind::records:
      out.has_ttl = true;
      out.ttl_s = answer.ttl_s;
      if (!answer.secure) {
        out.status = TlsaStatus::insecure;
        return out;
      }
      take_usable(answer.tlsa, out);
      out.status = out.records.empty() ? TlsaStatus::unusable : TlsaStatus::usable;
      if (out.records.empty() && (out.left_out > 0 || answer.clipped)) {
        return failed("more TLSA records than are looked at, and none usable among those");
      }
      return out;
    case Reading::Kind::no_such_name:
      if (answer.has_records()) return failed("the name server's answer contradicts itself");
      [[fallthrough]];
    case Reading::Kind::no_records:
      out.status = TlsaStatus::none;
      out.has_ttl = answer.has_soa;
      out.ttl_s = answer.negative_ttl_s;
      if (answer.aliases > 0) out.ttl_s = std::min(out.ttl_s, answer.ttl_s);
      return out;
    case Reading::Kind::alias_only:
      out.status = TlsaStatus::elsewhere;
      out.has_ttl = true;
      out.ttl_s = answer.ttl_s;
      return out;
    case Reading::Kind::busy:
    case Reading::Kind::failed:
      out = failed(reading.why);
      out.busy = reading.kind == Reading::Kind::busy;
      return out;
  }
  return out;
}

bool tlsa_name(std::string_view host, uint16_t port, Name& out) {
  out.clear();
  if (host.empty()) return false;
  const std::string text = "_" + std::to_string(port) + "._tcp." + std::string(host);
  return std::all_of(text.begin(), text.end(), [&out](char c) { return out.append(c); });
}

}  // namespace veredus::dns
