#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <system_error>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "simdjson.h"
#include "tools/veredus/client.h"
#include "tools/veredus/commands.h"
#include "tools/veredus/progress.h"

namespace veredus::tools {
namespace {

constexpr size_t kPieceBytes = 256 * 1024;
constexpr int kRefusalsShown = 20;

// The batch as a file that can be read again: sending is repeated until there is an answer.
class Input {
 public:
  ~Input() {
    if (fd_ >= 0) close(fd_);
  }
  // 0, or an exit status.
  int open(const std::string& name) {
    if (name == "-") return spool_standard_input();
    fd_ = ::open(name.c_str(), O_RDONLY | O_CLOEXEC);
    struct stat found {};
    if (fd_ < 0 || fstat(fd_, &found) != 0) {
      complain(name + ": " + std::generic_category().message(errno));
      return EX_NOINPUT;
    }
    if (!S_ISREG(found.st_mode)) {
      complain(name + ": is no regular file; to send a pipe use - as the name");
      return EX_NOINPUT;
    }
    bytes_ = static_cast<uint64_t>(found.st_size);
    return EX_OK;
  }
  uint64_t bytes() const { return bytes_; }
  void rewind() { offset_ = 0; }
  // Empty at the end, or when it cannot be read.
  std::string_view read() {
    const ssize_t got = pread(fd_, piece_.data(), piece_.size(), static_cast<off_t>(offset_));
    if (got <= 0) return {};
    const size_t most =
        static_cast<size_t>(std::min<uint64_t>(static_cast<uint64_t>(got), bytes_ - offset_));
    offset_ += most;
    return std::string_view(piece_.data(), most);
  }
  std::string first_line() {
    rewind();
    std::string line;
    for (std::string_view piece = read(); !piece.empty(); piece = read()) {
      const size_t end = piece.find('\n');
      line += piece.substr(0, end);
      if (end != std::string_view::npos) break;
    }
    rewind();
    return line;
  }

 private:
  int spool_standard_input() {
    const char* directory = std::getenv("TMPDIR");
    std::string name = std::string(directory == nullptr ? "/tmp" : directory) + "/veredus-XXXXXX";
    fd_ = mkstemp(name.data());
    if (fd_ < 0) {
      complain(name + ": " + std::generic_category().message(errno));
      return EX_CANTCREAT;
    }
    unlink(name.c_str());
    for (;;) {
      const ssize_t got = ::read(STDIN_FILENO, piece_.data(), piece_.size());
      if (got == 0) return EX_OK;
      if (got < 0 && errno == EINTR) continue;
      if (got < 0 ||
          pwrite(fd_, piece_.data(), static_cast<size_t>(got), static_cast<off_t>(bytes_)) != got) {
        complain(std::string("standard input: ") + std::generic_category().message(errno));
        return EX_IOERR;
      }
      bytes_ += static_cast<uint64_t>(got);
    }
  }

