#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "dns/address_policy.h"
#include "engine/engine_core.h"
#include "engine/intake/intake.h"
#include "tests/sim/internet.h"
#include "tests/sim/sim_disk.h"

namespace veredus::sim {

// A whole engine on one thread in the simulated world, as tame or wild as the test makes it, whose
// time goes on only when the test lets it. The mail of dN.sim goes to mxN.sim.
class SmallEngine final : private Exchange::Answers {
 public:
  using Change = std::function<void(EngineSettings&, Faults&)>;

  explicit SmallEngine(const Change& change = nullptr, unsigned shards = 1)
      : internet(1, clock), storage(1), shards_(shards) {
    settings.hostname = "mta.sim";
    settings.node = "sim";
    settings.own_names = {"mta.sim"};
    settings.recipients_per_transaction = 1;
    settings.boot_id = "boot 0";
    settings.address_policy = dns::AddressPolicy({*dns::parse_cidr("10.0.0.0/8")}, {});
    if (change) change(settings, internet.faults);
    start();
  }
  ~SmallEngine() override { die(); }

  // The process is killed, and another one started on the same disk.
  void restart() {
    die();
    storage.kill();
    start();
  }
  // With another number of shards.
  void restart(unsigned shards) {
    die();
    storage.kill();
    shards_ = shards;
    start();
  }
  // The host loses its power, and is started again.
  void cut_power() {
    die();
    boot();
  }
  // The engine stops by itself; then the host is started again.
  void stop_and_reboot() {
    for (const auto& place : places_) place->shard->drain();
    EXPECT_TRUE(run_until(
        [&] {
          return std::all_of(places_.begin(), places_.end(),
                             [](const auto& place) { return place->shard->drained(); });
        },
        60 * kSecond));
    for (const auto& place : places_) place->shard->end();
    die();
    boot();
  }

  // Feeds a whole batch, until it is acknowledged.
  void feed(const std::string& name, const std::vector<std::string>& to,
            const std::string& more = "", const std::string& tenant = "t",
            const std::function<void()>& before_end = nullptr) {
    std::string body = "{\"batch\":\"" + name + "\",\"tenant\":\"" + tenant +
                       "\",\"sender\":\"a@b.sim\",\"message\":{\"raw\":\"From: "
                       "a@b.sim\\r\\n\\r\\nHello\\r\\n\"}" +
                       more + "}\n";
    for (const std::string& address : to) body += "{\"to\":\"" + address + "\"}\n";
    feed_body(body, before_end);
  }
  void feed_body(const std::string& body, const std::function<void()>& before_end = nullptr) {
    Listener listener;
    const std::shared_ptr<intake::Upload> upload = intake_->begin_upload(listener);
    upload->feed(body);
    if (before_end) before_end();
    if (!upload->answered()) upload->finish();
    EXPECT_TRUE(run_until([&] { return listener.status != 0; }, 60 * kSecond));
    EXPECT_EQ(listener.status, 200) << listener.body;
  }
  // r0@dN.sim, r1@dN.sim, …
  static std::vector<std::string> recipients(unsigned count, unsigned domain = 0) {
    std::vector<std::string> to;
    for (unsigned i = 0; i < count; ++i)
      to.push_back("r" + std::to_string(i) + "@d" + std::to_string(domain) + ".sim");
    return to;
  }
  uint64_t number_of(const std::string& name, const std::string& tenant = "t") const {
    const auto live = intake_->find(tenant, name);
    EXPECT_NE(live, nullptr) << name;
    return live == nullptr ? 0 : live->batch.number;
  }

  const queue::LiveBatch& batch(const std::string& name, const std::string& tenant = "t") const {
    return *intake_->find(tenant, name);
  }

