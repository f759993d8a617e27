#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/smtp/dialogue.h"

// Drives a Dialogue with arbitrary bytes: they choose settings, what the server says and when, when
// things are submitted, and when the connection ends. The model keeps its own account of which
// command each reply answers, read from the wire, and holds the dialogue to it:
//   - each offered recipient gets exactly one outcome;
//   - delivered: only by a 2xx to the end of data of its own transaction, after a 2xx to its own
//   RCPT;
//   - a reply that began while nothing was owed answers nothing: the session closes;
//   - in doubt exactly when the content was out and no reply to it was understood;
//   - never only by a 5xx to a command of its own, or by its own address;
//   - a next MAIL never goes out before the reply to the end of data, unless the settings allow it;
//   - nothing that was said in clear counts under TLS: not a byte behind the reply to STARTTLS, a
//   part of a line neither, and EHLO comes first; and nothing goes in clear where TLS is required,
//   or for whom it is;
//   - credentials go out where they are configured, under TLS unless they may go in clear, once a
//   session, and nothing else before the 235;
//   - what goes on the wire is a command line, and nothing else, with parameters that were offered;
//   - no address over 127 goes to a host without SMTPUTF8, no such content to one without 8BITMIME.

namespace veredus::smtp_test {

class DialogueModel {
 public:
  DialogueModel(const uint8_t* data, size_t size) : data_(data), size_(size) {
    const uint8_t flags = next();
    settings_.ehlo_name = "client.example";
    settings_.use_pipelining = (flags & 1) == 0;
    settings_.use_chunking = (flags & 2) == 0;
    settings_.allow_early_mail = (flags & 4) != 0;
    prompt_ = (flags & 8) != 0;
    settings_.tls = static_cast<smtp::TlsUse>((flags >> 4 & 3) % 3);
    settings_.implicit_tls = (flags & 64) != 0;
    // Seldom: it is a long way to a delivery then.
    if ((flags & 128) == 0 || next() % 4 != 0) return;
    auto credentials = std::make_shared<smtp::Credentials>();
    credentials->user = "u";
    credentials->password = std::string((flags & 1) == 0 ? 5 : 500, 'p');
    credentials->allow_in_clear = (flags & 8) != 0;
    offers_auth_ = true;
    settings_.credentials = std::move(credentials);
  }

  // What went wrong; empty: nothing.
  std::string run() {
    act(dialogue_.connected(output_));
    if (!settings_.implicit_tls) owed_.push_back({Kind::greeting, nullptr, 0});
    while (at_ < size_ && error_.empty() && !dialogue_.closed()) {
      if (prompt_) submit(true);
      turn();
    }
    act(dialogue_.lost(smtp::Reason::connection_lost, output_));
    for (const auto& offered : offered_) {
      if (offered->outcomes != offered->addresses.size()) fail("a recipient without outcome");
    }
    return error_;
  }
  size_t delivered() const { return delivered_; }

 private:
  enum class Kind : uint8_t { greeting, hello, starttls, auth, mail, rcpt, data, end, rset, quit };
  struct Offered {
    std::vector<std::string> addresses;
    std::vector<std::string_view> views;
    smtp::Transaction transaction;
    std::vector<bool> accepted;
    std::vector<bool> settled;
    size_t outcomes = 0;
    bool content_out = false;
    bool answered = false;  // the end of data
    bool bdat = false;
    bool rcpt_said_sender = false;  // 2.1.0, the words for MAIL
  };
  struct Command {
    Kind kind;
    Offered* offered;
    size_t recipient;
  };

  uint8_t next() { return at_ < size_ ? data_[at_++] : uint8_t{0}; }
  void fail(const std::string& what) {
    if (error_.empty()) error_ = what;
  }

  void turn() {
    const uint8_t what = next();
    switch (what % 16) {
      default:
        return reply(what);
      case 8:
      case 9:
        return offer(what);
      case 10:
        return submit(false);
      case 11:
        return submit(true);
      case 12:
        if (next() % 4 == 0) act(dialogue_.timed_out(output_));
        return;
      case 13:
        if (dialogue_.idle() && next() % 4 == 0) act(dialogue_.quit(output_));
        return;
      case 14:
        return garbage();
    }
  }

