#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace veredus::smtp {

// Where a session is, or the command that a reply answered. The numbers are stored in the journal
// (queue::Outcome::stage): never renumber; new phases are added at the end.
enum class Phase : uint8_t {
  connect = 0,
  greeting = 1,
  ehlo = 2,
  helo = 3,
  idle = 4,
  mail = 5,
  rcpt = 6,
  data = 7,  // DATA, up to its 354
  body = 8,  // content on its way to the kernel
  end_of_data =
      9,  // all content handed over (final dot, or last byte of BDAT … LAST), up to its reply
  rset = 10,
  quit = 11,
  closing = 12,
  starttls = 13,  // RFC 3207, up to its reply
  tls = 14,       // handshake
  auth = 15,      // RFC 4954, up to the 235
};
inline constexpr size_t kPhases = 16;

// Sets of phases: a bit each.
constexpr uint32_t bit(Phase phase) {
  return uint32_t{1} << static_cast<unsigned>(phase);
}
inline constexpr uint32_t kAllPhases = (uint32_t{1} << kPhases) - 1;
inline constexpr uint32_t kTransactionPhases = bit(Phase::mail) | bit(Phase::rcpt) |
                                               bit(Phase::data) | bit(Phase::body) |
                                               bit(Phase::end_of_data);
constexpr bool in_transaction(Phase phase) {
  return (bit(phase) & kTransactionPhases) != 0;
}

struct PhaseRow {
  Phase phase;
  std::string_view name;    // in logs and events
  int64_t time_limit_ns;    // for one whole reply (body: for one block of content); 0: none
  std::string_view failed;  // words for a failure there: "<reason> <failed>"
  bool may_run_ahead;  // under PIPELINING the next command may follow without the reply (RFC 2920
                       // §3.1)
};

inline constexpr int64_t kSecondNs = 1'000'000'000;
inline constexpr int64_t kMinuteNs = 60 * kSecondNs;

// Times of RFC 5321 §4.5.3.2, which has none for connect, RSET, QUIT, TLS and AUTH.
inline constexpr std::array<PhaseRow, kPhases> kPhaseTable = {{
    {Phase::connect, "connect", 30 * kSecondNs, "while connecting", false},
    {Phase::greeting, "greeting", 5 * kMinuteNs, "while waiting for the greeting", false},
    {Phase::ehlo, "EHLO", 5 * kMinuteNs, "in reply to EHLO", false},
    {Phase::helo, "HELO", 5 * kMinuteNs, "in reply to HELO", false},
    {Phase::idle, "idle", 0, "between transactions", false},
    {Phase::mail, "MAIL", 5 * kMinuteNs, "in reply to MAIL FROM", true},
    {Phase::rcpt, "RCPT", 5 * kMinuteNs, "in reply to RCPT TO", true},
    {Phase::data, "DATA", 2 * kMinuteNs, "in reply to DATA", false},
    {Phase::body, "content", 3 * kMinuteNs, "while sending the content", false},
    {Phase::end_of_data, "end of data", 10 * kMinuteNs,
     "after the end of data: the message may be sent more than once", false},
    {Phase::rset, "RSET", 20 * kSecondNs, "in reply to RSET", false},
    {Phase::quit, "QUIT", 10 * kSecondNs, "in reply to QUIT", false},
    {Phase::closing, "closing", 10 * kSecondNs, "while closing", false},
    {Phase::starttls, "STARTTLS", 2 * kMinuteNs, "in reply to STARTTLS", false},
    {Phase::tls, "TLS", 30 * kSecondNs, "in the TLS handshake", false},
    {Phase::auth, "AUTH", 2 * kMinuteNs, "in reply to AUTH", false},
}};

constexpr const PhaseRow& row_of(Phase phase) {
  return kPhaseTable[static_cast<size_t>(phase)];
}
constexpr std::string_view name_of(Phase phase) {
  return row_of(phase).name;
}
constexpr int64_t time_limit_ns(Phase phase) {
  return row_of(phase).time_limit_ns;
}

static_assert([] {
  for (size_t i = 0; i < kPhases; ++i) {
    if (kPhaseTable[i].phase != static_cast<Phase>(i)) return false;
  }
  return true;
}());

}  // namespace veredus::smtp
