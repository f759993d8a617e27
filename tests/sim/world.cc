#include "tests/sim/world.h"

#include <algorithm>
#include <cassert>
#include <cstdio>

#include "dns/address_policy.h"
#include "tests/sim/world_life.h"

namespace veredus::sim {

namespace {

constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kDay = 86400 * kSecond;
constexpr int64_t kEnd = 4 * kDay;  // nothing may take longer: expiry comes at five days

constexpr size_t kViolationsMax = 1000;
// Of a batch that is fed only because nothing was damaged yet.
constexpr uint32_t kRecipientsMore = 20;
constexpr int kStepsToDurable = 20'000;
constexpr uint64_t kFollowEveryTurns = 50;
constexpr uint64_t kTracePrime = 0x100000001b3;

std::string address_of(uint32_t recipient, uint32_t domain) {
  return "r" + std::to_string(recipient) + "@d" + std::to_string(domain) + ".sim";
}

}  // namespace

World::World(const WorldOptions& options)
    : options_(options),
      random_(options.seed * 2 + 1),
      internet_(options.seed, clock_),
      storage_(options.seed + 77),
      erasure_random_(options.seed * 5 + 3) {
  storage_.keep_removed = true;
  shards_ = options.shards != 0 ? options.shards : 2 + static_cast<unsigned>(random_.below(3));
  report_.shards = shards_;
  settings_.hostname = "mta.sim";
  settings_.node = "sim";
  settings_.own_names = {"mta.sim"};
  settings_.connections_per_site = options.connections_per_site;
  if (options.faults)
    settings_.connections_per_site =
        1 + static_cast<unsigned>(random_.below(options.connections_per_site));
  settings_.recipients_per_transaction = 1 + static_cast<unsigned>(random_.below(20));
  settings_.tickets_max = 256;
  // Few, so that lanes have to wait for places.
  settings_.attempt_marks = random_.below(2) == 0 ? 24 : 4096;
  settings_.rate_states = 16;
  settings_.boot_id = "boot 0";
  settings_.page_cache_bytes = 1 << 20;
  // Small: many of them come to their end, and are reclaimed.
  settings_.journal.segment_bytes = (16u << random_.below(5)) * 1024;
  settings_.swept_per_turn = 8u << random_.below(10);  // checkpoints over many turns
  settings_.address_policy = dns::AddressPolicy({*dns::parse_cidr("10.0.0.0/8")}, {});
  settings_.messages_per_connection = random_.below(2) == 0 ? 0 : 5;
  settings_.dialogue.use_chunking = random_.below(2) == 0;
  // Lanes and domains go and come.
  settings_.forgotten_after_ns = options.seed / 2 % 2 == 0 ? 0 : 10 * kSecond;
  settings_.erase_within_ns = (20 + static_cast<int64_t>(erasure_random_.below(600))) * kSecond;
  internet_.pipelining = random_.below(5) != 0;
  internet_.chunking = random_.below(2) == 0;
  if (options.faults) {
    Faults& faults = internet_.faults;
    const auto some = [&](double most) {
      return random_.below(3) == 0 ? 0 : random_.unit() * most;
    };
    faults.connect_refused = some(0.1);
    faults.connect_silent = some(0.02);
    faults.greeting_refused = some(0.05);
    faults.mail_refused = some(0.02);
    faults.recipient_later = some(0.1);
    faults.recipient_never = some(0.03);
    faults.recipients_too_many = some(0.05);
    faults.data_refused = some(0.02);
    faults.content_later = some(0.05);
    faults.content_never = some(0.02);
    faults.shutdown_anywhere = some(0.02);
    faults.reset_anywhere = 0.005 + some(0.02);
    faults.reset_before_reply = some(0.03);
    faults.stray_reply = some(0.02);
    faults.dns_failure = some(0.1);
    faults.farewell_after_ehlo = some(0.05);
  }
  disk_fails_ = options.disk_faults && random_.below(3) == 0;
  if (disk_fails_) {
    storage_.faults.write_error = 0.002;
    storage_.faults.sync_error = 0.002;
    storage_.faults.create_error = 0.05;
  }
  // A group that takes several writes can reach the disk with the later ones first.
  if (options.disk_faults && random_.below(2) == 0) storage_.faults.write_short = 0.7;
  if (options.defect == WorldDefect::mild_disk) storage_.faults.power_cuts_keep = true;
  if (options.defect == WorldDefect::calm_wires)
    internet_.faults.reset_anywhere = internet_.faults.reset_before_reply = 0;
  if (options.short_times) choose_times();
  if (options.rules) make_rules();
  if (options.change) options.change(settings_, internet_.faults);
  for (uint32_t number = 0; number < options_.batches; ++number)
    make_batch(options_.recipients / options_.batches);
}

// Uploads let go of their intake before the last life ends.
World::~World() {
  internet_.watcher = nullptr;
  for (const auto& feeder : feeders_) feeder->connection_lost();
  storage_.kill();  // whatever is under way when a violation has ended the run
}

uint32_t World::site_of(uint32_t domain) const {
  return domain == 0 ? 0 : domain % options_.sites;
}

// `again`: once more under the name of that one.
void World::make_batch(uint32_t recipients, const Feeder* again) {
  auto feeder = std::make_unique<Feeder>();
  feeder->name = again == nullptr ? "b" + std::to_string(feeders_.size()) : again->name;
  feeder->tenant = again == nullptr ? "t" + std::to_string(random_.below(3)) : again->tenant;
  feeder->not_before_mono_ns = clock_.mono + static_cast<int64_t>(random_.below(3 * kSecond));
  const bool merged = random_.below(2) == 0;
  const bool own = !merged && random_.below(3) == 0;
  std::string raw = "From: a@b.sim\\r\\nSubject: s\\r\\n";
  raw += merged ? "X-Mark: {{id}}\\r\\n\\r\\nHello {{to}}\\r\\n.dot\\r\\n"
                : "X-Mark: " + feeder->name + "\\r\\n\\r\\nHello\\r\\n..\\r\\n";
  feeder->body =
      "{\"batch\":\"" + feeder->name + "\",\"tenant\":\"" + feeder->tenant +
      "\",\"sender\":\"bounce@b.sim\",\"priority\":" + std::to_string(random_.below(101)) +
      (merged ? ",\"merge\":true" : "") + options_.batch_more + rule_fields(*feeder);
  if (expires_ && random_.below(2) == 0) feeder->body += own_times(feeder->lifetime_ns);
  if (!own) feeder->body += ",\"message\":{\"raw\":\"" + raw + "\"}";
  feeder->body += "}\n";
  for (uint32_t i = 0; i < recipients; ++i) {
    const uint32_t recipient = recipients_fed_++;
    const bool hot = random_.unit() < options_.hot_share;
    const uint32_t domain = hot ? 0 : 1 + static_cast<uint32_t>(random_.below(options_.domains));
    Feeder::Line line{address_of(recipient, domain), feeder->name};
    feeder->body += "{\"to\":\"" + line.to + "\"";
    if (merged) {
      line.mark = "i" + std::to_string(recipient);
      feeder->body += ",\"id\":\"" + line.mark + "\"";
    }
    if (own) {
      line.mark = "o" + std::to_string(recipient);
      feeder->body += ",\"message\":{\"raw\":\"From: a@b.sim\\r\\nX-Mark: " + line.mark +
                      "\\r\\n\\r\\nown\\r\\n\"}";
    }
    if (options_.recipient_more) feeder->body += options_.recipient_more(recipient);
    if (expires_ && random_.below(4) == 0) feeder->body += own_times(line.lifetime_ns);
    feeder->body += "}\n";
    feeder->lines.push_back(std::move(line));
  }
  if (ruling_ != nullptr) {
    for (const Feeder::Line& line : feeder->lines) ruling_->fed[line.to] = feeder.get();
  }
  feeders_.push_back(std::move(feeder));
}

// -------------------------------------------------------------------------------------------------
// steps

void World::feed() {
  for (const auto& feeder : feeders_) {
    if (feeder->acknowledged || feeder->not_before_mono_ns > clock_.mono) continue;
    if (feeder->upload == nullptr) {
      feeder->fed = 0;
      feeder->last_status = 0;
      feeder->upload = life_->intake->begin_upload(*feeder);
    }
    while (feeder->upload != nullptr && !feeder->upload->answered() &&
           !feeder->upload->wants_pause() && feeder->fed < feeder->body.size()) {
      const size_t piece =
          std::min<size_t>(feeder->body.size() - feeder->fed, 1 + random_.below(8192));
      feeder->upload->feed(std::string_view(feeder->body).substr(feeder->fed, piece));
      feeder->fed += piece;
      if (feeder->fed == feeder->body.size()) feeder->upload->finish();
      if (random_.below(2) == 0) break;
    }
    if (feeder->last_status == 0) continue;
    feeder->upload.reset();
    if (feeder->last_status == 503 || feeder->last_status == 409) {
      feeder->not_before_mono_ns = clock_.mono + static_cast<int64_t>(random_.below(5 * kSecond));
    } else if (feeder->last_status != 200) {
      violation("a sound batch was refused: " + feeder->last_answer);
      feeder->acknowledged = true;
    }
  }
}

// One turn of one shard that has something to do, or time moves on. False: nothing will ever happen
// again.
bool World::step() {
  internet_.run_due();
  if (!life_->answers.empty() && random_.below(2) == 0) {
    for (const intake::AppendAnswer& answer : std::exchange(life_->answers, {}))
      life_->intake->on_answer(answer);
  }
  if (clock_.mono >= next_tick_mono_ns_) {
    next_tick_mono_ns_ = clock_.mono + kSecond;
    life_->intake->tick();
    watch_batches(clock_.mono);
  } else if (remember_ns_ != 0 && life_->intake->batches() != batches_seen_) {
    watch_batches(clock_.mono);
  }
  feed();
  hear_erasures();
  ask_erasures();
  if (ruling_ != nullptr) {
    change_rules();
    operate();
  }
  std::vector<Life::Place*> runnable;
  for (const auto& place : life_->places) {
    if (place->runnable(clock_.mono)) runnable.push_back(place.get());
  }
  if (!runnable.empty()) {
    Life::Place& place = *runnable[random_.below(runnable.size())];
    place.awake = false;
    ++report_.turns;
    report_.trace = (report_.trace ^ static_cast<uint64_t>(clock_.mono) ^ place.id) * kTracePrime;
    place.shard->run_turn();
    life_->core->publish(place.id);
    turn_taken(place.id);
    clock_.mono += 1000 + static_cast<int64_t>(random_.below(30'000));
    return true;
  }
  int64_t next = std::min(
      {internet_.next_event(), next_tick_mono_ns_, next_change_mono_ns(), next_order_mono_ns()});
  for (const auto& place : life_->places) next = std::min(next, place->due());
  for (const auto& feeder : feeders_) {
    if (!feeder->acknowledged)
      next = std::min(next, std::max(feeder->not_before_mono_ns, clock_.mono + 1'000'000));
  }
  if (!life_->answers.empty() || !life_->erasure_answers.empty() || !life_->order_answers.empty())
    next = clock_.mono + 1000;
  if (next == INT64_MAX) return false;
  clock_.mono = std::max(clock_.mono + 1, next);
  return true;
}

bool World::all_settled() const {
  for (const auto& feeder : feeders_) {
    if (!feeder->acknowledged) return false;
  }
  bool settled = erasures_done() && orders_done();
  life_->intake->for_each([&](const intake::Intake::BatchPtr& live) {
    if (live->tally.settled() < live->accepted) settled = false;
  });
  return settled;
}

bool World::all_durable() const {
  return std::all_of(life_->places.begin(), life_->places.end(),
                     [](const auto& place) { return place->shard->settled(); });
}

void World::calm() {
  calm_ = true;
  const int64_t latency = internet_.faults.latency_max_ns;
  internet_.faults = Faults{};
  internet_.faults.latency_max_ns = latency;
  // What is planned comes all the same.
  DiskFaults calm_disk;
  calm_disk.power_cuts_keep = storage_.faults.power_cuts_keep;
  calm_disk.fail_call = storage_.faults.fail_call;
  calm_disk.fail_count = storage_.faults.fail_count;
  calm_disk.fail_errno = storage_.faults.fail_errno;
  calm_disk.fail_kinds = storage_.faults.fail_kinds;
  storage_.faults = calm_disk;
}

WorldReport World::run() {
  const int64_t begun = clock_.mono;
  begin_disk_plan();
  start_life();
  if (options_.crashes_max != 0)
    crashes_left_ = options_.crashes_min +
                    static_cast<uint32_t>(
                        random_.below(options_.crashes_max - options_.crashes_min + uint64_t{1}));
  if (options_.crashes_max != 0 && remember_ns_ != 0)
    crashes_left_ += 1 + static_cast<uint32_t>(random_.below(2));
  plan_crash();
  // Faults for a while, then everything must come to its end.
  const int64_t calm_at = clock_.mono + 2 * 3600 * kSecond;
  while (report_.violations.empty() && !report_.rot_told) {
    if (report_.turns % kFollowEveryTurns == 0) follow_events();
    run_disk_plan();
    if (all_settled() && !disk_plan_works() && !life_is_damaged_) {
      if (!damage_owed() && !more_to_forget()) break;
      // Nothing will be written any more that a power cut could take away.
      if (damage_owed()) make_batch(kRecipientsMore);
    }
    if (crash_due()) {
      crash();
      continue;
    }
    if (!calm_ && plan_.aim == CrashPlan::Aim::none && clock_.mono >= calm_at) calm();
    if (report_.turns > options_.turns_max) {
      violation("the shards take turns without end");
    } else if (!step()) {
      violation("nothing happens any more, and not everything is settled");
    } else if (clock_.mono - begun > kEnd) {
      violation("not everything is settled after days of good weather");
    }
  }
  if (ruling_ != nullptr && !report_.violations.empty() && life_ != nullptr) tell_why();
  // Let the last outcomes become durable.
  for (int i = 0; i < kStepsToDurable && report_.violations.empty() && !report_.rot_told; ++i) {
    run_disk_plan();
    if (all_durable() && !disk_plan_works()) break;
    step();
  }
  await_erased();
  if (report_.rot_told) {
    judge_contents();
  } else if (life_ != nullptr && life_->intake != nullptr && storage_.spun == 0) {
    judge();
  }
  report_.shards_at_end = shards_;
  if (life_ != nullptr) report_.homes_at_end = life_->core->homes();
  report_.power_cuts = storage_.power_cuts;
  report_.disk_failures = storage_.faults_injected;
  report_.called = std::move(storage_.called);
  report_.simulated_ns = clock_.mono - begun;
  return report_;
}

void World::violation(const std::string& what) {
  // What rots is told, somewhere: that is all that is asked.
  constexpr std::string_view told[] = {"damage reported", "a journal cannot be read",
                                       "recovery failed"};
  if (report_.rotted > 0 &&
      std::any_of(std::begin(told), std::end(told),
                  [&](std::string_view each) { return what.starts_with(each); })) {
    report_.rot_told = true;
    return;
  }
  if (report_.violations.size() < kViolationsMax) report_.violations.push_back(what);
}

}  // namespace veredus::sim
