#include "tools/sink/options.h"

#include <charconv>
#include <cstring>
#include <string_view>

#include <openssl/ssl.h>

namespace veredus::sink {

const char kUsage[] =
    R"(sink: a fast mail server that takes everything, keeps count, and can misbehave.

  --listen ADDR:PORT       listen there; repeatable; port 0 takes a free one ([::1]:25 for IPv6)
  --listen-loopback PORT   all of 127/8 on one port, never reachable from outside
  --threads N              one io_uring each (1)
  --cpu LIST               pin thread i to the i-th processor of the list, e.g. 1 or 2,3
  --offer LIST             what EHLO offers, of pipelining chunking 8bitmime size=N smtputf8 dsn
                           enhancedstatuscodes (all but chunking, size=52428800), mailmax=N rcptmax=N
                           (LIMITS; what is beyond is a command out of place); "none" is nothing
  --chunking, --no-pipelining   add or remove one
  --tls                    offer STARTTLS, with a certificate made now; --tls-version 1.2 or 1.3: only that
  --max-recipients N       per transaction, then 452 (1000)
  --max-connections N      per thread, then 421 (20000)

Misbehaviour. STAGE: connect ehlo helo mail rcpt data dot after-dot rset noop quit starttls tls (the
handshake). P: 0..1 (1).
  --fail STAGE=CODE[:P]    answer CODE, 400-599; 421 also closes (not for after-dot and tls)
  --delay STAGE=MS[:P]     wait before the command is acted on and answered
  --drop STAGE[:P]         close instead of a reply
  --reset STAGE[:P]        RST instead of a reply
  --greylist SECONDS       a recipient is refused with 451 until SECONDS after its first try
  --byte-delay MS[:P]      replies of this share of the connections go byte by byte (--tarpit: 20:1)
  --tls-inject P           a 250 in clear stands behind this share of the 220s to STARTTLS
  --seed N                 same seed, same connection number, same luck (1)
At after-dot the message is stored and in the ledger ("noreply") and only the reply is missing.

Records.
  --ledger FILE            append "message-id TAB recipient TAB ack|noreply" per stored recipient
  --ledger-sync            the lines are on disk before their replies leave
  --id-header NAME         take the id from this header instead of Message-ID
  --content-dir DIR        keep each message as DIR/THREAD-NUMBER.eml, without transparency dots
  --content-every N        of each thread's messages only the first, and each N-th behind it (1)
  --status-file FILE       counters as JSON, on SIGUSR1 and at exit (else to standard output)
  --status-every MS        and every MS milliseconds
SIGTERM or SIGINT: flush and exit 0. Exit 64: wrong use, 71: cannot listen, 78: io_uring refused.
)";

