#include <algorithm>

#include "engine/control/config_table.h"

// Names as people mistype them.

namespace veredus::control {
namespace {

// Edit distance with swapped neighbours counted as one slip, to find what was meant.
size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::vector<size_t>> cost(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) cost[i][0] = i;
  for (size_t j = 0; j <= b.size(); ++j) cost[0][j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    for (size_t j = 1; j <= b.size(); ++j) {
      const bool other = a[i - 1] != b[j - 1];
      cost[i][j] =
          std::min({cost[i - 1][j] + 1, cost[i][j - 1] + 1, cost[i - 1][j - 1] + (other ? 1 : 0)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        cost[i][j] = std::min(cost[i][j], cost[i - 2][j - 2] + 1);
      }
    }
  }
  return cost[a.size()][b.size()];
}

}  // namespace

std::string nearest_name(std::string_view wrong, const std::vector<std::string>& known) {
  std::string best;
  if (wrong.size() > 64) return best;
  size_t best_distance = std::max<size_t>(2, wrong.size() / 2) + 1;
  for (const std::string& name : known) {
    const size_t d = distance(wrong, name);
    if (d < best_distance) {
      best_distance = d;
      best = name;
    }
  }
  return best;
}

std::string known_text(std::string_view wrong, const std::vector<std::string>& known) {
  const std::string best = nearest_name(wrong, known);
  if (!best.empty()) return ": did you mean \"" + best + "\"?";
  if (known.empty()) return "";
  std::string all = "; known are";
  for (const std::string& name : known) all += " " + name;
  return all;
}

}  // namespace veredus::control
