#include "tools/veredus/answer.h"

#include <cmath>
#include <cstdio>
#include <ctime>

#include <sysexits.h>

#include "tools/veredus/client.h"

namespace veredus::tools {

using simdjson::dom::element;

int ask_engine(const std::string& socket, const std::string& path, Answer& answer) {
  absl::StatusOr<Client> client = Client::connect(socket);
  absl::StatusOr<Response> response = client.ok() ? client->get(path) : client.status();
  if (!response.ok()) {
    complain(std::string(response.status().message()));
    return exit_status_of(response.status());
  }
  if (response->status != 200) {
    complain(error_text(response->body));
    return response->status == 404   ? EX_NOINPUT
           : response->status == 403 ? EX_NOPERM
           : response->status == 400 ? EX_USAGE
                                     : EX_PROTOCOL;
  }
  answer.body = std::move(response->body);
  if (answer.parser.parse(answer.body).get(answer.root) == simdjson::SUCCESS) return EX_OK;
  complain("the engine's answer is not understood: " + answer.body);
  return EX_PROTOCOL;
}

std::string text_in(element object, const char* key) {
  element value;
  if (object[key].get(value) != simdjson::SUCCESS) return "";
  std::string_view text;
  if (value.get(text) != simdjson::SUCCESS) {
    uint64_t number = 0;
    return value.get(number) == simdjson::SUCCESS ? std::to_string(number) : "";
  }
  // Nothing that a terminal obeys: control characters, those of Unicode (C1) included.
  std::string shown(text);
  const auto at = [&shown](size_t i) { return static_cast<unsigned char>(shown[i]); };
  for (size_t i = 0; i < shown.size(); ++i) {
    const bool c1 = i > 0 && at(i - 1) == 0xc2 && at(i) >= 0x80 && at(i) <= 0x9f;
    if (c1) shown[i - 1] = '?';
    if (c1 || at(i) < ' ' || at(i) == 0x7f) shown[i] = '?';
  }
  return shown;
}

uint64_t number_in(element object, const char* key) {
  uint64_t number = 0;
  return object[key].get(number) == simdjson::SUCCESS ? number : 0;
}

double seconds_since_epoch(std::string_view rfc3339) {
  std::tm parts{};
  double seconds = 0;
  const std::string text(rfc3339);
  if (std::sscanf(text.c_str(), "%d-%d-%dT%d:%d:%lf", &parts.tm_year, &parts.tm_mon, &parts.tm_mday,
                  &parts.tm_hour, &parts.tm_min, &seconds) != 6)
    return std::nan("");
  parts.tm_year -= 1900;
  parts.tm_mon -= 1;
  return static_cast<double>(timegm(&parts)) + seconds;
}

std::string until_text(std::string_view rfc3339, double now_s) {
  if (rfc3339.empty()) return "";
  const double left = seconds_since_epoch(rfc3339) - now_s;
  if (!(left > 0.5)) return "now";
  char text[32];
  if (left < 120) {
    std::snprintf(text, sizeof text, "in %.0f s", left);
  } else if (left < 7200) {
    std::snprintf(text, sizeof text, "in %.0f min", left / 60);
  } else if (left < 2 * 86400) {
    std::snprintf(text, sizeof text, "in %.1f h", left / 3600);
  } else {
    std::snprintf(text, sizeof text, "in %.1f days", left / 86400);
  }
  return text;
}

std::string route_text(element object) {
  element route;
  if (object["route"].get(route) != simdjson::SUCCESS) return "";
  const std::string file = text_in(route, "file");
  std::string text = text_in(route, "setting");
  if (!file.empty()) text += " (" + file + ":" + text_in(route, "line") + ")";
  return text;
}

void print_conditions(element object, double now_s, const char* indent) {
  simdjson::dom::array conditions;
  if (object["conditions"].get(conditions) != simdjson::SUCCESS) return;
  for (const element condition : conditions) {
    std::printf("%s%s: %s", indent, text_in(condition, "what").c_str(),
                text_in(condition, "text").c_str());
    const std::string clears = until_text(text_in(condition, "clears"), now_s);
    bool estimate = false;
    if (condition["estimate"].get(estimate) != simdjson::SUCCESS) estimate = false;
    if (!clears.empty()) std::printf("; clears %s%s", estimate ? "about " : "", clears.c_str());
    std::puts("");
    const std::string setting = text_in(condition, "setting"), file = text_in(condition, "file");
    if (setting.empty()) continue;
    std::printf("%s    %s", indent, setting.c_str());
    if (!file.empty()) std::printf(" (%s:%s)", file.c_str(), text_in(condition, "line").c_str());
    std::puts("");
  }
}

}  // namespace veredus::tools
