#include "tools/sink/session.h"

#include <charconv>

#include <string.h>
#include <time.h>

#include "tools/sink/syntax.h"

namespace veredus::sink {

Session::Session(World& world, uint64_t number)
    : world_(world), dice_(world.options.seed, number * 64 + static_cast<uint64_t>(world.thread)) {}

Step Session::open(std::string& out) {
  if (!delayed(Stage::connect, Held::greeting, {})) greet(out);
  return step_;
}

void Session::greet(std::string& out) {
  if (!passes(Stage::connect, out)) {
    if (step_ == Step::ready)
      step_ = Step::finish;  // RFC 5321 section 3.1: nothing but QUIT follows
    return;
  }
  out += "220 sink.test ESMTP\r\n";
}

Step Session::feed(std::string_view in, size_t& used, std::string& out) {
  used = 0;
  step_ = Step::ready;
  while (used < in.size() && step_ == Step::ready) {
    std::string_view rest = in.substr(used);
    switch (mode_) {
      case Mode::command:
        used += take_command(rest, out);
        break;
      case Mode::data:
        used += take_data(rest, out);
        break;
      case Mode::chunk:
        used += take_chunk(rest, out);
        break;
    }
  }
  return step_;
}

Step Session::resume(std::string& out) {
  step_ = Step::ready;
  Held held = held_;
  held_ = Held::nothing;
  switch (held) {
    case Held::nothing:
      break;
    case Held::greeting:
      greet(out);
      break;
    case Held::line: {
      std::string line;
      line.swap(line_);
      act(line, out, true);
      break;
    }
    case Held::dot:
      finish_message(out, true);
      break;
    case Held::reply:
      answer_message(out);
      break;
    case Held::handshake:
      passes(Stage::tls, out);
      break;
  }
  return step_;
}

size_t Session::take_command(std::string_view in, std::string& out) {
  const void* newline = memchr(in.data(), '\n', in.size());
  size_t length = newline == nullptr
                      ? in.size()
                      : static_cast<size_t>(static_cast<const char*>(newline) - in.data());
  if (line_.size() + length > kMaxLine) {
    line_.clear();
    refuse(out, 500, "line too long");
    step_ = Step::finish;
    return in.size();
  }
  if (newline == nullptr) {
    line_.append(in);
    return in.size();
  }
  std::string_view line = in.substr(0, length);
  std::string whole;
  if (!line_.empty()) {
    line_.append(line);
    whole.swap(line_);
    line = whole;
  }
  if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  bool more = length + 1 < in.size();
  if (more && !world_.options.offer.pipelining && verb_of(line) != Verb::bdat) {
    world_.counters.early.add();
  } else if (more && (verb_of(line) == Verb::data || verb_of(line) == Verb::starttls)) {
    world_.counters.early.add();
  }
  act(line, out, false);
  return length + 1;
}

// One command line. `after_pause`: its delay is over.
void Session::act(std::string_view line, std::string& out, bool after_pause) {
  Verb verb = verb_of(line);
  if (verb == Verb::bdat && world_.options.offer.chunking) return on_bdat(line, out, after_pause);
  Stage stage;
  switch (verb) {
    case Verb::ehlo:
      stage = Stage::ehlo;
      break;
    case Verb::helo:
      stage = Stage::helo;
      break;
    case Verb::mail:
      stage = Stage::mail;
      break;
    case Verb::rcpt:
      stage = Stage::rcpt;
      break;
    case Verb::data:
      stage = Stage::data;
      break;
    case Verb::rset:
      stage = Stage::rset;
      break;
    case Verb::noop:
      stage = Stage::noop;
      break;
    case Verb::quit:
      stage = Stage::quit;
      break;
    case Verb::starttls:
      if (world_.tls == nullptr) return wrong(out, 502, "no such command here");
      stage = Stage::starttls;
      break;
    default:
      return wrong(out, 502, "no such command here");
  }
  if (!after_pause && delayed(stage, Held::line, line)) return;
  if (!passes(stage, out)) return;
  switch (verb) {
    case Verb::ehlo:
    case Verb::helo:
      return on_hello(line, verb == Verb::ehlo, out);
    case Verb::mail:
      return on_mail(line, out);
    case Verb::rcpt:
      return on_rcpt(line, out);
    case Verb::data:
      return on_data(out);
    case Verb::rset:
      clear_transaction();
      return say(out, "250", "2.0.0", "flushed");
    case Verb::noop:
      return say(out, "250", "2.0.0", "ok");
    case Verb::starttls:
      return on_starttls(out);
    default:
      say(out, "221", "2.0.0", "bye");
      step_ = Step::finish;
  }
}

void Session::on_hello(std::string_view line, bool extended, std::string& out) {
  if (line.size() < 6 || line[4] != ' ') return wrong(out, 501, "a name is missing");
  greeted_ = true;
  clear_transaction();
  if (!extended) {
    out += "250 sink.test\r\n";
    return;
  }
  const Offer& offer = world_.options.offer;
  size_t last = out.size();
  auto line_of = [&](std::string_view text) {
    last = out.size();
    out.append("250-").append(text).append("\r\n");
  };
  line_of("sink.test");
  if (offer.pipelining) line_of("PIPELINING");
  if (offer.size) line_of("SIZE " + std::to_string(offer.max_size));
  if (offer.enhanced) line_of("ENHANCEDSTATUSCODES");
  if (offer.eight_bit) line_of("8BITMIME");
  if (offer.smtputf8) line_of("SMTPUTF8");
  if (offer.dsn) line_of("DSN");
  if (offer.chunking) line_of("CHUNKING");
  if (offer.starttls && !under_tls_) line_of("STARTTLS");
  if (offer.mail_max != 0 || offer.rcpt_max != 0) {
    std::string limits = "LIMITS";
    if (offer.mail_max != 0) limits += " MAILMAX=" + std::to_string(offer.mail_max);
    if (offer.rcpt_max != 0) limits += " RCPTMAX=" + std::to_string(offer.rcpt_max);
    line_of(limits);
  }
  out[last + 3] = ' ';
}

void Session::on_starttls(std::string& out) {
  if (!greeted_) return wrong(out, 503, "say EHLO first");
  if (under_tls_ || in_mail_) return wrong(out, 503, "not now");
  say(out, "220", "2.0.0", "go ahead");
  if (dice_.hit(world_.options.tls_inject)) say(out, "250", "2.0.0", "as asked");
  step_ = Step::tls;
}

Step Session::begin_tls() {
  step_ = Step::ready;
  std::string nothing;  // a `fail` is not among this stage's faults
  if (!delayed(Stage::tls, Held::handshake, {})) passes(Stage::tls, nothing);
  return step_;
}

void Session::on_tls() {
  greeted_ = false;
  under_tls_ = true;
  clear_transaction();
}

void Session::on_mail(std::string_view line, std::string& out) {
  if (!greeted_) return wrong(out, 503, "say EHLO first");
  if (in_mail_) return wrong(out, 503, "nested MAIL");
  std::string_view path, parameters;
  if (!cut_path(line, "mail from:", path, parameters)) return wrong(out, 501, "no reverse-path");
  uint64_t size = 0;
  bool utf8 = false;
  if (!mail_parameters(parameters, world_.options.offer, size, utf8)) {
    return wrong(out, 555, "parameter not offered here");
  }
  if (!utf8 && has_high(path)) return wrong(out, 553, "UTF-8 without SMTPUTF8");
  const uint32_t mail_max = world_.options.offer.mail_max;
  if (mail_max != 0 && mails_ >= mail_max) return wrong(out, 452, "more than MAILMAX");
  ++mails_;
  utf8_ = utf8;
  if (world_.options.offer.size && size > world_.options.offer.max_size) {
    return refuse(out, 552, "too big");
  }
  in_mail_ = true;
  say(out, "250", "2.1.0", "ok");
}

void Session::on_rcpt(std::string_view line, std::string& out) {
  if (!in_mail_) return wrong(out, 503, "no MAIL");
  std::string_view path, parameters;
  if (!cut_path(line, "rcpt to:", path, parameters) || path.empty()) {
    return wrong(out, 501, "no recipient");
  }
  if (!rcpt_parameters(parameters, world_.options.offer)) {
    return wrong(out, 555, "parameter not offered here");
  }
  if (!utf8_ && has_high(path)) return wrong(out, 553, "UTF-8 without SMTPUTF8");
  const uint32_t rcpt_max = world_.options.offer.rcpt_max;
  if (rcpt_max != 0 && recipient_count_ >= rcpt_max) return wrong(out, 452, "more than RCPTMAX");
  if (recipient_count_ >= world_.options.max_recipients) {
    return refuse(out, 452, "too many recipients");
  }
  if (world_.greylist.on()) {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (!world_.greylist.passes(path, now.tv_sec * 1'000'000'000 + now.tv_nsec)) {
      world_.counters.greylisted.add();
      return refuse(out, 451, "greylisted, come back");
    }
  }
  ++recipient_count_;
  recipients_.append(path).push_back('\n');
  say(out, "250", "2.1.5", "ok");
}

void Session::on_data(std::string& out) {
  if (has_content_) return wrong(out, 503, "DATA after BDAT");
  if (recipient_count_ == 0) return wrong(out, in_mail_ ? 554 : 503, "no valid recipients");
  begin_content();
  dots_.begin();
  mode_ = Mode::data;
  out += "354 go ahead\r\n";
}

// BDAT's octets follow whatever the reply is (RFC 3030 section 2), so a refused chunk is read and
// dropped.
void Session::on_bdat(std::string_view line, std::string& out, bool after_pause) {
  uint64_t octets = 0;
  bool last = false;
  if (!bdat_arguments(line, octets, last)) {
    wrong(out, 501, "BDAT needs a size");
    step_ = Step::finish;  // nobody knows where the next command begins
    return;
  }
  bool usable = recipient_count_ > 0;
  if (usable && !has_content_) {
    if (!after_pause && delayed(Stage::data, Held::line, line)) return;
    size_t before = out.size();
    swallow_ = !passes(Stage::data, out);
    if (step_ != Step::ready) return;
    if (swallow_) {  // its reply comes behind the chunk
      chunk_code_ = atoi(out.c_str() + before);
      out.resize(before);
      world_.counters.refused.sub();
      clear_transaction();
    } else {
      begin_content();
    }
  } else {
    swallow_ = !usable;
    chunk_code_ = 503;
  }
  has_content_ = !swallow_;
  chunk_left_ = octets;
  last_chunk_ = last;
  mode_ = Mode::chunk;
  if (octets == 0) finish_chunk(out);
}

size_t Session::take_chunk(std::string_view in, std::string& out) {
  size_t n = in.size() < chunk_left_ ? in.size() : static_cast<size_t>(chunk_left_);
  chunk_left_ -= n;
  if (!swallow_) {
    size_ += n;
    take_body(in.substr(0, n));
  }
  if (chunk_left_ == 0) {
    if (last_chunk_) count_hurry(in.substr(n));
    finish_chunk(out);
  }
  return n;
}

void Session::finish_chunk(std::string& out) {
  mode_ = Mode::command;
  if (swallow_) {
    swallow_ = false;
    return refuse(out, chunk_code_, chunk_code_ == 503 ? "no valid recipients" : "as asked");
  }
  if (last_chunk_) return finish_message(out, false);
  say(out, "250", "2.0.0", "chunk taken");
}

size_t Session::take_data(std::string_view in, std::string& out) {
  bool done = false;
  size_t n = dots_.feed(in, done, [this](std::string_view piece) { take_body(piece); });
  size_ += n;
  if (done) {
    size_ -= size_ < 3 ? size_ : 3;
    mode_ = Mode::command;
    count_hurry(in.substr(n));
    finish_message(out, false);
  }
  return n;
}

// `rest` came together with an end of data. A QUIT there harms nobody.
void Session::count_hurry(std::string_view rest) {
  if (!rest.empty() && verb_of(rest.substr(0, 4)) != Verb::quit) world_.counters.after_dot.add();
}

void Session::take_body(std::string_view piece) {
  header_.feed(piece);
  if (!world_.options.content_dir.empty() && size_ <= world_.options.offer.max_size) {
    content_.append(piece);
  }
}

// All content is here. Stored first, then answered: what may go wrong between is after_dot.
void Session::finish_message(std::string& out, bool after_pause) {
  if (!after_pause && delayed(Stage::dot, Held::dot, {})) return;
  if (!passes(Stage::dot, out)) return clear_transaction();
  if (size_ > world_.options.offer.max_size) {
    clear_transaction();
    return refuse(out, 552, "too big");
  }
  if (!keep_content()) {
    clear_transaction();
    return refuse(out, 452, "cannot store");
  }
  world_.counters.messages.add();
  if (under_tls_) world_.counters.tls_messages.add();
  world_.counters.recipients.add(recipient_count_);
  world_.counters.bytes.add(size_);
  unanswered_.append(ledger_lines());
  if (delayed(Stage::after_dot, Held::reply, {})) return;
  answer_message(out);
}

void Session::answer_message(std::string& out) {
  clear_transaction();
  if (!passes(Stage::after_dot, out)) return;
  answered_.append(unanswered_);
  unanswered_.clear();
  say(out, "250", "2.0.0", "queued");
}

bool Session::delayed(Stage stage, Held held, std::string_view line) {
  for (const Delay& delay : world_.options.rules[static_cast<size_t>(stage)].delays) {
    if (!dice_.hit(delay.probability)) continue;
    if (held == Held::line) line_.assign(line);
    held_ = held;
    pause_ns_ = delay.ns;
    step_ = Step::paused;
    return true;
  }
  return false;
}

bool Session::passes(Stage stage, std::string& out) {
  for (const Fault& fault : world_.options.rules[static_cast<size_t>(stage)].faults) {
    if (!dice_.hit(fault.probability)) continue;
    switch (fault.kind) {
      case FaultKind::fail:
        refuse(out, fault.code, "as asked");
        break;
      case FaultKind::drop:
        world_.counters.drops.add();
        step_ = Step::finish;
        break;
      case FaultKind::reset:
        world_.counters.resets.add();
        step_ = Step::reset;
        break;
    }
    return false;
  }
  return true;
}

void Session::refuse(std::string& out, int code, std::string_view text) {
  char digits[3] = {static_cast<char>('0' + code / 100), static_cast<char>('0' + code / 10 % 10),
                    static_cast<char>('0' + code % 10)};
  world_.counters.refused.add();
  say(out, std::string_view(digits, 3), code < 500 ? "4.3.0" : "5.3.0", text);
  if (code == 421) step_ = Step::finish;
}

// A mistake of the client; too many of them end the session.
void Session::wrong(std::string& out, int code, std::string_view text) {
  refuse(out, code, text);
  if (++errors_ >= kMaxErrors && step_ == Step::ready) refuse(out, 421, "too many errors");
}

void Session::say(std::string& out, std::string_view code, std::string_view enhanced,
                  std::string_view text) {
  out.append(code).push_back(' ');
  if (world_.options.offer.enhanced && greeted_) out.append(enhanced).push_back(' ');
  out.append(text).append("\r\n");
}

void Session::begin_content() {
  has_content_ = true;
  size_ = 0;
  content_.clear();
  header_.begin(world_.options.id_header);
}

void Session::clear_transaction() {
  in_mail_ = false;
  has_content_ = false;
  recipient_count_ = 0;
  recipients_.clear();
}

}  // namespace veredus::sink
