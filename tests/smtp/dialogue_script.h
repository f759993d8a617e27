#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/smtp/dialogue.h"

// The dialogue tables: tests/smtp/dialogues/*.txt. One line, one event, played in order:
//
//   # words          a comment
//   set WORD...      no-pipelining, no-chunking, early, tls, tls-required, implicit (TLS from
//                    the connection on), auth (credentials: relay-user, "s3cret word"),
//                    auth-login (by LOGIN only), auth-clear (also in clear) (before all else)
//   S: text          the server sends this line, CRLF is added. \r \n \0 \t \\ \xHH are bytes,
//                    {text*N} is text N times. Neighbouring S lines come in one chunk.
//   S&: text         likewise; in the same chunk as the line before also when the table is played
//                    byte by byte: nothing is sent in between
//   S+: text         like S:, without CRLF
//   C: text          the dialogue has written this line (all of them, in order, before the next S)
//   offer NAME ...   from=, to= (repeated; (empty) for none), size=, 8bit, tls; bytes escaped as
//   above content NAME dot|exact
//                    the dialogue wants the content of NAME sent now, with a final dot or without;
//                    it is handed over whole
//   partly NAME dot|exact
//                    likewise, but only some of it is handed over
//   lost | timeout | shutdown | quit | handshake | handshake-fails
//   step WORD        what the last call said: wait, send_content, idle, start_tls or closing
//   -> NAME I RESULT key=value...
//                    the next outcome, of recipient I of NAME; `-> session key=value...` that of
//                    the session. Keys: stage code status rule class kind scope text (a part of
//                    it); the word `again` stands for a new transaction at once. Blanks as _,
//                    alternatives parted by | (byte by byte a stray reply shows at its first byte,
//                    when its code is not known yet).
//
// At its end every recipient that was offered has its outcome.

namespace veredus::smtp_test {

struct Line {
  enum class Type : uint8_t {
    server,
    client,
    offer,
    content,
    partly,
    event,
    step,
    outcome,
  };
  Type type = Type::event;
  int number = 0;
  bool same_chunk = false;         // server
  std::string bytes;               // server, client
  std::vector<std::string> words;  // the others; values not unescaped
};

struct Script {
  std::string name;
  bool pipelining = true;
  bool chunking = true;
  bool early = false;
  smtp::TlsUse tls = smtp::TlsUse::none;
  bool implicit = false;
  std::shared_ptr<smtp::Credentials> credentials;
  std::vector<Line> lines;
  size_t server_bytes = 0;
};

Script read_script(const std::string& path);
std::string unescape(const std::string& text);

enum class Cut : uint8_t { none, lost, timed_out };

// How to play it.
struct Play {
  bool byte_by_byte = false;
  // Where the server falls silent, in bytes it has sent; at the end of the table when it sends
  // fewer.
  size_t server_bytes = SIZE_MAX;
  Cut cut = Cut::none;
};

// Plays the table and checks it with the invariants: each offered recipient has exactly one outcome
// after a cut; it is in doubt exactly when its content was out and no reply had settled it.
// Failures are reported through GoogleTest, with `script.name` and line.
void play(const Script& script, const Play& how);

}  // namespace veredus::smtp_test
