#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "engine/control/config_reader.h"

namespace veredus::control {

// Reads one document into a Config, over what is there already: of a provider or a group that the
// Config has, what the document says of it is changed. Stops at the first fault, which it words
// with its place.
class ConfigDocument {
 public:
  ConfigDocument(Config& config, std::string file);
  ConfigDocument(const ConfigDocument&) = delete;
  ConfigDocument& operator=(const ConfigDocument&) = delete;

  absl::Status read(const TreeNode::Table& root);

 private:
  using Note = std::function<void(std::string, TreePlace)>;
  using ReadOne = absl::Status (ConfigDocument::*)(const TreeEntry& entry, const Heading& heading,
                                                   const TreeNode::Table& entries);

  absl::Status read_table(const TreeEntry& entry);
  absl::Status read_in_doubt(const TreeEntry& entry);
  absl::Status read_in_doubt_rules(const TreeNode& node);
  absl::Status read_in_doubt_rule(const Heading& heading, const TreeNode::Table& entries);
  absl::Status read_sources(const TreeNode& node);
  // Tables of tables, as [tenants.NAME]: `read_one` for each.
  absl::Status read_named(const TreeEntry& entry, ReadOne read_one);
  absl::Status read_tenant(const TreeEntry& entry, const Heading& heading,
                           const TreeNode::Table& entries);
  absl::Status read_provider(const TreeEntry& entry, const Heading& heading,
                             const TreeNode::Table& entries);
  absl::Status read_group(const TreeEntry& entry, const Heading& heading,
                          const TreeNode::Table& entries);
  absl::Status read_dkim(const TreeEntry& entry, const Heading& heading,
                         const TreeNode::Table& entries);
  absl::Status read_route(const TreeEntry& entry, const Heading& heading,
                          const TreeNode::Table& entries);
  absl::Status read_pool(const TreeEntry& entry, const Heading& heading,
                         const TreeNode::Table& entries);
  absl::Status read_pool_sources(const Reading& reading, Config::Pool& pool) const;

  Config& config_;
  const std::string file_;
  const Note note_;
  size_t new_providers_ = 0;  // of this document; in front of those that were there
};

}  // namespace veredus::control
