// One SMTP session of the sink: octets in, replies out. It knows no socket, ring or clock of its
// own.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>

#include "tools/sink/content.h"
#include "tools/sink/counters.h"
#include "tools/sink/greylist.h"
#include "tools/sink/ledger.h"
#include "tools/sink/mischief.h"
#include "tools/sink/options.h"
#include "tools/sink/tls.h"

namespace veredus::sink {

// What the sessions of one thread share. Everything outlives them.
struct World {
  const Options& options;
  Counters& counters;
  Ledger& ledger;
  Greylist& greylist;
  const TlsContext* tls;  // null: STARTTLS is not offered
  int thread;
  uint64_t next_message = 0;  // its number, as the content directory's files have it
};

// What the connection has to do next.
enum class Step : uint8_t {
  ready,   // everything was read; more input is welcome
  paused,  // wait pause_ns(), then resume(); input that was not read is kept for afterwards
  finish,  // send what there is, then close
  reset,   // close with RST, at once
  tls,     // what is in `out` goes in clear, then TLS; begin_tls() says how
};

class Session {
 public:
  // `number` numbers the connections of a thread; it selects the dice.
  Session(World& world, uint64_t number);

  // The greeting.
  Step open(std::string& out);
  // Reads `in` and appends replies to `out`. `used` is less than in.size() only where the step is
  // not `ready`.
  Step feed(std::string_view in, size_t& used, std::string& out);
  // After Step::tls: whether the handshake is begun (`ready`), later, or never. Clear octets that
  // came with STARTTLS must not be read.
  Step begin_tls();
  // The handshake is over: all that was said in clear is forgotten (RFC 3207 section 4.2).
  void on_tls();
  // After a pause: does what was put off. Then input can go on, if the step is `ready`.
  Step resume(std::string& out);
  int64_t pause_ns() const { return pause_ns_; }

  // Ledger lines (see ledger.h) of the messages whose 250 stands in `out` since the caller last
  // cleared them.
  std::string& answered() { return answered_; }
  // Ledger lines of a stored message whose reply will not be sent if the connection ends now.
  std::string& unanswered() { return unanswered_; }
  bool in_transaction() const { return in_mail_; }

 private:
  enum class Mode : uint8_t { command, data, chunk };
  enum class Held : uint8_t { nothing, greeting, line, dot, reply, handshake };
  static constexpr size_t kMaxLine = 4096;
  static constexpr int kMaxErrors = 20;

  size_t take_command(std::string_view in, std::string& out);
  size_t take_data(std::string_view in, std::string& out);
  size_t take_chunk(std::string_view in, std::string& out);
  void count_hurry(std::string_view rest);
  void take_body(std::string_view piece);

  void act(std::string_view line, std::string& out, bool after_pause);
  void greet(std::string& out);
  void on_hello(std::string_view line, bool extended, std::string& out);
  void on_mail(std::string_view line, std::string& out);
  void on_rcpt(std::string_view line, std::string& out);
  void on_starttls(std::string& out);
  void on_data(std::string& out);
  void on_bdat(std::string_view line, std::string& out, bool after_pause);
  void finish_chunk(std::string& out);
  void finish_message(std::string& out, bool after_pause);
  void answer_message(std::string& out);
  bool keep_content();
  std::string ledger_lines();

  bool delayed(Stage stage, Held held, std::string_view line);
  bool passes(Stage stage, std::string& out);
  void refuse(std::string& out, int code, std::string_view text);
  void wrong(std::string& out, int code, std::string_view text);
  void say(std::string& out, std::string_view code, std::string_view enhanced,
           std::string_view text);
  void begin_content();
  void clear_transaction();

  World& world_;
  Dice dice_;
  Mode mode_ = Mode::command;
  Step step_ = Step::ready;
  Held held_ = Held::nothing;
  bool greeted_ = false;
  bool under_tls_ = false;
  bool in_mail_ = false;
  bool last_chunk_ = false;
  bool swallow_ = false;  // the chunk is read and thrown away; chunk_code_ answers it
  bool has_content_ = false;
  bool utf8_ = false;  // the transaction has SMTPUTF8
  int chunk_code_ = 0;
  int errors_ = 0;
  uint32_t recipient_count_ = 0;
  uint32_t mails_ = 0;  // that were begun
  uint64_t chunk_left_ = 0;
  uint64_t size_ = 0;
  int64_t pause_ns_ = 0;
  HeaderScan header_;
  DotReader dots_;
  std::string line_;        // an unfinished command line, or the one that a pause holds back
  std::string recipients_;  // each with a '\n' behind it
  std::string content_;     // only with a content directory
  std::string answered_;
  std::string unanswered_;
};

}  // namespace veredus::sink
