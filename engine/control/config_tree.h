#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"

namespace veredus::control {

// A TOML document as plain values, each with its place, in the order in which they are written.

struct TreePlace {
  uint32_t line = 0, column = 0;  // from 1
};

struct TreeEntry;
struct TreeNode {
  using List = std::vector<TreeNode>;
  using Table = std::vector<TreeEntry>;
  // monostate: a date or a time, which no setting has.
  std::variant<std::monostate, bool, int64_t, double, std::string, List, Table> value;
  TreePlace place;

  template <class T>
  const T* as() const {  // nullptr: it is something else
    return std::get_if<T>(&value);
  }
};
struct TreeEntry {
  std::string key;
  TreePlace place;  // of the key
  TreeNode node;
};

// `name` stands for the file in errors, which name line and column. The document is a Table.
absl::StatusOr<TreeNode> parse_tree(std::string_view text, const std::string& name);

}  // namespace veredus::control
