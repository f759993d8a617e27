#include "dns/address_policy.h"

#include <algorithm>
#include <charconv>
#include <span>
#include <utility>

namespace veredus::dns {
namespace {

bool same_prefix(const IpAddress& left, const IpAddress& right, unsigned bits) {
  const size_t whole = bits / 8;
  if (!std::equal(left.bytes.begin(), left.bytes.begin() + static_cast<std::ptrdiff_t>(whole),
                  right.bytes.begin())) {
    return false;
  }
  const unsigned rest = bits % 8;
  return rest == 0 || ((left.bytes[whole] ^ right.bytes[whole]) >> (8 - rest)) == 0;
}

constexpr const char* kPrivate = "is a private address";
constexpr const char* kLoopback = "is a loopback address";

struct Special {
  Cidr block;
  const char* reason;
};

constexpr Special v4(uint8_t a, uint8_t b, uint8_t c, uint8_t d, unsigned prefix,
                     const char* reason) {
  return {{{IpAddress::Family::v4, {a, b, c, d}}, prefix}, reason};
}
// The first eight bytes; the rest is zero.
constexpr Special v6(uint16_t a, uint16_t b, uint16_t c, uint16_t d, unsigned prefix,
                     const char* reason) {
  IpAddress address{IpAddress::Family::v6, {}};
  const uint16_t words[] = {a, b, c, d};
  for (size_t i = 0; i < 4; ++i) {
    address.bytes[2 * i] = static_cast<uint8_t>(words[i] >> 8);
    address.bytes[2 * i + 1] = static_cast<uint8_t>(words[i] & 255);
  }
  return {{address, prefix}, reason};
}

// RFC 6890 and the IANA special-purpose registries; the first match gives the reason.
constexpr Special kSpecial[] = {
    v4(0, 0, 0, 0, 8, "is not an address of a host (0.0.0.0/8)"),
    v4(10, 0, 0, 0, 8, kPrivate),
    v4(100, 64, 0, 0, 10, "is an address of a carrier's internal network (100.64.0.0/10)"),
    v4(127, 0, 0, 0, 8, kLoopback),
    v4(169, 254, 169, 254, 32, "is a cloud metadata address"),
    v4(169, 254, 0, 0, 16, "is a link-local address"),
    v4(172, 16, 0, 0, 12, kPrivate),
    v4(192, 0, 0, 0, 24, "is reserved for protocols"),
    v4(192, 0, 2, 0, 24, "is reserved for documentation"),
    v4(192, 88, 99, 0, 24, "is a relay address of 6to4"),
    v4(192, 168, 0, 0, 16, kPrivate),
    v4(198, 18, 0, 0, 15, "is reserved for benchmarks"),
    v4(198, 51, 100, 0, 24, "is reserved for documentation"),
    v4(203, 0, 113, 0, 24, "is reserved for documentation"),
    v4(224, 0, 0, 0, 4, "is a multicast address"),
    v4(255, 255, 255, 255, 32, "is the broadcast address"),
    v4(240, 0, 0, 0, 4, "is reserved"),
    v6(0xfd00, 0x0ec2, 0, 0, 32, "is a cloud metadata address"),
    v6(0xfc00, 0, 0, 0, 7, kPrivate),
    v6(0xfe80, 0, 0, 0, 10, "is a link-local address"),
    v6(0xfec0, 0, 0, 0, 10, kPrivate),
    v6(0xff00, 0, 0, 0, 8, "is a multicast address"),
    v6(0x2001, 0x0db8, 0, 0, 32, "is reserved for documentation"),
    v6(0x3fff, 0, 0, 0, 20, "is reserved for documentation"),
    v6(0x2001, 0x0002, 0, 0, 48, "is reserved for benchmarks"),
    v6(0x2001, 0, 0, 0, 23, "is reserved for protocols"),
};
constexpr Special kGlobalV6 = v6(0x2000, 0, 0, 0, 3, "");
constexpr Special kTeredo = v6(0x2001, 0, 0, 0, 32, "");
constexpr Special kSixToFour = v6(0x2002, 0, 0, 0, 16, "");
constexpr Special kNat64 = v6(0x0064, 0xff9b, 0, 0, 96, "");

const char* special_reason(const IpAddress& address) {
  for (const Special& special : kSpecial) {
    if (special.block.contains(address)) return special.reason;
  }
  if (address.family == IpAddress::Family::v4 || kGlobalV6.block.contains(address)) return nullptr;
  const bool low = std::all_of(address.bytes.begin(), address.bytes.end() - 1,
                               [](uint8_t byte) { return byte == 0; });
  if (low && address.bytes[15] == 0) return "is the unspecified address";
  if (low && address.bytes[15] == 1) return kLoopback;
  return "is not a global unicast address";
}

template <class T>
bool holds(const std::vector<T>& list, const T& item) {
  return std::find(list.begin(), list.end(), item) != list.end();
}

}  // namespace

bool Cidr::contains(const IpAddress& address) const {
  return address.family == network.family && same_prefix(address, network, prefix);
}

std::string Cidr::to_string() const {
  return network.to_string() + '/' + std::to_string(prefix);
}

absl::StatusOr<Cidr> parse_cidr(std::string_view text) {
  const auto fail = [text](std::string_view what) {
    std::string message(text);
    message.append(": ").append(what);
    return absl::InvalidArgumentError(message);
  };
  const size_t slash = text.find('/');
  const std::optional<IpAddress> address = IpAddress::parse(text.substr(0, slash));
  if (!address) return fail("not an address block; write it like 10.0.0.0/8 or fd00::/8");
  Cidr block{*address, static_cast<unsigned>(address->size() * 8)};
  if (slash == text.npos) return block;
  const std::string_view digits = text.substr(slash + 1);
  unsigned prefix = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), prefix);
  if (error != std::errc() || end != digits.data() + digits.size() || prefix > block.prefix) {
    return fail("the prefix length behind the slash must be a number from 0 to " +
                std::to_string(block.prefix));
  }
  block.prefix = prefix;
  for (size_t bit = prefix; bit < address->size() * 8; ++bit) {
    block.network.bytes[bit / 8] &= static_cast<uint8_t>(~(0x80 >> bit % 8));
  }
  if (block.network != *address) {
    return fail("bits are set behind the prefix; for the block write " + block.to_string() +
                ", for the one address leave the prefix out");
  }
  return block;
}

