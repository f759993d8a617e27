#include "engine/control/config_document.h"

#include <algorithm>

#include "engine/control/config_windows.h"

namespace veredus::control {

ConfigDocument::ConfigDocument(Config& config, std::string file)
    : config_(config), file_(std::move(file)), note_([this](std::string name, TreePlace place) {
        config_.places.insert_or_assign(std::move(name),
                                        FilePlace{file_, place.line, place.column});
      }) {}

absl::Status ConfigDocument::read(const TreeNode::Table& root) {
  for (const TreeEntry& entry : root) {
    if (absl::Status status = read_table(entry); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status ConfigDocument::read_table(const TreeEntry& entry) {
  if (entry.key == "sources") return read_sources(entry.node);
  if (entry.key == "pools") return read_named(entry, &ConfigDocument::read_pool);
  if (entry.key == "providers") return read_named(entry, &ConfigDocument::read_provider);
  if (entry.key == "groups") return read_named(entry, &ConfigDocument::read_group);
  if (entry.key == "routes") return read_named(entry, &ConfigDocument::read_route);
  if (entry.key == "dkim") return read_named(entry, &ConfigDocument::read_dkim);
  if (entry.key == "tenants") return read_named(entry, &ConfigDocument::read_tenant);
  if (entry.key == "in_doubt") return read_in_doubt(entry);
  std::vector<std::string> known(kOwnTables.begin(), kOwnTables.end());
  for (const Setting& setting : all_settings()) {
    if (known.back() != setting.table) known.emplace_back(setting.table);
  }
  if (std::find(known.begin(), known.end(), entry.key) == known.end()) {
    return fault_at(file_, entry.place,
                    "there is no table \"" + entry.key + "\"" + known_text(entry.key, known));
  }
  const Heading heading{file_, entry.key, "[" + entry.key + "]", note_};
  const TreeNode::Table* entries = nullptr;
  absl::Status status = want_table({file_, entry.key, entry.node}, heading.written, entries);
  return status.ok() ? take_settings(all_settings(), entry.key, heading, *entries, config_)
                     : status;
}

// -------------------------------------------------------------------------------------------------
// [in_doubt] and its rules

absl::Status ConfigDocument::read_in_doubt(const TreeEntry& entry) {
  const Heading heading{file_, entry.key, "[in_doubt]", note_};
  const TreeNode::Table* entries = nullptr;
  absl::Status status = want_table({file_, entry.key, entry.node}, heading.written, entries);
  if (!status.ok()) return status;
  TreeNode::Table others;
  for (const TreeEntry& inner : *entries) {
    if (inner.key != "rules") {
      others.push_back(inner);
    } else if (status = read_in_doubt_rules(inner.node); !status.ok()) {
      return status;
    }
  }
  return take_settings(all_settings(), entry.key, heading, others, config_);
}

absl::Status ConfigDocument::read_in_doubt_rules(const TreeNode& node) {
  const std::string rule = "write each as a table of its own, headed [[in_doubt.rules]]";
  const auto* list = node.as<TreeNode::List>();
  if (list == nullptr) return fault({file_, "in_doubt.rules", node}, rule);
  for (const TreeNode& item : *list) {
    const auto* entries = item.as<TreeNode::Table>();
    if (entries == nullptr) return fault({file_, "in_doubt.rules", item}, rule);
    const std::string name =
        "in_doubt.rules[" + std::to_string(config_.in_doubt_rules.size()) + "]";
    note_(name, item.place);
    absl::Status status = read_in_doubt_rule({file_, name, "[[in_doubt.rules]]", note_}, *entries);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status ConfigDocument::read_in_doubt_rule(const Heading& heading,
                                                const TreeNode::Table& entries) {
  Config::InDoubtRule made;
  for (const TreeEntry& entry : entries) {
    const Reading reading{file_, heading.name + "." + entry.key, entry.node};
    note_(reading.name, entry.node.place);
    absl::Status status;
    if (entry.key == "policy") {
      size_t word = 0;
      status = take_choice(reading, kInDoubtWords, word);
      made.policy = static_cast<InDoubtPolicy>(word);
    } else if (entry.key == "delay") {
      status = take_duration(reading, kInDoubtDelayMin, kInDoubtDelayMax, made.delay_ns.emplace());
    } else if (entry.key == "match") {
      status = take_text(reading, "a text", made.match);
    } else if (entry.key == "domain") {
      status = take_text(reading, "a text", made.domain);
    } else {
      status = unknown_setting(heading, entry, {"match", "domain", "policy", "delay"});
    }
    if (!status.ok()) return status;
  }
  config_.in_doubt_rules.push_back(std::move(made));
  return absl::OkStatus();
}

// -------------------------------------------------------------------------------------------------
// [tenants.NAME]

absl::Status ConfigDocument::read_named(const TreeEntry& entry, ReadOne read_one) {
  const auto* named = entry.node.as<TreeNode::Table>();
  if (named == nullptr) {
    return fault({file_, entry.key, entry.node},
                 "write each as a table of its own, headed [" + entry.key + ".NAME]");
  }
  for (const TreeEntry& one : *named) {
    const std::string name = entry.key + "." + one.key;
    const Heading heading{file_, name, "[" + name + "]", note_};
    const TreeNode::Table* entries = nullptr;
    absl::Status status = want_table({file_, name, one.node}, heading.written, entries);
    if (!status.ok()) return status;
    note_(name, one.place);
    status = (this->*read_one)(one, heading, *entries);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status ConfigDocument::read_tenant(const TreeEntry& tenant, const Heading& heading,
                                         const TreeNode::Table& entries) {
  Config::Tenant made;
  made.name = tenant.key;
  for (const TreeEntry& entry : entries) {
    const Reading reading{file_, heading.name + "." + entry.key, entry.node};
    note_(reading.name, entry.node.place);
    absl::Status status;
    if (entry.key == "waiting") {
      status = take_count(reading, 0, kTenantWaitingMax, made.waiting.emplace());
    } else if (entry.key == "bytes") {
      status = take_bytes(reading, 0, kTenantBytesMax, made.bytes.emplace());
    } else if (entry.key == "weight") {
      uint64_t weight = 0;
      status = take_count(reading, 1, kWeightMax, weight);
      made.weight = static_cast<uint32_t>(weight);
    } else if (entry.key == "windows") {
      status = take_windows(reading, made.windows);
    } else if (entry.key == "admission") {
      size_t word = 0;
      status = take_choice(reading, kAdmissionWords, word);
      made.admission = static_cast<intake::AdmissionMode>(word);
    } else if (entry.key == "admission_ignore") {
      status = take_texts(reading, kFindingName, is_finding, made.admission_ignore.emplace());
    } else {
      status = unknown_setting(
          heading, entry,
          {"waiting", "bytes", "weight", "windows", "admission", "admission_ignore"});
    }
    if (!status.ok()) return status;
  }
  config_.tenants.push_back(std::move(made));
  return absl::OkStatus();
}

}  // namespace veredus::control
