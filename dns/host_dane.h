#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "dns/lookup.h"
#include "dns/tlsa.h"

namespace veredus::dns {

// What a mail host says of itself by TLSA records (RFC 7672). A host without any, or whose name
// or addresses nobody has validated, has none of this: it is null then.
struct HostDane {
  // usable: nothing goes there without TLS that one of `records` authenticates; unusable: nothing
  // without TLS; failed: nothing at all now, for whoever keeps the answer from us may be the one to
  // be kept out.
  TlsaStatus status = TlsaStatus::failed;
  std::string base;  // the TLSA base domain: for SNI, and the name that an authority vouches for
  std::string host;  // as it was asked: the other such name (RFC 7672 §3.2.2)
  std::vector<TlsaRecord> records;  // when usable; in order
  std::string why;                  // when failed: for a person, printable ASCII
  bool busy = false;                // when failed: it was never asked, too many lookups are waiting
};

// One search for them: the walk over the host's names (RFC 7672 §2.2.2, §2.2.3). A member of its
// owner; may be destroyed, or begun again, at any time.
class DaneSearch final : private Query {
 public:
  struct Found {
    std::shared_ptr<const HostDane> dane;  // null: none
    bool has_ttl = false;
    uint32_t ttl_s = 0;  // how long it may be believed
  };
  // `lookups` outlives it. `port`: of the mail host. `queries` counts questions. `found` is called
  // once for each begin().
  DaneSearch(Lookups& lookups, uint16_t port, uint64_t& queries, std::function<void(Found)> found)
      : lookups_(lookups), port_(port), queries_(queries), found_(std::move(found)) {}
  ~DaneSearch() override { lookups_.cancel(*this); }

  // `host`: an MX host, normal form. `canonical`: where its aliases lead, itself if there are none.
  // `secure`: the answers about its addresses were validated, all of them. False: there is nothing
  // to look for (nor is there then for a host without aliases), and found() is not called.
  bool begin(std::string_view host, std::string_view canonical, bool secure);

 private:
  void on_answer(QueryStatus status, std::span<const uint8_t> raw) override;
  void alias_known(QueryStatus status, std::span<const uint8_t> raw);
  void ask_base(std::string base);
  void ask(std::string name, RecordType type);
  void next_base();
  void finish(TlsaStatus status, TlsaAnswer& answer);
  void believe(bool has_ttl, uint32_t ttl_s);

  Lookups& lookups_;
  const uint16_t port_;
  uint64_t& queries_;
  const std::function<void(Found)> found_;
  std::string host_;
  std::string base_;   // under way
  std::string asked_;  // likewise: the records' name, or where its aliases lead
  unsigned aliases_ = 0;
  bool asks_alias_ = false;
  bool host_left_ = false;  // … is a base, too, and comes last
  Found result_;
};

}  // namespace veredus::dns
