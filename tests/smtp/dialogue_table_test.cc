#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "engine/smtp/dialogue.h"
#include "tests/smtp/dialogue_script.h"

namespace veredus::smtp_test {

using smtp::Outcome;
using smtp::Step;

std::string unescape(const std::string& text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '{') {
      size_t end = i;
      for (int depth = 0; end < text.size(); ++end) {
        depth += text[end] == '{' ? 1 : text[end] == '}' ? -1 : 0;
        if (depth == 0) break;
      }
      const size_t star = text.rfind('*', end);
      const std::string piece = unescape(text.substr(i + 1, star - i - 1));
      for (int n = std::stoi(text.substr(star + 1)); n > 0; --n) out += piece;
      i = end;
    } else if (text[i] == '\\') {
      switch (text.at(++i)) {
        case 'r':
          out += '\r';
          break;
        case 'n':
          out += '\n';
          break;
        case 't':
          out += '\t';
          break;
        case '0':
          out += '\0';
          break;
        case 'x':
          out += static_cast<char>(std::stoi(text.substr(i + 1, 2), nullptr, 16));
          i += 2;
          break;
        default:
          out += text[i];
      }
    } else {
      out += text[i];
    }
  }
  return out;
}

namespace {

std::vector<std::string> split(const std::string& text) {
  std::istringstream in(text);
  std::vector<std::string> words;
  for (std::string word; in >> word;) words.push_back(word);
  return words;
}

// True when `line` starts with `front`, which is then taken off with one blank.
bool take(std::string& line, const std::string& front) {
  if (!line.starts_with(front)) return false;
  line.erase(0, front.size());
  if (line.starts_with(' ')) line.erase(0, 1);
  return true;
}

void apply_setting(Script& script, const std::string& word) {
  if (word == "no-pipelining") {
    script.pipelining = false;
  } else if (word == "no-chunking") {
    script.chunking = false;
  } else if (word == "early") {
    script.early = true;
  } else if (word == "tls") {
    script.tls = smtp::TlsUse::opportunistic;
  } else if (word == "tls-required") {
    script.tls = smtp::TlsUse::required;
  } else if (word == "implicit") {
    script.implicit = true;
  } else if (word == "auth") {
    script.credentials = std::make_shared<smtp::Credentials>();
    script.credentials->user = "relay-user";
    script.credentials->password = "s3cret word";
  } else if (word == "auth-login" && script.credentials != nullptr) {
    script.credentials->mechanism = smtp::Credentials::Mechanism::login;
  } else if (word == "auth-clear" && script.credentials != nullptr) {
    script.credentials->allow_in_clear = true;
  } else {
    ADD_FAILURE() << script.name << ": unknown setting " << word;
  }
}

Line::Type type_of(const std::string& word) {
  if (word == "offer") return Line::Type::offer;
  if (word == "content") return Line::Type::content;
  if (word == "partly") return Line::Type::partly;
  if (word == "step") return Line::Type::step;
  if (word == "->") return Line::Type::outcome;
  return Line::Type::event;
}

}  // namespace

Script read_script(const std::string& path) {
  Script script;
  script.name = std::filesystem::path(path).filename().string();
  std::ifstream in(path);
  int number = 0;
  for (std::string text; std::getline(in, text);) {
    Line line;
    line.number = ++number;
    if (text.empty() || text[0] == '#') continue;
    if (take(text, "S:")) {
      line.type = Line::Type::server;
      line.bytes = unescape(text) + "\r\n";
    } else if (take(text, "S&:")) {
      line.type = Line::Type::server;
      line.same_chunk = true;
      line.bytes = unescape(text) + "\r\n";
    } else if (take(text, "S+:")) {
      line.type = Line::Type::server;
      line.bytes = unescape(text);
    } else if (take(text, "C:")) {
      line.type = Line::Type::client;
      line.bytes = unescape(text) + "\r\n";
    } else {
      line.words = split(text);
      if (line.words[0] == "set") {
        for (size_t i = 1; i < line.words.size(); ++i) apply_setting(script, line.words[i]);
        continue;
      }
      line.type = type_of(line.words[0]);
    }
    if (line.type == Line::Type::server) script.server_bytes += line.bytes.size();
    script.lines.push_back(std::move(line));
  }
  return script;
}