  // A turn of one shard, or time moves to when the next thing happens.
  void step() {
    internet.run_due();
    for (const intake::AppendAnswer& answer : std::exchange(appended_, {}))
      intake_->on_answer(answer);
    for (const auto& place : places_) {
      if (!place->awake && place->due() > clock.mono) continue;
      place->awake = false;
      place->shard->run_turn();
      core_->publish(place->id);
      clock.mono += 1000;
      ++turns;
    }
    if (std::any_of(
            places_.begin(), places_.end(),
            [this](const auto& place) { return place->awake || place->due() <= clock.mono; }) ||
        !appended_.empty())
      return;
    int64_t next = std::min(internet.next_event(), stop_at_);
    for (const auto& place : places_) next = std::min(next, place->due());
    clock.mono = std::max(clock.mono, next);
  }
  template <class Done>
  bool run_until(Done&& done, int64_t limit_ns) {
    const int64_t end = clock.mono + limit_ns;
    stop_at_ = end;
    while (!done() && clock.mono < end) step();
    stop_at_ = INT64_MAX;
    return done();
  }
  void run_to(int64_t mono_ns) {
    run_until([] { return false; }, mono_ns - clock.mono);
  }

  // What all homes, or shards, say.
  WhyAnswer why(WhyQuestion question) {
    question.token = ++token_;
    whys_.clear();
    core_->ask_why(question);
    EXPECT_TRUE(run_until([&] { return whys_.size() == core_->homes(); }, 10 * kSecond));
    WhyAnswer all;
    for (WhyAnswer& one : whys_) {
      EXPECT_EQ(one.token, question.token);
      all.recipients += one.recipients;
      all.unread += one.unread;
      all.not_compared += one.not_compared;
      std::move(one.waiting.begin(), one.waiting.end(), std::back_inserter(all.waiting));
    }
    return all;
  }
  std::vector<SiteState> sites(SitesQuestion question = {}) {
    question.token = ++token_;
    sites_.clear();
    core_->ask_sites(question);
    EXPECT_TRUE(run_until([&] { return sites_.size() == shards_; }, 10 * kSecond));
    std::vector<SiteState> all;
    for (SitesAnswer& one : sites_)
      std::move(one.sites.begin(), one.sites.end(), std::back_inserter(all));
    return all;
  }
  // Gives an order, and waits until it is durable. Its number.
  uint64_t order(queue::Order order) {
    OrderQuestion question;
    question.token = ++token_;
    question.order = std::move(order);
    question.order.number = core_->next_order();
    if (question.order.kind == queue::Order::Kind::suspend)
      question.order.last_batch = queue::kEveryBatch;
    orders_answered_ = 0;
    core_->ask_order(question);
    EXPECT_TRUE(run_until([&] { return orders_answered_ == core_->homes(); }, 10 * kSecond));
    return question.order.number;
  }
  uint64_t suspend(queue::Filter filter, int64_t until_wall_ns = 0) {
    queue::Order suspension;
    suspension.filter = std::move(filter);
    suspension.until_wall_ns = until_wall_ns;
    return order(std::move(suspension));
  }
  EngineCore& core() { return *core_; }
  SimNetwork& network(unsigned shard = 0) { return places_[shard]->network; }
  bool taken(const std::string& address) const { return internet.ledger.contains(address); }

  static constexpr int64_t kSecond = 1'000'000'000;
  EngineSettings settings;
  SimClock clock;
  Internet internet;
  SimStorage storage;
  uint64_t turns = 0;
  bool damage_wanted = false;
  std::vector<std::string> damages;  // told at starts and after
  std::vector<std::string> reports;

 private:
  struct Listener : intake::UploadListener {
    void on_answer(const intake::Answer& answer) override {
      status = answer.status;
      body = answer.body;
    }
    void on_resume() override {}
    int status = 0;
    std::string body;
  };
  struct Place final : ShardPorts::Loop, io::Wake {
    Place(SmallEngine& the_engine, unsigned number)
        : engine(the_engine),
          id(number),
          timers(engine.clock.mono),
          network(engine.internet),
          lookups(engine.internet, [](uint32_t domain) { return domain; }),
          disk(engine.storage) {
      network.on_ready = lookups.on_ready = [this] { awake = true; };
    }
    void reap() override {
      network.run_ready();
      lookups.run_ready();
      disk.run(engine.clock.mono);
    }
    void submit(int64_t until_mono_ns) override {
      sleep_until = until_mono_ns;
      awake = network.ready() || lookups.ready() || engine.core_->exchange().anything_for(id);
    }
    void wake() override { awake = true; }
    int64_t due() const { return std::min(sleep_until, disk.next_due_ns()); }

