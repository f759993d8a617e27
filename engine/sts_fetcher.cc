#include "engine/sts_fetcher.h"

#include <algorithm>
#include <ctime>
#include <utility>

#include <curl/curl.h>

namespace veredus {
namespace {

int64_t mono_ms() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1'000'000;
}

int64_t wall_s() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return now.tv_sec;
}

bool is_plain_text(const char* type) {
  if (type == nullptr) return true;  // none is stated
  std::string text(type);
  text.resize(std::min(text.size(), text.find(';')));
  while (!text.empty() && text.back() == ' ') text.pop_back();
  for (char& c : text) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
  return text == "text/plain";
}

}  // namespace

struct StsFetcher::Multi {
  Multi() : handle(curl_multi_init()) {}
  ~Multi() { curl_multi_cleanup(handle); }
  CURLM* const handle;
};

struct StsFetcher::Transfer {
  Transfer(StsFetcher& the_owner, Asked what)
      : owner(the_owner), asked(std::move(what)), handle(curl_easy_init()) {}
  ~Transfer() {
    curl_multi_remove_handle(owner.multi_->handle, handle);
    curl_easy_cleanup(handle);
    curl_slist_free_all(resolve);
  }
  // Another size than was given ends the transfer.
  static size_t take(char* bytes, size_t, size_t size, void* transfer) {
    Transfer& self = *static_cast<Transfer*>(transfer);
    self.too_large = self.body.size() + size > tls::kStsPolicyBytesMax;
    if (self.too_large) return 0;
    self.body.append(bytes, size);
    return size;
  }
  StsFetcher& owner;
  const Asked asked;
  CURL* const handle;
  curl_slist* resolve = nullptr;
  std::string body;
  char words[CURL_ERROR_SIZE] = {};
  bool too_large = false;
};

std::unique_ptr<StsFetcher> StsFetcher::start(Settings settings, Events events) {
  static const CURLcode ready = curl_global_init(CURL_GLOBAL_DEFAULT);
  std::unique_ptr<StsFetcher> fetcher(new StsFetcher(std::move(settings), std::move(events)));
  if (ready != CURLE_OK || fetcher->multi_->handle == nullptr) return nullptr;
  const absl::Status loaded = fetcher->file_.load(wall_s(), fetcher->known_);
  if (!loaded.ok()) fetcher->events_.report(std::string(loaded.message()));
  fetcher->thread_ = std::thread([&self = *fetcher] { self.run(); });
  return fetcher;
}

StsFetcher::StsFetcher(Settings settings, Events events)
    : settings_(std::move(settings)),
      events_(std::move(events)),
      file_(settings_.file),
      multi_(std::make_unique<Multi>()) {}

StsFetcher::~StsFetcher() {
  {
    const std::lock_guard lock(mutex_);
    leave_ = true;
  }
  curl_multi_wakeup(multi_->handle);
  if (thread_.joinable()) thread_.join();
  transfers_.clear();
}

void StsFetcher::fetch(uint16_t shard, tls::StsFetch fetch) {
  {
    const std::lock_guard lock(mutex_);
    asked_.push_back({shard, std::move(fetch), mono_ms() + settings_.limit_ms});
  }
  curl_multi_wakeup(multi_->handle);
}

void StsFetcher::keep(const tls::CachedSts& cached) {
  {
    const std::lock_guard lock(mutex_);
    to_keep_.push_back(cached);
  }
  curl_multi_wakeup(multi_->handle);
}

// -------------------------------------------------------------------------------------------------
// the thread

void StsFetcher::run() {
  while (take_work()) {
    int running = 0;
    curl_multi_perform(multi_->handle, &running);
    collect();
    constexpr int kLookAgainMs = 1000;
    curl_multi_poll(multi_->handle, nullptr, 0, kLookAgainMs, nullptr);
  }
}

// Whose turn it is; `late`: whose time is over, or who are too many.
std::vector<StsFetcher::Asked> StsFetcher::next_asked(std::vector<Asked>& late) {
  std::vector<Asked> begun;
  const int64_t now_ms = mono_ms();
  for (auto asked = asked_.begin(); asked != asked_.end();) {
    size_t& there = to_address_[asked->fetch.addresses.front().to_string()];
    const bool turn = there < kAtOnceToAnAddress && transfers_.size() + begun.size() < kAtOnce;
    if (asked->until_mono_ms <= now_ms) {
      late.push_back(std::move(*asked));
    } else if (turn) {
      ++there;
      begun.push_back(std::move(*asked));
    } else {
      ++asked;
      continue;
    }
    asked = asked_.erase(asked);
  }
  while (asked_.size() > kWaitingMax) {
    late.push_back(std::move(asked_.back()));
    asked_.pop_back();
  }
  std::erase_if(to_address_, [](const auto& each) { return each.second == 0; });
  return begun;
}

// False: it is over; what is to be kept is on disk.
bool StsFetcher::take_work() {
  std::vector<Asked> begun, late;
  std::vector<tls::CachedSts> cached;
  bool leave = false;
  {
    const std::lock_guard lock(mutex_);
    leave = leave_;
    cached.swap(to_keep_);
    if (!leave) begun = next_asked(late);
  }
  if (!cached.empty()) {
    const absl::Status kept = file_.keep(cached, wall_s());
    if (!kept.ok()) events_.report(std::string(kept.message()));
  }
  for (Asked& asked : late) {
    events_.fetched(asked.shard, {asked.fetch.domain,
                                  tls::StsFault::not_asked,
                                  {},
                                  "the MTA-STS policy of " + asked.fetch.domain +
                                      ": too many others are being fetched"});
  }
  for (Asked& asked : begun) begin(std::move(asked));
  return !leave;
}

