#include "queue/outcome.h"

#include <deque>
#include <random>

#include <gtest/gtest.h>

namespace veredus::queue {
namespace {

constexpr uint32_t Timing::*kPhases[] = {&Timing::queued_us, &Timing::dns_us,  &Timing::connect_us,
                                         &Timing::tls_us,    &Timing::mail_us, &Timing::data_us,
                                         &Timing::dot_us};

void expect_same(const Outcome& got, const Outcome& want) {
  EXPECT_EQ(got.type, want.type);
  EXPECT_EQ(got.kind, want.kind);
  EXPECT_EQ(got.bounce_class, want.bounce_class);
  EXPECT_EQ(got.stage, want.stage);
  EXPECT_EQ(got.attempt, want.attempt);
  EXPECT_EQ(got.code, want.code);
  EXPECT_EQ(got.enhanced, want.enhanced);
  EXPECT_EQ(got.batch, want.batch);
  EXPECT_EQ(got.index, want.index);
  EXPECT_EQ(got.segment, want.segment);
  EXPECT_EQ(got.page_offset, want.page_offset);
  EXPECT_EQ(got.entry_offset, want.entry_offset);
  EXPECT_EQ(got.bytes, want.bytes);
  EXPECT_EQ(got.wall_ns, want.wall_ns);
  EXPECT_EQ(got.next_due_wall_ns, want.next_due_wall_ns);
  for (const auto phase : kPhases) EXPECT_EQ(got.timing.*phase, want.timing.*phase);
  EXPECT_EQ(got.text, want.text);
  EXPECT_EQ(got.rule, want.rule);
  EXPECT_EQ(got.mx_name, want.mx_name);
  EXPECT_EQ(got.mx_address, want.mx_address);
  EXPECT_EQ(got.site, want.site);
  EXPECT_EQ(got.source, want.source);
  EXPECT_EQ(got.tls, want.tls);
}

class Source {
 public:
  explicit Source(uint64_t seed) : random_(seed) {
    for (int n = 0; n < 400; ++n) {
      names_.push_back("name-" + std::to_string(random_() % 1000) + ".example");
    }
  }
  Outcome outcome() {
    Outcome made;
    made.type = static_cast<OutcomeType>(1 + random_() % 7);
    made.kind = static_cast<uint8_t>(number());
    made.bounce_class = static_cast<uint8_t>(number());
    made.stage = static_cast<uint8_t>(number());
    made.attempt = static_cast<uint16_t>(number());
    made.code = static_cast<uint16_t>(number());
    for (uint16_t& part : made.enhanced) part = static_cast<uint16_t>(number());
    made.batch = number();
    made.index = static_cast<uint32_t>(number());
    made.segment = static_cast<uint32_t>(number());
    made.page_offset = static_cast<uint32_t>(number());
    made.entry_offset = static_cast<uint32_t>(number());
    made.bytes = static_cast<uint32_t>(number());
    made.wall_ns = static_cast<int64_t>(number());
    made.next_due_wall_ns = static_cast<int64_t>(number());
    for (const auto phase : kPhases) {
      if (random_() % 2) made.timing.*phase = static_cast<uint32_t>(random_() % 5000000);
    }
    made.text = name();
    made.rule = name();
    made.mx_name = name();
    made.mx_address = name();
    made.site = name();
    made.source = name();
    if (random_() % 2) made.tls = name();
    return made;
  }
  uint64_t number() { return random_() % 3 ? random_() >> random_() % 64 : 0; }

