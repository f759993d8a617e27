#include <cstdio>

#include <sysexits.h>

#include "engine/intake/json_writer.h"
#include "tools/veredus/client.h"
#include "tools/veredus/commands.h"

namespace veredus::tools {

int run_cancel(const Common& common, const CancelOptions& options) {
  const std::string socket = socket_of(common);
  if (socket.empty()) return EX_CONFIG;
  std::string body;
  intake::JsonWriter json(body);
  json.begin_object().key("recipient").begin_array();
  for (const std::string& address : options.recipients) json.value(address);
  json.end_array().end_object();
  absl::StatusOr<Client> client = Client::connect(socket);
  bool given = false;
  absl::StatusOr<Response> answer =
      client.ok() ? client->post(
                        "/v1/cancel", body.size(),
                        [&] { return std::exchange(given, true) ? std::string_view() : body; },
                        [](uint64_t) {})
                  : client.status();
  if (!answer.ok()) {
    complain(std::string(answer.status().message()));
    return exit_status_of(answer.status());
  }
  if (answer->status != 200) {
    complain(error_text(answer->body));
    return answer->status == 400   ? EX_DATAERR
           : answer->status == 403 ? EX_NOPERM
           : answer->status == 503 ? EX_TEMPFAIL
                                   : EX_PROTOCOL;
  }
  std::fputs(answer->body.c_str(), stdout);
  std::fflush(stdout);
  return EX_OK;
}

}  // namespace veredus::tools
