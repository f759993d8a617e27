#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/sts_file.h"
#include "engine/tls/sts_port.h"

namespace veredus {

// Fetches MTA-STS policies by HTTPS (RFC 8461 §3.3) and keeps them on disk, on a thread of its own:
// libcurl's calls and the file's block. GET of one host's well-known path at the addresses that it
// is given; certificates by trusted authorities; no redirect, no proxy, at most 64 KiB within a
// minute.
class StsFetcher final : public tls::StsFetches {
 public:
  struct Settings {
    std::string file;                                                // where policies are kept
    std::string authorities = "/etc/ssl/certs/ca-certificates.crt";  // in PEM
    uint16_t port = 443;                                             // of policy hosts
    int64_t limit_ms = 60'000;                                       // for one policy (§3.3)
  };
  static constexpr size_t kAtOnce = 256;            // transfers; further ones wait
  static constexpr size_t kAtOnceToAnAddress = 16;  // of these: a host that is slow keeps no more
  static constexpr size_t kWaitingMax = 8192;       // beyond it they fail

  // Called on the fetcher's thread.
  struct Events {
    std::function<void(uint16_t shard, tls::StsFetched)> fetched;
    std::function<void(std::string)> report;  // that an operator should hear of
  };
  // Reads the file; what is wrong with it is reported, and no obstacle.
  static std::unique_ptr<StsFetcher> start(Settings settings, Events events);
  // Ends the thread; transfers under way are given up.
  ~StsFetcher() override;
  StsFetcher(const StsFetcher&) = delete;
  StsFetcher& operator=(const StsFetcher&) = delete;

  void fetch(uint16_t shard, tls::StsFetch fetch) override;
  void keep(const tls::CachedSts& cached) override;
  const std::vector<tls::CachedSts>& known() const override { return known_; }
  // No shard asks for it any more.
  void forget_known() { known_ = {}; }

 private:
  struct Asked {
    uint16_t shard = 0;
    tls::StsFetch fetch;
    int64_t until_mono_ms = 0;
  };
  struct Transfer;
  struct Multi;

  StsFetcher(Settings settings, Events events);
  void run();
  bool take_work();
  std::vector<Asked> next_asked(std::vector<Asked>& late);
  void begin(Asked asked);
  void collect();
  void finish(Transfer& transfer, int code);

  const Settings settings_;
  const Events events_;
  StsFile file_;
  std::vector<tls::CachedSts> known_;
  std::unique_ptr<Multi> multi_;
  std::vector<std::unique_ptr<Transfer>> transfers_;
  std::map<std::string, size_t> to_address_;  // of these: how many, by the first address
  std::mutex mutex_;
  std::deque<Asked> asked_;
  std::vector<tls::CachedSts> to_keep_;
  bool leave_ = false;
  std::thread thread_;
};

}  // namespace veredus
