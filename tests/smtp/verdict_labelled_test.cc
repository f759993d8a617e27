#include <fstream>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "engine/smtp/reply.h"
#include "engine/smtp/reply_rule_file.h"
#include "engine/smtp/verdict.h"

// Replies that receivers are known to give, from labelled_replies.txt: each with its public source,
// and with what it must be judged as.

namespace veredus::smtp {
namespace {

struct Label {
  std::string place, source, expected, reply;
  Phase stage = Phase::rcpt;
};

std::string trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(' ');
  if (begin == std::string_view::npos) return "";
  return std::string(text.substr(begin, text.find_last_not_of(' ') - begin + 1));
}

// As on the wire.
std::string wire_of(std::string text) {
  for (size_t at = 0; (at = text.find("\\n", at)) != std::string::npos;) {
    text.replace(at, 2, "\r\n");
  }
  return text + "\r\n";
}

// "later recipient soft policy-related greylisted"
std::string written(const Verdict& verdict) {
  const auto or_dash = [](std::string_view name) { return std::string(name.empty() ? "-" : name); };
  return std::string(name_of(verdict.result)) + " " + std::string(name_of(verdict.scope)) + " " +
         or_dash(name_of(verdict.kind)) + " " + or_dash(name_of(verdict.bounce_class)) +
         (verdict.greylisted ? " greylisted" : "");
}

std::vector<Label> read_labels() {
  const std::string name = "tests/smtp/labelled_replies.txt";
  std::ifstream file(std::string(VEREDUS_SOURCE) + "/" + name);
  EXPECT_TRUE(file.is_open()) << name;
  std::vector<Label> labels;
  std::string line, source;
  for (size_t number = 1; std::getline(file, line); ++number) {
    const std::string place = name + ":" + std::to_string(number);
    if (line.empty() || line.front() == '#') continue;
    if (line.starts_with("source: ")) {
      source = line.substr(8);
      EXPECT_NE(source.find("  http"), std::string::npos) << place << ": who, and where";
      continue;
    }
    const size_t first = line.find(" | "), second = line.find(" | ", first + 3);
    if (first == std::string::npos || second == std::string::npos) {
      ADD_FAILURE() << place << ": not VERDICT | STAGE | REPLY";
      continue;
    }
    const auto stage = stage_named(trimmed(line.substr(first + 3, second - first - 3)));
    EXPECT_TRUE(stage) << place << ": no such stage";
    EXPECT_FALSE(source.empty()) << place << ": no source";
    labels.push_back({place, source, trimmed(line.substr(0, first)), line.substr(second + 3),
                      stage.value_or(Phase::rcpt)});
  }
  return labels;
}

Verdict judged(const Label& label) {
  const std::string wire = wire_of(label.reply);
  std::string_view rest = wire;
  ReplyParser parser;
  Reply reply;
  EXPECT_EQ(parser.feed(rest, reply), ReplyParser::Result::reply) << label.place;
  EXPECT_TRUE(rest.empty()) << label.place;
  return judge({label.stage, Reason::none, reply.code, reply.enhanced, false, reply.text});
}

TEST(LabelledReplies, AreJudgedAsTheirLabelsSay) {
  for (const Label& label : read_labels()) {
    const Verdict verdict = judged(label);
    EXPECT_EQ(written(verdict), label.expected)
        << label.place << ": " << label.reply << "\n  by rule " << verdict.rule << "\n  "
        << label.source;
  }
}

TEST(LabelledReplies, AreManyAndOfMany) {
  const std::vector<Label> labels = read_labels();
  std::set<std::string> sources, replies;
  for (const Label& label : labels) {
    sources.insert(label.source);
    EXPECT_TRUE(replies.insert(label.reply + name_of(label.stage).data()).second)
        << label.place << ": stands there twice";
  }
  EXPECT_GE(labels.size(), 120u);
  EXPECT_GE(sources.size(), 20u);
}

}  // namespace
}  // namespace veredus::smtp
