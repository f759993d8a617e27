#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "engine/home.h"
#include "engine/lane.h"
#include "engine/smtp/session_trace.h"
#include "engine/trace.h"

namespace veredus {

// What a shard's sessions say, for those who look on. The sessions know of it only while somebody
// does.
class Tracer final : public smtp::SessionTrace {
 public:
  // All outlive it.
  Tracer(ShardContext& shard, Lanes& lanes, std::deque<Home>& homes)
      : shard_(shard), lanes_(lanes), homes_(homes) {}

  void begin(std::shared_ptr<Trace> trace);
  // Each turn: hands over what came up in it.
  void run();
  // Something could not be handed over yet, or domains are still to be looked at.
  bool more_to_do() const { return more_to_do_; }
  // The mail of a domain goes there, as has just become known.
  void route_known(std::string_view domain, const Site& site);

  void dialled(const smtp::Session& session) override;
  void connected(const smtp::Session& session) override;
  void secured(const smtp::Session& session) override;
  void said(const smtp::Session& session, std::string_view commands) override;
  void content_begins(const smtp::Session& session, const smtp::Outgoing& outgoing) override;
  void heard(const smtp::Session& session, std::string_view bytes) override;
  void failed(const smtp::Session& session, std::string_view why) override;
  void closed(const smtp::Session& session) override;

 private:
  static constexpr size_t kPendingBytes = 256 * 1024;  // of a turn, of each trace
  static constexpr size_t kLineBytes = 4096;           // of what a host says
  static constexpr size_t kContentBytes = 16 * 1024;   // of a message
  static constexpr size_t kDomainsPerTurn = 4096;

  struct Look {
    std::shared_ptr<Trace> trace;
    std::vector<TraceLine> pending;
    size_t pending_bytes = 0;
    uint64_t left_out = 0;
    // With a domain: where the walk over those that are known has come to.
    size_t home = 0, domain = 0;
  };
  struct Known {
    uint64_t number = 0;
    std::string partial;  // of a line of the host
    std::string why;      // it fails
  };

  Known& known(const smtp::Session& session);
  bool fits(Look& look, const smtp::Session& session) const;
  void line(const smtp::Session& session, TraceLine::What what, std::string_view text,
            std::string_view with_credentials);
  void line(const smtp::Session& session, TraceLine::What what, std::string_view text) {
    line(session, what, text, text);
  }
  void put(Look& look, const smtp::Session& session, TraceLine::What what, std::string_view text);
  void heard_line(const smtp::Session& session, std::string_view text);
  void look_for_domains(Look& look);

  ShardContext& shard_;
  Lanes& lanes_;
  std::deque<Home>& homes_;
  std::vector<Look> looks_;
  absl::flat_hash_map<const smtp::Session*, Known> known_;  // seen since the first look
  uint64_t numbers_ = 0;                                    // given to sessions so far
  bool more_to_do_ = false;
};

}  // namespace veredus