 private:
  std::string_view name() {
    if (random_() % 4 == 0) return {};
    return names_[random_() % names_.size()];
  }
  std::mt19937_64 random_;
  std::deque<std::string> names_;
};

TEST(Outcome, ComesBackAsItWas) {
  OutcomeWriter writer;
  std::string payload;
  for (uint64_t seed = 0; seed < 200; ++seed) {
    Source source(seed);
    std::vector<Outcome> wanted;
    for (uint64_t n = seed % 4 ? source.number() % 1000 : 0; n > 0; --n) {
      wanted.push_back(source.outcome());
      writer.add(wanted.back());
    }
    EXPECT_EQ(writer.count(), wanted.size());
    writer.take(payload);
    EXPECT_TRUE(writer.empty());
    OutcomeReader reader(payload);
    Outcome got;
    for (const Outcome& want : wanted) {
      ASSERT_TRUE(reader.next(got)) << reader.status();
      expect_same(got, want);
    }
    EXPECT_FALSE(reader.next(got));
    EXPECT_TRUE(reader.status().ok());
  }
}

Outcome delivered(uint32_t index) {
  Outcome made;
  made.type = OutcomeType::delivered;
  made.attempt = 1;
  made.code = 250;
  made.enhanced = {2, 0, 0};
  made.batch = 12345;
  made.index = index;
  made.segment = 3;
  made.page_offset = 4096 + index / 100 * 4000;
  made.entry_offset = 16 + index % 100 * 40;
  made.bytes = 2048;
  made.wall_ns = 1700000000000000000 + index * 10000;
  made.timing.queued_us = 500;
  made.timing.mail_us = 300;
  made.timing.dot_us = 1500;
  made.text = "2.0.0 Ok: queued as";
  made.mx_name = "mx1.example.org";
  made.mx_address = "192.0.2.1";
  made.site = "mx1.example.org,mx2.example.org";
  made.source = "default";
  return made;
}

TEST(Outcome, ADeliveredOneCostsAbout48Bytes) {
  OutcomeWriter writer;
  for (uint32_t index = 0; index < 1000; ++index) writer.add(delivered(index));
  std::string payload;
  writer.take(payload);
  EXPECT_LE(payload.size() / 1000.0, 60.0);
  RecordProperty("bytes_each", static_cast<int>(payload.size() / 1000));
}

// What an older program wrote.
TEST(Outcome, VersionOneIsRead) {
  OutcomeWriter writer;
  std::string payload;
  for (uint32_t index = 0; index < 10; ++index) writer.add(delivered(index));
  writer.take(payload);
  ASSERT_EQ(payload[0], 2);
  payload[0] = 1;
  EXPECT_EQ(outcomes_in(payload), 10u);
  OutcomeReader reader(payload);
  Outcome got;
  for (uint32_t index = 0; index < 10; ++index) {
    ASSERT_TRUE(reader.next(got)) << reader.status();
    expect_same(got, delivered(index));
  }
  EXPECT_FALSE(reader.next(got));
  EXPECT_TRUE(reader.status().ok());
  // It cannot have had what came later.
  Outcome later = delivered(0);
  later.tls = "TLSv1.3 TLS_AES_128_GCM_SHA256";
  writer.add(later);
  writer.take(payload);
  payload[0] = 1;
  OutcomeReader confused(payload);
  EXPECT_FALSE(confused.next(got));
  EXPECT_FALSE(confused.status().ok());
  for (const char version : {'\0', '\3'}) {
    payload[0] = version;
    EXPECT_EQ(outcomes_in(payload), 0u);
    EXPECT_FALSE(OutcomeReader(payload).status().ok());
  }
}

TEST(Outcome, LongTextIsCappedBetweenCharacters) {
  OutcomeWriter writer;
  Outcome outcome = delivered(0);
  std::string text(kOutcomeTextMax - 1, 'a');
  text += "\xc3\xa9 and more";  // the first byte of the é would be the last that fits
  outcome.text = text;
  writer.add(outcome);
  std::string payload;
  writer.take(payload);
  OutcomeReader reader(payload);
  Outcome got;
  ASSERT_TRUE(reader.next(got));
  EXPECT_EQ(got.text, std::string(kOutcomeTextMax - 1, 'a'));
}

TEST(Outcome, EveryTruncationIsAnErrorNotACrash) {
  OutcomeWriter writer;
  Source source(11);
  for (int n = 0; n < 20; ++n) writer.add(source.outcome());
  std::string payload;
  writer.take(payload);
  for (size_t length = 0; length < payload.size(); ++length) {
    OutcomeReader reader(std::string_view(payload).substr(0, length));
    Outcome got;
    int count = 0;
    while (reader.next(got)) ++count;
    EXPECT_FALSE(reader.status().ok()) << length;
    EXPECT_LT(count, 21);
  }
  payload += "x";
  OutcomeReader longer(payload);
  Outcome got;
  while (longer.next(got)) {
  }
  EXPECT_FALSE(longer.status().ok());
}

TEST(Outcome, DamagedBytesAreAnErrorNotACrash) {
  std::mt19937_64 random(12);
  int errors = 0;
  for (int round = 0; round < 5000; ++round) {
    OutcomeWriter writer;
    Source source(random());
    for (int n = 0; n < 5; ++n) writer.add(source.outcome());
    std::string payload;
    writer.take(payload);
    for (int n = 0; n < 3; ++n) payload[random() % payload.size()] = static_cast<char>(random());
    OutcomeReader reader(payload);
    Outcome got;
    while (reader.next(got)) {
    }
    errors += !reader.status().ok();
  }
  EXPECT_GT(errors, 1000);
}

TEST(Outcome, NewerVersionIsRefusedByName) {
  OutcomeWriter writer;
  std::string payload;
  writer.take(payload);
  payload[0] = 5;
  OutcomeReader reader(payload);
  Outcome got;
  EXPECT_FALSE(reader.next(got));
  EXPECT_NE(std::string(reader.status().message()).find("version 5"), std::string::npos);
}

}  // namespace
}  // namespace veredus::queue
