#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/intake/admission_gate.h"
#include "queue/batch.h"
#include "queue/extent.h"

namespace veredus::mail {
class DkimIdentities;  // mail/dkim_identity.h
}

namespace veredus::intake {

// What a feed may ask for at most (GET /v1/limits). Bytes of lines are counted without their line
// end.
struct FeedLimits {
  uint32_t recipients_max = 1'000'000;        // lines, refused ones included
  uint64_t batch_line_bytes = 64u << 20;      // also a recipient line that carries its own message
  uint64_t recipient_line_bytes = 64u << 10;  // of a recipient line, its message not counted
  uint64_t message_bytes = 50u << 20;         // as it is stored, CRLF-clean
  unsigned nesting_max = 8;                   // of the JSON of a line
  uint32_t vars_max = 256;                    // of a line
  uint32_t tags_max = 32;
  uint32_t dkim_max = 4;            // signing identities of a batch: mail::kDkimSignaturesMax
  uint32_t headers_max = 100;       // fields in `headers` of a message
  uint32_t attachments_max = 100;   // of a message
  uint64_t meta_bytes = 16u << 10;  // of `meta`, and of `tags`, as compact JSON
  // Source pools there are; others are refused. Empty: whatever is named is taken.
  std::vector<std::string> pools = {"default"};
};

struct FeedSettings {
  FeedLimits limits;
  std::vector<std::string> own_names;                // host names that are us, for loop detection
  std::shared_ptr<const mail::DkimIdentities> dkim;  // who signs; null: nobody
  std::string origin;                                // queue::Batch::origin
  // The last field of Feedback-ID in messages from parts; empty: they get no such field.
  std::string feedback_sender;
  AdmissionSettings admission;
};

// Why a whole batch is refused; nothing of it is kept.
struct FeedError {
  int http = 400;
  std::string_view code = "malformed";  // static; stable names: malformed, unsupported, too_large,
                                        // loop, bad_message, conflict, in_progress, unavailable,
                                        // tenant_quota, unknown_pool, admission
  uint64_t line = 0;                    // of the body, from 1; 0: not about a line
  uint64_t byte = 0;                    // in that line, from 1; 0: not about a byte
  std::string reason;
  std::string hint;  // what to do
};
// {"error":{"code":…,"line":…,"byte":…,"reason":…,"hint":…}}
void append_error_json(const FeedError& error, std::string& out);

// What the parser finds, in the order of the lines. Called from inside feed() and finish().
class FeedHandler {
 public:
  enum class Key : uint8_t {
    proceed,  // a new batch
    compare,  // known: the body is only read on (and hashed by the caller), nothing of it is looked
              // at
    refuse,   // `error` is set
  };
  virtual ~FeedHandler() = default;
  // The name of the batch is known, nothing else of its line has been checked but its syntax.
  virtual Key on_key(std::string_view tenant, std::string_view name, FeedError& error) = 0;
  virtual int64_t wall_ns() = 0;
  // The batch line is good. `batch` lacks its number and where its content lies. `content`:
  // CRLF-clean; empty: none.
  virtual bool on_batch(const queue::Batch& batch, std::string content, FeedError& error) = 0;
  // An accepted recipient; its views are valid during the call.
  virtual bool on_recipient(const queue::Entry& entry, FeedError& error) = 0;
  // A refused one. `line` = index + 2.
  virtual void on_refused(uint64_t line, std::string_view to, std::string_view status,
                          std::string_view reason) = 0;
  // What the admission check found of the batch's message: once, behind on_batch(); of a recipient
  // who was accepted: behind on_recipient(), in his own message, or where From is his alone.
  virtual void on_batch_findings(const MessageFindings&) {}
  virtual void on_recipient_findings(uint64_t /*line*/, const MessageFindings&) {}
};

// The body of POST /v1/batches: JSON lines, taken in as chunks of any size. No I/O. Every field
// that feed.md names is taken, or refused by name; unknown and doubled keys are errors: a misspelt
// key would lose what it says.
class FeedParser {
 public:
  FeedParser(const FeedSettings& settings, FeedHandler& handler);  // both outlive the parser
  ~FeedParser();
  FeedParser(const FeedParser&) = delete;
  FeedParser& operator=(const FeedParser&) = delete;

  // False: the batch is refused, error() says why; further calls do nothing.
  bool feed(std::string_view bytes);
  // The body is complete. The last line may lack its line end.
  bool finish();
  bool failed() const;
  const FeedError& error() const;

  uint32_t lines() const;  // recipient lines so far
  uint64_t bytes_held()
      const;  // memory that waits for the rest of a line, or for doubles to be found

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace veredus::intake
