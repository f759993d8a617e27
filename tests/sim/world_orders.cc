// Operators: orders given at random, taken back, given again after a crash; and what they promise.

#include <algorithm>
#include <utility>

#include "queue/orders.h"
#include "tests/sim/world.h"
#include "tests/sim/world_life.h"

namespace veredus::sim {

using queue::Filter;
using Kind = queue::Order::Kind;

namespace {

constexpr int64_t kSecond = 1'000'000'000;
// What was under way when an order came is over by then: no server takes longer.
constexpr int64_t kUnderWayNs = 3600 * kSecond;

std::string domain_of(const std::string& address) {
  return address.substr(address.find('@') + 1);
}

std::string text_of(const queue::Order& order) {
  std::string text(name_of(order.kind));
  for (const queue::FilterPart& part : queue::kFilterParts) {
    const std::string& value = order.filter.*part.text;
    if (!value.empty()) text += " " + std::string(part.name) + " " + value;
  }
  return text;
}

}  // namespace

// -------------------------------------------------------------------------------------------------
// given

int64_t World::next_order_mono_ns() const {
  if (ordering_ == nullptr) return INT64_MAX;
  int64_t next = ordering_->left == 0 ? INT64_MAX : ordering_->next_mono_ns;
  for (const auto& each : ordering_->orders) {
    if (each->order.number != 0 && !each->asked && !each->lift_durable)
      next = std::min(next, each->lift_mono_ns);
  }
  return std::max(next, clock_.mono + 1'000'000);
}

void World::operate() {
  hear_orders();
  Ordering& all = *ordering_;
  if (all.left > 0 && clock_.mono >= all.next_mono_ns) {
    all.next_mono_ns = clock_.mono + static_cast<int64_t>(all.random.below(20 * kSecond));
    make_order();
  }
  for (const auto& each : all.orders) {
    GivenOrder& given = *each;
    if (given.order.number == 0 || given.asked) continue;
    if (given.refused && all.random.below(100) != 0) continue;
    const bool lifts = clock_.mono >= given.lift_mono_ns && !given.lift_durable;
    if (given.refused || lifts) {
      if (lifts && given.order.state == queue::Order::State::given) {
        given.order.state = queue::Order::State::lifted;
        given.order.ended_wall_ns = clock_.wall_ns();
        given.lifted_mono_ns = clock_.mono;
      }
      ask_order(given);
    }
  }
}

// Suspensions of much, for a while; the others of little: most of the mail is to be delivered.
void World::make_order() {
  Ordering& all = *ordering_;
  io::Random& random = all.random;
  const Feeder& feeder = *feeders_[random.below(feeders_.size())];
  if (!feeder.acknowledged || feeder.forgotten || feeder.live == nullptr) return;
  --all.left;
  const std::string& to = feeder.lines[random.below(feeder.lines.size())].to;
  const auto domain = static_cast<uint32_t>(std::stoul(domain_of(to).substr(1)));
  const Rules& rules = ruling_->rules;
  auto given = std::make_unique<GivenOrder>();
  queue::Order& order = given->order;
  const uint64_t kind = random.below(10);
  order.kind = kind < 5   ? Kind::suspend
               : kind < 7 ? Kind::cancel
               : kind < 9 ? Kind::expire
                          : Kind::retry;
  const bool much = order.kind == Kind::suspend || order.kind == Kind::retry;
  Filter& filter = order.filter;
  switch (random.below(much ? 9 : 6)) {
    case 0:
      // What an order says stays in the journal, also of somebody who asks to be forgotten.
      if (asks_erasure(to)) {
        filter.domain = domain_of(to);
      } else {
        filter.recipient = to;
      }
      break;
    case 1:
      filter.domain = domain_of(to);
      break;
    case 2:
      filter.tenant = feeder.tenant;
      filter.batch = feeder.name;
      break;
    case 3:
      filter.site = site_key_of(site_of(domain));
      if (!much) filter.tenant = feeder.tenant;
      break;
    case 4:
      filter.campaign = feeder.campaign.empty() ? "c0" : feeder.campaign;
      if (!much) filter.domain = domain_of(to);
      break;
    case 5:
      if (rules.providers.empty()) {
        filter.domain = domain_of(to);
      } else {
        filter.provider = rules.providers[random.below(rules.providers.size())].name;
        if (!much) filter.campaign = "c" + std::to_string(random.below(3));
      }
      break;
    case 6:
      filter.tenant = feeder.tenant;
      break;
    case 7:
      filter.source = rules.sources[random.below(rules.sources.size())].name;
      break;
    case 8:
      filter.source = rules.sources[random.below(rules.sources.size())].name;
      filter.tenant = feeder.tenant;
      break;
  }
  order.last_batch =
      order.kind == Kind::suspend ? queue::kEveryBatch : life_->intake->highest_number();
  order.given_wall_ns = clock_.wall_ns();
  order.number = life_->core->next_order();
  if (order.kind == Kind::suspend) {
    const auto lasts = static_cast<int64_t>(
        random.below((random.below(2) == 0 ? 10 : 120) * static_cast<uint64_t>(kSecond)) + 1);
    if (random.below(4) == 0) order.until_wall_ns = clock_.wall_ns() + lasts;
    given->lift_mono_ns = clock_.mono + lasts;
    if (order.until_wall_ns != 0 && random.below(2) == 0) given->lift_mono_ns = INT64_MAX;
  }
  given->asked_mono_ns = clock_.mono;
  ++report_.orders;
  ask_order(*given);
  all.orders.push_back(std::move(given));
}

void World::ask_order(GivenOrder& given) {
  given.asked = true;
  given.refused = false;
  given.token = ordering_->random.next();
  given.open = life_->core->homes();
  OrderQuestion question;
  question.token = given.token;
  question.order = given.order;
  life_->core->ask_order(question);
}

void World::hear_orders() {
  for (const OrderAnswer& answer : std::exchange(life_->order_answers, {})) {
    if (answer.done != 0) life_->core->order_done(answer.done);
    const auto& orders = ordering_->orders;
    const auto found = std::find_if(orders.begin(), orders.end(), [&](const auto& each) {
      return each->asked && answer.token != 0 && each->token == answer.token;
    });
    if (found == orders.end()) continue;
    GivenOrder& given = **found;
    given.refused = given.refused || !answer.status.ok();
    if (--given.open > 0) continue;
    given.asked = false;
    report_.orders_refused += given.refused;
    if (given.order.state == queue::Order::State::lifted) {
      given.lift_durable = !given.refused;
    } else if (!given.refused) {
      given.durable_mono_ns = clock_.mono;
    } else if (given.order.kind != Kind::suspend) {
      given.refused = false;  // it may hold, or not: nobody says it again
    }
  }
}

// -------------------------------------------------------------------------------------------------
// over a crash

void World::orders_crashed() {
  if (ordering_ == nullptr) return;
  for (const auto& each : ordering_->orders) {
    // Who was about to lift it tries again.
    if (each->asked && each->order.state == queue::Order::State::lifted) each->refused = true;
    each->asked = false;
  }
}

void World::orders_at_start() {
  if (ordering_ == nullptr) return;
  const std::map<uint64_t, queue::Order>& held = life_->core->orders();
  for (const auto& each : ordering_->orders) {
    GivenOrder& given = *each;
    if (given.order.number == 0 || given.lift_durable || held.contains(given.order.number))
      continue;
    const bool over =
        given.order.until_wall_ns != 0 && given.order.until_wall_ns <= clock_.wall_ns();
    const bool lifted = given.order.state == queue::Order::State::lifted;
    if (given.durable_mono_ns != INT64_MAX && given.order.kind == Kind::suspend && !over && !lifted)
      violation("after a start nothing is known of the order to " + text_of(given.order) +
                ", which was durable");
    // It holds no more; or it never came to the disk, and others get its number.
    if (given.durable_mono_ns == INT64_MAX) ++report_.orders_lost;
    given.lift_durable = true;
    given.refused = false;
    given.lost_mono_ns = clock_.mono;
    given.order.number = 0;
  }
}

bool World::order_names(const std::string& recipient) const {
  return ordering_ != nullptr &&
         std::any_of(ordering_->orders.begin(), ordering_->orders.end(),
                     [&](const auto& given) { return given->order.filter.recipient == recipient; });
}

bool World::orders_done() const {
  if (ordering_ == nullptr) return true;
  return std::none_of(ordering_->orders.begin(), ordering_->orders.end(),
                      [](const auto& each) { return each->asked; });
}

// -------------------------------------------------------------------------------------------------
// what they promise

// Whether it holds for a recipient under all rules that may have been obeyed between these moments,
// or (`perhaps`) under any.
bool World::order_fits(const GivenOrder& given, const Feeder& feeder, const std::string& to,
                       const std::string& source, int64_t from_mono_ns, int64_t to_mono_ns,
                       bool perhaps) const {
  const Filter& filter = given.order.filter;
  queue::Batch batch;
  batch.tenant = feeder.tenant;
  batch.campaign = feeder.campaign;
  batch.name = feeder.name;
  const std::string domain = domain_of(to);
  if (!fits_batch(filter, batch) || !fits_domain(filter, domain) || !fits_recipient(filter, to))
    return false;
  if (given.order.kind != Kind::suspend &&
      (feeder.live == nullptr || feeder.live->batch.number > given.order.last_batch))
    return false;
  if (!perhaps && !fits_source(filter, source)) return false;
  if (!asks_site(filter)) return true;
  // Who cannot be routed when he is looked for is not ended by what is ordered of his site.
  if (!perhaps && given.order.kind != Kind::suspend && internet_.routes_failed.contains(domain))
    return false;
  const uint32_t site = site_of(static_cast<uint32_t>(std::stoul(domain.substr(1))));
  const auto fits = [&](const Rules* rules) {
    const auto name = [&](int provider) {
      return provider < 0 ? std::string() : rules->providers[static_cast<size_t>(provider)].name;
    };
    const int provider = provider_of(*rules, domain, site);
    std::string key = site_key_of(site);
    if (provider != provider_of(*rules, "", site)) key += " for " + name(provider);
    return fits_site(filter, key, name(provider));
  };
  const std::vector<const Rules*> rules = ruling_->judge.obeyed(from_mono_ns, to_mono_ns);
  return perhaps ? std::any_of(rules.begin(), rules.end(), fits)
                 : std::all_of(rules.begin(), rules.end(), fits);
}

// From the moment on at which an order was known to be durable, nothing begins for whom it holds.
void World::judge_orders(const States& states) {
  if (ordering_ == nullptr) return;
  for (const auto& each : ordering_->orders) {
    const GivenOrder& given = *each;
    const queue::Order& order = given.order;
    if (order.kind == Kind::retry || given.durable_mono_ns == INT64_MAX) continue;
    int64_t until = std::min(given.lifted_mono_ns, given.lost_mono_ns);
    if (order.until_wall_ns != 0)
      until = std::min(until, order.until_wall_ns - clock_.wall_minus_mono);
    if (order.kind != Kind::suspend) until = INT64_MAX;
    for (const LimitJudge::Transaction& transaction : ruling_->judge.transactions()) {
      const int64_t at = transaction.sent_mono_ns;
      if (at <= given.durable_mono_ns || at >= until) continue;
      // What ends a recipient looks for all of them once: later rules bring it no more.
      const int64_t from = order.kind == Kind::suspend ? at : given.asked_mono_ns;
      const std::string& source = ruling_->judge.connection(transaction.connection).source;
      for (const std::string& to : transaction.to) {
        const auto fed = ruling_->fed.find(to);
        if (fed == ruling_->fed.end() ||
            !order_fits(given, *fed->second, to, source, from, at, false))
          continue;
        violation(to + " was sent to at " + std::to_string(at / 1'000'000) + " ms, though " +
                  std::to_string(given.durable_mono_ns / 1'000'000) +
                  " ms was durable: " + text_of(order));
      }
    }
    if (order.kind != Kind::suspend) judge_given_up(given, states);
  }
}

// Whoever waited when it was durable is settled by it, or by what was under way.
void World::judge_given_up(const GivenOrder& given, const States& states) {
  for (const auto& feeder : feeders_) {
    if (feeder->live == nullptr) continue;
    for (uint32_t index = 0; index < feeder->lines.size(); ++index) {
      const auto found = states.find({feeder->live->batch.number, index});
      if (found == states.end() || found->second.finals != 1) continue;
      const FinalState& state = found->second;
      if (state.type != queue::OutcomeType::delivered && state.type != queue::OutcomeType::failed)
        continue;
      if (state.final_mono_ns <= given.durable_mono_ns + kUnderWayNs) continue;
      const std::string& to = feeder->lines[index].to;
      if (!order_fits(given, *feeder, to, "", given.asked_mono_ns, state.final_mono_ns, false))
        continue;
      violation(to + " was given up long ago, and went on: " + text_of(given.order));
    }
  }
}

bool World::ended_by_order(const Feeder& feeder, uint32_t index, const FinalState& state) {
  if (ordering_ == nullptr) return false;
  const Kind kind = state.type == queue::OutcomeType::expired ? Kind::expire : Kind::cancel;
  const auto& orders = ordering_->orders;
  const bool ended = std::any_of(orders.begin(), orders.end(), [&](const auto& given) {
    return given->order.kind == kind && given->asked_mono_ns <= state.final_mono_ns &&
           order_fits(*given, feeder, feeder.lines[index].to, "", given->asked_mono_ns,
                      state.final_mono_ns, true);
  });
  report_.by_order += ended;
  return ended;
}

// Nobody is but by an order, or because he asked to be forgotten.
void World::judge_cancelled(const Feeder& feeder, uint32_t index, const FinalState& state) {
  const std::string& to = feeder.lines[index].to;
  if (!asks_erasure(to) && !ended_by_order(feeder, index, state))
    violation(to + " was cancelled, and nobody had said so");
}

}  // namespace veredus::sim
