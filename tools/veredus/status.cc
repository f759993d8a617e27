#include <array>
#include <cstdio>
#include <thread>
#include <vector>

#include <sysexits.h>
#include <unistd.h>

#include "simdjson.h"
#include "tools/veredus/client.h"
#include "tools/veredus/commands.h"
#include "tools/veredus/table.h"

namespace veredus::tools {
namespace {

using simdjson::dom::element;

constexpr std::array<const char*, 9> kColumns = {"accepted", "delivered", "failed",
                                                 "expired",  "cancelled", "suppressed",
                                                 "waiting",  "in_doubt",  "deferred"};

std::string text_of(element object, const char* key) {
  element value;
  if (object[key].get(value) != simdjson::SUCCESS) return "-";
  std::string_view text;
  if (value.get(text) == simdjson::SUCCESS) return std::string(text);
  double number = 0;
  if (value.get(number) != simdjson::SUCCESS) return "-";
  std::array<char, 32> out{};
  std::snprintf(out.data(), out.size(), "%.0f", number);
  return out.data();
}

void print_list(element answer) {
  std::vector<std::vector<std::string>> rows(1);
  rows[0].emplace_back("batch");
  for (const char* column : kColumns) rows[0].emplace_back(column);
  simdjson::dom::array list;
  if (answer["batches"].get(list) == simdjson::SUCCESS) {
    for (const element batch : list) {
      std::vector<std::string> row = {text_of(batch, "tenant") + "/" + text_of(batch, "batch")};
      for (const char* column : kColumns) row.push_back(text_of(batch, column));
      rows.push_back(std::move(row));
    }
  }
  print_table(rows);
  uint64_t total = 0;
  if (answer["total"].get(total) == simdjson::SUCCESS && total > rows.size() - 1) {
    std::printf("(the last %zu of %llu)\n", rows.size() - 1,
                static_cast<unsigned long long>(total));
  }
}

void print_one(element batch) {
  simdjson::dom::object fields;
  if (batch.get(fields) != simdjson::SUCCESS) return;
  for (const auto field : fields) {
    std::printf("%-16.*s %s\n", static_cast<int>(field.key.size()), field.key.data(),
                text_of(batch, std::string(field.key).c_str()).c_str());
  }
}

int show(const std::string& socket, const std::string& path, const Common& common, bool one) {
  absl::StatusOr<Client> client = Client::connect(socket);
  absl::StatusOr<Response> answer = client.ok() ? client->get(path) : client.status();
  if (!answer.ok()) {
    complain(std::string(answer.status().message()));
    return exit_status_of(answer.status());
  }
  if (answer->status != 200) {
    complain(error_text(answer->body));
    return exit_status_of_answer(answer->status);
  }
  if (common.json) {
    std::fputs(answer->body.c_str(), stdout);
    std::fflush(stdout);
    return EX_OK;
  }
  simdjson::dom::parser parser;
  element root;
  const simdjson::padded_string padded(answer->body);
  if (parser.parse(padded).get(root) != simdjson::SUCCESS) {
    complain("the engine's answer is not understood: " + answer->body);
    return EX_PROTOCOL;
  }
  if (one) {
    print_one(root);
  } else {
    print_list(root);
  }
  std::fflush(stdout);
  return EX_OK;
}

}  // namespace

int run_status(const Common& common, const StatusOptions& options) {
  const std::string socket = socket_of(common);
  if (socket.empty()) return EX_CONFIG;
  std::string path = "/v1/batches?limit=" + std::to_string(options.limit);
  if (!options.batch.empty()) {
    const size_t slash = options.batch.find('/');
    const std::string tenant =
        slash == std::string::npos ? options.tenant : options.batch.substr(0, slash);
    const std::string name =
        slash == std::string::npos ? options.batch : options.batch.substr(slash + 1);
    path = "/v1/batches/" + url_escape(tenant) + "/" + url_escape(name);
  }
  for (;;) {
    if (options.watch && !common.json && isatty(STDOUT_FILENO) != 0) {
      std::fputs("\x1b[H\x1b[2J", stdout);
    }
    const int status = show(socket, path, common, !options.batch.empty());
    if (!options.watch || status != EX_OK) return status;
    std::this_thread::sleep_for(std::chrono::seconds(1));
  }
}

}  // namespace veredus::tools
