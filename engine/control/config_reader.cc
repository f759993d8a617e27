#include "engine/control/config_reader.h"

#include <algorithm>
#include <utility>

#include "engine/mail/idn.h"

namespace veredus::control {
namespace {

std::string quoted(std::string_view text) {
  return "\"" + std::string(text) + "\"";
}

}  // namespace

absl::Status fault_at(const std::string& file, TreePlace place, const std::string& what) {
  return absl::InvalidArgumentError(file + ":" + std::to_string(place.line) + ":" +
                                    std::to_string(place.column) + ": " + what);
}

absl::Status fault(const Reading& reading, const std::string& what) {
  return fault_at(reading.file, reading.node.place, reading.name + ": " + what);
}

absl::Status take_duration(const Reading& reading, int64_t min, int64_t max, int64_t& into) {
  const auto* text = reading.node.as<std::string>();
  const std::optional<int64_t> ns = text == nullptr ? std::nullopt : parse_duration_ns(*text);
  if (!ns || *ns < min || *ns > max) {
    return fault(reading, "write a time from " + quoted(duration_text(min)) + " to " +
                              quoted(duration_text(max)) +
                              ", as in \"500ms\", \"30s\", \"10m\", \"1h30m\" or \"5d\"");
  }
  into = *ns;
  return absl::OkStatus();
}

absl::Status take_durations(const Reading& reading, int64_t min, int64_t max, size_t count_max,
                            std::vector<int64_t>& into) {
  const auto* list = reading.node.as<TreeNode::List>();
  if (list == nullptr || list->size() > count_max) {
    return fault(reading, "write a list of at most " + std::to_string(count_max) +
                              " times, as in [\"5m\", \"20m\", \"1h\"]");
  }
  std::vector<int64_t> times;
  for (const TreeNode& item : *list) {
    absl::Status status =
        take_duration({reading.file, reading.name, item}, min, max, times.emplace_back());
    if (!status.ok()) return status;
  }
  into = std::move(times);
  return absl::OkStatus();
}

absl::Status take_bytes(const Reading& reading, uint64_t min, uint64_t max, uint64_t& into) {
  std::optional<uint64_t> bytes;
  if (const auto* number = reading.node.as<int64_t>(); number != nullptr && *number >= 0) {
    bytes = static_cast<uint64_t>(*number);
  } else if (const auto* text = reading.node.as<std::string>()) {
    bytes = parse_bytes(*text);
  }
  if (!bytes || *bytes < min || *bytes > max) {
    return fault(reading, "write a size from " + quoted(bytes_text(min)) + " to " +
                              quoted(bytes_text(max)) + ", as in \"64MiB\"");
  }
  into = *bytes;
  return absl::OkStatus();
}

absl::Status take_count(const Reading& reading, uint64_t min, uint64_t max, uint64_t& into) {
  const auto* number = reading.node.as<int64_t>();
  if (number == nullptr || *number < 0 || static_cast<uint64_t>(*number) < min ||
      static_cast<uint64_t>(*number) > max) {
    return fault(reading,
                 "write a whole number from " + std::to_string(min) + " to " + std::to_string(max));
  }
  into = static_cast<uint64_t>(*number);
  return absl::OkStatus();
}

absl::Status take_real(const Reading& reading, double min, double max, double& into) {
  std::optional<double> number;
  if (const auto* real = reading.node.as<double>()) number = *real;
  if (const auto* whole = reading.node.as<int64_t>()) number = static_cast<double>(*whole);
  // Written so that NaN is refused, too.
  if (!number || !(*number >= min && *number <= max)) {
    return fault(reading, "write a number from " + real_text(min) + " to " + real_text(max));
  }
  into = *number;
  return absl::OkStatus();
}

absl::Status take_flag(const Reading& reading, bool& into) {
  const auto* flag = reading.node.as<bool>();
  if (flag == nullptr) return fault(reading, "write true or false");
  into = *flag;
  return absl::OkStatus();
}

absl::Status take_text(const Reading& reading, const char* rule, std::string& into) {
  const auto* text = reading.node.as<std::string>();
  if (text == nullptr) return fault(reading, std::string("write ") + rule + ", in quotes");
  into = *text;
  return absl::OkStatus();
}

absl::Status take_texts(const Reading& reading, const char* rule, bool (*fits)(std::string_view),
                        std::vector<std::string>& into) {
  const std::string wanted = std::string("write a list of texts in quotes, each ") + rule;
  const auto* list = reading.node.as<TreeNode::List>();
  if (list == nullptr) return fault(reading, wanted);
  std::vector<std::string> texts;
  for (const TreeNode& item : *list) {
    const auto* text = item.as<std::string>();
    const Reading here{reading.file, reading.name, item};
    if (text == nullptr) return fault(here, wanted);
    std::string taken = *text;
    if (fits != nullptr && !fits(taken)) {
      // Names are compared as the DNS has them; people write U-labels.
      const size_t dot = text->starts_with('.') ? 1 : 0;
      taken.replace(dot, std::string::npos, mail::with_a_labels(text->substr(dot)));
      if (!fits(taken)) return fault(here, quoted(*text) + " is not " + rule);
    }
    texts.push_back(std::move(taken));
  }
  into = std::move(texts);
  return absl::OkStatus();
}

absl::Status take_rate(const Reading& reading, bool bytes, queue::Rate& into) {
  const auto* text = reading.node.as<std::string>();
  const std::optional<queue::Rate> rate = text == nullptr ? std::nullopt : parse_rate(*text, bytes);
  const uint64_t most = bytes ? kByteRateMax : kRateMax;
  if (!rate || rate->count > most) {
    return fault(reading,
                 bytes ? "write a rate of bytes up to " + quoted(bytes_text(most)) +
                             ", as in \"10MiB/s\" or \"1GiB/h\", or \"none\" for no limit"
                       : "write a rate up to " + std::to_string(most) +
                             ", as in \"100/s\", \"1000/min\", \"50000/h\" or \"1000000/d\", or "
                             "\"none\" for no limit");
  }
  into = *rate;
  return absl::OkStatus();
}

absl::Status take_choice(const Reading& reading, std::span<const std::string_view> words,
                         size_t& into) {
  const auto* text = reading.node.as<std::string>();
  const auto found = text == nullptr
                         ? words.end()
                         : std::find(words.begin(), words.end(), std::string_view(*text));
  if (found != words.end()) {
    into = static_cast<size_t>(found - words.begin());
    return absl::OkStatus();
  }
  std::string wanted = "write ";
  for (size_t i = 0; i < words.size(); ++i) {
    if (i > 0) wanted += i + 1 == words.size() ? " or " : ", ";
    wanted += quoted(words[i]);
  }
  return fault(reading, wanted);
}

absl::Status unknown_setting(const Heading& heading, const TreeEntry& entry,
                             const std::vector<std::string>& known) {
  return fault_at(heading.file, entry.place,
                  "there is no setting in " + heading.written + " " + quoted(entry.key) +
                      known_text(entry.key, known));
}

absl::Status want_table(const Reading& reading, const std::string& written,
                        const TreeNode::Table*& table) {
  table = reading.node.as<TreeNode::Table>();
  if (table != nullptr) return absl::OkStatus();
  return fault(reading, "write it as a table, headed " + written);
}

}  // namespace veredus::control
