#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "absl/container/flat_hash_set.h"

namespace veredus::intake {

// A set of addresses that is exact and small: the texts lie in one string (a length byte in front
// of each), the table holds their offsets. An address has at most 254 bytes. Nobody walks through
// it: its order is no one's business.
class AddressSet {
 public:
  AddressSet() : table_(0, Hash{&bytes_}, Equal{&bytes_}) {}
  AddressSet(const AddressSet&) = delete;
  AddressSet& operator=(const AddressSet&) = delete;

  // False: it was there.
  bool insert(std::string_view address) {
    const auto offset = static_cast<uint32_t>(bytes_.size());
    bytes_ += static_cast<char>(address.size());
    bytes_.append(address);
    if (table_.insert(offset).second) return true;
    bytes_.resize(offset);
    return false;
  }
  uint64_t bytes() const { return bytes_.capacity() + table_.capacity() * 5; }

 private:
  static std::string_view at(const std::string& bytes, uint32_t offset) {
    return std::string_view(bytes).substr(offset + 1, static_cast<unsigned char>(bytes[offset]));
  }
  struct Hash {
    const std::string* bytes;
    size_t operator()(uint32_t offset) const {
      return std::hash<std::string_view>{}(at(*bytes, offset));
    }
  };
  struct Equal {
    const std::string* bytes;
    bool operator()(uint32_t a, uint32_t b) const { return at(*bytes, a) == at(*bytes, b); }
  };
  std::string bytes_;
  absl::flat_hash_set<uint32_t, Hash, Equal> table_;
};

}  // namespace veredus::intake
