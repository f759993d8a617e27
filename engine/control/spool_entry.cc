#include "engine/control/spool_entry.h"

namespace veredus::control {

const queue::Entry* SpoolEntries::at(const queue::Location& page, uint32_t entry_offset) {
  if (page.length == 0) return nullptr;
  if (!(page == page_at_)) {
    page_at_ = page;
    queue::JournalReader reader(view_.disk(), page.journal, view_.journal_directory(page.journal));
    if (!reader.read(page, page_).ok() || !queue::check_page(page_).ok()) page_.clear();
  }
  uint32_t next = 0;
  if (page_.empty() || !queue::read_entry(page_, entry_offset, entry_, next).ok()) return nullptr;
  return &entry_;
}

}  // namespace veredus::control
