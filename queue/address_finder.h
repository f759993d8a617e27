#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"

namespace veredus::queue {

// Finds some mail addresses again, as whole values and anywhere among other bytes, all in one pass
// whatever their number. ASCII letters are compared without case, in the local part too: hosts
// treat it so nearly everywhere, and who asks to be forgotten means all of his spellings. Of other
// letters the case counts ("JÖRG@…" is not "jörg@…").
class AddressFinder {
 public:
  static constexpr size_t kAddressBytesMax = 254;

  // Without an '@', with nothing before it, or longer than kAddressBytesMax it is no address:
  // false.
  bool add(std::string_view address);
  bool empty() const { return addresses_.empty(); }

  // Is one of them.
  bool is(std::string_view address) const;
  // Holds one of them, also as a part of something longer: "xada@example.org" holds
  // "ada@example.org".
  bool in(std::string_view bytes) const;
  // The text with '*' in place of all their characters, as long as it was.
  std::string masked(std::string_view text) const;

 private:
  struct Hit {
    size_t at = std::string_view::npos;
    size_t length = 0;
  };
  Hit next(std::string_view bytes, size_t from) const;
  // What stands around the '@' of an address: by it those that may stand there are known.
  static uint32_t key(const char* at_sign);

  std::vector<std::string> addresses_;  // in small letters
  absl::flat_hash_map<uint32_t, std::vector<uint32_t>> by_key_;
};

}  // namespace veredus::queue
