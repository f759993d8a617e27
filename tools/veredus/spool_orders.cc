// Orders of operators that are in force, as the journals say it.

#include <algorithm>
#include <cstdio>
#include <map>

#include <sysexits.h>

#include "engine/control/order_json.h"
#include "engine/intake/json_writer.h"
#include "tools/veredus/spool.h"
#include "tools/veredus/table.h"

namespace veredus::tools {
namespace {

// The same order in all of them; it ends in each for itself.
struct Listed {
  queue::Order order;
  std::vector<uint16_t> journals;
};
using Orders = std::map<uint64_t, Listed>;

Orders orders_in(const Journals& journals) {
  Orders orders;
  for (const auto& journal : journals) {
    for (const auto& [number, order] : journal->books.ledger.orders()) {
      Listed& listed = orders[number];
      listed.order = order;
      listed.journals.push_back(journal->number);
    }
  }
  return orders;
}

std::string time_text(int64_t wall_ns) {
  if (wall_ns == 0) return "-";
  std::string json;
  intake::JsonWriter(json).time(wall_ns);
  return json.substr(1, json.size() - 2);  // without its quotes
}

std::string text_of(const queue::Filter& filter) {
  std::string text;
  for (const queue::FilterPart& part : queue::kFilterParts) {
    const std::string& value = filter.*part.text;
    if (value.empty()) continue;
    if (!text.empty()) text += ' ';
    text += std::string(part.name) + "=" + value;
  }
  return text;
}

std::string text_of(const std::vector<uint16_t>& journals) {
  std::string text;
  for (const uint16_t journal : journals)
    text += (text.empty() ? "" : ",") + std::to_string(journal);
  return text;
}

void print_json(const Orders& orders) {
  std::string out;
  intake::JsonWriter json(out);
  for (const auto& [number, listed] : orders) {
    json.begin_object();
    control::write_order(json, listed.order);
    json.time_field("given", listed.order.given_wall_ns);
    if (listed.order.last_batch != queue::kEveryBatch)
      json.field("last_batch", listed.order.last_batch);
    json.key("journals").begin_array();
    for (const uint16_t journal : listed.journals) json.value(journal);
    json.end_array().end_object().newline();
  }
  std::fwrite(out.data(), 1, out.size(), stdout);
}

void print_rows(const Orders& orders) {
  std::vector<std::vector<std::string>> rows = {
      {"order", "kind", "filter", "given", "until", "journals", "reason"}};
  for (const auto& [number, listed] : orders) {
    const queue::Order& order = listed.order;
    rows.push_back({std::to_string(number), std::string(name_of(order.kind)), text_of(order.filter),
                    time_text(order.given_wall_ns), time_text(order.until_wall_ns),
                    text_of(listed.journals), order.reason});
  }
  print_table(rows);
}

}  // namespace

int print_orders(Spool& spool, const Common& common) {
  Journals journals;
  bool live = false;
  const absl::Status read = spool.look(
      [&]() -> absl::StatusOr<bool> {
        absl::StatusOr<Journals> got = spool.read();
        if (!got.ok()) return got.status();
        journals = *std::move(got);
        return std::all_of(journals.begin(), journals.end(),
                           [](const auto& journal) { return journal->damage.empty(); });
      },
      live);
  if (!read.ok()) {
    complain(std::string(read.message()));
    return exit_status_of(read);
  }
  const Orders orders = orders_in(journals);
  if (common.json) {
    print_json(orders);
  } else {
    print_rows(orders);
  }
  if (std::fflush(stdout) != 0) return EX_IOERR;
  bool sound = true;
  for (const auto& journal : journals) {
    for (const SpoolDamage& damage : journal->damage) {
      complain(text_of(damage));
      sound = false;
    }
  }
  return sound ? EX_OK : EX_DATAERR;
}

}  // namespace veredus::tools
