// What a tenant may take up: waiting recipients and bytes in the spool.

#include "engine/intake/tenants.h"

#include "tests/intake/scripted_port.h"

namespace veredus::intake {
namespace {

IntakeSettings with_quotas(TenantQuota each, std::map<std::string, TenantQuota, std::less<>> of) {
  IntakeSettings settings = small_extents();
  settings.quotas.each = each;
  settings.quotas.of = std::move(of);
  return settings;
}

TenantQuota quota(uint64_t waiting, uint64_t bytes) {
  return {waiting, bytes, waiting != 0, bytes != 0};
}

struct Told {
  int status = 0;
  unsigned retry_after_s = 0;
  std::string body;
};

Told feed(ScriptedPort& port, Intake& intake, const std::string& name, unsigned recipients,
          const std::string& tenant) {
  Fed fed(intake, body_of(name, recipients, tenant));
  port.answer_all(intake);
  EXPECT_EQ(fed.listener.answers, 1u);
  return {fed.listener.answer.status, fed.listener.answer.retry_after_s, fed.listener.answer.body};
}

Tenant::Use use_of(const Intake& intake, const std::string& name) {
  Tenant::Use use;
  intake.for_each_tenant([&](Tenant& tenant) {
    if (tenant.name() == name) use = tenant.count();
  });
  return use;
}

TEST(Tenants, WaitingRecipients) {
  struct Row {
    const char* what;
    TenantQuota each, acme;
    unsigned waiting, delivered, held, next;
    int status;
    const char* says;
  };
  const Row rows[] = {
      {"no quota", {}, {}, 500, 0, 0, 500, 200, ""},
      {"just room", {}, quota(100, 0), 60, 0, 0, 40, 200, ""},
      {"one too many", {}, quota(100, 0), 60, 0, 0, 41, 429, "tenants.acme.waiting"},
      {"what was delivered waits no longer", {}, quota(100, 0), 60, 59, 0, 99, 200, ""},
      {"nor what is held", {}, quota(100, 0), 60, 0, 10, 50, 200, ""},
      {"the default", quota(100, 0), {}, 60, 0, 0, 41, 200, ""},
      {"larger by itself", {}, quota(100, 0), 1, 1, 0, 101, 413, "tenants.acme.waiting"},
  };
  for (const Row& row : rows) {
    for (const bool named : {true, false}) {
      // The same bound as that of every tenant, and as one of its own.
      TenantQuota each = row.each;
      std::map<std::string, TenantQuota, std::less<>> of;
      if (named) {
        of["acme"] = row.acme;
      } else {
        each = {row.acme.waiting, row.acme.bytes, false, false};
      }
      ScriptedPort port(2);
      Intake intake(port, with_quotas(each, of));
      EXPECT_EQ(feed(port, intake, "first", row.waiting, "acme").status, 200) << row.what;
      const Intake::BatchPtr first = intake.find("acme", "first");
      first->tally.delivered = row.delivered;
      first->tally.in_doubt_held = row.held;
      const size_t commits = port.frames_of(FrameType::commit);
      const Told told = feed(port, intake, "next", row.next, "acme");
      EXPECT_EQ(told.status, row.status) << row.what << ": " << told.body;
      const std::string setting = named ? row.says : "limits.tenant_waiting";
      if (row.status != 200) {
        EXPECT_NE(told.body.find(setting), std::string::npos) << told.body;
        EXPECT_NE(told.body.find("acme"), std::string::npos) << told.body;
        EXPECT_NE(told.body.find("100"), std::string::npos) << told.body;
        EXPECT_EQ(told.retry_after_s != 0, row.status == 429) << row.what;
        EXPECT_EQ(told.body.find("tenant_quota") != std::string::npos, row.status == 429);
        EXPECT_EQ(port.frames_of(FrameType::commit), commits) << "nothing of it is kept";
        EXPECT_EQ(intake.find("acme", "next"), nullptr);
        if (!named) continue;
        EXPECT_EQ(feed(port, intake, "other", row.next, "other").status, 200);
      }
    }
  }
}

TEST(Tenants, BytesInTheSpool) {
  ScriptedPort port(2);
  uint64_t of_30 = 0;
  {
    Intake intake(port, with_quotas({}, {{"acme", quota(0, 1 << 30)}}));
    EXPECT_EQ(feed(port, intake, "b", 30, "acme").status, 200);
    of_30 = use_of(intake, "acme").bytes;
    EXPECT_GT(of_30, 30 * 10u);
    EXPECT_LT(of_30, 30 * 100u);
    EXPECT_EQ(of_30, intake.find("acme", "b")->stored_bytes());
  }
  Intake intake(port,
                with_quotas({}, {{"acme", quota(0, 2 * of_30)}, {"big", quota(0, 2 * of_30)}}));
  intake.set_next_number(100);
  EXPECT_EQ(feed(port, intake, "one", 30, "acme").status, 200);
  EXPECT_EQ(feed(port, intake, "two", 30, "acme").status, 200);
  Told told = feed(port, intake, "three", 1, "acme");
  EXPECT_EQ(told.status, 429) << told.body;
  EXPECT_NE(told.body.find("tenants.acme.bytes"), std::string::npos) << told.body;
  // A batch keeps its bytes until the last of it is settled: held ones need them, too.
  const queue::Tally& tally = intake.find("acme", "one")->tally;
  intake.find("acme", "one")->tally.delivered = 29;
  intake.find("acme", "one")->tally.in_doubt_held = 1;
  EXPECT_EQ(tally.settled(), 30u);
  EXPECT_EQ(feed(port, intake, "three", 1, "acme").status, 429);
  intake.find("acme", "one")->tally.in_doubt_held = 0;
  intake.find("acme", "one")->tally.failed = 1;
  EXPECT_EQ(feed(port, intake, "three", 1, "acme").status, 200);
  told = feed(port, intake, "four", 100, "big");
  EXPECT_EQ(told.status, 413) << told.body;
  EXPECT_EQ(feed(port, intake, "four", 100, "other").status, 200);
}

TEST(Tenants, UploadsCountAndGiveBackWhatTheyTook) {
  ScriptedPort port(2);
  Intake intake(port, with_quotas({}, {{"acme", quota(100, 0)}}));
  {
    Fed coming(intake, body_of("coming", 60, "acme"), false);
    EXPECT_EQ(use_of(intake, "acme").waiting, 60u);
    EXPECT_GT(use_of(intake, "acme").bytes, 0u);
    EXPECT_EQ(feed(port, intake, "b", 41, "acme").status, 429);
    EXPECT_EQ(use_of(intake, "acme").waiting, 60u);
    EXPECT_EQ(feed(port, intake, "b", 40, "acme").status, 200);
    EXPECT_EQ(use_of(intake, "acme").waiting, 100u);
    coming.upload->abandon();
  }
  EXPECT_EQ(use_of(intake, "acme").waiting, 40u);
  EXPECT_EQ(feed(port, intake, "c", 60, "acme").status, 200);
  EXPECT_EQ(use_of(intake, "acme").waiting, 100u);
  // A group that is lost takes its upload with it.
  intake.find("acme", "c")->tally.delivered = 60;
  {
    Fed lost(intake, body_of("lost", 20, "acme"));
    EXPECT_EQ(use_of(intake, "acme").waiting, 60u);
    port.answer(intake, 0, false);
    port.answer(intake, 1, false);
    port.answer_all(intake);
    EXPECT_EQ(lost.listener.answer.status, 503);
  }
  EXPECT_EQ(use_of(intake, "acme").waiting, 40u);
  // Asked again, a known batch is answered whatever the quota says.
  EXPECT_EQ(feed(port, intake, "d", 60, "acme").status, 200);
  EXPECT_EQ(feed(port, intake, "e", 1, "acme").status, 429);
  EXPECT_EQ(feed(port, intake, "d", 60, "acme").status, 200);
}

TEST(Tenants, WhatIsFoundAtAStartCounts) {
  ScriptedPort port(1);
  Intake intake(port, with_quotas(quota(100, 1000), {}));
  auto live = std::make_shared<queue::LiveBatch>();
  live->batch.number = 1;
  live->batch.tenant = "acme";
  live->batch.name = "found";
  live->batch.content.length = 100;
  live->accepted = 60;
  live->extent_bytes = 800;
  live->tally.delivered = 10;
  intake.restore(live);
  EXPECT_EQ(use_of(intake, "acme").waiting, 50u);
  EXPECT_EQ(use_of(intake, "acme").bytes, 900u);
  EXPECT_EQ(feed(port, intake, "b", 51, "acme").status, 429);
  EXPECT_EQ(feed(port, intake, "b", 51, "other").status, 413) << "too many bytes";
  EXPECT_EQ(feed(port, intake, "b", 1, "acme").status, 200);
}

TEST(Tenants, ThoseWithoutAnythingHereDoNotPileUp) {
  ScriptedPort port(1);
  Intake intake(port, with_quotas(quota(10, 0), {{"named", quota(20, 0)}, {"free", {}}}));
  for (unsigned i = 0; i < 300; ++i) {
    const std::string tenant = "t" + std::to_string(i);
    Fed fed(intake, body_of("b", 1, tenant), false);
    fed.upload->abandon();
  }
  size_t known = 0;
  bool named = false;
  intake.for_each_tenant([&](Tenant& tenant) {
    ++known;
    named = named || tenant.name() == "named";
  });
  EXPECT_LE(known, 65u);
  EXPECT_TRUE(named);
  EXPECT_EQ(feed(port, intake, "b", 200, "free").status, 200) << "0: no bound, whatever holds else";
}

TEST(Tenants, OtherQuotasHoldAtOnce) {
  ScriptedPort port(1);
  Intake intake(port, with_quotas({}, {{"acme", quota(100, 0)}}));
  EXPECT_EQ(feed(port, intake, "a", 60, "acme").status, 200);
  EXPECT_EQ(feed(port, intake, "a", 50, "other").status, 200);
  Fed coming(intake, body_of("coming", 10, "acme"), false);

  // Less for one; and one who had none has one now, with what he has here already.
  intake.apply(with_quotas({}, {{"acme", quota(75, 0)}, {"other", quota(55, 0)}}));
  EXPECT_EQ(use_of(intake, "acme").waiting, 70u);
  EXPECT_EQ(use_of(intake, "other").waiting, 50u);
  EXPECT_EQ(feed(port, intake, "b", 6, "acme").status, 429);
  EXPECT_EQ(feed(port, intake, "b", 5, "acme").status, 200);
  EXPECT_EQ(feed(port, intake, "b", 6, "other").status, 429);
  EXPECT_EQ(feed(port, intake, "b", 5, "other").status, 200);
  // The same again changes nothing.
  intake.apply(with_quotas({}, {{"acme", quota(75, 0)}, {"other", quota(55, 0)}}));
  EXPECT_EQ(use_of(intake, "acme").waiting, 75u);
  EXPECT_EQ(feed(port, intake, "c", 1, "acme").status, 429);

  // None any more; then one for everybody. The upload was under way all the time.
  intake.apply(with_quotas({}, {}));
  EXPECT_EQ(feed(port, intake, "c", 200, "acme").status, 200);
  intake.apply(with_quotas(quota(300, 0), {}));
  EXPECT_EQ(use_of(intake, "acme").waiting, 265u);
  coming.upload->finish();
  port.answer_all(intake);
  EXPECT_EQ(coming.listener.answer.status, 200);
  EXPECT_EQ(use_of(intake, "acme").waiting, 275u);
  EXPECT_EQ(feed(port, intake, "d", 26, "acme").status, 429);
  EXPECT_EQ(feed(port, intake, "d", 25, "acme").status, 200);
}

TEST(Tenants, LimitsShowThem) {
  ScriptedPort port(1);
  const Intake intake(port, with_quotas(quota(10, 0), {{"acme", quota(20, 30)}}));
  const std::string limits = intake.limits_json();
  EXPECT_EQ(find_json_fault(limits, 8).reason, "") << limits;
  EXPECT_NE(limits.find(R"("tenant":{"waiting":10,"bytes":0},)"
                        R"("tenants":{"acme":{"waiting":20,"bytes":30}})"),
            std::string::npos)
      << limits;
}

}  // namespace
}  // namespace veredus::intake
