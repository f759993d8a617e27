// What operators order: suspend, resume, cancel, retry, expire.

#include <cstdio>
#include <vector>

#include <sysexits.h>

#include "engine/intake/json_writer.h"
#include "simdjson.h"
#include "tools/veredus/client.h"
#include "tools/veredus/commands.h"
#include "tools/veredus/table.h"

namespace veredus::tools {
namespace {

using queue::Order;
using simdjson::dom::element;

std::string text_of(element object, const char* key) {
  std::string_view text;
  return object[key].get(text) == simdjson::SUCCESS ? std::string(text) : "-";
}

std::string filter_text(element order) {
  std::string text;
  for (const queue::FilterPart& part : queue::kFilterParts) {
    std::string_view value;
    if (order["filter"][part.name].get(value) != simdjson::SUCCESS) continue;
    if (!text.empty()) text += ' ';
    text.append(part.name).append("=").append(value);
  }
  return text;
}

void print_list(element answer) {
  std::vector<std::vector<std::string>> rows = {
      {"order", "kind", "filter", "given", "until", "reason"}};
  simdjson::dom::array orders;
  if (answer["orders"].get(orders) == simdjson::SUCCESS) {
    for (const element order : orders) {
      uint64_t number = 0;
      if (order["order"].get(number) != simdjson::SUCCESS) continue;
      rows.push_back({std::to_string(number), text_of(order, "kind"), filter_text(order),
                      text_of(order, "given"), text_of(order, "until"), text_of(order, "reason")});
    }
  }
  print_table(rows);
}

// "order 7 given", a line each; an answer to cancelling by address as it came.
void print_done(element answer, const std::string& body) {
  uint64_t number = 0;
  simdjson::dom::array numbers;
  if (answer["order"].get(number) == simdjson::SUCCESS) {
    std::printf("order %llu %s\n", static_cast<unsigned long long>(number),
                text_of(answer, "state").c_str());
  } else if (answer["orders"].get(numbers) == simdjson::SUCCESS) {
    for (const element each : numbers) {
      if (each.get(number) == simdjson::SUCCESS)
        std::printf("order %llu %s\n", static_cast<unsigned long long>(number),
                    text_of(answer, "state").c_str());
    }
  } else {
    std::fputs(body.c_str(), stdout);
  }
}

int ask(const Common& common, const std::string& method, const std::string& path,
        const std::string& body) {
  const std::string socket = socket_of(common);
  if (socket.empty()) return EX_CONFIG;
  absl::StatusOr<Client> client = Client::connect(socket);
  absl::StatusOr<Response> answer =
      client.ok() ? client->call(method, path, body) : client.status();
  if (!answer.ok()) {
    complain(std::string(answer.status().message()));
    return exit_status_of(answer.status());
  }
  if (answer->status != 200) {
    complain(error_text(answer->body));
    return exit_status_of_answer(answer->status);
  }
  simdjson::dom::parser parser;
  element root;
  const simdjson::padded_string padded(answer->body);
  if (parser.parse(padded).get(root) != simdjson::SUCCESS) {
    complain("the engine's answer is not understood: " + answer->body);
    return EX_PROTOCOL;
  }
  if (common.json) {
    std::fputs(answer->body.c_str(), stdout);
  } else if (method == "GET") {
    print_list(root);
  } else {
    print_done(root, answer->body);
  }
  return std::fflush(stdout) == 0 ? EX_OK : EX_IOERR;
}

// TENANT/NAME is split. Empty: it is fine; else what is wrong.
std::string split_batch(std::string& tenant, std::string& batch) {
  const size_t slash = batch.find('/');
  if (slash == std::string::npos) return "";
  const std::string of = batch.substr(0, slash);
  if (!tenant.empty() && tenant != of)
    return "--tenant says " + tenant + " and --batch " + of + ": leave one out";
  tenant = of;
  batch.erase(0, slash + 1);
  return "";
}

// A single recipient is a part as any other; several are a list.
std::string body_of(const queue::Filter& filter, const OrderOptions& options) {
  std::string body;
  intake::JsonWriter json(body);
  json.begin_object();
  for (const queue::FilterPart& part : queue::kFilterParts)
    json.field_if(part.name, filter.*part.text);
  const std::vector<std::string>& recipients = options.of.recipients;
  if (recipients.size() == 1) json.field("recipient", recipients[0]);
  if (recipients.size() > 1) {
    json.key("recipient").begin_array();
    for (const std::string& address : recipients) json.value(address);
    json.end_array();
  }
  json.field_if("until", options.until).field_if("reason", options.reason).end_object();
  return body;
}

}  // namespace

int run_order(const Common& common, Order::Kind kind, const OrderOptions& options) {
  if (options.list) return ask(common, "GET", "/v1/suspend", "");
  queue::Filter filter = options.of.filter;
  if (const std::string wrong = split_batch(filter.tenant, filter.batch); !wrong.empty()) {
    complain(wrong);
    return EX_USAGE;
  }
  return ask(common, "POST", "/v1/" + std::string(name_of(kind)), body_of(filter, options));
}

int run_resume(const Common& common, const ResumeOptions& options) {
  if (options.order != 0)
    return ask(common, "DELETE", "/v1/suspend/" + std::to_string(options.order), "");
  std::string tenant = options.tenant, batch = options.batch;
  if (const std::string wrong = split_batch(tenant, batch); !wrong.empty()) {
    complain(wrong);
    return EX_USAGE;
  }
  if (tenant.empty()) tenant = "default";
  return ask(common, "POST",
             "/v1/batches/" + url_escape(tenant) + "/" + url_escape(batch) + "/resume", "");
}

}  // namespace veredus::tools