namespace {

// A transaction as the table offers it, with what the player knows of it by itself.
struct Offered {
  std::string from;
  std::string envid;
  std::vector<std::string> to;
  std::vector<std::string_view> views;
  smtp::Transaction transaction;
  bool content_out = false;
  std::set<size_t> settled;
};

struct Got {
  Outcome outcome;
  std::string text;
};

class Player {
 public:
  Player(const Script& script, const Play& how) : script_(script), how_(how) {
    settings_.ehlo_name = "client.example";
    settings_.use_pipelining = script.pipelining;
    settings_.use_chunking = script.chunking;
    settings_.allow_early_mail = script.early;
    settings_.tls = script.tls;
    settings_.implicit_tls = script.implicit;
    settings_.credentials = script.credentials;
  }

  void run() {
    step_ = dialogue_.connected(output_);
    act();
    for (at_ = 0; at_ < script_.lines.size() && !cut_; ++at_) {
      play_line(script_.lines[at_]);
      if (testing::Test::HasFailure()) return;
    }
    if (how_.cut != Cut::none) {
      cut();
    } else {
      EXPECT_EQ(sent_, "") << where() << "was written, and no C: line says so";
      EXPECT_TRUE(got_.empty()) << where() << "an outcome that no -> line says";
    }
    for (const auto& [name, offered] : offered_) {
      EXPECT_EQ(offered->settled.size(), offered->to.size()) << where() << name;
    }
    EXPECT_EQ(dialogue_.unsettled(), 0u) << where();
  }

 private:
  std::string where() const {
    const size_t line = std::min(at_, script_.lines.size() - 1);
    std::ostringstream out;
    out << script_.name << ":" << script_.lines[line].number
        << (how_.byte_by_byte ? " (byte by byte" : " (whole");
    if (how_.cut != Cut::none) out << ", cut after " << how_.server_bytes;
    out << "): ";
    return out.str();
  }

  void play_line(const Line& line) {
    switch (line.type) {
      case Line::Type::server:
        return serve(line);
      case Line::Type::client:
        EXPECT_TRUE(sent_.starts_with(line.bytes)) << where() << "written: " << sent_;
        sent_.erase(0, line.bytes.size());
        return;
      case Line::Type::offer:
        return offer(line.words);
      case Line::Type::content:
      case Line::Type::partly:
        return content(line);
      case Line::Type::event:
        return event(line.words[0]);
      case Line::Type::step:
        EXPECT_EQ(step_name(), line.words[1]) << where();
        return;
      case Line::Type::outcome:
        ASSERT_FALSE(got_.empty()) << where() << "no outcome";
        match(line.words, got_.front());
        got_.erase(got_.begin());
        return;
    }
  }

  std::string step_name() const {
    switch (step_.act) {
      case Step::Act::wait:
        return "wait";
      case Step::Act::send_content:
        return "send_content";
      case Step::Act::idle:
        return "idle";
      case Step::Act::start_tls:
        return "start_tls";
      case Step::Act::closing:
        return "closing";
    }
    return "";
  }

  // The chunk that starts with this line: it and the S lines behind it.
  void serve(const Line& first) {
    EXPECT_EQ(sent_, "") << where() << "was written, and no C: line says so";
    std::string chunk = first.bytes;
    std::vector<size_t> may_act;  // byte by byte: after which bytes
    const auto mark = [&](size_t from) {
      for (size_t i = from + 1; i <= chunk.size(); ++i) may_act.push_back(i);
    };
    mark(0);
    while (at_ + 1 < script_.lines.size() && script_.lines[at_ + 1].type == Line::Type::server) {
      const Line& next = script_.lines[++at_];
      const size_t from = chunk.size();
      chunk += next.bytes;
      if (next.same_chunk) {
        // Nothing is acted upon from the end of the line before up to the end of this one.
        may_act.erase(std::remove(may_act.begin(), may_act.end(), from), may_act.end());
        may_act.push_back(chunk.size());
      } else {
        mark(from);
      }
    }
    const bool all = chunk.size() <= how_.server_bytes - served_;
    if (!all) chunk.resize(how_.server_bytes - served_);
    served_ += chunk.size();
    cut_ = !all;
    if (how_.byte_by_byte) {
      size_t mark_at = 0;
      for (size_t i = 0; i < chunk.size(); ++i) {
        step_ = feed(dialogue_, parser_, std::string_view(chunk).substr(i, 1), output_);
        while (mark_at < may_act.size() && may_act[mark_at] < i + 1) ++mark_at;
        if (mark_at < may_act.size() && may_act[mark_at] == i + 1) act();
      }
    } else {
      step_ = feed(dialogue_, parser_, chunk, output_);
    }
    act();
  }

