// Who looks on at live sessions: what he sees, what he does not, and what is left out.

#include "engine/trace.h"

#include <algorithm>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/engine/add_provider.h"
#include "tests/engine/small_engine.h"

namespace veredus::sim {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;
using testing::StartsWith;
using What = TraceLine::What;

constexpr int64_t kSecond = SmallEngine::kSecond;

std::shared_ptr<Trace> look_on(SmallEngine& engine, const TraceFilter& filter) {
  auto trace = std::make_shared<Trace>(filter);
  engine.core().begin_trace(trace);
  return trace;
}
std::vector<TraceLine> lines_of(Trace& trace) {
  uint64_t left_out = 0;
  std::vector<TraceLine> lines = trace.take(left_out);
  EXPECT_EQ(left_out, 0u);
  return lines;
}
// "-- connected", "C: EHLO mta.sim", "S: 250 ok"
std::vector<std::string> texts_of(const std::vector<TraceLine>& lines) {
  std::vector<std::string> texts;
  for (const TraceLine& line : lines) {
    constexpr const char* kNames[] = {
        "-- dialled", "-- connected", "-- tls ", "C: ", "S: ", "C| ", "-- closed "};
    texts.push_back(kNames[static_cast<size_t>(line.what)] + line.text);
  }
  return texts;
}
void deliver(SmallEngine& engine, const std::string& name, const std::vector<std::string>& to) {
  const uint64_t before = engine.internet.taken;
  engine.feed(name, to);
  ASSERT_TRUE(
      engine.run_until([&] { return engine.internet.taken == before + to.size(); }, 60 * kSecond));
}

TEST(Trace, AWholeSession) {
  SmallEngine engine;
  engine.internet.chunking = engine.internet.pipelining = false;
  const auto trace = look_on(engine, {});
  deliver(engine, "b", {"a@d0.sim"});
  engine.run_to(engine.clock.mono + 60 * kSecond);  // it is closed when nobody needs it
  const std::vector<TraceLine> lines = lines_of(*trace);
  const std::vector<std::string> texts = texts_of(lines);
  ASSERT_GE(texts.size(), 14u);
  EXPECT_THAT(std::vector<std::string>(texts.begin(), texts.begin() + 4),
              ElementsAre("-- dialled", "-- connected", StartsWith("S: 220 "), "C: EHLO mta.sim"));
  const auto from = std::find_if(texts.begin(), texts.end(), [](const std::string& text) {
    return text.starts_with("C: MAIL");
  });
  ASSERT_GE(texts.end() - from, 11);
  EXPECT_THAT(
      std::vector<std::string>(from, from + 11),
      ElementsAre(StartsWith("C: MAIL FROM:<a@b.sim>"), StartsWith("S: 250"),
                  "C: RCPT TO:<a@d0.sim>", StartsWith("S: 250"), "C: DATA", StartsWith("S: 354"),
                  testing::MatchesRegex("C\\| [0-9]+ bytes of content"), StartsWith("S: 250"),
                  "C: QUIT", StartsWith("S: 221"), "-- closed "));
  for (const TraceLine& line : lines) {
    EXPECT_EQ(line.session, lines[0].session);
    EXPECT_EQ(line.site, "mx0-b.sim,mx0.sim");
    EXPECT_EQ(line.host, "mx0.sim");
    EXPECT_EQ(line.address, "10.0.0.1:25");
    EXPECT_EQ(line.source, "default");
    EXPECT_GE(line.wall_ns, lines[0].wall_ns);
  }
}

TEST(Trace, ContentOnlyWhenItIsAskedFor) {
  for (const bool asked : {false, true}) {
    SmallEngine engine;
    TraceFilter filter;
    filter.content = asked;
    const auto trace = look_on(engine, filter);
    deliver(engine, "b", {"a@d0.sim"});
    const auto shows = Contains(HasSubstr("Hello"));
    if (asked) {
      EXPECT_THAT(texts_of(lines_of(*trace)), AllOf(shows, Contains("C| From: a@b.sim")));
    } else {
      EXPECT_THAT(texts_of(lines_of(*trace)), Not(shows));
    }
  }
}

TEST(Trace, OnlyWhatFits) {
  SmallEngine engine(
      [](EngineSettings& settings, Faults&) {
        add_provider(settings);
        settings.sources[0].name = "one";
      },
      2);
  const auto filter = [](std::string TraceFilter::*part, const std::string& text) {
    TraceFilter made;
    made.*part = text;
    return made;
  };
  const struct {
    TraceFilter filter;
    std::set<std::string> hosts;
  } kCases[] = {
      {{}, {"mx0.sim", "mx1.sim"}},
      {filter(&TraceFilter::site, "mx1-b.sim,mx1.sim"), {"mx1.sim"}},
      {filter(&TraceFilter::site, "mx1.sim"), {}},
      {filter(&TraceFilter::host, "mx0.sim"), {"mx0.sim"}},
      {filter(&TraceFilter::host, ".sim"), {"mx0.sim", "mx1.sim"}},
      {filter(&TraceFilter::host, "10.0.1.1"), {"mx1.sim"}},
      {filter(&TraceFilter::source, "one"), {"mx0.sim", "mx1.sim"}},
      {filter(&TraceFilter::source, "two"), {}},
      {filter(&TraceFilter::provider, "p"), {"mx0.sim"}},
      {filter(&TraceFilter::domain, "d1.sim"), {"mx1.sim"}},
      {filter(&TraceFilter::domain, ".sim"), {"mx0.sim", "mx1.sim"}},
      {filter(&TraceFilter::domain, "d2.sim"), {}},
  };
  std::vector<std::shared_ptr<Trace>> traces;
  for (const auto& one : kCases) traces.push_back(look_on(engine, one.filter));
  deliver(engine, "b", {"a@d0.sim", "a@d1.sim"});
  engine.run_to(engine.clock.mono + kSecond);
  for (size_t i = 0; i < traces.size(); ++i) {
    std::set<std::string> hosts;
    for (const TraceLine& line : lines_of(*traces[i])) hosts.insert(line.host);
    EXPECT_EQ(hosts, kCases[i].hosts) << i;
  }
}

// Two domains share a site: of the other one's mail nothing is shown, and the site is known by what
// came before.
TEST(Trace, TheMailOfADomain) {
  SmallEngine engine([](EngineSettings& settings, Faults&) {
    StaticRoute& route = settings.routes.emplace_back();
    route.name = "relay";
    route.domains = {"*"};
    route.hops = {{"mx5.sim", 25}};
  });
  deliver(engine, "b", {"a@d0.sim", "a@d1.sim"});
  TraceFilter filter;
  filter.domain = "d1.sim";
  const auto trace = look_on(engine, filter);
  engine.run_to(engine.clock.mono + kSecond);
  deliver(engine, "c", {"x@d0.sim", "y@D1.sim"});
  const std::vector<std::string> texts = texts_of(lines_of(*trace));
  EXPECT_THAT(texts, Contains(HasSubstr("y@d1.sim")));
  EXPECT_THAT(texts, Each(Not(HasSubstr("x@d0.sim"))));
}

// Nobody takes them: there is an end to it, and it is told how many are missing. The mail goes all
// the same.
TEST(Trace, WhoDoesNotTakeThem) {
  SmallEngine engine;
  const auto trace = look_on(engine, {});
  deliver(engine, "b", SmallEngine::recipients(2000));
  uint64_t left_out = 0;
  std::vector<TraceLine> lines = trace->take(left_out);
  size_t bytes = 0;
  for (const TraceLine& line : lines) bytes += line.bytes();
  EXPECT_LE(bytes, Trace::kBytesMax);
  EXPECT_GT(bytes, Trace::kBytesMax / 2);
  EXPECT_GT(left_out, 1000u);
  deliver(engine, "c", {"z@d0.sim"});
  lines = trace->take(left_out);
  EXPECT_THAT(texts_of(lines), Contains(HasSubstr("z@d0.sim"))) << "it goes on";
}

TEST(Trace, WhatFails) {
  SmallEngine engine([](EngineSettings&, Faults& faults) { faults.greeting_refused = 1; });
  const auto trace = look_on(engine, {});
  engine.feed("b", {"a@d0.sim"});
  engine.run_to(engine.clock.mono + 10 * kSecond);
  const std::vector<TraceLine> lines = lines_of(*trace);
  ASSERT_THAT(lines, Not(IsEmpty()));
  const auto closed = std::find_if(lines.begin(), lines.end(),
                                   [](const TraceLine& line) { return line.what == What::closed; });
  ASSERT_NE(closed, lines.end());
  EXPECT_THAT(closed->text, Not(IsEmpty()));
}

TEST(Trace, ItsEnd) {
  SmallEngine engine;
  const auto trace = look_on(engine, {});
  deliver(engine, "b", {"a@d0.sim"});
  trace->end();
  lines_of(*trace);
  deliver(engine, "c", {"b@d0.sim"});
  EXPECT_THAT(lines_of(*trace), IsEmpty());
  EXPECT_EQ(trace.use_count(), 1) << "the shards have let go of it";
}

// What a shard had no room for came behind what it brings.
TEST(Trace, WhatIsLeftOutCameLast) {
  Trace trace(TraceFilter{});
  std::vector<TraceLine> lines(900);
  uint64_t left_out = 7;
  ASSERT_TRUE(trace.hand_over(lines, left_out));
  EXPECT_EQ(left_out, 0u);
  EXPECT_EQ(trace.take(left_out).size(), 900u);
  EXPECT_EQ(left_out, 7u);
}

}  // namespace
}  // namespace veredus::sim