void StsFetcher::begin(Asked asked) {
  transfers_.push_back(std::make_unique<Transfer>(*this, std::move(asked)));
  Transfer& transfer = *transfers_.back();
  CURL* const handle = transfer.handle;
  if (handle == nullptr) return finish(transfer, CURLE_FAILED_INIT);
  const std::string port = std::to_string(settings_.port);
  const std::string host = "mta-sts." + transfer.asked.fetch.domain;
  // Names are looked up by the engine alone, and addresses judged there.
  // "+": forgotten by and by.
  std::string resolve = "+" + host + ":" + port + ":";
  for (const dns::IpAddress& address : transfer.asked.fetch.addresses) {
    const bool six = address.family == dns::IpAddress::Family::v6;
    if (resolve.back() != ':') resolve += ',';
    resolve += six ? "[" + address.to_string() + "]" : address.to_string();
  }
  transfer.resolve = curl_slist_append(nullptr, resolve.c_str());
  curl_easy_setopt(handle, CURLOPT_RESOLVE, transfer.resolve);
  curl_easy_setopt(handle, CURLOPT_PROXY, "");
  const std::string url = "https://" + host + ":" + port + std::string(tls::kStsPolicyPath);
  curl_easy_setopt(handle, CURLOPT_URL, url.c_str());
  curl_easy_setopt(handle, CURLOPT_PROTOCOLS_STR, "https");
  curl_easy_setopt(handle, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(handle, CURLOPT_HTTP_VERSION, long{CURL_HTTP_VERSION_1_1});
  curl_easy_setopt(handle, CURLOPT_USERAGENT, "veredus");
  curl_easy_setopt(handle, CURLOPT_SSLVERSION, long{CURL_SSLVERSION_TLSv1_2});
  curl_easy_setopt(handle, CURLOPT_CAINFO, settings_.authorities.c_str());
  curl_easy_setopt(handle, CURLOPT_CAPATH, nullptr);
  curl_easy_setopt(handle, CURLOPT_NETRC, long{CURL_NETRC_IGNORED});
  curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
  const int64_t left_ms = std::max<int64_t>(1, transfer.asked.until_mono_ms - mono_ms());
  curl_easy_setopt(handle, CURLOPT_TIMEOUT_MS, static_cast<long>(left_ms));
  curl_easy_setopt(handle, CURLOPT_FORBID_REUSE, 1L);
  curl_easy_setopt(handle, CURLOPT_ERRORBUFFER, transfer.words);
  curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, Transfer::take);
  curl_easy_setopt(handle, CURLOPT_WRITEDATA, &transfer);
  curl_easy_setopt(handle, CURLOPT_PRIVATE, &transfer);
  if (curl_multi_add_handle(multi_->handle, handle) != CURLM_OK)
    finish(transfer, CURLE_FAILED_INIT);
}

void StsFetcher::collect() {
  int left = 0;
  while (const CURLMsg* const message = curl_multi_info_read(multi_->handle, &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    Transfer* transfer = nullptr;
    curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
    finish(*transfer, message->data.result);
  }
}

void StsFetcher::finish(Transfer& transfer, int code) {
  tls::StsFetched fetched;
  fetched.domain = transfer.asked.fetch.domain;
  const auto fail = [&](tls::StsFault fault, std::string why) {
    fetched.fault = fault;
    fetched.why = "the MTA-STS policy of " + fetched.domain + ": " + std::move(why);
  };
  long status = 0;
  const char* type = nullptr;
  curl_easy_getinfo(transfer.handle, CURLINFO_RESPONSE_CODE, &status);
  curl_easy_getinfo(transfer.handle, CURLINFO_CONTENT_TYPE, &type);
  if (code == CURLE_PEER_FAILED_VERIFICATION) {
    fail(tls::StsFault::webpki_invalid, transfer.words);
  } else if (transfer.too_large) {
    fail(tls::StsFault::fetch_error, "larger than 64 KiB");
  } else if (code != CURLE_OK) {
    fail(tls::StsFault::fetch_error,
         transfer.words[0] != 0 ? transfer.words : curl_easy_strerror(static_cast<CURLcode>(code)));
  } else if (status != 200) {
    fail(tls::StsFault::fetch_error, "the policy host answers " + std::to_string(status));
  } else if (!is_plain_text(type)) {
    fail(tls::StsFault::fetch_error, "the policy host sends no text/plain");
  } else if (absl::StatusOr<tls::StsPolicy> policy = tls::parse_sts_policy(transfer.body);
             !policy.ok()) {
    fail(tls::StsFault::policy_invalid, std::string(policy.status().message()));
  } else {
    fetched.policy = *std::move(policy);
  }
  for (char& c : fetched.why) {
    if (c < ' ' || c > '~') c = '?';
  }
  const uint16_t shard = transfer.asked.shard;
  --to_address_[transfer.asked.fetch.addresses.front().to_string()];
  std::erase_if(transfers_, [&transfer](const auto& each) { return each.get() == &transfer; });
  events_.fetched(shard, std::move(fetched));
}

}  // namespace veredus
