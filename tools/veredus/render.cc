#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <optional>
#include <span>
#include <system_error>
#include <vector>

#include <fcntl.h>
#include <sysexits.h>
#include <unistd.h>

#include "engine/control/config.h"
#include "engine/control/settings.h"
#include "engine/intake/feed_parser.h"
#include "engine/intake/json_writer.h"
#include "engine/mail/address.h"
#include "engine/mail/content.h"
#include "engine/mail/dkim_signer.h"
#include "engine/mail/signers.h"
#include "engine/mail/template.h"
#include "engine/mail/utf8.h"
#include "tools/veredus/commands.h"

// The message that one recipient of a batch would get, and what the admission check finds of it.
// Nothing is sent, and no engine is asked.

namespace veredus::tools {
namespace {

constexpr size_t kPieceBytes = 256 * 1024;

// As kept and sent, so that what was fed in other letters is found; else as it is.
std::string kept_address(std::string_view fed) {
  std::string scratch;
  std::string_view taken, why_not;
  const bool good = mail::take_address(fed, scratch, taken, why_not) == mail::AddressFault::none;
  return std::string(good ? taken : fed);
}

// Takes the batch as the engine would, and keeps what concerns one recipient: the first line with
// his address.
class Looker final : public intake::FeedHandler {
 public:
  // All but the address outlive it; `dkim` may be null.
  Looker(std::string wanted, const mail::RenderSettings& settings, const mail::DkimIdentities* dkim)
      : wanted_(std::move(wanted)), renderer_(settings), dkim_(dkim) {}

  struct Message {
    std::string sender, bytes;
  };
  struct Refusal {
    std::string status, reason;
  };
  uint64_t line = 0;  // 0: there is none with that address
  std::optional<Message> message;
  std::optional<Refusal> refusal;
  intake::MessageFindings findings;
  std::string fault;          // it could not be rendered
  bool keys_missing = false;  // the message is not signed as it would be

  Key on_key(std::string_view, std::string_view, intake::FeedError&) override {
    return Key::proceed;
  }
  int64_t wall_ns() override {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    return std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
  }
  bool on_batch(const queue::Batch& batch, std::string content, intake::FeedError& error) override {
    batch_ = batch;
    content_ = std::move(content);
    if (content_.empty()) return true;
    auto compiled = mail::Template::compile(content_, batch_.content_flags);
    if (!compiled.ok()) {
      error.reason = std::string(compiled.status().message());
      return false;
    }
    shared_ = *std::move(compiled);
    return true;
  }
  void on_batch_findings(const intake::MessageFindings& found) override { of_batch_ = found; }
  bool on_recipient(const queue::Entry& entry, intake::FeedError&) override {
    if (line != 0 || entry.to != wanted_) return true;
    line = entry.index + 2;
    if (!entry.has_message) findings = of_batch_;
    render(entry);
    return true;
  }
  void on_recipient_findings(uint64_t at, const intake::MessageFindings& found) override {
    if (at != line) return;
    found.found.for_each([&](mail::Finding each) {
      findings.details[static_cast<size_t>(each)] = found.details[static_cast<size_t>(each)];
    });
    findings.found = findings.found | found.found;
    findings.fixed = findings.fixed | found.fixed;
  }
  void on_refused(uint64_t at, std::string_view to, std::string_view status,
                  std::string_view reason) override {
    if (line != 0 || kept_address(to) != wanted_) return;
    line = at;
    refusal = Refusal{std::string(status), std::string(reason)};
  }

 private:
  void render(const queue::Entry& entry) {
    mail::RenderRequest request;
    request.batch = &batch_;
    request.entry = &entry;
    mail::Rendered rendered;
    std::string scratch;
    Message made;
    absl::Status status = renderer_.render(entry.has_message ? nullptr : &shared_, request,
                                           made.sender, scratch, rendered);
    std::string signatures;
    for (const mail::Piece& piece : rendered.pieces) made.bytes.append(piece.data, piece.size);
    if (status.ok()) status = sign(made.bytes, rendered.pieces, signatures);
    if (!status.ok()) {
      fault = std::string(status.message());
      return;
    }
    made.bytes.insert(0, signatures);
    message = std::move(made);
  }

  // As when it is sent: by those that the batch names, else by those of the author's domain. Not
  // if keys_missing.
  absl::Status sign(std::string_view bytes, std::span<const mail::Piece> pieces, std::string& out) {
    std::vector<const mail::DkimIdentity*> identities;
    std::string_view missing;
    const mail::BatchSigners signers(dkim_, batch_);
    if (!signers.of_message(bytes.substr(0, mail::header_end(bytes)), identities, missing))
      return absl::NotFoundError("there is no signing identity " + std::string(missing));
    if (identities.empty()) return absl::OkStatus();
    keys_missing = std::any_of(identities.begin(), identities.end(),
                               [](const auto* identity) { return identity->key == nullptr; });
    if (keys_missing) return absl::OkStatus();
    return mail::DkimSigner().sign(identities, pieces, wall_ns(), nullptr, out);
  }

