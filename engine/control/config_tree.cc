#include "engine/control/config_tree.h"

#include <algorithm>

#include "toml++/toml.h"

// The one file here that knows toml++, which is heavy to compile.

namespace veredus::control {
namespace {

TreePlace place_of(const toml::source_region& region) {
  return {region.begin.line, region.begin.column};
}

bool stands_before(const TreeEntry& a, const TreeEntry& b) {
  return a.place.line != b.place.line ? a.place.line < b.place.line
                                      : a.place.column < b.place.column;
}

TreeNode node_of(const toml::node& node) {
  TreeNode made;
  made.place = place_of(node.source());
  if (const toml::table* entries = node.as_table()) {
    TreeNode::Table table;
    for (const auto& [key, value] : *entries) {
      table.push_back({std::string(key.str()), place_of(key.source()), node_of(value)});
    }
    std::stable_sort(table.begin(), table.end(), stands_before);  // they came by name
    made.value = std::move(table);
  } else if (const toml::array* items = node.as_array()) {
    TreeNode::List list;
    for (const toml::node& item : *items) list.push_back(node_of(item));
    made.value = std::move(list);
  } else if (const auto text = node.value_exact<std::string>()) {
    made.value = *text;
  } else if (const auto flag = node.value_exact<bool>()) {
    made.value = *flag;
  } else if (const auto whole = node.value_exact<int64_t>()) {
    made.value = *whole;
  } else if (const auto real = node.value_exact<double>()) {
    made.value = *real;
  }
  return made;
}

}  // namespace

absl::StatusOr<TreeNode> parse_tree(std::string_view text, const std::string& name) {
  try {
    return node_of(toml::parse(text, std::string_view(name)));
  } catch (const toml::parse_error& error) {
    const TreePlace at = place_of(error.source());
    return absl::InvalidArgumentError(name + ":" + std::to_string(at.line) + ":" +
                                      std::to_string(at.column) +
                                      ": not TOML: " + std::string(error.description()));
  }
}

}  // namespace veredus::control