  // What a session does after each call.
  void act() {
    for (const Outcome& outcome : output_.outcomes) {
      note(outcome);
      got_.push_back({outcome, std::string(output_.text(outcome))});
    }
    if (step_.act == Step::Act::closing) {
      EXPECT_EQ(output_.bytes, "") << where() << "bytes at closing";
      EXPECT_TRUE(dialogue_.closed()) << where();
    }
    sent_ += output_.bytes;
    const bool wrote = !output_.bytes.empty();
    if (step_.act == Step::Act::send_content) {
      wanted_ = step_.transaction;
      tail_ = step_.tail;
    } else if (step_.act == Step::Act::closing) {
      wanted_ = nullptr;
    }
    output_.clear();
    if (wrote) dialogue_.commands_sent();
  }

  // Every outcome, whatever the table says of it.
  void note(const Outcome& outcome) {
    for (const char* secret : {"s3cret", "AHJlbGF5", "czNjcmV0"}) {
      EXPECT_EQ(output_.text(outcome).find(secret), std::string_view::npos) << where() << secret;
    }
    if (outcome.transaction == nullptr) {
      EXPECT_EQ(++session_outcomes_, 1) << where() << "the session ended twice";
      return;
    }
    Offered* offered = nullptr;
    for (auto& [name, other] : offered_) {
      if (&other->transaction == outcome.transaction) offered = other.get();
    }
    ASSERT_NE(offered, nullptr) << where() << "an outcome for what was not offered";
    ASSERT_LT(outcome.recipient, offered->to.size()) << where();
    EXPECT_TRUE(offered->settled.insert(outcome.recipient).second)
        << where() << "recipient " << outcome.recipient << " has two outcomes";
    if (outcome.verdict.result == smtp::Result::delivered) {
      EXPECT_TRUE(offered->content_out) << where() << "delivered before the content was out";
    }
  }

  void offer(const std::vector<std::string>& words) {
    auto offered = std::make_unique<Offered>();
    for (size_t i = 2; i < words.size(); ++i) {
      const std::string& word = words[i];
      if (word.starts_with("from=")) {
        offered->from = unescape(word.substr(5));
      } else if (word.starts_with("to=")) {
        offered->to.push_back(unescape(word.substr(3)));
      } else if (word.starts_with("size=")) {
        offered->transaction.size = std::stoull(word.substr(5));
      } else if (word == "8bit") {
        offered->transaction.eight_bit = true;
      } else if (word == "utf8-header") {
        offered->transaction.eight_bit = offered->transaction.header_utf8 = true;
      } else if (word == "signed") {
        offered->transaction.why_eight_bit = "its DKIM signature would break";
      } else if (word == "tls") {
        offered->transaction.needs_tls = true;
      } else if (word.starts_with("notify=")) {
        offered->transaction.dsn.notify = static_cast<uint8_t>(std::stoi(word.substr(7)));
      } else if (word.starts_with("ret=")) {
        offered->transaction.dsn.ret = word == "ret=full" ? 1 : 2;
      } else if (word.starts_with("envid=")) {
        offered->envid = unescape(word.substr(6));
        offered->transaction.dsn.envid = offered->envid;
      } else {
        ADD_FAILURE() << where() << "unknown word " << word;
      }
    }
    for (std::string& address : offered->to) {
      if (address == "(empty)") address.clear();
    }
    offered->views.assign(offered->to.begin(), offered->to.end());
    offered->transaction.reverse_path = offered->from;
    offered->transaction.recipients = offered->views;
    ASSERT_TRUE(dialogue_.may_offer()) << where();
    Offered* kept = offered.get();
    ASSERT_TRUE(offered_.emplace(words[1], std::move(offered)).second) << where();
    step_ = dialogue_.offer(kept->transaction, output_);
    act();
  }

