// A mail server of the simulated world.

#include <algorithm>
#include <cerrno>
#include <charconv>

#include "tests/sim/internet.h"

namespace veredus::sim {

void ServerSide::start(bool refuses) {
  if (refuses) return reply("554 5.7.1 not over this family", true);
  if (internet_.chance(internet_.faults.greeting_refused)) {
    return reply(internet_.chance(0.5) ? "421 4.3.2 not now" : "554 5.7.1 go away", true);
  }
  reply("220 mx.sim ESMTP");
}

// Replies leave in order, each after a latency of its own.
void ServerSide::reply(const std::string& text, bool last, uint64_t confirms) {
  if (dead_) return;
  replies_until_ = std::max(replies_until_ + 1, internet_.clock.mono + internet_.latency());
  if (last) dead_ = true;
  // A second reply only where no other is owed: within a pipelined group nobody could tell it from
  // the next one.
  std::string bytes = text + "\r\n";
  if (confirms != 0 && internet_.chance(internet_.faults.stray_reply))
    bytes += "250 2.0.0 and another\r\n";
  internet_.at(replies_until_, [client = client_, bytes, last, confirms] {
    if (client->data) client->data(bytes, confirms);
    if (last && client->ended) client->ended(0);
  });
}

void ServerSide::reset() {
  if (dead_) return;
  dead_ = true;
  ++internet_.resets;
  internet_.after(internet_.latency(), [client = client_] {
    if (client->ended) client->ended(ECONNRESET);
  });
}

void ServerSide::receive(std::string_view bytes, int64_t sent_mono_ns) {
  if (dead_) return;
  sent_mono_ns_ = sent_mono_ns;
  buffer_.append(bytes);
  while (!dead_) {
    if (in_chunk_) {
      const size_t taken = std::min<uint64_t>(chunk_left_, buffer_.size());
      content_.append(buffer_, 0, taken);
      buffer_.erase(0, taken);
      chunk_left_ -= taken;
      if (chunk_left_ > 0) return;
      in_chunk_ = false;
      if (chunk_last_) {
        end_of_content();
      } else {
        reply("250 2.0.0 chunk");
      }
      continue;
    }
    const size_t end = buffer_.find("\r\n");
    if (end == std::string::npos) {
      if (buffer_.find('\n') != std::string::npos)
        internet_.violations.push_back("a bare LF on the wire");
      return;
    }
    std::string line = buffer_.substr(0, end);
    buffer_.erase(0, end + 2);
    if (!in_data_) {
      command(std::move(line));
    } else if (line == ".") {
      in_data_ = false;
      end_of_content();
    } else {
      content_.append(line, line.starts_with('.') ? 1 : 0);
      content_.append("\r\n");
    }
  }
}

void ServerSide::transaction_over() {
  if (internet_.watcher != nullptr) internet_.watcher->transaction_over(connection_);
}

bool ServerSide::misbehaves() {
  if (internet_.chance(internet_.faults.shutdown_anywhere)) {
    reply("421 4.3.2 shutting down", true);
    return true;
  }
  if (internet_.chance(internet_.faults.reset_anywhere)) {
    reset();
    return true;
  }
  return false;
}

static std::string path_of(const std::string& line) {
  const size_t open = line.find('<');
  const size_t close = line.find('>');
  return open == std::string::npos || close == std::string::npos
             ? ""
             : line.substr(open + 1, close - open - 1);
}

void ServerSide::command(std::string line) {
  const Faults& faults = internet_.faults;
  const bool bdat = line.starts_with("BDAT ");
  if (!bdat && misbehaves()) return;
  if (line.starts_with("EHLO ")) {
    std::string text = "250-mx.sim\r\n250-SIZE 10000000\r\n";
    if (internet_.eight_bit_mime) text += "250-8BITMIME\r\n";
    if (internet_.pipelining) text += "250-PIPELINING\r\n";
    if (internet_.chunking) text += "250-CHUNKING\r\n";
    if (faults.mail_max != 0)
      text += "250-LIMITS MAILMAX=" + std::to_string(faults.mail_max) + "\r\n";
    if (faults.rcpt_max != 0)
      text += "250-LIMITS RCPTMAX=" + std::to_string(faults.rcpt_max) + "\r\n";
    text += "250 ENHANCEDSTATUSCODES";
    if (internet_.chance(faults.farewell_after_ehlo))
      return reply(text + "\r\n421 4.3.2 not now", true);
    return reply(text);
  }
  if (line.starts_with("MAIL FROM:")) {
    if (have_mail_) {
      internet_.violations.push_back("MAIL within a transaction");
      return reply("503 5.5.1 nested MAIL");
    }
    recipients_.clear();
    content_.clear();
    if (faults.mail_max != 0 && ++mails_ > faults.mail_max)
      internet_.violations.push_back("more transactions than MAILMAX says");
    if (faults.messages_max != 0 && messages_++ >= faults.messages_max) {
      return reply("421 4.7.0 too many messages in this session", true);
    }
    if (internet_.chance(faults.mail_refused)) {
      return reply(internet_.chance(0.7) ? "451 4.3.0 later" : "550 5.7.1 not you");
    }
    have_mail_ = true;
    if (internet_.watcher != nullptr) internet_.watcher->transaction(connection_, sent_mono_ns_);
    return reply("250 2.1.0 ok");
  }
  if (line.starts_with("RCPT TO:")) {
    if (!have_mail_) return reply("503 5.5.1 MAIL first");
    const auto answer = [&](const std::string& text, bool accepted) {
      if (internet_.watcher != nullptr)
        internet_.watcher->recipient(connection_, path_of(line), accepted);
      reply(text);
    };
    if (internet_.chance(faults.recipient_later)) return answer(faults.later_reply, false);
    if (internet_.chance(faults.recipient_never)) return answer("550 5.1.1 no such user", false);
    if (!recipients_.empty() && internet_.chance(faults.recipients_too_many))
      return answer("452 4.5.3 too many", false);
    recipients_.push_back(path_of(line));
    if (faults.rcpt_max != 0 && recipients_.size() > faults.rcpt_max)
      internet_.violations.push_back("more recipients than RCPTMAX says");
    return answer("250 2.1.5 ok", true);
  }
  if (line == "DATA") {
    if (!have_mail_ || recipients_.empty()) return reply("503 5.5.1 RCPT first");
    if (internet_.chance(faults.data_refused)) {
      transaction_over();
      return reply("451 4.3.0 not now");
    }
    in_data_ = true;
    return reply("354 go on");
  }
  if (bdat) {
    chunk_left_ = 0;
    std::from_chars(line.data() + 5, line.data() + line.size(), chunk_left_);
    chunk_last_ = line.ends_with(" LAST");
    in_chunk_ = true;
    return;
  }
  if (line == "RSET") {
    have_mail_ = false;
    transaction_over();
    recipients_.clear();
    return reply("250 2.0.0 ok");
  }
  transaction_over();
  if (line == "QUIT") return reply("221 2.0.0 bye", true);
  internet_.violations.push_back("a command that is none: " + line);
  reply("500 5.5.1 what?");
}

void ServerSide::end_of_content() {
  const Faults& faults = internet_.faults;
  const bool usable = have_mail_ && !recipients_.empty();
  have_mail_ = false;
  if (internet_.watcher != nullptr) internet_.watcher->content(connection_, content_.size());
  transaction_over();
  if (!usable) return reply("503 5.5.1 no recipients");
  if (misbehaves()) return;
  if (internet_.chance(faults.content_later)) return reply("451 4.3.0 later");
  if (internet_.chance(faults.content_never)) return reply("554 5.6.0 not this");
  const bool withheld = internet_.chance(faults.reset_before_reply);
  std::string mark;
  if (const size_t at = content_.find("X-Mark: "); at != std::string::npos) {
    mark = content_.substr(at + 8, content_.find("\r\n", at) - at - 8);
  }
  const uint64_t transaction = ++internet_.transactions;
  for (const std::string& recipient : recipients_)
    internet_.ledger[recipient].push_back(
        {internet_.clock.mono, life_, mark, transaction, internet_.keeps_content ? content_ : ""});
  ++internet_.taken;
  if (withheld) return reset();
  reply("250 2.0.0 stored", false, transaction);
}

}  // namespace veredus::sim