  // One reply, in one or two pieces, with or without time to submit in between.
  void reply(uint8_t what) {
    static constexpr const char* kCodes[] = {"250", "250", "250", "354", "550", "450",
                                             "421", "552", "452", "503", "220", "221",
                                             "251", "235", "554", "334"};
    // Mostly what fits: a tame server gets further.
    const bool tame = what % 16 < 6;
    if (what % 16 < 4 && owed_.empty()) return;
    std::string code = kCodes[next() % 16];
    if (tame && !owed_.empty()) {
      const Kind kind = owed_.front().kind;
      code = kind == Kind::greeting || kind == Kind::starttls ? "220"
             : kind == Kind::data                             ? "354"
             : kind == Kind::auth                             ? (auth_left_ > 0 ? "334" : "235")
             : kind == Kind::quit                             ? "221"
                                                              : "250";
    }
    const uint8_t form = next();
    static constexpr const char* kStatus[] = {"",      ".1.0 ", ".1.5 ", ".0.0 ",
                                              ".1.1 ", ".2.2 ", ".5.3 ", ".7.1 "};
    std::string status = kStatus[form % 8];
    if (!status.empty()) status = code.substr(0, 1) + status;
    std::string bytes;
    if (!owed_.empty() && owed_.front().kind == Kind::hello) {
      static constexpr const char* kOffers[] = {"PIPELINING", "CHUNKING", "SIZE 5000", "8BITMIME",
                                                "SMTPUTF8",   "STARTTLS", "DSN"};
      if (offers_auth_ && (what & 96) != 96) bytes += code + "-mx\r\n";
      if (offers_auth_ && (what & 32) == 0) bytes += code + "-AUTH LOGIN\r\n";
      if (offers_auth_ && (what & 64) == 0) bytes += code + "-AUTH=PLAIN\r\n";
      for (unsigned i = 0; i < 7; ++i) {
        if ((form >> i & 1) == 0)
          bytes += code + "-" + (i == 0 ? "mx\r\n" + code + "-" : "") + kOffers[i] + "\r\n";
      }
    } else if ((form & 8) != 0) {
      bytes += code + "-" + status + "first\r\n";
    }
    bytes += code + " " + status + "text\r\n";
    const bool injects = !owed_.empty() && owed_.front().kind == Kind::starttls && (form & 64) != 0;
    if (injects) bytes += (form & 128) != 0 ? "2" : "250 injected\r\n";
    const size_t split = (form & 16) == 0 || injects ? bytes.size() : next() % bytes.size();
    const bool stray = owed_.empty();
    if (split != bytes.size() && split != 0) {
      act(feed(dialogue_, parser_, bytes.substr(0, split), output_));
      if (stray && !dialogue_.closed()) fail("the beginning of a stray reply was let pass");
      if ((form & 32) != 0) submit(true);
    }
    if (dialogue_.closed()) return;
    answering_ = true;
    code_ = static_cast<uint16_t>(std::stoi(code));
    answered_ = stray ? Command{Kind::greeting, nullptr, SIZE_MAX} : owed_.front();
    if (!stray) owed_.pop_front();
    if (!stray && answered_.kind == Kind::auth && code_ == 235) let_in_ = true;
    note_reply(stray, form % 8);
    act(feed(dialogue_, parser_, bytes.substr(split == bytes.size() ? 0 : split), output_));
    answering_ = false;
    if (stray && !dialogue_.closed()) fail("a stray reply was let pass");
    if (code_ == 421 && !dialogue_.closed()) fail("421 and open");
    if (injects && !dialogue_.closed()) fail("bytes behind the reply to STARTTLS were let pass");
  }

  bool good() const { return code_ / 100 == 2 && code_ != 220 && code_ != 221; }

  void note_reply(bool stray, unsigned status) {
    if (stray || answered_.offered == nullptr) return;
    Offered& offered = *answered_.offered;
    if (answered_.kind == Kind::rcpt && good()) {
      offered.accepted[answered_.recipient] = true;
      offered.rcpt_said_sender |= status == 1 && code_ / 100 == 2;
    }
    if (answered_.kind != Kind::end) return;
    // After BDAT: the words for RCPT, where a RCPT got those for MAIL, are no answer to the
    // content.
    const bool shifted = offered.bdat && offered.rcpt_said_sender && status == 2;
    offered.answered = (good() && !shifted) || code_ >= 400;
  }

