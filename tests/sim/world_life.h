#pragma once

// The parts of a World: its feeders, and one life of its engine.

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "queue/journal.h"
#include "queue/outcome.h"
#include "tests/sim/world.h"

namespace veredus::sim {

// A batch as its feeder keeps it: the same body until it is acknowledged.
struct World::Feeder : intake::UploadListener {
  struct Line {
    std::string to;
    std::string mark;         // X-Mark that its content must have
    int64_t lifetime_ns = 0;  // its own, 0: the batch's
  };
  std::string tenant, name, campaign, body;
  int64_t lifetime_ns = 0;  // 0: as the policy has it
  std::vector<Line> lines;
  std::shared_ptr<intake::Upload> upload;
  size_t fed = 0;
  int64_t not_before_mono_ns = 0;
  bool acknowledged = false;
  bool forgotten = false;
  uint64_t number = 0;  // once it exists
  // As last seen; of one that is forgotten as it was then.
  std::shared_ptr<const queue::LiveBatch> live;
  int last_status = 0;
  std::string last_answer;

  void on_answer(const intake::Answer& answer) override {
    last_status = answer.status;
    last_answer = answer.body;
    if (answer.status == 200) acknowledged = true;
  }
  void on_resume() override {}
  void connection_lost() {
    upload.reset();
    fed = 0;
  }
};

// What the journals say of a recipient.
struct World::FinalState {
  uint32_t finals = 0, in_doubt = 0, deferred = 0;
  bool assumed = false;  // in doubt, and called delivered as the policy has it
  queue::OutcomeType type = queue::OutcomeType::deferred;
  int64_t final_mono_ns = 0;
  std::vector<int64_t> in_doubt_mono_ns;
};

// A reader of events: its place in each journal outlives the engine.
struct World::Follower {
  struct Stream {
    std::unique_ptr<SimDisk> disk;
    std::unique_ptr<queue::JournalReader> reader;
    queue::JournalReader::Position position;
  };
  std::vector<Stream> streams;
  std::map<std::pair<uint64_t, uint32_t>, uint32_t> outcomes;  // told of each recipient
  uint64_t gaps = 0;
};

// Somebody asks to be forgotten, until every home has said that he is.
struct World::Erasure {
  std::string to;
  uint64_t token = 0;
  unsigned open = 0;  // homes that have not answered; 0 before it is asked in this life
  bool asked = false, refused = false, done = false;
  int64_t done_mono_ns = 0;
};

// Rules, and how far they are in force.
struct World::Ruling {
  Ruling(RuleMaker the_maker, const SimClock& clock, LimitJudge::TenantOf tenant_of, uint64_t seed)
      : maker(std::move(the_maker)), judge(clock, std::move(tenant_of)), random(seed) {}
  RuleMaker maker;
  Rules rules;  // taken last
  LimitJudge judge;
  io::Random random;
  std::map<std::string, const Feeder*> fed;  // by recipient
  int64_t next_change_mono_ns = 0;
  uint32_t changes_left = 0;
  bool rates_kept = true;      // by files that are large enough for all of them
  bool rates_lost = false;     // at a death since the last start
  std::vector<bool> has_them;  // by shard: took a turn since they were changed; empty: all have
};

// An operator's order, as he knows it.
struct World::GivenOrder {
  queue::Order order;  // number 0: not known to the engine
  uint64_t token = 0;
  unsigned open = 0;  // homes that have not answered
  bool asked = false, refused = false;
  int64_t asked_mono_ns = 0;            // first
  int64_t durable_mono_ns = INT64_MAX;  // that it is given
  int64_t lift_mono_ns = INT64_MAX;     // a suspension is lifted then
  int64_t lifted_mono_ns = INT64_MAX;   // was asked to be
  int64_t lost_mono_ns = INT64_MAX;     // with a life, before it was durable
  bool lift_durable = false;
};

struct World::Ordering {
  explicit Ordering(uint64_t seed) : random(seed) {}
  io::Random random;
  std::vector<std::unique_ptr<GivenOrder>> orders;
  int64_t next_mono_ns = 0;
  uint32_t left = 0;
};

// -------------------------------------------------------------------------------------------------
// a life

struct World::Life final : Exchange::Answers {
  struct Place final : ShardPorts::Loop, io::Wake {
    Place(Life& the_life, unsigned number)
        : life(the_life),
          id(number),
          timers(the_life.world.clock_.mono),
          network(the_life.world.internet_),
          lookups(the_life.world.internet_,
                  [w = &the_life.world](uint32_t domain) { return w->site_of(domain); }),
          disk(the_life.world.storage_) {
      network.on_ready = lookups.on_ready = [this] { awake = true; };
    }
    void reap() override {
      network.run_ready();
      lookups.run_ready();
      disk.run(life.world.clock_.mono);
    }
    void submit(int64_t until_mono_ns) override {
      sleep_until = until_mono_ns;
      awake = network.ready() || lookups.ready() || life.core->exchange().anything_for(id);
    }
    void wake() override { awake = true; }
    bool runnable(int64_t now) const { return awake || due() <= now; }
    int64_t due() const { return std::min(sleep_until, disk.next_due_ns()); }

    Life& life;
    const unsigned id;
    io::TimerWheel timers;
    SimNetwork network;
    SimLookups lookups;
    SimDisk disk;
    Shard* shard = nullptr;
    int64_t sleep_until = 0;
    bool awake = true;
  };

  explicit Life(World& the_world) : world(the_world) {}
  ~Life() override {
    for (const auto& place : places) place->network.forget();
    intake.reset();
    core.reset();
    places.clear();
  }
  void answer(intake::AppendAnswer one) override { answers.push_back(std::move(one)); }
  void damage(std::string what) override { world.damage_told(what); }
  void answer_question(QuestionAnswer one) override {
    if (auto* const of_erasure = std::get_if<ErasureAnswer>(&one))
      erasure_answers.push_back(std::move(*of_erasure));
    if (const auto* const of_order = std::get_if<OrderAnswer>(&one))
      order_answers.push_back(*of_order);
    if (auto* const of_why = std::get_if<WhyAnswer>(&one)) whys.push_back(std::move(*of_why));
  }
  std::vector<OrderAnswer> order_answers;
  std::vector<WhyAnswer> whys;

  World& world;
  std::unique_ptr<EngineCore> core;
  std::vector<std::unique_ptr<Place>> places;
  std::unique_ptr<intake::Intake> intake;
  std::vector<intake::AppendAnswer> answers;
  std::vector<ErasureAnswer> erasure_answers;
};

}  // namespace veredus::sim