  int fd_ = -1;
  uint64_t bytes_ = 0, offset_ = 0;
  std::vector<char> piece_ = std::vector<char>(kPieceBytes);
};

void sleep_s(int64_t seconds) {
  std::this_thread::sleep_for(std::chrono::seconds(seconds));
}

absl::StatusOr<Response> upload(const std::string& socket, Input& input, bool quiet) {
  absl::StatusOr<Client> client = Client::connect(socket);
  if (!client.ok()) return client.status();
  input.rewind();
  Progress bar("feeding", "MB", 1e6, input.bytes(), quiet);
  return client->post(
      "/v1/batches", input.bytes(), [&input] { return input.read(); },
      [&bar](uint64_t done) { bar.at(done); });
}

bool is_in_progress(const Response& answer) {
  return answer.status == 409 && answer.body.find("\"in_progress\"") != std::string::npos;
}

// Until there is an answer that stands. Safe, because the same body under the same name is taken
// once only.
absl::StatusOr<Response> upload_with_patience(const std::string& socket, Input& input,
                                              const SendOptions& options) {
  const int64_t end_ns = mono_ns() + options.retry_for_ns;
  for (int64_t pause_s = 1;; pause_s = std::min<int64_t>(pause_s * 2, 30)) {
    absl::StatusOr<Response> answer = upload(socket, input, options.quiet);
    const bool again =
        answer.ok() ? answer->status == 503 || answer->status == 429 || is_in_progress(*answer)
                    : absl::IsUnavailable(answer.status());
    if (!again) return answer;
    if (answer.ok() && answer->retry_after_s > 0) pause_s = answer->retry_after_s;
    if (mono_ns() + pause_s * 1'000'000'000 > end_ns) return answer;
    complain((answer.ok() ? error_text(answer->body) : std::string(answer.status().message())) +
             "; again in " + std::to_string(pause_s) + " s");
    sleep_s(pause_s);
  }
}

int status_of_refusal(const Response& answer) {
  switch (answer.status) {
    case 400:
    case 409:
    case 413:
      return EX_DATAERR;
    case 401:
    case 403:
      return EX_NOPERM;
    case 429:
    case 503:
      return EX_TEMPFAIL;
    default:
      return EX_PROTOCOL;
  }
}

void show_refusals(simdjson::dom::element answer, int64_t refused) {
  simdjson::dom::array list;
  if (answer["refusals"].get(list) != simdjson::SUCCESS) return;
  int shown = 0;
  for (const simdjson::dom::element item : list) {
    if (++shown > kRefusalsShown) break;
    int64_t line = 0;
    std::string_view to, status, reason;
    std::ignore = item["line"].get(line);
    std::ignore = item["to"].get(to);
    std::ignore = item["status"].get(status);
    std::ignore = item["reason"].get(reason);
    complain("line " + std::to_string(line) + ": " + std::string(to) + ": " + std::string(status) +
             " " + std::string(reason));
  }
  if (refused > kRefusalsShown) {
    complain("… and " + std::to_string(refused - kRefusalsShown) +
             " more: GET /v1/batches/TENANT/BATCH/refused");
  }
}

// Of the admission check: names, each once.
void show_findings(simdjson::dom::element answer) {
  simdjson::dom::array list;
  if (answer["findings"].get(list) != simdjson::SUCCESS) return;
  for (const simdjson::dom::element item : list) {
    bool fixed = false;
    uint64_t recipients = 0;
    std::string_view name, reason;
    std::ignore = item["name"].get(name);
    std::ignore = item["reason"].get(reason);
    std::ignore = item["fixed"].get(fixed);
    std::ignore = item["recipients"].get(recipients);
    complain(std::string(name) + ": " + std::string(reason) + " (" + (fixed ? "mended; " : "") +
             std::to_string(recipients) + (recipients == 1 ? " recipient)" : " recipients)"));
  }
}

// Until nothing waits any more.
int wait_for_deliveries(const std::string& socket, const std::string& tenant,
                        const std::string& batch, const Common& common,
                        const SendOptions& options) {
  const int64_t end_ns = mono_ns() + options.wait_limit_ns;
  const std::string path = "/v1/batches/" + url_escape(tenant) + "/" + url_escape(batch);
  simdjson::dom::parser parser;
  std::unique_ptr<Progress> bar;
  for (;;) {
    absl::StatusOr<Client> client = Client::connect(socket);
    absl::StatusOr<Response> answer = client.ok() ? client->get(path) : client.status();
    uint64_t accepted = 0, waiting = 0;
    if (answer.ok() && answer->status == 200) {
      simdjson::dom::element tally;
      const simdjson::padded_string padded(answer->body);
      if (parser.parse(padded).get(tally) != simdjson::SUCCESS ||
          tally["accepted"].get(accepted) != simdjson::SUCCESS ||
          tally["waiting"].get(waiting) != simdjson::SUCCESS) {
        complain("the engine's answer is not understood: " + answer->body);
        return EX_PROTOCOL;
      }
      if (bar == nullptr) {
        bar = std::make_unique<Progress>("delivering", "messages", 1, accepted, options.quiet);
      }
      bar->at(accepted - waiting);
      if (waiting == 0) {
        bar.reset();
        if (common.json) std::fputs(answer->body.c_str(), stdout);
        return EX_OK;
      }
    } else if (answer.ok()) {
      complain(error_text(answer->body));
      return status_of_refusal(*answer);
    }
    if (options.wait_limit_ns != 0 && mono_ns() > end_ns) {
      bar.reset();
      complain(std::to_string(waiting) +
               " recipients wait still; `veredus status` goes on showing");
      return EX_TEMPFAIL;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
}

}  // namespace

int run_send(const Common& common, const SendOptions& options) {
  const std::string socket = socket_of(common);
  if (socket.empty()) return EX_CONFIG;
  Input input;
  if (const int status = input.open(options.file); status != EX_OK) return status;

  absl::StatusOr<Response> answer = upload_with_patience(socket, input, options);
  if (!answer.ok()) {
    complain(std::string(answer.status().message()));
    return exit_status_of(answer.status());
  }
  if (answer->status != 200) {
    if (common.json) std::fputs(answer->body.c_str(), stdout);
    complain("the batch was not taken: " + error_text(answer->body));
    return status_of_refusal(*answer);
  }
  simdjson::dom::parser parser, line_parser;
  simdjson::dom::element said, line;
  std::string_view batch, tenant = "default";
  int64_t accepted = 0, refused = 0;
  bool replayed = false;
  const simdjson::padded_string padded(answer->body);
  if (parser.parse(padded).get(said) != simdjson::SUCCESS ||
      said["batch"].get(batch) != simdjson::SUCCESS ||
      said["accepted"].get(accepted) != simdjson::SUCCESS ||
      said["refused"].get(refused) != simdjson::SUCCESS) {
    complain("the engine's answer is not understood: " + answer->body);
    return EX_PROTOCOL;
  }
  std::ignore = said["replayed"].get(replayed);
  if (common.json && !options.wait) {
    std::fputs(answer->body.c_str(), stdout);
  } else if (!common.json) {
    std::printf("%.*s: %lld accepted, %lld refused%s\n", static_cast<int>(batch.size()),
                batch.data(), static_cast<long long>(accepted), static_cast<long long>(refused),
                replayed ? " (it was here before; nothing was queued)" : "");
  }
  std::fflush(stdout);
  show_refusals(said, refused);
  show_findings(said);
  if (options.wait) {
    const simdjson::padded_string first(input.first_line());
    if (line_parser.parse(first).get(line) == simdjson::SUCCESS)
      std::ignore = line["tenant"].get(tenant);
    const int status =
        wait_for_deliveries(socket, std::string(tenant), std::string(batch), common, options);
    if (status != EX_OK) return status;
  }
  return refused == 0 ? EX_OK : EX_DATAERR;
}

}  // namespace veredus::tools
