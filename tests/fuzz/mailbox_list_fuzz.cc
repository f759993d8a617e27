#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "engine/mail/mailbox_list.h"

// Mailboxes stand in the value, in its order and apart; each, written out by itself, is found again
// as the same; and the whole has no more of them than it says.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace veredus::mail;
  const std::string_view value(reinterpret_cast<const char*>(data), size);
  std::vector<Mailbox> found, again;
  std::string_view why_not;
  const bool good = parse_mailbox_list(value, found, why_not);
  if (good != why_not.empty() || found.size() > kMailboxesMax) abort();
  size_t at = 0;
  for (const Mailbox& mailbox : found) {
    if (mailbox.begin < at || mailbox.end <= mailbox.begin || mailbox.end > size) abort();
    at = mailbox.end;
    if (mailbox.local.empty() || mailbox.domain.empty()) abort();
    if (parse_mailbox_list(value.substr(mailbox.begin, at - mailbox.begin), again, why_not)) {
      if (again.size() != 1 || again[0].domain.data() != mailbox.domain.data()) abort();
    } else {
      abort();
    }
    const std::string written = std::string(mailbox.display_name) + " <" +
                                std::string(mailbox.local) + "@" + std::string(mailbox.domain) +
                                ">";
    if (!parse_mailbox_list(written, again, why_not) || again.size() != 1) abort();
    if (again[0].local != mailbox.local || again[0].domain != mailbox.domain ||
        again[0].display_name != mailbox.display_name)
      abort();
  }
  const std::string block = "From:" + std::string(value);
  if (!found.empty() && value.find('\n') == std::string_view::npos &&
      author_domain(block) != (good ? found[0].domain : std::string_view()))
    abort();
  return 0;
}
