#include <cctype>
#include <cstdio>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <sysexits.h>
#include <unistd.h>

#include "engine/control/config.h"
#include "engine/intake/json_writer.h"
#include "engine/smtp/reply.h"
#include "engine/smtp/reply_rule_file.h"
#include "engine/smtp/reply_rules.h"
#include "engine/smtp/verdict.h"
#include "tools/veredus/commands.h"

namespace veredus::tools {
namespace {

using smtp::Phase;
using smtp::ReplyRules;

constexpr size_t kWordMax = 16;  // the longest name of a stage, and some

// Those to go by; null: an error was told, and `exit_status` set.
std::shared_ptr<const ReplyRules> rules_of(const Common& common, const ClassifyOptions& options,
                                           int& exit_status) {
  std::string path = options.rules;
  if (path.empty() && (common.config_given || access(common.config_file.c_str(), F_OK) == 0)) {
    const absl::StatusOr<control::Config> config = control::load_config(common.config_file);
    if (!config.ok()) {
      complain(std::string(config.status().message()));
      exit_status = exit_status_of(config.status());
      return nullptr;
    }
    path = config->verdict_rules;
  }
  auto rules = path.empty() ? ReplyRules::make("", "") : ReplyRules::load(path);
  if (rules.ok()) return *rules;
  complain(std::string(rules.status().message()));
  exit_status = exit_status_of(rules.status());
  return nullptr;
}

// Reads lines, joins those of one reply, prints a verdict each.
class Classifier {
 public:
  Classifier(const ReplyRules& rules, Phase stage) : rules_(rules), stage_(stage) {}

  // False: something was wrong with a line, or more than one.
  bool run(std::istream& in) {
    std::string line;
    while (std::getline(in, line)) {
      ++number_;
      if (!line.empty() && line.back() == '\r') line.pop_back();
      take(line);
    }
    if (open_) end_too_early();
    return right_;
  }

 private:
  void take(std::string_view line) {
    const size_t word_ends = line.find(' ');
    const std::string_view word = line.substr(0, word_ends);
    const bool raw = !word.empty() && std::isdigit(static_cast<unsigned char>(word.front())) != 0;
    if (open_ && (line.empty() || !raw)) end_too_early();
    if (line.empty() || line.front() == '#') return;
    std::optional<Phase> stage = open_ ? begun_ : stage_;
    if (!raw) {
      stage = word.size() <= kWordMax ? smtp::stage_named(word) : std::nullopt;
      if (!stage) {
        return complain_of(
            "no code and no stage at its beginning: write \"550 5.1.1 text\", or a "
            "stage in front of it: " +
            smtp::stage_names());
      }
      line.remove_prefix(word_ends == std::string_view::npos ? line.size() : word_ends + 1);
    }
    if (!open_) begins_ = number_;
    begun_ = *stage;
    std::string bytes(line);
    bytes += "\r\n";
    std::string_view rest = bytes;
    smtp::Reply reply;
    switch (parser_->feed(rest, reply)) {
      case smtp::ReplyParser::Result::more:
        open_ = true;
        break;
      case smtp::ReplyParser::Result::reply:
        open_ = false;
        print(*stage, reply);
        break;
      case smtp::ReplyParser::Result::error:
        complain_of(std::string(words(parser_->error())) +
                    ": write a code from 200 to 599, \"-\" behind it if more lines of the reply "
                    "follow, else a space");
        start_anew();
    }
  }

  void end_too_early() {
    const uint64_t here = std::exchange(number_, begins_);
    complain_of("the reply that begins here has no last line: write it as \"550 text\"");
    number_ = here;
    start_anew();
  }

  void start_anew() {
    parser_ = std::make_unique<smtp::ReplyParser>();
    open_ = false;
  }

  void complain_of(const std::string& what) {
    complain("line " + std::to_string(number_) + ": " + what);
    right_ = false;
  }

  void print(Phase stage, const smtp::Reply& reply) {
    const smtp::Said said{stage, smtp::Reason::none, reply.code, reply.enhanced, false, reply.text};
    const smtp::Verdict verdict = smtp::judge(said, rules_);
    out_.clear();
    intake::JsonWriter json(out_);
    json.begin_object()
        .field("line", begins_)
        .field("result", name_of(verdict.result))
        .field("scope", name_of(verdict.scope))
        .field_if("kind", name_of(verdict.kind))
        .field_if("class", name_of(verdict.bounce_class))
        .field("rule", verdict.rule)
        .field("stage", name_of(stage))
        .field("code", reply.code);
    if (reply.enhanced.present()) {
      json.field("enhanced", std::to_string(reply.enhanced.status_class) + "." +
                                 std::to_string(reply.enhanced.subject) + "." +
                                 std::to_string(reply.enhanced.detail));
    }
    if (verdict.greylisted) json.field("greylisted", true);
    if (verdict.retry_after_ns != 0) {
      json.field("retry_after", static_cast<double>(verdict.retry_after_ns) / 1e9);
    }
    json.end_object().newline();
    std::fputs(out_.c_str(), stdout);
    std::fflush(stdout);  // whoever feeds it by hand, or by tail -f, sees it
  }

  const ReplyRules& rules_;
  const Phase stage_;
  std::unique_ptr<smtp::ReplyParser> parser_ = std::make_unique<smtp::ReplyParser>();
  std::string out_;
  uint64_t number_ = 0, begins_ = 0;  // lines, from 1
  Phase begun_ = Phase::rcpt;         // of the reply that begins there
  bool open_ = false;                 // a reply has begun and not ended
  bool right_ = true;
};

}  // namespace

int run_classify(const Common& common, const ClassifyOptions& options) {
  if (options.print_rules) {
    std::fputs(std::string(smtp::shipped_replies()).c_str(), stdout);
    return EX_OK;
  }
  const std::optional<Phase> stage = smtp::stage_named(options.stage);
  if (!stage) {
    complain("--stage: there is no \"" + options.stage + "\"; write one of " + smtp::stage_names());
    return EX_USAGE;
  }
  int exit_status = EX_OK;
  const auto rules = rules_of(common, options, exit_status);
  if (rules == nullptr) return exit_status;
  const bool right = Classifier(*rules, *stage).run(std::cin);
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) return EX_IOERR;
  return right ? EX_OK : EX_DATAERR;
}

}  // namespace veredus::tools
