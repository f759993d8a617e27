#include "engine/why.h"

#include <array>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "queue/retry.h"

namespace veredus {

using queue::Order;

Origin origin_in(const Provider& provider, std::string_view name, std::string_view top) {
  const auto found = provider.origins.find(name);
  if (found != provider.origins.end()) return found->second;
  Origin origin;
  origin.setting = top;
  return origin;
}

Origin site_clock_origin(const Provider& provider) {
  return provider.site_initial_ns != 0
             ? origin_in(provider, "retry.site_initial", "retry.site_initial")
             : origin_in(provider, "host_down", "smtp.host_down");
}

std::string recipients_text(uint64_t count) {
  return absl::StrCat(count, count == 1 ? " recipient" : " recipients");
}

std::string rate_text(const queue::Rate& rate) {
  constexpr std::array<std::pair<int64_t, const char*>, 4> kUnits = {{{queue::kSecondNs, "/s"},
                                                                      {queue::kMinuteNs, "/min"},
                                                                      {queue::kHourNs, "/h"},
                                                                      {queue::kDayNs, "/d"}}};
  for (const auto& [per_ns, unit] : kUnits) {
    if (rate.per_ns == per_ns) return absl::StrCat(rate.count, unit);
  }
  return absl::StrCat(rate.count, " in ", rate.per_ns / 1'000'000, " ms");
}

// RFC 5321 allows more in a local part; then the rest of it is shown.
static bool in_local_part(char c) {
  constexpr std::string_view kOthers = ".!#$%&'*+-/=?^_`{|}~\"";
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) || (c & 0x80) != 0 ||
         kOthers.find(c) != std::string_view::npos;
}

std::string reply_shown(uint16_t code, std::string_view text) {
  std::string shown = code == 0 ? "" : absl::StrCat(code, " ");
  for (const char c : text.substr(0, kReplyShownMax)) {
    if (c == '@') {
      const size_t before = shown.size();
      while (!shown.empty() && in_local_part(shown.back())) shown.pop_back();
      if (shown.size() < before) shown += '*';
    }
    shown += c;
  }
  return shown;
}

Condition condition_of(const Order& order, int64_t mono_ns, int64_t wall_ns) {
  Condition condition;
  condition.order = order.number;
  const bool suspends = order.kind == Order::Kind::suspend;
  condition.what = suspends ? "suspended" : "ordered";
  condition.text = absl::StrCat("order ", order.number, " of an operator: ");
  const std::string_view kind = name_of(order.kind);
  condition.text.append(kind);
  for (const queue::FilterPart& part : queue::kFilterParts) {
    const std::string& value = order.filter.*part.text;
    if (value.empty()) continue;
    condition.text += ' ';
    condition.text.append(part.name);
    condition.text += ' ';
    condition.text += value;
  }
  if (!order.reason.empty()) condition.text += " (" + order.reason + ")";
  if (suspends && order.until_wall_ns != 0)
    condition.clears_mono_ns = mono_ns + order.until_wall_ns - wall_ns;
  return condition;
}

}  // namespace veredus