  void content(const Line& line) {
    Offered& offered = *offered_.at(line.words[1]);
    EXPECT_EQ(sent_, "") << where() << "was written, and no C: line says so";
    ASSERT_EQ(wanted_, &offered.transaction) << where() << "content is not wanted";
    EXPECT_EQ(tail_, line.words[2] == "dot" ? ".\r\n" : "") << where();
    EXPECT_EQ(dialogue_.deadline_phase(), smtp::Phase::body) << where();
    wanted_ = nullptr;
    if (line.type == Line::Type::partly) return;
    dialogue_.content_sent();
    offered.content_out = true;
    EXPECT_EQ(dialogue_.deadline_phase(), smtp::Phase::end_of_data) << where();
  }

  void event(const std::string& word) {
    if (word == "lost") {
      step_ = dialogue_.lost(smtp::Reason::connection_lost, output_);
    } else if (word == "timeout") {
      step_ = dialogue_.timed_out(output_);
    } else if (word == "shutdown") {
      step_ = dialogue_.lost(smtp::Reason::local_close, output_);
    } else if (word == "quit") {
      ASSERT_TRUE(dialogue_.idle()) << where();
      step_ = dialogue_.quit(output_);
    } else if (word == "handshake") {
      ASSERT_EQ(step_name(), "start_tls") << where();
      step_ = dialogue_.tls_ready(output_);
    } else if (word == "handshake-fails") {
      ASSERT_EQ(dialogue_.phase(), smtp::Phase::tls) << where();
      step_ = dialogue_.tls_failed("no shared cipher", output_);
    } else {
      ADD_FAILURE() << where() << "unknown event " << word;
    }
    act();
  }

  // The server is silent for good: what was got is what the table says up to here, and the rest
  // follows from what the player itself has handed over.
  void cut() {
    size_t line = at_;
    for (const Got& got : got_) {
      while (line < script_.lines.size() && script_.lines[line].type != Line::Type::outcome) ++line;
      ASSERT_LT(line, script_.lines.size()) << where() << "an outcome that no -> line says";
      match(script_.lines[line++].words, got);
    }
    got_.clear();
    const bool was_closed = dialogue_.closed();
    const bool quitting = dialogue_.phase() == smtp::Phase::quit;
    const int outcomes_before = session_outcomes_;
    step_ = how_.cut == Cut::lost ? dialogue_.lost(smtp::Reason::connection_lost, output_)
                                  : dialogue_.timed_out(output_);
    act();
    EXPECT_EQ(step_name(), "closing") << where();
    EXPECT_EQ(session_outcomes_ - outcomes_before, was_closed || quitting ? 0 : 1) << where();
    for (const Got& got : got_) {
      if (got.outcome.transaction == nullptr) continue;
      bool out = false;
      for (const auto& [name, offered] : offered_) {
        if (&offered->transaction == got.outcome.transaction) out = offered->content_out;
      }
      EXPECT_EQ(got.outcome.verdict.result, out ? smtp::Result::in_doubt : smtp::Result::later)
          << where() << got.outcome.recipient << " " << got.text;
    }
  }

  void match(const std::vector<std::string>& words, const Got& got) {
    const Outcome& outcome = got.outcome;
    size_t first_key = 4;
    if (words.at(1) == "session") {
      EXPECT_EQ(outcome.transaction, nullptr) << where() << got.text;
      first_key = 2;
    } else {
      const auto offered = offered_.find(words[1]);
      ASSERT_NE(offered, offered_.end()) << where();
      EXPECT_EQ(outcome.transaction, &offered->second->transaction) << where();
      EXPECT_EQ(std::to_string(outcome.recipient), words.at(2)) << where() << got.text;
      EXPECT_EQ(name_of(outcome.verdict.result), words.at(3)) << where() << got.text;
    }
    bool again = false;
    for (size_t i = first_key; i < words.size(); ++i) {
      if (words[i] == "again") {
        again = true;
        continue;
      }
      const size_t equals = words[i].find('=');
      ASSERT_NE(equals, std::string::npos) << where() << words[i];
      match_key(words[i].substr(0, equals), words[i].substr(equals + 1), got);
    }
    EXPECT_EQ(outcome.verdict.new_transaction, again) << where() << outcome.verdict.rule;
  }

