#include <chrono>
#include <cstdio>

#include <sysexits.h>

#include "tools/veredus/answer.h"
#include "tools/veredus/client.h"
#include "tools/veredus/commands.h"

namespace veredus::tools {
namespace {

using simdjson::dom::element;

double now_seconds() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

// The query; empty: nothing is asked for.
std::string query_of(const WhyOptions& options) {
  std::string query;
  const auto add = [&query](const char* key, const std::string& value) {
    if (value.empty()) return;
    query += (query.empty() ? "?" : "&") + std::string(key) + "=" + url_escape(value);
  };
  std::string batch = options.batch, to = options.to;
  (options.what.find('@') == std::string::npos ? batch : to) = options.what;
  const size_t slash = batch.find('/');
  if (!batch.empty()) {
    add("tenant", slash == std::string::npos ? options.tenant : batch.substr(0, slash));
    add("batch", slash == std::string::npos ? batch : batch.substr(slash + 1));
  }
  add("to", to);
  add("domain", options.domain);
  add("site", options.site);
  if (query.empty()) return query;
  if (options.index >= 0) add("index", std::to_string(options.index));
  add("limit", std::to_string(options.limit));
  return query;
}

void print_recipient(element item, const char* indent) {
  std::string who = text_in(item, "to");
  if (who.empty()) who = "(cannot be read)";
  std::printf("%s%s  %s/%s %s  %s", indent, who.c_str(), text_in(item, "tenant").c_str(),
              text_in(item, "batch").c_str(), text_in(item, "index").c_str(),
              text_in(item, "state").c_str());
  const uint64_t attempts = number_in(item, "attempts");
  if (attempts > 0) std::printf(", tried %llu×", static_cast<unsigned long long>(attempts));
  const std::string site = text_in(item, "site");
  if (!site.empty()) std::printf(", to %s", site.c_str());
  std::puts("");
  if (const std::string route = route_text(item); !route.empty())
    std::printf("%s  goes there by %s\n", indent, route.c_str());
  print_conditions(item, now_seconds(), (std::string(indent) + "  ").c_str());
}

void print_group(element group) {
  std::printf("%s recipients: %s", text_in(group, "recipients").c_str(),
              text_in(group, "what").c_str());
  const double now = now_seconds();
  const std::string first = until_text(text_in(group, "first_due"), now);
  const std::string last = until_text(text_in(group, "last_due"), now);
  if (!first.empty()) std::printf(", due %s … %s", first.c_str(), last.c_str());
  std::puts("");
  element example;
  if (group["example"].get(example) != simdjson::SUCCESS) return;
  std::printf("  such as ");
  print_recipient(example, "");
}

}  // namespace

int run_why(const Common& common, const WhyOptions& options) {
  const std::string query = query_of(options);
  if (query.empty()) {
    complain("say why what waits: an address, a batch, --domain or --site");
    return EX_USAGE;
  }
  const std::string socket = socket_of(common);
  if (socket.empty()) return EX_CONFIG;
  Answer answer;
  if (const int status = ask_engine(socket, "/v1/why" + query, answer); status != EX_OK)
    return status;
  if (common.json) {
    std::fputs(answer.body.c_str(), stdout);
    return EX_OK;
  }
  simdjson::dom::array list;
  if (answer.root["waiting"].get(list) == simdjson::SUCCESS) {
    for (const element item : list) print_recipient(item, "");
  } else if (answer.root["groups"].get(list) == simdjson::SUCCESS) {
    for (const element group : list) print_group(group);
  }
  if (number_in(answer.root, "recipients") == 0) std::puts("nobody who is meant waits");
  if (const uint64_t unread = number_in(answer.root, "unread"))
    std::printf("(%llu more are not read yet since the start)\n",
                static_cast<unsigned long long>(unread));
  if (const uint64_t left = number_in(answer.root, "not_compared"))
    std::printf("(addresses of %llu could not be read)\n", static_cast<unsigned long long>(left));
  return EX_OK;
}

}  // namespace veredus::tools
