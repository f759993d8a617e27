#include "queue/batch.h"

#include <random>

#include <gtest/gtest.h>

#include "queue/bytes.h"

namespace veredus::queue {
namespace {

void expect_same(const Batch& got, const Batch& want) {
  EXPECT_EQ(got.number, want.number);
  EXPECT_EQ(got.tenant, want.tenant);
  EXPECT_EQ(got.name, want.name);
  EXPECT_EQ(got.campaign, want.campaign);
  EXPECT_EQ(got.sender, want.sender);
  EXPECT_EQ(got.pool, want.pool);
  EXPECT_EQ(got.tags_json, want.tags_json);
  EXPECT_EQ(got.meta_json, want.meta_json);
  EXPECT_EQ(got.dsn, want.dsn);
  EXPECT_EQ(got.dkim, want.dkim);
  EXPECT_EQ(got.dkim_none, want.dkim_none);
  EXPECT_EQ(got.origin, want.origin);
  EXPECT_EQ(got.vars, want.vars);
  EXPECT_EQ(got.priority, want.priority);
  EXPECT_EQ(got.verp, want.verp);
  EXPECT_EQ(got.unique, want.unique);
  EXPECT_EQ(got.tls_required, want.tls_required);
  EXPECT_EQ(got.sender_has_slots, want.sender_has_slots);
  EXPECT_EQ(got.accepted_wall_ns, want.accepted_wall_ns);
  EXPECT_EQ(got.not_before_wall_ns, want.not_before_wall_ns);
  EXPECT_EQ(got.expires_wall_ns, want.expires_wall_ns);
  EXPECT_EQ(got.content, want.content);
  EXPECT_EQ(got.content_flags, want.content_flags);
}

class Source {
 public:
  explicit Source(uint64_t seed) : random_(seed) {}
  std::string text() {
    std::string made(one_in(3) ? 0 : random_() % 300, '\0');
    for (char& byte : made) byte = static_cast<char>(random_());
    return made;
  }
  bool one_in(uint64_t n) { return random_() % n == 0; }
  uint64_t number() { return random_() >> random_() % 64; }
  Batch batch() {
    Batch made;
    made.number = number();
    if (one_in(2)) made.tenant = text();
    made.name = text();
    made.campaign = text();
    made.sender = text();
    if (one_in(2)) made.pool = text();
    made.tags_json = text();
    made.meta_json = text();
    made.dsn.notify = static_cast<uint8_t>(random_() % 16);
    made.dsn.ret = static_cast<DsnReturn>(random_() % 3);
    made.dsn.envid = text();
    for (uint64_t n = random_() % 3; n > 0; --n) made.dkim.push_back(text());
    for (uint64_t n = random_() % 5; n > 0; --n) {
      std::string name = text();
      made.vars.emplace_back(std::move(name), text());
    }
    made.priority = static_cast<uint8_t>(random_() % 101);
    made.verp = one_in(2);
    made.unique = one_in(2);
    made.dkim_none = one_in(2);
    made.origin = text();
    made.tls_required = one_in(2);
    made.sender_has_slots = one_in(2);
    made.accepted_wall_ns = static_cast<int64_t>(number());
    made.not_before_wall_ns = -static_cast<int64_t>(number() >> 1);
    made.expires_wall_ns = static_cast<int64_t>(number());
    made.content = {static_cast<uint16_t>(number()), static_cast<uint32_t>(number()),
                    static_cast<uint32_t>(number()), static_cast<uint32_t>(number())};
    made.content_flags = static_cast<uint8_t>(number());
    return made;
  }

