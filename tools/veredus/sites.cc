#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <map>
#include <thread>
#include <vector>

#include <sysexits.h>
#include <unistd.h>

#include "engine/intake/json_writer.h"
#include "tools/veredus/answer.h"
#include "tools/veredus/client.h"
#include "tools/veredus/commands.h"
#include "tools/veredus/table.h"

// `sites`: what waits and flows at each site. `top`: the same again and again, with what has
// happened in between.

namespace veredus::tools {
namespace {

using simdjson::dom::array;
using simdjson::dom::element;

// Of a site or, by provider, of the sum of its sites.
std::string name_in(element line, bool by_provider) {
  const std::string name = text_in(line, by_provider ? "provider" : "site");
  if (text_in(line, "state") == "no_site") return "(no site)";
  return name.empty() ? "(others)" : name;
}

const char* list_of(bool by_provider) {
  return by_provider ? "providers" : "sites";
}

std::string path_of(bool by_provider, uint64_t limit) {
  return "/v1/sites?" + (by_provider ? "by=provider" : "limit=" + std::to_string(limit));
}

// Cut where a line of a terminal would get too long.
std::string cut(std::string text, size_t bytes) {
  if (text.size() <= bytes) return text;
  while (bytes > 0 && (static_cast<unsigned char>(text[bytes]) & 0xc0) == 0x80) --bytes;
  return text.substr(0, bytes) + "…";
}

std::string first_condition(element site) {
  array conditions;
  if (site["conditions"].get(conditions) != simdjson::SUCCESS || conditions.size() == 0) return "";
  return text_in(conditions.at(0), "what");
}

void print_list(element root, bool by_provider) {
  constexpr size_t kNameShown = 48;
  const char* const last = by_provider ? "in_doubt" : "provider";
  std::vector<std::vector<std::string>> rows = {
      {by_provider ? "provider" : "site", "state", "why", "waiting", "ready", "sending", "conns",
       "delivered", "deferred", "failed", by_provider ? "in doubt" : "provider"}};
  array list;
  if (root[list_of(by_provider)].get(list) != simdjson::SUCCESS) return;
  for (const element site : list) {
    rows.push_back({cut(name_in(site, by_provider), kNameShown), text_in(site, "state"),
                    first_condition(site), text_in(site, "waiting"), text_in(site, "ready"),
                    text_in(site, "in_flight"), text_in(site, "connections"),
                    text_in(site, "delivered"), text_in(site, "deferred"), text_in(site, "failed"),
                    text_in(site, last)});
  }
  print_table(rows);
  if (const uint64_t total = number_in(root, "total"); total > rows.size() - 1)
    std::printf("(%zu of %llu)\n", rows.size() - 1, static_cast<unsigned long long>(total));
}

void print_one(element site) {
  for (const char* const key : {"site", "provider", "state", "waiting", "ready", "in_flight",
                                "connections", "dialling", "idle", "delivered", "deferred",
                                "failed", "in_doubt", "last_reply", "last_reply_at", "next_try"}) {
    const std::string text = text_in(site, key);
    if (!text.empty()) std::printf("%-16s %s\n", key, text.c_str());
  }
  if (const std::string route = route_text(site); !route.empty())
    std::printf("%-16s %s\n", "route", route.c_str());
  for (const char* const key : {"domains", "sources"}) {
    array names;
    if (site[key].get(names) != simdjson::SUCCESS) continue;
    std::printf("%-16s", key);
    for (const element name : names) {
      std::string_view text;
      if (name.get(text) == simdjson::SUCCESS)
        std::printf(" %.*s", static_cast<int>(text.size()), text.data());
    }
    std::puts("");
  }
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  std::puts("waits on");
  print_conditions(site, std::chrono::duration<double>(now).count(), "  ");
  std::vector<std::vector<std::string>> rows = {{"limit of", "what", "limit", "setting", "place"}};
  array limits;
  if (site["limits"].get(limits) != simdjson::SUCCESS) return;
  for (const element limit : limits) {
    const std::string file = text_in(limit, "file");
    rows.push_back({text_in(limit, "scope"), text_in(limit, "resource"), text_in(limit, "limit"),
                    text_in(limit, "setting"),
                    file.empty() ? "default" : file + ":" + text_in(limit, "line")});
  }
  print_table(rows);
}

// -------------------------------------------------------------------------------------------------
// top

struct Figures {
  std::string state;
  uint64_t waiting = 0, ready = 0, in_flight = 0, connections = 0;
  uint64_t delivered = 0, deferred = 0, failed = 0;
};
using Table = std::map<std::string, Figures>;

Table figures_of(element root, bool by_provider) {
  Table table;
  array list;
  if (root[list_of(by_provider)].get(list) != simdjson::SUCCESS) return table;
  for (const element site : list) {
    Figures& figures = table[name_in(site, by_provider)];
    figures.state = text_in(site, "state");
    figures.waiting = number_in(site, "waiting");
    figures.ready = number_in(site, "ready");
    figures.in_flight = number_in(site, "in_flight");
    figures.connections = number_in(site, "connections");
    figures.delivered = number_in(site, "delivered");
    figures.deferred = number_in(site, "deferred");
    figures.failed = number_in(site, "failed");
  }
  return table;
}

struct Row {
  std::string name;
  Figures now;
  double delivered = 0, deferred = 0, failed = 0;  // per second
  double flow() const { return delivered + deferred + failed; }
};

// What flows most first, then what waits most.
std::vector<Row> rows_of(const Table& now, const Table& before, double seconds, size_t most) {
  std::vector<Row> rows;
  for (const auto& [name, figures] : now) {
    Row row{name, figures};
    const auto known = before.find(name);
    if (known != before.end() && seconds > 0) {
      const auto rate = [seconds](uint64_t later, uint64_t earlier) {
        return later < earlier ? 0 : static_cast<double>(later - earlier) / seconds;
      };
      row.delivered = rate(figures.delivered, known->second.delivered);
      row.deferred = rate(figures.deferred, known->second.deferred);
      row.failed = rate(figures.failed, known->second.failed);
    }
    rows.push_back(std::move(row));
  }
  std::stable_sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) {
    return a.flow() != b.flow() ? a.flow() > b.flow() : a.now.waiting > b.now.waiting;
  });
  rows.resize(std::min(rows.size(), most));
  return rows;
}