  void garbage() {
    const size_t size = next() % 8;
    std::string bytes;
    for (size_t i = 0; i < size; ++i) bytes += static_cast<char>(next());
    // It may happen to be a reply; then the account is lost. So it is made to be none.
    bytes += "x\r\n";
    act(feed(dialogue_, parser_, "!" + bytes, output_));
    if (!dialogue_.closed()) fail("garbage was let pass");
  }

  void offer(uint8_t what) {
    if (!dialogue_.may_offer() || !pending_.empty() || wanted_ != nullptr) return;
    auto offered = std::make_unique<Offered>();
    const size_t count = 1 + next() % 5;
    const std::string number = std::to_string(offered_.size());
    for (size_t i = 0; i < count; ++i) {
      const uint8_t kind = next();
      std::string address = "t" + number + "r" + std::to_string(i) + "@example.org";
      if (kind % 16 == 0) address += "\r\nDATA";
      if (kind % 16 == 1) address = "\xc3\xb6" + address;
      if (i == 0) offered->transaction.dsn = {static_cast<uint8_t>(kind >> 4), 0, {}};
      if (kind == 0x42) offered->transaction.dsn = {1, 2, "e=\x20+"};
      offered->addresses.push_back(address);
    }
    offered->views.assign(offered->addresses.begin(), offered->addresses.end());
    offered->accepted.resize(count);
    offered->settled.resize(count);
    offered->transaction.recipients = offered->views;
    offered->transaction.reverse_path = (what & 32) == 0 ? "s@example.net" : "";
    offered->transaction.size = (what & 64) == 0 ? 100 : 10000;
    offered->transaction.eight_bit = (what & 128) != 0;
    offered->transaction.needs_tls = (what & 16) != 0;
    offered_.push_back(std::move(offered));
    writing_ = offered_.back().get();
    act(dialogue_.offer(writing_->transaction, output_));
  }

  // The kernel takes what was written; of content a part, or all.
  void submit(bool all) {
    if (dialogue_.closed()) return;
    owed_.insert(owed_.end(), pending_.begin(), pending_.end());
    pending_.clear();
    if (wanted_ == nullptr || !all) return dialogue_.commands_sent();
    wanted_->content_out = true;
    owed_.push_back({Kind::end, wanted_, 0});
    wanted_ = nullptr;
    dialogue_.content_sent();
  }

  void act(const smtp::Step& step) {
    for (const smtp::Outcome& outcome : output_.outcomes) note(outcome);
    read_wire();
    if (step.act == smtp::Step::Act::closing) {
      if (!dialogue_.closed()) fail("closing and open");
      if (!output_.bytes.empty()) fail("bytes at closing");
      wanted_ = nullptr;
    } else if (step.act == smtp::Step::Act::send_content) {
      if (writing_ == nullptr || step.transaction != &writing_->transaction) {
        fail("content of another transaction");
      } else {
        want_content(step);
      }
    } else if (step.act == smtp::Step::Act::start_tls) {
      if (!settings_.implicit_tls && (code_ != 220 || answered_.kind != Kind::starttls))
        fail("TLS without a 220");
      if (!output_.bytes.empty()) fail("bytes in clear at the handshake");
      output_.clear();
      return handshake();
    } else if ((step.act == smtp::Step::Act::idle) != dialogue_.idle()) {
      fail("idle and not");
    }
    output_.clear();
  }

  void handshake() {
    if (next() % 4 == 0) return act(dialogue_.tls_failed("no shared cipher", output_));
    if (secured_) fail("TLS in TLS");
    if (settings_.implicit_tls) {
      owed_.push_back({Kind::greeting, nullptr, 0});
    } else if (dialogue_.capabilities() == smtp::Capabilities{}) {
      fail("STARTTLS unasked for");
    }
    secured_ = true;
    must_say_ehlo_ = !settings_.implicit_tls;
    const smtp::Step step = dialogue_.tls_ready(output_);
    if (dialogue_.capabilities() != smtp::Capabilities{}) fail("what was said in clear counts");
    act(step);
  }

