#include "engine/control/config_windows.h"

#include "engine/control/config_reader.h"
#include "queue/delivery_window.h"

namespace veredus::control {
namespace {

absl::Status take_window(const Reading& reading, std::vector<std::string>& into) {
  const auto* text = reading.node.as<std::string>();
  if (text == nullptr) {
    return fault(reading,
                 "write a window in quotes, as in \"Mo-Fr 08:00-20:00 Europe/Berlin\", or a list "
                 "of such");
  }
  const auto windows = queue::parse_windows(*text);
  if (!windows.ok()) return fault(reading, std::string(windows.status().message()));
  into.push_back(*text);
  return absl::OkStatus();
}

}  // namespace

absl::Status take_windows(const Reading& reading, std::vector<std::string>& into) {
  std::vector<std::string> texts;
  if (const auto* list = reading.node.as<TreeNode::List>()) {
    for (const TreeNode& item : *list) {
      absl::Status status = take_window({reading.file, reading.name, item}, texts);
      if (!status.ok()) return status;
    }
  } else if (absl::Status status = take_window(reading, texts); !status.ok()) {
    return status;
  }
  // Each is well, but there may be too many of them.
  const auto together = queue::parse_windows(texts);
  if (!together.ok()) return fault(reading, std::string(together.status().message()));
  into = std::move(texts);
  return absl::OkStatus();
}

std::shared_ptr<const queue::DeliveryWindows> windows_of(const std::vector<std::string>& texts) {
  auto windows = queue::parse_windows(texts);
  if (!windows.ok() || windows->empty()) return nullptr;
  return std::make_shared<const queue::DeliveryWindows>(*std::move(windows));
}

}  // namespace veredus::control