  const std::string wanted_;
  mail::Renderer renderer_;
  const mail::DkimIdentities* const dkim_;
  queue::Batch batch_;
  std::string content_;
  mail::Template shared_;
  intake::MessageFindings of_batch_;
};

// What the engine would go by. nullopt: the user was told why it cannot be had.
std::optional<control::Config> read_config(const Common& common) {
  if (!common.config_given && access(common.config_file.c_str(), F_OK) != 0)
    return control::default_config();
  auto config = control::load_config(common.config_file);
  if (config.ok()) return *std::move(config);
  complain(std::string(config.status().message()));
  return std::nullopt;
}

// All of it, as the engine reads it. EX_OK; EX_DATAERR: the parser says why.
int read_batch(const std::string& name, intake::FeedParser& parser) {
  const int fd = name == "-" ? dup(STDIN_FILENO) : open(name.c_str(), O_RDONLY | O_CLOEXEC);
  std::vector<char> piece(kPieceBytes);
  ssize_t got = fd < 0 ? -1 : 1;
  bool good = true;
  while (good && got > 0) {
    got = read(fd, piece.data(), piece.size());
    if (got > 0) good = parser.feed({piece.data(), static_cast<size_t>(got)});
    if (got < 0 && errno == EINTR) got = 1;
  }
  const int cause = errno;
  if (fd >= 0) close(fd);
  if (got < 0) {
    complain(name + ": " + std::generic_category().message(cause));
    return EX_NOINPUT;
  }
  return good && parser.finish() ? EX_OK : EX_DATAERR;
}

void print_json(const std::string& to, const Looker& looker) {
  std::string out;
  intake::JsonWriter json(out);
  json.begin_object().field("to", to).field("line", looker.line);
  if (looker.refusal) {
    json.key("refused").begin_object().field("status", looker.refusal->status);
    json.field("reason", looker.refusal->reason).end_object();
  }
  if (looker.message) {
    const std::string& bytes = looker.message->bytes;
    json.field("sender", looker.message->sender);
    if (mail::is_utf8(bytes)) {
      json.field("message", bytes);
    } else {
      std::string text;
      mail::append_base64(bytes, text);
      json.field("message_base64", text);
    }
  }
  json.key("findings").begin_array();
  looker.findings.found.for_each([&](mail::Finding each) {
    json.begin_object().field("name", text_of(each).name);
    json.field("reason", looker.findings.reason(each)).field("hint", text_of(each).remedy);
    json.field("fixed", looker.findings.fixed.has(each)).end_object();
  });
  json.end_array().end_object().newline();
  std::fputs(out.c_str(), stdout);
}

void print_findings(const intake::MessageFindings& findings) {
  findings.found.for_each([&](mail::Finding each) {
    std::string text = std::string(text_of(each).name) + ": " + findings.reason(each);
    if (findings.fixed.has(each)) {
      text += " (mended)";
    } else {
      text.append(" (").append(text_of(each).remedy).append(")");
    }
    complain(text);
  });
}

}  // namespace

int run_render(const Common& common, const RenderOptions& options) {
  const std::optional<control::Config> config = read_config(common);
  if (!config) return EX_CONFIG;
  // Who wants to see a message need not be somebody who may sign.
  std::vector<std::string> missing_keys;
  const auto engine = control::engine_settings(*config, {nullptr, &missing_keys});
  if (!engine.ok()) {
    complain(std::string(engine.status().message()));
    return EX_CONFIG;
  }
  const intake::IntakeSettings settings = control::intake_settings(*config, *engine);
  Looker looker(kept_address(options.to), engine->render, settings.feed.dkim.get());
  intake::FeedParser parser(settings.feed, looker);
  const int read = read_batch(options.file, parser);
  if (read == EX_NOINPUT) return read;
  if (read != EX_OK) {
    std::string body;
    append_error_json(parser.error(), body);
    if (common.json) std::printf("%s\n", body.c_str());
    complain("the batch would not be taken: " + error_text(body));
    return EX_DATAERR;
  }
  if (looker.line == 0) {
    complain("no line of the batch has the address " + options.to);
    return EX_NOINPUT;
  }
  if (common.json) {
    print_json(options.to, looker);
  } else if (looker.message) {
    std::fwrite(looker.message->bytes.data(), 1, looker.message->bytes.size(), stdout);
  }
  std::fflush(stdout);
  if (looker.keys_missing) {
    for (const std::string& why : missing_keys) complain(why);
    complain("the message is shown unsigned, for want of keys; it would be sent signed");
  }
  print_findings(looker.findings);
  if (looker.refusal) {
    complain("line " + std::to_string(looker.line) + ": refused: " + looker.refusal->status + " " +
             looker.refusal->reason);
    return EX_DATAERR;
  }
  if (looker.message) return EX_OK;
  complain("line " + std::to_string(looker.line) + ": it cannot be rendered: " + looker.fault);
  return EX_DATAERR;
}

}  // namespace veredus::tools
