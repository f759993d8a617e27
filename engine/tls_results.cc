#include "engine/tls_results.h"

#include <algorithm>
#include <utility>

#include "engine/routes.h"
#include "queue/retry.h"

namespace veredus {
namespace {

using queue::kDayNs;

// The same for the same on every run.
uint64_t hash_of(const TlsResult& result) {
  std::string key{static_cast<char>(result.policy), static_cast<char>(result.type)};
  for (const std::string* const part :
       {&result.domain, &result.records, &result.mx, &result.address, &result.sending})
    key.append(*part).push_back('\0');
  return stable_hash(key);
}

}  // namespace

std::string_view name_of(TlsResult::Policy policy) {
  constexpr std::array<std::string_view, 3> kNames = {"no-policy-found", "tlsa", "sts"};
  return kNames[static_cast<size_t>(policy)];
}

std::string_view name_of(TlsResult::Type type) {
  constexpr std::array<std::string_view, 11> kNames = {"",
                                                       "starttls-not-supported",
                                                       "certificate-host-mismatch",
                                                       "certificate-expired",
                                                       "certificate-not-trusted",
                                                       "validation-failure",
                                                       "tlsa-invalid",
                                                       "dnssec-invalid",
                                                       "sts-policy-fetch-error",
                                                       "sts-policy-invalid",
                                                       "sts-webpki-invalid"};
  return kNames[static_cast<size_t>(type)];
}

TlsResult::Type type_of(tls::StsFault fault) {
  switch (fault) {
    case tls::StsFault::none:
    case tls::StsFault::not_asked:
      return TlsResult::Type::success;
    case tls::StsFault::fetch_error:
      return TlsResult::Type::sts_policy_fetch_error;
    case tls::StsFault::policy_invalid:
      return TlsResult::Type::sts_policy_invalid;
    case tls::StsFault::webpki_invalid:
      return TlsResult::Type::sts_webpki_invalid;
    case tls::StsFault::no_host:
      return TlsResult::Type::validation_failure;
  }
  return TlsResult::Type::validation_failure;
}

TlsResults::Day* TlsResults::day(int64_t number) {
  const auto found = std::find_if(days_.begin(), days_.end(),
                                  [number](const Day& day) { return day.number == number; });
  return found == days_.end() ? nullptr : &*found;
}

void TlsResults::add(TlsResult result) {
  const int64_t today = shard_.wall_ns / kDayNs;
  Day* counted = day(today);
  if (counted == nullptr) {
    // The older of the two goes.
    counted = days_[0].number < days_[1].number ? &days_[0] : &days_[1];
    gone_.swap(counted->rows);
    *counted = Day{};
    counted->number = today;
  }
  if (result.reason.size() > kReasonMax) result.reason.resize(kReasonMax);
  const auto [known, fresh] = counted->places.try_emplace(hash_of(result), counted->rows.size());
  if (!fresh && known->second < counted->rows.size() &&
      counted->rows[known->second].result.key() == result.key()) {
    TlsResultsAnswer::Row& row = counted->rows[known->second];
    ++row.sessions;
    row.result.reason = std::move(result.reason);
  } else if (!fresh || counted->rows.size() >= kRowsMax) {
    if (fresh) counted->places.erase(known);
    ++counted->left_out;
  } else {
    counted->rows.push_back({std::move(result), 1});
  }
}

void TlsResults::asked(const TlsResultsQuestion& question) {
  Answering& answering = answering_.emplace_back();
  answering.question = question;
  answering.answer.token = question.token;
}

void TlsResults::run() {
  for (size_t i = 0; i < kToldPerTurn && !gone_.empty(); ++i) gone_.pop_front();
  if (answering_.empty()) return;
  Answering& now = answering_.front();
  TlsResultsAnswer& answer = now.answer;
  if (const Day* const wanted = day(now.question.day)) {
    const size_t end = std::min(wanted->rows.size(), answer.rows.size() + kToldPerTurn);
    for (size_t i = answer.rows.size(); i < end; ++i) answer.rows.push_back(wanted->rows[i]);
    if (end < wanted->rows.size()) return;
    answer.left_out = wanted->left_out;
  }
  answer.policies = policies_.all();
  shard_.exchange.answers().answer_question(std::move(answer));
  answering_.pop_front();
}

}  // namespace veredus