namespace {

template <typename T>
bool number(std::string_view text, T& value) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

// Cuts ":P" off the end of `text`; without it the probability stays 1.
bool take_probability(std::string_view& text, double& probability) {
  probability = 1;
  size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return true;
  bool good = number(text.substr(colon + 1), probability);
  text = text.substr(0, colon);
  return good && probability >= 0 && probability <= 1;
}

bool add_fail(std::string_view text, Rules& rules) {
  Fault fault{FaultKind::fail, 0, 1};
  size_t equals = text.find('=');
  if (equals == std::string_view::npos || !take_probability(text, fault.probability)) return false;
  auto stage = stage_of(text.substr(0, equals));
  if (!stage || *stage == Stage::after_dot || *stage == Stage::tls) return false;
  if (!number(text.substr(equals + 1), fault.code)) return false;
  if (fault.code < 400 || fault.code > 599) return false;
  rules[static_cast<size_t>(*stage)].faults.push_back(fault);
  return true;
}

bool add_loss(std::string_view text, FaultKind kind, Rules& rules) {
  Fault fault{kind, 0, 1};
  if (!take_probability(text, fault.probability)) return false;
  auto stage = stage_of(text);
  if (!stage) return false;
  rules[static_cast<size_t>(*stage)].faults.push_back(fault);
  return true;
}

bool parse_delay(std::string_view text, Delay& delay) {
  int64_t ms = 0;
  if (!take_probability(text, delay.probability)) return false;
  if (!number(text, ms) || ms < 0 || ms > 86'400'000) return false;
  delay.ns = ms * 1'000'000;
  return true;
}

bool add_delay(std::string_view text, Rules& rules) {
  size_t equals = text.find('=');
  if (equals == std::string_view::npos) return false;
  auto stage = stage_of(text.substr(0, equals));
  Delay delay{0, 1};
  if (!stage || !parse_delay(text.substr(equals + 1), delay)) return false;
  rules[static_cast<size_t>(*stage)].delays.push_back(delay);
  return true;
}

bool parse_offer(std::string_view text, Offer& offer) {
  offer = {false, false, false, false, false, false, false, offer.starttls, 50u << 20, 0, 0};
  while (!text.empty()) {
    size_t comma = text.find(',');
    std::string_view word = text.substr(0, comma);
    text = comma == std::string_view::npos ? std::string_view() : text.substr(comma + 1);
    if (word == "pipelining") {
      offer.pipelining = true;
    } else if (word == "chunking") {
      offer.chunking = true;
    } else if (word == "8bitmime") {
      offer.eight_bit = true;
    } else if (word == "smtputf8") {
      offer.smtputf8 = true;
    } else if (word == "dsn") {
      offer.dsn = true;
    } else if (word == "enhancedstatuscodes") {
      offer.enhanced = true;
    } else if (word == "size") {
      offer.size = true;
    } else if (word.substr(0, 5) == "size=") {
      offer.size = true;
      if (!number(word.substr(5), offer.max_size)) return false;
    } else if (word.substr(0, 8) == "mailmax=") {
      if (!number(word.substr(8), offer.mail_max) || offer.mail_max == 0) return false;
    } else if (word.substr(0, 8) == "rcptmax=") {
      if (!number(word.substr(8), offer.rcpt_max) || offer.rcpt_max == 0) return false;
    } else if (word != "none") {
      return false;
    }
  }
  return true;
}

bool add_listen(std::string_view text, Options& options) {
  size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return false;
  Listen listen{std::string(text.substr(0, colon)), 0, false};
  if (listen.address.size() > 2 && listen.address.front() == '[' && listen.address.back() == ']') {
    listen.address = listen.address.substr(1, listen.address.size() - 2);
  }
  if (!number(text.substr(colon + 1), listen.port)) return false;
  options.listens.push_back(listen);
  return true;
}

bool parse_cpus(std::string_view text, std::vector<int>& cpus) {
  while (!text.empty()) {
    size_t comma = text.find(',');
    int cpu = 0;
    if (!number(text.substr(0, comma), cpu) || cpu < 0 || cpu > 1023) return false;
    cpus.push_back(cpu);
    text = comma == std::string_view::npos ? std::string_view() : text.substr(comma + 1);
  }
  return !cpus.empty();
}

bool parse_tls_version(std::string_view text, int& version) {
  version = text == "1.2" ? TLS1_2_VERSION : text == "1.3" ? TLS1_3_VERSION : 0;
  return version != 0;
}

bool parse_seconds(std::string_view text, int64_t& ns) {
  double seconds = 0;
  if (!number(text, seconds) || seconds < 0 || seconds > 86400) return false;
  ns = static_cast<int64_t>(seconds * 1e9);
  return true;
}

// Options without a value.
bool apply_flag(std::string_view name, Options& o) {
  if (name == "--help") return o.help = true;
  if (name == "--chunking") return o.offer.chunking = true;
  if (name == "--tls") return o.offer.starttls = true;
  if (name == "--ledger-sync") return o.ledger_sync = true;
  if (name == "--no-pipelining") return !(o.offer.pipelining = false);
  if (name != "--tarpit") return false;
  o.byte_delay = {20'000'000, 1};
  return true;
}

enum class Applied { good, bad_value, unknown };

Applied apply_record(std::string_view name, std::string_view value, Options& o) {
  auto text = [&](std::string& target) {
    target = value;
    return value.empty() ? Applied::bad_value : Applied::good;
  };
  if (name == "--ledger") return text(o.ledger);
  if (name == "--content-dir") return text(o.content_dir);
  if (name == "--content-every") {
    return number(value, o.content_every) && o.content_every > 0 ? Applied::good
                                                                 : Applied::bad_value;
  }
  if (name == "--status-file") return text(o.status_file);
  if (name == "--id-header") {
    Applied applied = text(o.id_header);
    for (char& c : o.id_header) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
    return applied;
  }
  if (name != "--status-every") return Applied::unknown;
  return number(value, o.status_every_ms) && o.status_every_ms >= 10 ? Applied::good
                                                                     : Applied::bad_value;
}

Applied apply_value(std::string_view name, std::string_view value, Options& o) {
  auto as = [](bool good) { return good ? Applied::good : Applied::bad_value; };
  if (name == "--listen") return as(add_listen(value, o));
  if (name == "--listen-loopback") {
    Listen listen{"0.0.0.0", 0, true};
    if (!number(value, listen.port)) return Applied::bad_value;
    o.listens.push_back(listen);
    return Applied::good;
  }
  if (name == "--threads") return as(number(value, o.threads) && o.threads > 0 && o.threads <= 64);
  if (name == "--cpu") return as(parse_cpus(value, o.cpus));
  if (name == "--offer") return as(parse_offer(value, o.offer));
  if (name == "--max-recipients") return as(number(value, o.max_recipients));
  if (name == "--max-connections") {
    return as(number(value, o.max_connections) && o.max_connections > 0 &&
              o.max_connections <= 1'000'000);
  }
  if (name == "--fail") return as(add_fail(value, o.rules));
  if (name == "--delay") return as(add_delay(value, o.rules));
  if (name == "--drop") return as(add_loss(value, FaultKind::drop, o.rules));
  if (name == "--reset") return as(add_loss(value, FaultKind::reset, o.rules));
  if (name == "--greylist") return as(parse_seconds(value, o.greylist_ns));
  if (name == "--byte-delay") return as(parse_delay(value, o.byte_delay));
  if (name == "--tls-version") return as(parse_tls_version(value, o.tls_version));
  if (name == "--tls-inject") {
    return as(number(value, o.tls_inject) && o.tls_inject >= 0 && o.tls_inject <= 1);
  }
  if (name == "--seed") return as(number(value, o.seed));
  return apply_record(name, value, o);
}

}  // namespace

std::string parse_options(int argc, char** argv, Options& options) {
  for (int i = 1; i < argc; ++i) {
    std::string name = argv[i];
    if (apply_flag(name, options)) continue;
    std::string_view value;
    size_t equals = name.find('=');
    if (equals != std::string::npos) {
      value = std::string_view(argv[i]).substr(equals + 1);
      name.resize(equals);
    } else if (i + 1 < argc) {
      value = argv[i + 1];
    }
    switch (apply_value(name, value, options)) {
      case Applied::good:
        break;
      case Applied::bad_value:
        return "bad value for " + name + ": '" + std::string(value) + "' (--help shows the forms)";
      case Applied::unknown:
        return "unknown option " + name + " (--help lists them)";
    }
    if (equals == std::string::npos) ++i;
  }
  if (options.listens.empty() && !options.help) return "nothing to listen at: give --listen";
  return "";
}

}  // namespace veredus::sink
