#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "dns/address.h"
#include "dns/answer.h"
#include "dns/lookup.h"

namespace veredus::dns::testing {

using Bytes = std::vector<uint8_t>;

inline void put16(Bytes& out, unsigned value) {
  out.push_back(static_cast<uint8_t>(value >> 8));
  out.push_back(static_cast<uint8_t>(value));
}
inline void put32(Bytes& out, uint32_t value) {
  put16(out, value >> 16);
  put16(out, value & 0xFFFF);
}
// A name as it goes on the wire, uncompressed; its labels may hold any byte but '.'. "" is the
// root.
inline Bytes wire_name(std::string_view name) {
  Bytes out;
  while (!name.empty()) {
    const std::string_view label = name.substr(0, name.find('.'));
    out.push_back(static_cast<uint8_t>(label.size()));
    out.insert(out.end(), label.begin(), label.end());
    name.remove_prefix(std::min(name.size(), label.size() + 1));
  }
  out.push_back(0);
  return out;
}

// Writes an answer as a server would (RFC 1035 §4). Records of one section must be added before
// those of the next.
class Message {
 public:
  Message(std::string_view asked, RecordType type, unsigned rcode = kRcodeNoError) {
    bytes_ = {0, 0, 0x81, static_cast<uint8_t>(0x80 | rcode), 0, 1, 0, 0, 0, 0, 0, 0};
    append(wire_name(asked));
    put16(bytes_, static_cast<unsigned>(type));
    put16(bytes_, 1);
  }

  Message& authentic() {
    bytes_[3] |= 0x20;
    return *this;
  }
  Message& truncated() {
    bytes_[2] |= 2;
    return *this;
  }

  Message& record(const Bytes& owner, unsigned type, uint32_t ttl_s, const Bytes& data,
                  size_t section = 6, unsigned klass = 1) {
    append(owner);
    put16(bytes_, type);
    put16(bytes_, klass);
    put32(bytes_, ttl_s);
    put16(bytes_, static_cast<unsigned>(data.size()));
    append(data);
    if (++bytes_[section + 1] == 0) ++bytes_[section];
    return *this;
  }
  Message& mx(std::string_view owner, uint32_t ttl_s, unsigned preference, std::string_view host) {
    Bytes data;
    put16(data, preference);
    const Bytes name = wire_name(host);
    data.insert(data.end(), name.begin(), name.end());
    return record(wire_name(owner), 15, ttl_s, data);
  }
  Message& cname(std::string_view owner, uint32_t ttl_s, std::string_view target) {
    return record(wire_name(owner), 5, ttl_s, wire_name(target));
  }
  // A or AAAA, by the text.
  Message& address(std::string_view owner, uint32_t ttl_s, std::string_view text) {
    const IpAddress address = IpAddress::parse(text).value();
    return record(
        wire_name(owner), address.family == IpAddress::Family::v4 ? 1 : 28, ttl_s,
        Bytes(address.bytes.begin(), address.bytes.begin() + static_cast<long>(address.size())));
  }
  Message& soa(std::string_view zone, uint32_t ttl_s, uint32_t minimum_s) {
    Bytes data = wire_name("ns." + std::string(zone));
    const Bytes person = wire_name("hostmaster." + std::string(zone));
    data.insert(data.end(), person.begin(), person.end());
    for (uint32_t number : {7u, 3600u, 600u, 86400u, minimum_s}) put32(data, number);
    return record(wire_name(zone), 6, ttl_s, data, 8);
  }

  const Bytes& bytes() const { return bytes_; }

 private:
  void append(const Bytes& more) { bytes_.insert(bytes_.end(), more.begin(), more.end()); }
  Bytes bytes_;
};

}  // namespace veredus::dns::testing
