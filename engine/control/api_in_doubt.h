#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/control/api.h"
#include "engine/control/spool_entry.h"

namespace veredus::control {

// GET /v1/in_doubt: recipients of whom nobody knows whether they got their mail, as JSON lines.
// POST /v1/in_doubt: an operator decides about those that are held. See README.md beside this.
//
// The shards are asked, and each answers when it has walked its records; what a line needs beside
// that is read back from the journals here, some lines at a time.
class InDoubtHandler final : public HttpHandler {
 public:
  static std::unique_ptr<HttpHandler> list(Api& api, const HttpRequest& request, HttpCall& call);
  static std::unique_ptr<HttpHandler> steer(Api& api, HttpCall& call);
  ~InDoubtHandler() override { *self_ = nullptr; }

  bool on_body(std::string_view bytes) override;
  void on_end() override;
  bool read(std::string& out, size_t room) override;

 private:
  static constexpr uint64_t kListedMax = 10'000;
  static constexpr size_t kBodyMax = 4096;
  static constexpr size_t kLinesPerRead = 64;  // each may have to read a page from the disk

  InDoubtHandler(Api& api, HttpCall& call, bool steers)
      : api_(api), call_(call), steers_(steers), entries_(api.view_) {}
  void ask(const InDoubtQuestion& question);
  void told(InDoubtAnswer answer);
  void append_line(const InDoubtItem& item, std::string& out);
  void decide();
  void say(const HttpError& error);

  Api& api_;
  HttpCall& call_;
  const bool steers_;
  bool answered_ = false;
  std::string body_;
  uint64_t limit_ = 1000;
  std::string tenant_;  // of a list; empty: all
  unsigned open_ = 0;   // shards that have not answered
  uint32_t done_ = 0;
  std::vector<InDoubtItem> items_;  // by batch and index, when all have answered
  size_t next_ = 0;
  SpoolEntries entries_;
  // The shards' answers may come when the connection is gone.
  std::shared_ptr<InDoubtHandler*> self_ = std::make_shared<InDoubtHandler*>(this);
};

}  // namespace veredus::control
