#pragma once

#include <string>
#include <string_view>

#include "simdjson.h"
#include "tools/veredus/commands.h"

namespace veredus::tools {

// An answer of the engine to a GET, parsed.
struct Answer {
  simdjson::dom::parser parser;
  simdjson::dom::element root;
  std::string body;
};
// Asks. EX_OK, or the exit status, and the user has been told what is wrong.
int ask_engine(const std::string& socket, const std::string& path, Answer& answer);

// A member, as a text for people: "" when it is not there; control bytes, which a server may have
// said, as '?'.
std::string text_in(simdjson::dom::element object, const char* key);
uint64_t number_in(simdjson::dom::element object, const char* key);  // 0 when it is not there
double seconds_since_epoch(std::string_view rfc3339);                // NaN: it is no such time
// "in 12 s", "in 3 min", "now"; "" of an empty text. `now_s` since the epoch.
std::string until_text(std::string_view rfc3339, double now_s);
// "routes.relay (FILE:LINE)", where a static route has its mail; else "".
std::string route_text(simdjson::dom::element object);
// Prints each as a line or more, with indentation.
void print_conditions(simdjson::dom::element object, double now_s, const char* indent);

}  // namespace veredus::tools
