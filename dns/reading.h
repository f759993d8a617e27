#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "dns/answer.h"
#include "dns/lookup.h"

namespace veredus::dns {

// What an answer means for the question.
struct Reading {
  enum class Kind : uint8_t {
    records,
    no_records,    // the name exists (RFC 2308 §2.2)
    no_such_name,  // NXDOMAIN
    alias_only,    // an alias, and nothing about where it leads: ask at Answer::canonical
    busy,          // never asked: too many lookups are waiting
    failed,  // nothing is known. SERVFAIL is how a validating resolver tells of forged answers
  };
  Kind kind = Kind::failed;
  const char* why = "";  // of busy and failed

  bool temporary() const { return kind == Kind::busy || kind == Kind::failed; }
};

// How a query for (asked, type) ended. `asked` in normal form; `out` is overwritten, and means
// nothing when temporary(). Pure; any bytes; bounds as in parse_answer().
Reading read_answer(QueryStatus status, std::span<const uint8_t> raw, std::string_view asked,
                    RecordType type, Answer& out);

}  // namespace veredus::dns
