#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "engine/mail/builder.h"

namespace veredus::intake {

// A message as it stands in a line, its JSON taken apart and its types checked; what the values
// mean is not looked at. The views are valid as long as those of the line.
struct FedMessage {
  enum class Form : uint8_t { none, raw, raw_base64, parts };
  Form form = Form::none;
  std::string_view raw;  // of the first two
  mail::MessageParts parts;
  uint64_t token_bytes = 0;  // that it takes in the line, about

  // Offsets in the line, from 0: of the raw text, or of the object with the parts; of the value of
  // each part; of each header's and each attachment's; of the latter's base64.
  uint32_t at = 0;
  std::array<uint32_t, 10> part_at{};
  std::vector<uint32_t> header_at, attachment_at, base64_at;

  void clear();
  // Where in the line a fault is. In base64 it is the byte, if nothing in front of it is escaped.
  size_t place_of(const mail::BuildFault& fault) const;
};

}  // namespace veredus::intake