  void want_content(const smtp::Step& step) {
    if (!step.tail.empty()) {
      bool any = false;
      for (size_t i = 0; i < writing_->accepted.size(); ++i) {
        any |= writing_->accepted[i] && !writing_->settled[i];
      }
      if (!any || code_ / 100 != 3) fail("content for nobody, or without 354");
    }
    wanted_ = writing_;
  }

  // Every line that was written, as a server would read it.
  void read_wire() {
    std::istringstream lines(output_.bytes);
    for (std::string line; std::getline(lines, line);) {
      if (line.empty() || line.back() != '\r') return fail("a line without CR: " + line);
      line.pop_back();
      if (line.find('\r') != std::string::npos) return fail("a bare CR: " + line);
      read_command(line);
    }
  }

  void read_command(const std::string& line) {
    if (std::exchange(must_say_ehlo_, false) && !line.starts_with("EHLO "))
      fail("not EHLO under TLS: " + line);
    if (line.starts_with("AUTH ") || auth_left_ > 0) return read_auth(line);
    if (line.starts_with("EHLO ") || line.starts_with("HELO ")) {
      pending_.push_back({Kind::hello, nullptr, 0});
    } else if (line == "STARTTLS") {
      if (secured_ || settings_.tls == smtp::TlsUse::none) fail("STARTTLS, and not wanted");
      pending_.push_back({Kind::starttls, nullptr, 0});
    } else if (line.starts_with("MAIL FROM:<")) {
      if (settings_.credentials != nullptr && !let_in_) fail("MAIL without AUTH");
      if (!secured_ && (settings_.tls == smtp::TlsUse::required || writing_->transaction.needs_tls))
        fail("MAIL in clear");
      const bool early =
          settings_.allow_early_mail && owed_.size() == 1 && owed_[0].kind == Kind::end;
      if ((!owed_.empty() || !pending_.empty()) && !early) fail("MAIL while a reply is owed");
      check_parameters(line, 11);
      pending_.push_back({Kind::mail, writing_, 0});
    } else if (line.starts_with("RCPT TO:<")) {
      for (size_t i = 0; i < writing_->addresses.size(); ++i) {
        const std::string command = "RCPT TO:<" + writing_->addresses[i] + ">";
        if (!line.starts_with(command)) continue;
        check_parameters(line, 9);
        return pending_.push_back({Kind::rcpt, writing_, i});
      }
      fail("RCPT of nobody: " + line);
    } else if (line == "DATA") {
      pending_.push_back({Kind::data, writing_, 0});
    } else if (line.starts_with("BDAT ")) {
      if (!dialogue_.chunking()) fail("BDAT without CHUNKING");
      writing_->bdat = true;
    } else if (line == ".") {
      pending_.push_back({Kind::end, writing_, 0});
    } else if (line == "RSET") {
      pending_.push_back({Kind::rset, nullptr, 0});
    } else if (line == "QUIT") {
      pending_.push_back({Kind::quit, nullptr, 0});
    } else {
      fail("not a command: " + line);
    }
  }

  // Of MAIL and RCPT: nothing that the host did not offer, no byte over 127 but under SMTPUTF8.
  void check_parameters(const std::string& line, size_t path) {
    static constexpr std::pair<const char*, smtp::Capability> kNeeds[] = {
        {"SIZE=", smtp::Capability::size},
        {"BODY=8BITMIME", smtp::Capability::eight_bit_mime},
        {"SMTPUTF8", smtp::Capability::smtputf8},
        {"RET=", smtp::Capability::dsn},
        {"ENVID=", smtp::Capability::dsn},
        {"NOTIFY=", smtp::Capability::dsn},
        {"ORCPT=", smtp::Capability::dsn}};
    std::istringstream words(line.substr(line.find('>', path) + 1));
    for (std::string word; words >> word;) {
      const auto* const need = std::find_if(std::begin(kNeeds), std::end(kNeeds), [&](auto& each) {
        return word.starts_with(each.first);
      });
      if (need == std::end(kNeeds) || !dialogue_.capabilities().has(need->second))
        fail("a parameter that was not offered: " + line);
    }
    const bool ascii = std::all_of(line.begin(), line.end(), [](char c) { return c >= 0; });
    if (!ascii && !dialogue_.capabilities().has(smtp::Capability::smtputf8))
      fail("UTF-8 without SMTPUTF8: " + line);
    if (writing_->transaction.eight_bit &&
        !dialogue_.capabilities().has(smtp::Capability::eight_bit_mime))
      fail("8-bit content without 8BITMIME");
  }