 private:
  std::mt19937_64 random_;
};

TEST(Batch, ComesBackAsItWas) {
  for (uint64_t seed = 0; seed < 500; ++seed) {
    const Batch wanted = Source(seed).batch();
    std::string bytes;
    encode_batch(wanted, bytes);
    const auto got = decode_batch(bytes);
    ASSERT_TRUE(got.ok()) << got.status();
    expect_same(*got, wanted);
  }
}

TEST(Batch, DefaultsAndEmptyTenantAreToldApart) {
  Batch batch;
  std::string bytes;
  encode_batch(batch, bytes);
  EXPECT_EQ(decode_batch(bytes)->tenant, "default");
  batch.tenant.clear();
  batch.pool.clear();
  bytes.clear();
  encode_batch(batch, bytes);
  EXPECT_EQ(decode_batch(bytes)->tenant, "");
  EXPECT_EQ(decode_batch(bytes)->pool, "");
}

TEST(Batch, UnknownTagsAreSkipped) {
  Batch batch;
  batch.number = 7;
  std::string bytes;
  encode_batch(batch, bytes);
  put_varint(bytes, 99);
  put_bytes(bytes, "of a later release");
  const auto got = decode_batch(bytes);
  ASSERT_TRUE(got.ok());
  EXPECT_EQ(got->number, 7u);
}

// A journal of before has no such tag; damage is none of what a later release may say.
TEST(Batch, DsnIsLeftOutWhenNotAsked) {
  Batch batch;
  std::string without, with;
  encode_batch(batch, without);
  EXPECT_FALSE(decode_batch(without)->dsn.asked());
  batch.dsn.notify = kDsnNever;
  encode_batch(batch, with);
  EXPECT_EQ(with.substr(0, without.size()), without);
  EXPECT_EQ(with.substr(without.size()), std::string("\x14\x02\x01\0", 4));
  EXPECT_EQ(decode_batch(with)->dsn, batch.dsn);
  with.back() = 3;
  EXPECT_FALSE(decode_batch(with).ok());
  EXPECT_FALSE(decode_batch(without + std::string("\x14\x01\x01", 3)).ok());
}

TEST(Batch, EncodingAppends) {
  std::string bytes = "before";
  encode_batch(Batch(), bytes);
  EXPECT_EQ(bytes.substr(0, 6), "before");
  EXPECT_TRUE(decode_batch(std::string_view(bytes).substr(6)).ok());
}

TEST(Batch, TruncationIsAnErrorOrAShorterSoundRecord) {
  const Batch wanted = Source(8).batch();
  std::string bytes;
  encode_batch(wanted, bytes);
  int errors = 0;
  for (size_t length = 0; length < bytes.size(); ++length) {
    errors += !decode_batch(std::string_view(bytes).substr(0, length)).ok();
  }
  EXPECT_GT(errors, static_cast<int>(bytes.size()) - 30);
}

TEST(Batch, DamagedBytesAreAnErrorNotACrash) {
  std::mt19937_64 random(6);
  int errors = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string bytes;
    encode_batch(Source(random() % 50).batch(), bytes);
    for (int n = 0; n < 3; ++n) bytes[random() % bytes.size()] = static_cast<char>(random());
    errors += !decode_batch(bytes).ok();
    errors += !decode_commit(bytes).ok();
  }
  EXPECT_GT(errors, 1000);
}

TEST(Batch, NewerVersionIsRefusedByName) {
  std::string bytes;
  encode_batch(Batch(), bytes);
  bytes[0] = 9;
  const auto got = decode_batch(bytes);
  ASSERT_FALSE(got.ok());
  EXPECT_NE(std::string(got.status().message()).find("version 9"), std::string::npos);
}

TEST(Commit, ComesBackAsItWas) {
  for (uint64_t seed = 0; seed < 300; ++seed) {
    Source source(seed);
    Commit wanted;
    wanted.number = source.number();
    wanted.accepted = static_cast<uint32_t>(source.number());
    wanted.refused = static_cast<uint32_t>(source.number());
    wanted.extents = static_cast<uint32_t>(source.number());
    wanted.extent_bytes = source.number();
    wanted.last_order = source.number();
    wanted.body_sha256 = source.text();
    wanted.answer_json = source.text();
    std::string bytes;
    encode_commit(wanted, bytes);
    const auto got = decode_commit(bytes);
    ASSERT_TRUE(got.ok());
    EXPECT_EQ(got->number, wanted.number);
    EXPECT_EQ(got->accepted, wanted.accepted);
    EXPECT_EQ(got->refused, wanted.refused);
    EXPECT_EQ(got->extents, wanted.extents);
    EXPECT_EQ(got->extent_bytes, wanted.extent_bytes);
    EXPECT_EQ(got->last_order, wanted.last_order);
    EXPECT_EQ(got->body_sha256, wanted.body_sha256);
    EXPECT_EQ(got->answer_json, wanted.answer_json);
  }
}

}  // namespace
}  // namespace veredus::queue