std::optional<IpAddress> embedded_v4(const IpAddress& address) {
  if (address.family != IpAddress::Family::v6) return std::nullopt;
  const auto& b = address.bytes;
  if (kSixToFour.block.contains(address)) return IpAddress::v4(b[2], b[3], b[4], b[5]);
  if (kNat64.block.contains(address)) return IpAddress::v4(b[12], b[13], b[14], b[15]);
  if (kTeredo.block.contains(address)) {  // RFC 4380 §4: the client's address, each bit turned
    return IpAddress::v4(static_cast<uint8_t>(~b[12]), static_cast<uint8_t>(~b[13]),
                         static_cast<uint8_t>(~b[14]), static_cast<uint8_t>(~b[15]));
  }
  const bool zeros = std::all_of(b.begin(), b.begin() + 10, [](uint8_t byte) { return byte == 0; });
  if (!zeros) return std::nullopt;
  if (b[10] == 0xff && b[11] == 0xff) return IpAddress::v4(b[12], b[13], b[14], b[15]);
  // v4-compatible (RFC 4291 §2.5.5.1, obsolete), but for :: and ::1.
  if (b[10] == 0 && b[11] == 0 && (b[12] | b[13] | b[14]) != 0)
    return IpAddress::v4(b[12], b[13], b[14], b[15]);
  return std::nullopt;
}

AddressPolicy::AddressPolicy(std::vector<Cidr> allow, std::vector<IpAddress> own)
    : allow_(std::move(allow)), own_(std::move(own)) {}

AddressPolicy::Result AddressPolicy::check(const IpAddress& address) const {
  const auto allowed = [this](const IpAddress& one) {
    return std::any_of(allow_.begin(), allow_.end(),
                       [&](const Cidr& block) { return block.contains(one); });
  };
  const std::optional<IpAddress> inner = embedded_v4(address);
  if (allowed(address) || (inner && allowed(*inner))) return {};
  if (holds(own_, address) || (inner && holds(own_, *inner)))
    return {Verdict::own, "is an address of this host"};
  const char* reason = special_reason(inner ? *inner : address);
  if (reason != nullptr) return {Verdict::refused, reason};
  return {};
}

AddressPolicy::Result AddressPolicy::check_next_hop(const IpAddress& address, bool named) const {
  const Result result = check(address);
  if (result.verdict == Verdict::allowed) return result;
  const char* const special = special_reason(address);
  const std::string_view reason = special == nullptr ? "" : special;
  // Ours, too: what listens on loopback is another program, which others cannot send to.
  if (named && reason == kLoopback) return {};
  if (result.verdict == Verdict::refused && reason == kPrivate) return {};
  return result;
}

}  // namespace veredus::dns
