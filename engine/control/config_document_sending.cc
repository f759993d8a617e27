#include <algorithm>

#include "engine/control/config_document.h"

// What mail is sent from, and what holds of its receivers: sources, pools, providers, groups,
// static routes, signing identities.

namespace veredus::control {

absl::Status ConfigDocument::read_sources(const TreeNode& node) {
  const std::string rule = "write each as a table of its own, headed [[sources]]";
  const auto* list = node.as<TreeNode::List>();
  if (list == nullptr || list->empty()) return fault({file_, "sources", node}, rule);
  config_.sources.clear();
  for (const TreeNode& item : *list) {
    const auto* entries = item.as<TreeNode::Table>();
    if (entries == nullptr) return fault({file_, "sources", item}, rule);
    const std::string name = "sources[" + std::to_string(config_.sources.size()) + "]";
    note_(name, item.place);
    const Heading heading{file_, name, "[[sources]]", note_};
    SourceSettings source;
    if (absl::Status status = take_settings(source_settings(), "", heading, *entries, source);
        !status.ok())
      return status;
    config_.sources.push_back(std::move(source));
  }
  return absl::OkStatus();
}

absl::Status ConfigDocument::read_provider(const TreeEntry& entry, const Heading& heading,
                                           const TreeNode::Table& entries) {
  std::vector<Config::ProviderRule>& rules = config_.providers;
  auto rule = std::find_if(rules.begin(), rules.end(), [&entry](const Config::ProviderRule& known) {
    return known.name == entry.key;
  });
  if (rule == rules.end()) {
    rule = rules.insert(rules.begin() + static_cast<std::ptrdiff_t>(new_providers_++),
                        Config::ProviderRule{});
    rule->name = entry.key;
  }
  return take_settings(provider_settings(), "", heading, entries, *rule);
}

absl::Status ConfigDocument::read_group(const TreeEntry& entry, const Heading& heading,
                                        const TreeNode::Table& entries) {
  std::vector<ProviderGroup>& groups = config_.groups;
  auto group = std::find_if(groups.begin(), groups.end(), [&entry](const ProviderGroup& known) {
    return known.name == entry.key;
  });
  if (group == groups.end()) {
    group = groups.insert(groups.end(), ProviderGroup{});
    group->name = entry.key;
  }
  return take_settings(group_settings(), "", heading, entries, *group);
}

absl::Status ConfigDocument::read_dkim(const TreeEntry& entry, const Heading& heading,
                                       const TreeNode::Table& entries) {
  Config::Dkim& identity = config_.dkim.emplace_back();
  identity.name = entry.key;
  return take_settings(dkim_settings(), "", heading, entries, identity);
}

absl::Status ConfigDocument::read_route(const TreeEntry& entry, const Heading& heading,
                                        const TreeNode::Table& entries) {
  Config::Route& route = config_.routes.emplace_back();
  route.name = entry.key;
  return take_settings(route_settings(), "", heading, entries, route);
}

absl::Status ConfigDocument::read_pool(const TreeEntry& pool, const Heading& heading,
                                       const TreeNode::Table& entries) {
  Config::Pool made;
  made.name = pool.key;
  for (const TreeEntry& entry : entries) {
    const Reading reading{file_, heading.name + "." + entry.key, entry.node};
    note_(reading.name, entry.node.place);
    absl::Status status;
    if (entry.key == "sources") {
      status = read_pool_sources(reading, made);
    } else if (entry.key == "sticky") {
      status = take_flag(reading, made.sticky);
    } else {
      status = unknown_setting(heading, entry, {"sources", "sticky"});
    }
    if (!status.ok()) return status;
  }
  config_.pools.push_back(std::move(made));
  return absl::OkStatus();
}

absl::Status ConfigDocument::read_pool_sources(const Reading& reading, Config::Pool& pool) const {
  if (const auto* list = reading.node.as<TreeNode::List>()) {
    for (const TreeNode& item : *list) {
      const auto* name = item.as<std::string>();
      if (name == nullptr) {
        return fault({file_, reading.name, item}, "write the names of sources in quotes");
      }
      pool.sources.emplace_back(*name, 1);
    }
    return absl::OkStatus();
  }
  const auto* weights = reading.node.as<TreeNode::Table>();
  if (weights == nullptr) {
    return fault(reading,
                 "write a list of sources, as in [\"a\", \"b\"], or a table of their weights, as "
                 "in {a = 3, b = 1}");
  }
  for (const TreeEntry& entry : *weights) {
    uint64_t weight = 0;
    absl::Status status =
        take_count({file_, reading.name + "." + entry.key, entry.node}, 1, kWeightMax, weight);
    if (!status.ok()) return status;
    pool.sources.emplace_back(entry.key, static_cast<uint32_t>(weight));
  }
  return absl::OkStatus();
}

}  // namespace veredus::control
