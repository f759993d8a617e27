#include "dns/route.h"

#include <algorithm>
#include <cassert>
#include <utility>

#include <openssl/sha.h>

namespace veredus::dns {
namespace {

// Below `bound` without bias worth speaking of: bound is tiny beside 2^64.
size_t below(size_t bound, const std::function<uint64_t()>& random) {
  return static_cast<size_t>(random() % bound);
}

template <class Item>
void shuffle(std::span<Item> items, const std::function<uint64_t()>& random) {
  for (size_t left = items.size(); left > 1; --left)
    std::swap(items[left - 1], items[below(left, random)]);
}

}  // namespace

HostOrder order_hosts(const Route& route, std::span<const std::string> own_names,
                      const std::function<uint64_t()>& random) {
  HostOrder order;
  if (route.status != RouteStatus::ok) return order;
  assert(route.hosts.size() <= kMaxMxHosts);
  uint32_t cut = UINT32_MAX;
  for (const MxHost& host : route.hosts) {
    if (std::find(own_names.begin(), own_names.end(), host.name) != own_names.end()) {
      cut = std::min<uint32_t>(cut, host.preference);
    }
  }
  for (size_t i = 0; i < route.hosts.size(); ++i) {
    if (route.hosts[i].preference < cut) order.index[order.count++] = static_cast<uint8_t>(i);
  }
  order.loop = order.count == 0;
  for (size_t begin = 0; begin < order.count;) {
    size_t end = begin + 1;
    while (end < order.count &&
           route.hosts[order.index[end]].preference == route.hosts[order.index[begin]].preference) {
      ++end;
    }
    shuffle(std::span(order.index).subspan(begin, end - begin), random);
    begin = end;
  }
  return order;
}

void shuffle_addresses(std::span<IpAddress> addresses, const std::function<uint64_t()>& random) {
  const auto six = std::find_if(addresses.begin(), addresses.end(), [](const IpAddress& address) {
    return address.family == IpAddress::Family::v6;
  });
  const size_t fours = static_cast<size_t>(six - addresses.begin());
  shuffle(addresses.first(fours), random);
  shuffle(addresses.subspan(fours), random);
}

std::string site_key(const Route& route) {
  std::string key;
  if (route.status != RouteStatus::ok) return key;
  assert(route.hosts.size() <= kMaxMxHosts);
  std::array<std::string_view, kMaxMxHosts> names;
  size_t count = 0;
  for (const MxHost& host : route.hosts) names[count++] = host.name;
  std::sort(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(count));
  for (size_t i = 0; i < count; ++i) {
    if (i > 0) key += ',';
    key += names[i];
  }
  return bounded_site_key(std::move(key));
}

std::string bounded_site_key(std::string key, size_t more) {
  if (key.size() + more <= kMaxSiteKey) return key;
  // A hash that cannot be met on purpose: else a stranger's domain could come to share another's
  // connections.
  unsigned char hash[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(key.data()), key.size(), hash);
  key = "sha256:";
  for (unsigned char byte : hash) {
    key += "0123456789abcdef"[byte >> 4];
    key += "0123456789abcdef"[byte & 15];
  }
  return key;
}

}  // namespace veredus::dns
