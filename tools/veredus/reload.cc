#include <cstdio>

#include <sysexits.h>

#include "simdjson.h"
#include "tools/veredus/client.h"
#include "tools/veredus/commands.h"

namespace veredus::tools {
namespace {

// "WHAT: a, b"; nothing when there is none.
void print_names(const char* what, simdjson::simdjson_result<simdjson::dom::element> list) {
  simdjson::dom::array names;
  if (list.get(names) != simdjson::SUCCESS || names.size() == 0) return;
  std::string line = what;
  const char* between = ": ";
  for (const simdjson::dom::element name : names) {
    std::string_view text;
    if (name.get(text) == simdjson::SUCCESS) line.append(between).append(text);
    between = ", ";
  }
  std::printf("%s\n", line.c_str());
}

void print_answer(const std::string& body) {
  simdjson::dom::parser parser;
  simdjson::dom::element answer;
  simdjson::dom::array applied;
  if (parser.parse(body).get(answer) != simdjson::SUCCESS) return;
  if (answer["applied"].get(applied) == simdjson::SUCCESS && applied.size() == 0) {
    std::printf("reloaded: nothing has changed that could\n");
  }
  print_names("reloaded", answer["applied"]);
  print_names("needs a restart", answer["needs_restart"]);
  std::string_view warning;
  if (answer["warning"].get(warning) == simdjson::SUCCESS) complain(warning);
}

}  // namespace

int run_reload(const Common& common) {
  const std::string socket = socket_of(common);
  if (socket.empty()) {  // the file was complained of
    complain("not reloaded, all stays as it was");
    return EX_CONFIG;
  }
  absl::StatusOr<Client> client = Client::connect(socket);
  absl::StatusOr<Response> answer =
      client.ok() ? client->post(
                        "/v1/reload", 0, [] { return std::string_view(); }, [](uint64_t) {})
                  : client.status();
  if (!answer.ok()) {
    complain(std::string(answer.status().message()));
    return exit_status_of(answer.status());
  }
  if (answer->status != 200) {
    complain(error_text(answer->body));
    return answer->status == 400   ? EX_CONFIG
           : answer->status == 403 ? EX_NOPERM
           : answer->status == 503 ? EX_TEMPFAIL
                                   : EX_PROTOCOL;
  }
  if (common.json) {
    std::fputs(answer->body.c_str(), stdout);
  } else {
    print_answer(answer->body);
  }
  return EX_OK;
}

}  // namespace veredus::tools