    SmallEngine& engine;
    const unsigned id;
    io::TimerWheel timers;
    SimNetwork network;
    SimLookups lookups;
    SimDisk disk;
    Shard* shard = nullptr;
    int64_t sleep_until = 0;
    bool awake = true;
  };

  void start() {
    SimDisk disk(storage);
    const unsigned homes = std::max(shards_, *journals_in(disk));
    core_ = std::make_unique<EngineCore>(settings, shards_, homes, clock);
    core_->exchange().set_answers(this);
    std::vector<RecoveredHome> found;
    for (unsigned id = 0; id < shards_; ++id) {
      places_.push_back(std::make_unique<Place>(*this, id));
      Place& place = *places_.back();
      core_->exchange().set_wake(id, &place);
      place.shard = &core_->add_shard(
          static_cast<uint16_t>(id),
          {clock, place, place.network, place.disk, place.lookups, place.timers}, id + 1);
      absl::StatusOr<std::vector<RecoveredHome>> recovered = place.shard->recover();
      ASSERT_TRUE(recovered.ok()) << recovered.status();
      std::move(recovered->begin(), recovered->end(), std::back_inserter(found));
    }
    RecoveredSpool spool = core_->merge(std::move(found));
    for (const std::string& what : spool.damage) damage(what);
    const EngineCore::Committed committed = EngineCore::committed_of(spool);
    for (const auto& place : places_) {
      place->shard->resume(committed, spool.marks, spool.orders, spool.rates);
      core_->publish(place->id);
    }
    intake::IntakeSettings of_intake;
    of_intake.feed.limits.pools.clear();  // any
    of_intake.feed.dkim = settings.dkim;
    intake_ = std::make_unique<intake::Intake>(*core_, of_intake);
    intake_->set_next_number(spool.next_batch);
    for (const auto& live : spool.batches) intake_->restore(live);
  }
  void boot() {
    storage.crash();
    settings.boot_id = "boot " + std::to_string(storage.power_cuts.cuts);
    start();
  }
  void die() {
    for (const auto& place : places_) place->network.forget();
    intake_.reset();
    storage.kill();
    core_.reset();
    places_.clear();
  }

  void answer(intake::AppendAnswer one) override { appended_.push_back(std::move(one)); }
  void damage(std::string what) override {
    EXPECT_TRUE(damage_wanted) << what;
    damages.push_back(std::move(what));
  }
  void report(std::string what) override { reports.push_back(std::move(what)); }
  void answer_question(QuestionAnswer one) override {
    if (auto* const of_why = std::get_if<WhyAnswer>(&one)) whys_.push_back(std::move(*of_why));
    if (auto* const of_sites = std::get_if<SitesAnswer>(&one))
      sites_.push_back(std::move(*of_sites));
    if (const auto* const of_order = std::get_if<OrderAnswer>(&one)) {
      orders_answered_ += of_order->token != 0;
      if (of_order->done != 0) core_->order_done(of_order->done);
    }
  }

  unsigned shards_;
  std::vector<std::unique_ptr<Place>> places_;
  std::unique_ptr<EngineCore> core_;
  std::unique_ptr<intake::Intake> intake_;
  std::vector<intake::AppendAnswer> appended_;
  std::vector<WhyAnswer> whys_;
  std::vector<SitesAnswer> sites_;
  unsigned orders_answered_ = 0;
  uint64_t token_ = 0;
  int64_t stop_at_ = INT64_MAX;
};

}  // namespace veredus::sim
