#include "dns/tlsa.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/dns/message.h"

namespace veredus::dns {
namespace {

using testing::Bytes;
using ::testing::IsEmpty;
using testing::Message;
using ::testing::SizeIs;
using testing::wire_name;

constexpr std::string_view kAsked = "_25._tcp.mx.example.org";
constexpr unsigned kTlsa = 52;

Bytes tlsa(uint8_t usage, uint8_t selector, uint8_t matching, const Bytes& data) {
  Bytes bytes = {usage, selector, matching};
  bytes.insert(bytes.end(), data.begin(), data.end());
  return bytes;
}
Bytes sha256(uint8_t fill = 7) {
  return Bytes(32, fill);
}

// A DER SEQUENCE of so many bytes in all, its length in the shortest form.
Bytes der(size_t size) {
  Bytes bytes = {0x30};
  if (size < 2 + 0x80) {
    bytes.push_back(static_cast<uint8_t>(size - 2));
  } else if (size < 3 + 0x100) {
    bytes.insert(bytes.end(), {0x81, static_cast<uint8_t>(size - 3)});
  } else {
    bytes.push_back(0x82);
    testing::put16(bytes, static_cast<unsigned>(size - 4));
  }
  bytes.resize(size, 5);
  return bytes;
}

// An answer with these records, each at the name asked.
Message answer_of(const std::vector<Bytes>& records, bool authentic = true) {
  Message message(kAsked, RecordType::tlsa);
  if (authentic) message.authentic();
  for (const Bytes& record : records) message.record({0xC0, 12}, kTlsa, 3600, record);
  return message;
}

TlsaAnswer read(const Message& message) {
  return read_tlsa(QueryStatus::answered, message.bytes(), kAsked);
}

TEST(TlsaTest, WhichRecordsAreUsable) {
  struct Row {
    const char* what;
    TlsaRecord record;
    bool usable;
  };
  Bytes behind = der(300);
  behind.push_back(0);
  Bytes short_of = der(300);
  short_of.pop_back();
  const Row rows[] = {
      {"3 1 1", {3, 1, 1, Bytes(32)}, true},
      {"3 0 1", {3, 0, 1, Bytes(32)}, true},
      {"2 0 1", {2, 0, 1, Bytes(32)}, true},
      {"2 1 1", {2, 1, 1, Bytes(32)}, true},
      {"3 1 2", {3, 1, 2, Bytes(64)}, true},
      {"2 0 2", {2, 0, 2, Bytes(64)}, true},
      {"2 0 0", {2, 0, 0, der(900)}, true},
      {"3 1 0, short length", {3, 1, 0, der(60)}, true},
      {"3 1 0, length in one byte more", {3, 1, 0, der(200)}, true},
      {"the smallest SEQUENCE", {3, 1, 0, {0x30, 0}}, true},
      {"PKIX-TA", {0, 1, 1, Bytes(32)}, false},
      {"PKIX-EE", {1, 1, 1, Bytes(32)}, false},
      {"usage 4", {4, 1, 1, Bytes(32)}, false},
      {"usage 255, private", {255, 1, 1, Bytes(32)}, false},
      {"selector 2", {3, 2, 1, Bytes(32)}, false},
      {"selector 255, private", {3, 255, 1, Bytes(32)}, false},
      {"matching type 3", {3, 1, 3, Bytes(48)}, false},
      {"matching type 255, private", {3, 1, 255, Bytes(32)}, false},
      {"SHA-256, a byte short", {3, 1, 1, Bytes(31)}, false},
      {"SHA-256, a byte long", {3, 1, 1, Bytes(33)}, false},
      {"SHA-256 of 64 bytes", {3, 1, 1, Bytes(64)}, false},
      {"SHA-256, none", {3, 1, 1, {}}, false},
      {"SHA-512 of 32 bytes", {3, 1, 2, Bytes(32)}, false},
      {"SHA-512, a byte short", {3, 1, 2, Bytes(63)}, false},
      {"in full, none", {2, 0, 0, {}}, false},
      {"in full, one byte", {2, 0, 0, {0x30}}, false},
      {"in full, a digest by mistake", {2, 0, 0, Bytes(32)}, false},
      {"in full, bytes behind it", {2, 0, 0, behind}, false},
      {"in full, cut off", {2, 0, 0, short_of}, false},
      {"in full, length without its bytes", {2, 0, 0, {0x30, 0x82, 1}}, false},
      {"in full, length of no bytes", {2, 0, 0, {0x30, 0x80, 0, 0}}, false},
      {"in full, length of three bytes", {2, 0, 0, {0x30, 0x83, 0, 0, 2, 5, 5}}, false},
      {"in full, length of eight bytes",
       {2, 0, 0, {0x30, 0x88, 255, 255, 255, 255, 255, 255, 255, 255}},
       false},
  };
  for (const Row& row : rows) EXPECT_EQ(is_usable(row.record), row.usable) << row.what;
}

TEST(TlsaTest, Usable) {
  const TlsaAnswer answer =
      read(answer_of({tlsa(3, 1, 1, sha256()), tlsa(1, 1, 1, sha256()), tlsa(2, 0, 1, sha256(9))}));
  EXPECT_EQ(answer.status, TlsaStatus::usable);
  EXPECT_TRUE(answer.secure);
  EXPECT_EQ(answer.passed_over, 1u);
  EXPECT_TRUE(answer.has_ttl);
  EXPECT_EQ(answer.ttl_s, 3600u);
  EXPECT_EQ(answer.canonical, kAsked);
  ASSERT_THAT(answer.records, SizeIs(2));
  EXPECT_EQ(answer.records[0].usage, kTlsaDaneEe);
  EXPECT_EQ(answer.records[0].data, sha256());
  EXPECT_EQ(answer.records[1].usage, kTlsaDaneTa);
  EXPECT_EQ(answer.records[1].data, sha256(9));
}

// TLS is still mandatory: this must never look like "there are none".
TEST(TlsaTest, AllUnusableIsNotNone) {
  const TlsaAnswer answer =
      read(answer_of({tlsa(0, 0, 1, sha256()), tlsa(3, 1, 1, Bytes(20)), tlsa(3, 1, 1, {})}));
  EXPECT_EQ(answer.status, TlsaStatus::unusable);
  EXPECT_TRUE(answer.secure);
  EXPECT_EQ(answer.passed_over, 3u);
  EXPECT_TRUE(answer.has_ttl);
  EXPECT_THAT(answer.records, IsEmpty());
}

TEST(TlsaTest, NotValidatedIsAsIfThereWereNone) {
  for (const Bytes& record : {tlsa(3, 1, 1, sha256()), tlsa(0, 1, 1, sha256())}) {
    const TlsaAnswer answer = read(answer_of({record}, false));
    EXPECT_EQ(answer.status, TlsaStatus::insecure);
    EXPECT_FALSE(answer.secure);
    EXPECT_THAT(answer.records, IsEmpty());
    EXPECT_TRUE(answer.has_ttl);
  }
}

TEST(TlsaTest, Denied) {
  for (const unsigned code : {0u, 3u}) {
    for (const bool secure : {false, true}) {
      Message message(kAsked, RecordType::tlsa, code);
      if (secure) message.authentic();
      message.soa("example.org", 900, 120);
      const TlsaAnswer answer = read(message);
      EXPECT_EQ(answer.status, TlsaStatus::none);
      EXPECT_EQ(answer.secure, secure);
      EXPECT_TRUE(answer.has_ttl);
      EXPECT_EQ(answer.ttl_s, 120u);
    }
  }
  const TlsaAnswer unproven = read(Message(kAsked, RecordType::tlsa));
  EXPECT_EQ(unproven.status, TlsaStatus::none);
  EXPECT_FALSE(unproven.has_ttl);
}

TEST(TlsaTest, Aliases) {
  Message message(kAsked, RecordType::tlsa);
  message.authentic()
      .cname(kAsked, 50, "tlsa.example.net")
      .record(wire_name("TLSA.example.net"), kTlsa, 3600, tlsa(2, 1, 1, sha256()));
  const TlsaAnswer found = read(message);
  EXPECT_EQ(found.status, TlsaStatus::usable);
  EXPECT_EQ(found.canonical, "tlsa.example.net");
  EXPECT_EQ(found.ttl_s, 50u);

  Message denied(kAsked, RecordType::tlsa);
  denied.authentic().cname(kAsked, 50, "tlsa.example.net").soa("example.net", 900, 600);
  const TlsaAnswer none = read(denied);
  EXPECT_EQ(none.status, TlsaStatus::none);
  EXPECT_TRUE(none.secure);
  EXPECT_EQ(none.ttl_s, 50u);  // the alias may lead elsewhere by then

  Message half(kAsked, RecordType::tlsa);
  half.authentic().cname(kAsked, 50, "tlsa.example.net");
  const TlsaAnswer elsewhere = read(half);
  EXPECT_EQ(elsewhere.status, TlsaStatus::elsewhere);
  EXPECT_TRUE(elsewhere.secure);
  EXPECT_EQ(elsewhere.canonical, "tlsa.example.net");
}

Message chain(unsigned aliases) {
  Message message(kAsked, RecordType::tlsa);
  message.authentic();
  std::string name(kAsked);
  for (unsigned i = 0; i < aliases; ++i) {
    const std::string next = "n" + std::to_string(i) + ".example.org";
    message.cname(name, 60, next);
    name = next;
  }
  return message.record(wire_name(name), kTlsa, 60, tlsa(3, 1, 1, sha256()));
}

TEST(TlsaTest, AliasesAreBounded) {
  EXPECT_EQ(read(chain(kMaxAliases)).status, TlsaStatus::usable);
  EXPECT_EQ(read(chain(kMaxAliases + 1)).status, TlsaStatus::failed);
}

// Everything from which nothing can be known. None of it may let mail out without TLS.
TEST(TlsaTest, Failed) {
  struct Row {
    const char* what;
    Message message;
    const char* why;
  };
  const Message good = answer_of({tlsa(3, 1, 1, sha256())});
  const Row rows[] = {
      {"bogus", Message(kAsked, RecordType::tlsa, 2), "SERVFAIL"},
      {"bogus, and secure all the same", Message(kAsked, RecordType::tlsa, 2).authentic(),
       "SERVFAIL"},
      {"TLSA is refused", Message(kAsked, RecordType::tlsa, 5), "REFUSED"},
      {"TLSA is not known", Message(kAsked, RecordType::tlsa, 4), "NOTIMP"},
      {"format", Message(kAsked, RecordType::tlsa, 1), "FORMERR"},
      {"other code", Message(kAsked, RecordType::tlsa, 9), "an error"},
      {"cut off", answer_of({tlsa(3, 1, 1, sha256())}).truncated(), "cut off"},
      {"two bytes of data", answer_of({{3, 1}}), "malformed"},
      {"no data", answer_of({{}}), "malformed"},
      {"a good one and half of one", answer_of({tlsa(3, 1, 1, sha256()), {3}}), "malformed"},
      {"other name", Message("_25._tcp.mx.example.net", RecordType::tlsa), "malformed"},
      {"other type", Message(kAsked, RecordType::txt), "malformed"},
      {"NXDOMAIN and records",
       Message(kAsked, RecordType::tlsa, 3)
           .authentic()
           .record({0xC0, 12}, kTlsa, 60, tlsa(3, 1, 1, sha256())),
       "contradicts"},
  };
  for (const Row& row : rows) {
    const TlsaAnswer answer = read(row.message);
    EXPECT_EQ(answer.status, TlsaStatus::failed) << row.what;
    EXPECT_THAT(answer.why, ::testing::HasSubstr(row.why)) << row.what;
    EXPECT_FALSE(answer.secure) << row.what;
    EXPECT_FALSE(answer.has_ttl) << row.what;
    EXPECT_FALSE(answer.busy) << row.what;
    EXPECT_THAT(answer.records, IsEmpty()) << row.what;
    EXPECT_THAT(answer.canonical, IsEmpty()) << row.what;
  }
  for (const QueryStatus status :
       {QueryStatus::timed_out, QueryStatus::unreachable, QueryStatus::refused}) {
    const TlsaAnswer answer = read_tlsa(status, {}, kAsked);
    EXPECT_EQ(answer.status, TlsaStatus::failed);
    EXPECT_EQ(answer.busy, status == QueryStatus::refused);
    EXPECT_STRNE(answer.why, "");
  }
}

TEST(TlsaTest, CutOffAfterEveryByteIsFailed) {
  const Bytes whole = answer_of({tlsa(3, 1, 1, sha256()), tlsa(2, 0, 0, der(150))}).bytes();
  for (size_t size = 0; size < whole.size(); ++size) {
    const TlsaAnswer answer =
        read_tlsa(QueryStatus::answered, std::span(whole).first(size), kAsked);
    EXPECT_EQ(answer.status, TlsaStatus::failed) << size;
  }
  EXPECT_EQ(read_tlsa(QueryStatus::answered, whole, kAsked).status, TlsaStatus::usable);
}

TEST(TlsaTest, RecordsAreBounded) {
  std::vector<Bytes> many;
  for (size_t i = 0; i < kMaxTlsaRecords + 5; ++i)
    many.push_back(tlsa(3, 1, 1, sha256(static_cast<uint8_t>(i))));
  const TlsaAnswer count = read(answer_of(many));
  EXPECT_EQ(count.status, TlsaStatus::usable);
  EXPECT_THAT(count.records, SizeIs(kMaxTlsaRecords));
  EXPECT_EQ(count.left_out, 5u);
  EXPECT_EQ(count.records.back().data[0], kMaxTlsaRecords - 1);

  // A large one does not keep a small one behind it out.
  const TlsaAnswer bytes = read(answer_of(
      {tlsa(2, 0, 0, der(kMaxTlsaBytes - 32)), tlsa(2, 0, 0, der(40)), tlsa(3, 1, 1, sha256())}));
  EXPECT_EQ(bytes.status, TlsaStatus::usable);
  ASSERT_THAT(bytes.records, SizeIs(2));
  EXPECT_EQ(bytes.records[1].usage, kTlsaDaneEe);
  EXPECT_EQ(bytes.left_out, 1u);
}

TEST(TlsaTest, WhatIsLeftUnreadIsNoReasonToTrustAnybody) {
  const TlsaAnswer large = read(answer_of({tlsa(2, 0, 0, der(kMaxTlsaBytes + 1))}));
  EXPECT_EQ(large.status, TlsaStatus::failed);
  EXPECT_FALSE(large.secure);
  // The usable one is behind those that are read.
  std::vector<Bytes> records(kMaxAnswerRecords, tlsa(0, 0, 1, sha256()));
  EXPECT_EQ(read(answer_of(records)).status, TlsaStatus::unusable);
  records.push_back(tlsa(3, 1, 1, sha256()));
  EXPECT_EQ(read(answer_of(records)).status, TlsaStatus::failed);
}

TEST(TlsaTest, Name) {
  Name name;
  ASSERT_TRUE(tlsa_name("mx.example.org", 25, name));
  EXPECT_EQ(name.view(), kAsked);
  ASSERT_TRUE(tlsa_name("mx.example.org", 65535, name));
  EXPECT_EQ(name.view(), "_65535._tcp.mx.example.org");
  EXPECT_FALSE(tlsa_name("", 25, name));
  EXPECT_TRUE(tlsa_name(std::string(kMaxName - 9, 'a'), 25, name));
  EXPECT_EQ(name.size(), kMaxName);
  EXPECT_FALSE(tlsa_name(std::string(kMaxName - 8, 'a'), 25, name));
}

}  // namespace
}  // namespace veredus::dns
