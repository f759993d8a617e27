#include <cstdio>
#include <string>
#include <string_view>

#include <sysexits.h>

#include "tools/veredus/answer.h"
#include "tools/veredus/client.h"
#include "tools/veredus/commands.h"

namespace veredus::tools {
namespace {

std::string path_of(const TraceOptions& options) {
  std::string path = "/v1/trace";
  const auto add = [&path](const char* name, const std::string& value) {
    if (value.empty()) return;
    path += path.find('?') == std::string::npos ? "?" : "&";
    path += std::string(name) + "=" + url_escape(value);
  };
  add("site", options.site);
  add("domain", options.domain);
  add("host", options.host);
  add("source", options.source);
  add("provider", options.provider);
  if (options.credentials) add("credentials", "1");
  if (options.content) add("content", "1");
  return path;
}

// "09:31:12.345 0/17 mx.example.org C: EHLO mta1.example"; "" where people need not see it.
std::string line_text(simdjson::dom::element line) {
  const std::string what = text_in(line, "what"), text = text_in(line, "text");
  if (what == "alive") return "";
  const std::string time = text_in(line, "time");
  std::string out = time.size() > 12 ? time.substr(11, 12) + " " : "";
  if (what == "left_out") return out + text_in(line, "lines") + " lines left out";
  out += text_in(line, "shard") + "/" + text_in(line, "session") + " " + text_in(line, "host");
  if (what == "client") return out + " C: " + text;
  if (what == "server") return out + " S: " + text;
  if (what == "content") return out + " C| " + text;
  out += " -- ";
  if (what == "dialled")
    return out + "dialled " + text_in(line, "address") + " from " + text_in(line, "source");
  if (what == "tls") return out + text;
  return out + (text.empty() ? what : what + ": " + text);
}

// Prints lines as they become complete.
class Printer {
 public:
  explicit Printer(bool as_json) : as_json_(as_json) {}

  bool take(std::string_view bytes) {
    rest_ += bytes;
    size_t begin = 0;
    for (size_t end = rest_.find('\n'); end != std::string::npos; end = rest_.find('\n', begin)) {
      print(std::string_view(rest_).substr(begin, end - begin));
      begin = end + 1;
    }
    rest_.erase(0, begin);
    return std::fflush(stdout) == 0;
  }

 private:
  void print(std::string_view line) {
    std::string text(line);
    simdjson::dom::element parsed;
    if (!as_json_ && parser_.parse(text).get(parsed) == simdjson::SUCCESS) text = line_text(parsed);
    if (!text.empty()) std::printf("%s\n", text.c_str());
  }

  const bool as_json_;
  std::string rest_;
  simdjson::dom::parser parser_;
};

}  // namespace

int run_trace(const Common& common, const TraceOptions& options) {
  const std::string socket = socket_of(common);
  if (socket.empty()) return EX_CONFIG;
  absl::StatusOr<Client> client = Client::connect(socket);
  Printer printer(common.json);
  const absl::StatusOr<Response> answer =
      client.ok() ? client->stream(path_of(options),
                                   [&](std::string_view bytes) { return printer.take(bytes); })
                  : client.status();
  if (!answer.ok()) {
    complain(std::string(answer.status().message()));
    return exit_status_of(answer.status());
  }
  if (answer->status == 200) return EX_OK;
  complain(error_text(answer->body));
  return exit_status_of_answer(answer->status);
}

}  // namespace veredus::tools
