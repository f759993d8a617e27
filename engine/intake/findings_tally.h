#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "engine/intake/admission_gate.h"
#include "engine/intake/json_writer.h"

namespace veredus::intake {

// What the admission check found of one upload, counted by name for the answer.
class FindingsTally {
 public:
  // Of the batch's message, which stands in the first line.
  void add_batch(const MessageFindings& findings) {
    of_batch_ = findings.found;
    add(1, findings, 0);
  }
  // A recipient who was accepted and gets the batch's message.
  void add_sharer() { ++sharers_; }
  // Of one who was accepted: of his own message, or of his From. Lines come in their order.
  void add_recipient(uint64_t line, const MessageFindings& findings) { add(line, findings, 1); }

  // The member "findings" of an object: nothing, if there are none.
  void append(JsonWriter& json) const {
    if (found_.empty()) return;
    json.key("findings").begin_array();
    found_.for_each([&](mail::Finding finding) {
      const Told& told = told_[static_cast<size_t>(finding)];
      json.begin_object().field("name", text_of(finding).name).field("reason", told.reason);
      json.field("fixed", told.fixed);
      json.field("recipients", told.recipients + (of_batch_.has(finding) ? sharers_ : 0));
      json.field("line", told.line).end_object();
    });
    json.end_array();
  }

 private:
  struct Told {
    std::string reason;  // of the first
    bool fixed = true;   // wherever it was found
    uint32_t recipients = 0;
    uint64_t line = 0;  // of the first
  };
  void add(uint64_t line, const MessageFindings& findings, uint32_t recipients) {
    findings.found.for_each([&](mail::Finding finding) {
      Told& told = told_[static_cast<size_t>(finding)];
      if (!found_.has(finding)) {
        told.reason = findings.reason(finding);
        told.line = line;
      }
      told.fixed = told.fixed && findings.fixed.has(finding);
      told.recipients += recipients;
      found_.add(finding);
    });
  }

  mail::Findings found_, of_batch_;
  std::array<Told, mail::kFindings> told_;
  uint32_t sharers_ = 0;
};

}  // namespace veredus::intake
