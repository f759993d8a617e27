#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "engine/mail/admission.h"
#include "engine/mail/content.h"
#include "queue/batch.h"

namespace veredus::mail {

// A message that nothing is found of; parts of it are replaced by name.
struct TestMessage {
  std::vector<std::pair<std::string, std::string>> fields = {
      {"From", "News <news@news.example>"},
      {"To", "ada@example.org"},
      {"Subject", "Spring"},
      {"Date", "Tue, 24 Nov 2026 00:28:29 +0000"},
      {"Message-ID", "<1.2@news.example>"},
      {"List-Unsubscribe", "<mailto:u@news.example>, <https://news.example/u?1>"},
      {"List-Unsubscribe-Post", "List-Unsubscribe=One-Click"},
      {"Feedback-ID", "spring:acme:news:sender"},
      {"MIME-Version", "1.0"},
      {"Content-Type", "text/plain; charset=utf-8"},
  };
  std::string body = "Hello\r\n";

  TestMessage with(std::string_view name, std::string_view value) const {
    TestMessage made = *this;
    for (auto& [other, text] : made.fields) {
      if (other == name) return text = value, made;
    }
    return made.and_also(name, value);
  }
  TestMessage without(std::string_view name) const {
    TestMessage made = *this;
    std::erase_if(made.fields, [&](const auto& field) { return field.first == name; });
    return made;
  }
  TestMessage and_also(std::string_view name, std::string_view value) const {
    TestMessage made = *this;
    made.fields.emplace_back(name, value);
    return made;
  }
  TestMessage of_body(std::string_view text) const {
    TestMessage made = *this;
    made.body = text;
    return made;
  }
  std::string text() const {
    std::string out;
    for (const auto& [name, value] : fields) out += name + ": " + value + "\r\n";
    return out + "\r\n" + body;
  }
};

// Signs for news.example and what is under it, as the engine would.
class TestSigners final : public Signers {
 public:
  std::vector<Signature> signatures = {{"news.example", true}};
  mutable unsigned asked = 0;
  void of_author(std::string_view, std::vector<Signature>& out) const override {
    ++asked;
    out.insert(out.end(), signatures.begin(), signatures.end());
  }
};

inline std::string names_of(Findings findings) {
  std::string names;
  findings.for_each([&](Finding each) {
    if (!names.empty()) names += ' ';
    names += text_of(each).name;
  });
  return names;
}

// As the door does it. "! …": normalise() refuses it.
inline std::string found_in(std::string_view raw, const Signers* signers, bool merge = false,
                            bool built = false) {
  Normalised normalised;
  ContentError error;
  if (!normalise(raw, merge, normalised, error)) return "! " + error.reason;
  AdmissionFacts facts;
  facts.merge = merge;
  facts.built = built;
  facts.eight_bit = (normalised.flags & queue::kContentEightBit) != 0;
  facts.header_utf8 = (normalised.flags & queue::kContentHeaderUtf8) != 0;
  facts.signers = signers;
  if (normalised.bytes.data() != raw.data()) facts.as_fed = line_findings(raw);
  Admission admission;
  return names_of(admission.check(normalised.bytes, facts).found);
}

}  // namespace veredus::mail
