#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/control/api.h"
#include "engine/control/api_body.h"
#include "engine/control/spool_entry.h"

namespace veredus::control {

// GET /v1/in_doubt: recipients of whom nobody knows whether they got their mail, as JSON lines. See
// README.md beside this.
//
// The shards are asked, and each answers when it has walked its records; what a line needs beside
// that is read back from the journals here, some lines at a time.
class InDoubtList final : public HttpHandler {
 public:
  static std::unique_ptr<HttpHandler> make(Api& api, const HttpRequest& request, HttpCall& call);

  bool read(std::string& out, size_t room) override;

 private:
  static constexpr uint64_t kListedMax = 10'000;
  static constexpr size_t kLinesPerRead = 64;  // each may have to read a page from the disk

  InDoubtList(Api& api, HttpCall& call) : api_(api), call_(call), entries_(api.view_) {}
  void told(const InDoubtAnswer& answer);
  void append_line(const InDoubtItem& item, std::string& out);

  Api& api_;
  HttpCall& call_;
  uint64_t limit_ = 1000;
  std::string tenant_;              // empty: all
  unsigned open_ = 0;               // shards that have not answered
  std::vector<InDoubtItem> items_;  // by batch and index, when all have answered
  size_t next_ = 0;
  SpoolEntries entries_;
  const Alive alive_;
};

// POST /v1/in_doubt: an operator decides about those that are held.
class InDoubtDecision final : public BodyHandler {
 public:
  InDoubtDecision(Api& api, HttpCall& call) : BodyHandler(call, kBodyMax), api_(api) {}

 private:
  static constexpr size_t kBodyMax = 4096;

  void decide(const std::string& body) override;
  void told(const InDoubtAnswer& answer);

  Api& api_;
  unsigned open_ = 0;  // shards that have not answered
  uint32_t done_ = 0;
};

}  // namespace veredus::control