  // What the outcome has under `key`.
  std::string value_of(const std::string& key, const Got& got) const {
    const Outcome& outcome = got.outcome;
    const smtp::EnhancedStatus& status = outcome.enhanced;
    if (key == "stage") return std::string(name_of(outcome.stage));
    if (key == "code") return std::to_string(outcome.code);
    if (key == "status") {
      return std::to_string(status.status_class) + "." + std::to_string(status.subject) + "." +
             std::to_string(status.detail);
    }
    if (key == "rule") return std::string(outcome.verdict.rule);
    if (key == "class") return std::string(name_of(outcome.verdict.bounce_class));
    if (key == "kind") return std::string(name_of(outcome.verdict.kind));
    if (key == "scope") return std::string(name_of(outcome.verdict.scope));
    return key == "text" ? got.text : "unknown key " + key;
  }

  void match_key(const std::string& key, const std::string& expected, const Got& got) {
    const std::string value = value_of(key, got);
    std::istringstream alternatives(expected);
    for (std::string one; std::getline(alternatives, one, '|');) {
      std::replace(one.begin(), one.end(), '_', key == "rule" ? '_' : ' ');
      if (key == "text" ? value.find(one) != std::string::npos : value == one) return;
    }
    ADD_FAILURE() << where() << key << " is " << value << ", not " << expected << ": " << got.text;
  }

  const Script& script_;
  const Play& how_;
  smtp::DialogueSettings settings_;
  smtp::Dialogue dialogue_{&settings_};
  smtp::ReplyParser parser_;
  smtp::Output output_;
  Step step_;
  size_t at_ = 0;
  size_t served_ = 0;
  bool cut_ = false;
  int session_outcomes_ = 0;
  std::string sent_;  // written by the dialogue, not yet asked for by a C: line
  const smtp::Transaction* wanted_ = nullptr;
  std::string_view tail_;
  std::map<std::string, std::unique_ptr<Offered>> offered_;
  std::vector<Got> got_;
};

}  // namespace

void play(const Script& script, const Play& how) {
  Player(script, how).run();
}

namespace {

std::vector<std::string> tables() {
  std::vector<std::string> names;
  for (const auto& entry :
       std::filesystem::directory_iterator(VEREDUS_SOURCE "/tests/smtp/dialogues")) {
    if (entry.path().extension() == ".txt") names.push_back(entry.path().stem().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

class DialogueTable : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    script_ = read_script(VEREDUS_SOURCE "/tests/smtp/dialogues/" + GetParam() + ".txt");
    ASSERT_FALSE(script_.lines.empty());
  }

  // After every byte; of the few very long ones, every byte near both ends and some in between.
  void cut_everywhere(bool byte_by_byte, Cut cut) {
    for (size_t at = 0; at <= script_.server_bytes && !HasFailure(); ++at) {
      if (at > 600 && at + 400 < script_.server_bytes && at % 997 != 0) continue;
      play(script_, {byte_by_byte, at, cut});
    }
  }

  Script script_;
};

TEST_P(DialogueTable, Whole) {
  play(script_, {});
}
TEST_P(DialogueTable, ByteByByte) {
  play(script_, {true, SIZE_MAX, Cut::none});
}
TEST_P(DialogueTable, LostAfterEveryByte) {
  cut_everywhere(true, Cut::lost);
}
TEST_P(DialogueTable, TimedOutAfterEveryByte) {
  cut_everywhere(false, Cut::timed_out);
}

INSTANTIATE_TEST_SUITE_P(Tables, DialogueTable, testing::ValuesIn(tables()), [](const auto& table) {
  std::string name = table.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

TEST(DialogueTables, AreAllThere) {
  EXPECT_GE(tables().size(), 30u);
}

}  // namespace
}  // namespace veredus::smtp_test