  void read_auth(const std::string& line) {
    const smtp::Credentials* credentials = settings_.credentials.get();
    if (credentials == nullptr || let_in_) return fail("AUTH unasked for: " + line);
    if (!secured_ && !credentials->allow_in_clear) fail("AUTH in clear");
    pending_.push_back({Kind::auth, nullptr, 0});
    const std::string plain = smtp::plain_response(*credentials);
    if (line.size() > 510 && line.starts_with("AUTH ")) fail("a line of AUTH that is too long");
    if (line == "AUTH LOGIN") {
      auth_left_ = 2;
    } else if (line == "AUTH PLAIN") {
      auth_left_ = 1;
    } else if (line == "QUIT") {
      pending_.back().kind = Kind::quit;
      auth_left_ = 0;
    } else if (auth_left_ > 0) {
      if (line != plain &&
          line != smtp::base64(auth_left_ == 2 ? credentials->user : credentials->password))
        fail("not what AUTH says: " + line);
      --auth_left_;
    } else if (line != "AUTH PLAIN " + plain) {
      fail("not what AUTH says: " + line);
    }
  }

  void note(const smtp::Outcome& outcome) {
    if (outcome.transaction == nullptr) {
      if (ended_) fail("the session ended twice");
      ended_ = true;
      return;
    }
    Offered* offered = nullptr;
    for (const auto& other : offered_) {
      if (&other->transaction == outcome.transaction) offered = other.get();
    }
    if (offered == nullptr || outcome.recipient >= offered->addresses.size())
      return fail("outcome of nobody");
    if (offered->settled[outcome.recipient]) return fail("two outcomes for one recipient");
    offered->settled[outcome.recipient] = true;
    ++offered->outcomes;
    const bool own = answering_ && answered_.offered == offered &&
                     (answered_.kind != Kind::rcpt || answered_.recipient == outcome.recipient);
    switch (outcome.verdict.result) {
      case smtp::Result::delivered:
        ++delivered_;
        if (!own || answered_.kind != Kind::end || !good())
          fail("delivered without a 2xx to its content");
        if (!offered->accepted[outcome.recipient]) fail("delivered without a 2xx to its RCPT");
        return;
      case smtp::Result::in_doubt:
        if (!offered->content_out || offered->answered) fail("in doubt without reason");
        return;
      case smtp::Result::never:
        if (outcome.reason == smtp::Reason::none && (!own || code_ < 500))
          fail("never by the reply of another");
        return;
      case smtp::Result::later:
        if (outcome.reason == smtp::Reason::none && code_ != 421 && !own)
          fail("later by the reply of another");
        if (outcome.reason != smtp::Reason::none && offered->content_out)
          fail("should be in doubt");
        return;
    }
  }

  const uint8_t* data_;
  size_t size_;
  size_t at_ = 0;
  smtp::DialogueSettings settings_;
  bool prompt_ = false;  // submits before anything else happens
  smtp::Dialogue dialogue_{&settings_};
  smtp::ReplyParser parser_;
  smtp::Output output_;
  std::vector<std::unique_ptr<Offered>> offered_;
  Offered* writing_ = nullptr;    // whose commands are being written
  Offered* wanted_ = nullptr;     // whose content is to be submitted
  std::vector<Command> pending_;  // written, not submitted
  std::deque<Command> owed_;      // submitted, not answered
  bool answering_ = false;
  Command answered_{Kind::greeting, nullptr, 0};
  uint16_t code_ = 0;
  bool ended_ = false;
  bool secured_ = false;
  bool offers_auth_ = false;
  bool must_say_ehlo_ = false;  // next, under TLS
  int auth_left_ = 0;           // lines that AUTH has still to say
  bool let_in_ = false;         // 235
  size_t delivered_ = 0;
  std::string error_;
};

}  // namespace veredus::smtp_test
