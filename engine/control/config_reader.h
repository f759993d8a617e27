#pragma once

#include <functional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "engine/control/config_table.h"
#include "engine/control/config_tree.h"

// Values and tables of a document, as config_table.h describes them. Every fault is worded with its
// place: "FILE:LINE:COLUMN: …".

namespace veredus::control {

// One value, and what it is called.
struct Reading {
  const std::string& file;
  std::string name;  // "smtp.port"
  const TreeNode& node;
};
absl::Status fault_at(const std::string& file, TreePlace place, const std::string& what);
// "NAME: WHAT", at the value.
absl::Status fault(const Reading& reading, const std::string& what);

absl::Status take_duration(const Reading& reading, int64_t min, int64_t max, int64_t& into);
absl::Status take_durations(const Reading& reading, int64_t min, int64_t max, size_t count_max,
                            std::vector<int64_t>& into);
absl::Status take_bytes(const Reading& reading, uint64_t min, uint64_t max, uint64_t& into);
absl::Status take_count(const Reading& reading, uint64_t min, uint64_t max, uint64_t& into);
absl::Status take_real(const Reading& reading, double min, double max, double& into);
absl::Status take_flag(const Reading& reading, bool& into);
absl::Status take_text(const Reading& reading, const char* rule, std::string& into);
absl::Status take_texts(const Reading& reading, const char* rule, bool (*fits)(std::string_view),
                        std::vector<std::string>& into);
absl::Status take_rate(const Reading& reading, bool bytes, queue::Rate& into);
absl::Status take_choice(const Reading& reading, std::span<const std::string_view> words,
                         size_t& into);

template <class Of>
struct TakeValue {
  const Reading& reading;
  Of& into;
  absl::Status operator()(const DurationKind<Of>& kind) {
    return take_duration(reading, kind.min, kind.max, kind.field.in(into));
  }
  absl::Status operator()(const DurationsKind<Of>& kind) {
    return take_durations(reading, kind.min, kind.max, kind.count_max, kind.field.in(into));
  }
  template <class T>
  absl::Status operator()(const BytesKind<Of, T>& kind) {
    uint64_t bytes = 0;
    const absl::Status status = take_bytes(reading, kind.min, kind.max, bytes);
    if (status.ok()) kind.field.in(into) = static_cast<T>(bytes);
    return status;
  }
  template <class T>
  absl::Status operator()(const CountKind<Of, T>& kind) {
    uint64_t number = 0;
    const absl::Status status = take_count(reading, kind.min, kind.max, number);
    if (status.ok()) kind.field.in(into) = static_cast<T>(number);
    return status;
  }
  absl::Status operator()(const RealKind<Of>& kind) {
    return take_real(reading, kind.min, kind.max, kind.field.in(into));
  }
  absl::Status operator()(const FlagKind<Of>& kind) {
    return take_flag(reading, kind.field.in(into));
  }
  absl::Status operator()(const TextKind<Of>& kind) {
    return take_text(reading, kind.rule, kind.field.in(into));
  }
  absl::Status operator()(const TextsKind<Of>& kind) {
    return take_texts(reading, kind.rule, kind.fits, kind.field.in(into));
  }
  absl::Status operator()(const RateKind<Of>& kind) {
    return take_rate(reading, kind.bytes, kind.field.in(into));
  }
  absl::Status operator()(const ChoiceKind<Of>& kind) {
    size_t choice = 0;
    const absl::Status status = take_choice(reading, kind.words, choice);
    if (status.ok()) kind.set(into, choice);
    return status;
  }
  absl::Status operator()(const SpecialKind<Of>& kind) { return kind.read(reading, into); }
};
template <class Of>
absl::Status take_setting(const SettingOf<Of>& setting, const Reading& reading, Of& into) {
  return std::visit(TakeValue<Of>{reading, into}, setting.kind);
}

// A heading of the document, and what to do with each name that is set below it.
struct Heading {
  const std::string& file;
  std::string name;     // "providers.gmail", "sources[0]"
  std::string written;  // "[providers.gmail]", "[[sources]]"
  const std::function<void(std::string name, TreePlace)>& note;

  Heading below(const std::string& table) const {
    return {file, name + "." + table, "[" + name + "." + table + "]", note};
  }
};
// "There is no setting KEY in …", with the one that was probably meant.
absl::Status unknown_setting(const Heading& heading, const TreeEntry& entry,
                             const std::vector<std::string>& known);
// The table that `node` is; else a fault that says how to write it.
absl::Status want_table(const Reading& reading, const std::string& written,
                        const TreeNode::Table*& table);

// All that stands under a heading: settings of `table`, and (if that is "") their sub-tables.
template <class Of>
absl::Status take_settings(Settings<Of> settings, std::string_view table, const Heading& heading,
                           const TreeNode::Table& entries, Of& into) {
  for (const TreeEntry& entry : entries) {
    const SettingOf<Of>* found = nullptr;
    bool sub_table = false;
    std::vector<std::string> known;
    for (const SettingOf<Of>& setting : settings) {
      if (setting.table == table) {
        known.emplace_back(setting.key);
        if (setting.key == entry.key) found = &setting;
      } else if (table.empty()) {
        if (known.empty() || known.back() != setting.table) known.emplace_back(setting.table);
        sub_table = sub_table || setting.table == entry.key;
      }
    }
    const std::string name = heading.name + "." + entry.key;
    absl::Status status;
    if (found != nullptr) {
      heading.note(name, entry.node.place);
      status = take_setting(*found, {heading.file, name, entry.node}, into);
    } else if (sub_table) {
      const Heading below = heading.below(entry.key);
      const TreeNode::Table* inner = nullptr;
      status = want_table({heading.file, name, entry.node}, below.written, inner);
      if (status.ok()) status = take_settings(settings, entry.key, below, *inner, into);
    } else {
      status = unknown_setting(heading, entry, known);
    }
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace veredus::control