std::string one_place(double number) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f", number);
  return text;
}

void print_top(const std::vector<Row>& rows, bool by_provider) {
  constexpr size_t kNameShown = 48;
  std::vector<std::vector<std::string>> table = {{by_provider ? "provider" : "site", "state",
                                                  "waiting", "ready", "sending", "conns",
                                                  "delivered/s", "deferred/s", "failed/s"}};
  for (const Row& row : rows) {
    table.push_back({cut(row.name, kNameShown), row.now.state, std::to_string(row.now.waiting),
                     std::to_string(row.now.ready), std::to_string(row.now.in_flight),
                     std::to_string(row.now.connections), one_place(row.delivered),
                     one_place(row.deferred), one_place(row.failed)});
  }
  print_table(table);
}

void print_json(const std::vector<Row>& rows, bool by_provider, const std::string& time) {
  std::string line;
  intake::JsonWriter json(line);
  json.begin_object().field("time", time);
  json.key(list_of(by_provider)).begin_array();
  for (const Row& row : rows) {
    json.begin_object().field("name", row.name).field_if("state", row.now.state);
    json.field("waiting", row.now.waiting).field("ready", row.now.ready);
    json.field("in_flight", row.now.in_flight).field("connections", row.now.connections);
    json.field("delivered_per_s", row.delivered).field("deferred_per_s", row.deferred);
    json.field("failed_per_s", row.failed).end_object();
  }
  json.end_array().end_object().newline();
  std::fputs(line.c_str(), stdout);
}

}  // namespace

int run_sites(const Common& common, const SitesOptions& options) {
  const std::string socket = socket_of(common);
  if (socket.empty()) return EX_CONFIG;
  const std::string path = options.site.empty() ? path_of(options.by_provider, options.limit)
                                                : "/v1/sites/" + url_escape(options.site);
  Answer answer;
  if (const int status = ask_engine(socket, path, answer); status != EX_OK) return status;
  if (common.json) {
    std::fputs(answer.body.c_str(), stdout);
  } else if (options.site.empty()) {
    print_list(answer.root, options.by_provider);
  } else {
    print_one(answer.root);
  }
  return EX_OK;
}

int run_top(const Common& common, const TopOptions& options) {
  const std::string socket = socket_of(common);
  if (socket.empty()) return EX_CONFIG;
  const bool screen = !common.json && isatty(STDOUT_FILENO) != 0;
  constexpr uint64_t kSitesAsked = 10'000;
  Table before;
  double before_s = std::nan("");
  // The first table has no rates: it takes two looks.
  for (uint64_t round = 0; options.rounds == 0 || round <= options.rounds; ++round) {
    if (round > 0) std::this_thread::sleep_for(std::chrono::nanoseconds(options.every_ns));
    Answer answer;
    if (const int status = ask_engine(socket, path_of(options.by_provider, kSitesAsked), answer);
        status != EX_OK)
      return status;
    const std::string time = text_in(answer.root, "time");
    const double now_s = seconds_since_epoch(time);
    Table now = figures_of(answer.root, options.by_provider);
    const std::vector<Row> rows = rows_of(now, before, now_s - before_s, options.lines);
    before = std::move(now);
    before_s = now_s;
    if (round == 0 && !screen) continue;
    if (screen) std::fputs("\x1b[H\x1b[2J", stdout);
    if (common.json) {
      print_json(rows, options.by_provider, time);
    } else {
      print_top(rows, options.by_provider);
    }
    std::fflush(stdout);
  }
  return EX_OK;
}

}  // namespace veredus::tools
