#include "engine/mail/dkim_verify.h"

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "engine/mail/content.h"
#include "engine/mail/dkim_record.h"
#include "engine/mail/dkim_signer.h"
#include "tests/mail/dkim_test_keys.h"

namespace veredus::mail {
namespace {

using ::testing::HasSubstr;
using Status = DkimKeyAnswer::Status;

constexpr int64_t kWall = 1'782'898'205'000'000'000;
constexpr std::string_view kMessage = "From: a@news.example\r\nSubject: Hi\r\n\r\nBody\r\nMore\r\n";

const std::shared_ptr<const DkimKey>& key() {
  static const std::shared_ptr<const DkimKey> made = testing::ed25519_key();
  return made;
}
std::string record_p() {
  const std::string& record = key()->public_record();
  return record.substr(record.find("p="));
}

std::string field() {
  DkimIdentity it;
  it.name = "it";
  it.domain = "news.example";
  it.selector = "S1";
  it.key = key();
  it.lifetime_ns = kDkimLifetimeMin;
  const DkimIdentity* const identities[] = {&it};
  const Piece piece{kMessage.data(), kMessage.size()};
  DkimSigner signer;
  std::string out;
  EXPECT_TRUE(signer.sign(identities, {&piece, 1}, kWall, nullptr, out).ok());
  return out;
}

DkimKeyLookup answers(std::vector<std::string> records, Status status = Status::found) {
  return [=](const std::string& name) {
    EXPECT_EQ(name, "s1._domainkey.news.example");
    return DkimKeyAnswer{status, records, "no server answers"};
  };
}

std::string verdict_of(const std::string& signature, const DkimKeyLookup& lookup,
                       int64_t wall_ns = kWall) {
  const auto verdicts = verify_dkim(signature + std::string(kMessage), wall_ns, lookup);
  if (verdicts.size() != 1) return std::to_string(verdicts.size()) + " verdicts";
  return std::string(dkim_result_name(verdicts[0].result)) + " " + verdicts[0].reason;
}

std::string replaced(std::string text, std::string_view from, std::string_view to) {
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

TEST(DkimVerify, ValidOnesSayByWhom) {
  const auto verdicts =
      verify_dkim(field() + std::string(kMessage), kWall, answers({key()->public_record()}));
  ASSERT_EQ(verdicts.size(), 1u);
  const DkimVerdict& verdict = verdicts[0];
  EXPECT_EQ(verdict.result, DkimVerdict::Result::pass) << verdict.reason;
  EXPECT_EQ(verdict.domain, "news.example");
  EXPECT_EQ(verdict.selector, "s1");
  EXPECT_EQ(verdict.algorithm, "ed25519-sha256");
  EXPECT_EQ(verdict.canon, "relaxed/relaxed");
  EXPECT_THAT(verdict.signed_fields, ::testing::StartsWith("from:from:"));
  EXPECT_EQ(verdict.key_bits, 256u);
  EXPECT_FALSE(verdict.partial_body || verdict.testing);
  EXPECT_TRUE(verify_dkim(kMessage, kWall, answers({})).empty());
}

// What is asked for before a key is: each row changes the field.
TEST(DkimVerify, FieldsThatAreNotAsTheyMustBe) {
  const struct {
    const char *from, *to, *verdict;
  } rows[] = {
      {"v=1", "v=2", "permerror the field is of another version than v=1"},
      {"v=1; ", "", "permerror the field has no v="},
      {"v=1; ", "v=1; v=1; ", "permerror the field has the tag v= twice"},
      {"v=1; ", "v=1; 1=1; ", "permerror the field has a tag with a byte that may not be in it"},
      {"v=1; ", "v=1; nothing; ", "permerror the field has a tag without \"=\""},
      {"a=ed25519-sha256", "a=rsa-sha1", "permerror a=rsa-sha1 must not be used any more"},
      {"a=ed25519-sha256", "a=md5", "permerror the algorithm of a= is not known"},
      {"a=ed25519-sha256", "a=rsa-sha256",
       "permerror the key at s1._domainkey.news.example is not "
       "for a="},
      {"relaxed/relaxed", "nofws/simple", "permerror the canonicalization of c= is not known"},
      {"relaxed/relaxed", "relaxed/", "permerror the canonicalization of c= is not known"},
      {"d=news.example", "d=news.example; i=x@other.example",
       "permerror i= is in another domain than d="},
      {"d=news.example", "d=news.example; i=x@othernews.example",
       "permerror i= is in another domain than d="},
      {"d=news.example", "d=news.example; i=news.example", "permerror i= has no @"},
      {"d=news.example", "d=news.example; q=http", "permerror the key is not in the DNS (q=)"},
      {"d=news.example", "d=news.example; l=-1", "permerror l= is no number"},
      {"d=news.example", "d=news.example; l=1000", "permerror l= is more than the body has"},
      {"d=news.example", "d=", "permerror the field has no d="},
      {"t=1", "t=x1", "permerror t= is no number"},
      {"x=1", "x=0x1", "permerror x= is no number"},
      {"x=17829", "x=7829", "permerror x= is not later than t="},
      {"h=from:from", "h=fro:fro", "permerror h= does not have From"},
      {"h=from:from", "h=from::from", "permerror h= has an empty name"},
      {"bh=", "bh=AA", "permerror bh= is no SHA-256 hash in base64"},
      {"\tb=", "\tb=!", "permerror b= is no base64"},
      {"\tb=", "\tb=;c2=", "permerror the field has no b="},
      // These hold, but are signed.
      {"d=news.example", "d=news.example; i=x@a.news.example", "fail the header was changed"},
      {"d=news.example", "d=news.example; l=3", "fail the body was changed after it was signed"},
      {"; d=", ";  d=", "pass"},
      {"c=relaxed/relaxed", "c=relaxed", "fail the header was changed"},
  };
  const std::string good = field();
  for (const auto& row : rows) {
    EXPECT_THAT(verdict_of(replaced(good, row.from, row.to), answers({key()->public_record()})),
                ::testing::StartsWith(row.verdict))
        << row.from << " -> " << row.to;
  }
}

TEST(DkimVerify, Expiry) {
  const DkimKeyLookup lookup = answers({key()->public_record()});
  EXPECT_EQ(verdict_of(field(), lookup, kWall + kDkimLifetimeMin), "pass ");
  EXPECT_EQ(verdict_of(field(), lookup, kWall + kDkimLifetimeMin + 1'000'000'000),
            "fail it has expired (x=)");
}

TEST(DkimVerify, WhatTheDnsHas) {
  const std::string p = record_p();
  const std::string name = "the key at s1._domainkey.news.example ";
  const struct {
    std::vector<std::string> records;
    std::string verdict;
  } rows[] = {
      {{"k=ed25519; " + p}, "pass "},
      {{"v=DKIM1;k=ed25519;" + p + ";"}, "pass "},
      {{"v=DKIM1; k=ed25519; h=sha1:sha256; s=email:x; t=s:y; n=note; z=?; " + p}, "pass "},
      {{"v=spf1 -all", "v=DKIM1; k=ed25519; " + p}, "pass "},
      {{}, "permerror there is no key at s1._domainkey.news.example"},
      {{"v=spf1 -all"}, "permerror " + name + "does not begin with v=DKIM1"},
      {{"v=DKIM2; k=ed25519; " + p}, "permerror " + name + "does not begin with v=DKIM1"},
      {{"k=ed25519; v=DKIM1; " + p}, "permerror " + name + "does not begin with v=DKIM1"},
      {{"v=DKIM1; k=ed25519; p="}, "permerror " + name + "is revoked (p= is empty)"},
      {{"v=DKIM1; k=ed25519"}, "permerror " + name + "has no p=, the key itself"},
      {{"k=ed25519; h=sha1; " + p}, "permerror " + name + "is not for SHA-256 (h=)"},
      {{"k=ed25519; s=tlsrpt; " + p}, "permerror " + name + "is not for mail (s=)"},
      {{"k=ed448; " + p}, "permerror " + name + "is of a kind that is not known: k=ed448"},
      {{p}, "permerror " + name + "has no RSA key in p="},
      {{"k=ed25519; p=!"}, "permerror " + name + "has a p= that is no base64"},
      {{"k=ed25519; p=AAAA"}, "permerror " + name + "has no Ed25519 key in p="},
      {{"k=ed25519; " + p, "k=ed25519; p="}, "permerror there are several keys at s1."},
  };
  for (const auto& row : rows) {
    EXPECT_THAT(verdict_of(field(), answers(row.records)), ::testing::StartsWith(row.verdict))
        << ::testing::PrintToString(row.records);
  }
  EXPECT_EQ(verdict_of(field(), answers({}, Status::failed)),
            "temperror the key at s1._domainkey.news.example cannot be had: no server answers");
  EXPECT_THAT(verdict_of(replaced(field(), "d=news.example", "d=news.example; i=@a.news.example"),
                         answers({"k=ed25519; t=s; " + p})),
              HasSubstr("is not for subdomains (t=s)"));
}

TEST(DkimVerify, ShortKeysAreRefused) {
  DkimRecord record;
  std::string why;
  EVP_PKEY* const small = EVP_RSA_gen(768);
  unsigned char* der = nullptr;
  const int size = i2d_PUBKEY(small, &der);
  std::string text = "p=";
  append_base64({reinterpret_cast<const char*>(der), static_cast<size_t>(size)}, text);
  OPENSSL_free(der);
  EVP_PKEY_free(small);
  EXPECT_FALSE(parse_dkim_record(text, record, why));
  EXPECT_THAT(why, HasSubstr("has an RSA key of 768 bits: too short (RFC 8301"));
}

TEST(DkimVerify, OnlySoManySignaturesAreLookedAt) {
  std::string message;
  for (size_t i = 0; i < kDkimVerifiedMax + 5; ++i) message += field();
  const auto verdicts =
      verify_dkim(message + std::string(kMessage), kWall, answers({key()->public_record()}));
  ASSERT_EQ(verdicts.size(), kDkimVerifiedMax + 1);
  EXPECT_EQ(verdicts[kDkimVerifiedMax - 1].result, DkimVerdict::Result::pass);
  EXPECT_FALSE(verdicts[kDkimVerifiedMax - 1].not_looked_at);
  EXPECT_TRUE(verdicts[kDkimVerifiedMax].not_looked_at);
  EXPECT_THAT(verdicts.back().reason, HasSubstr("over 16 signatures"));
}

}  // namespace
}  // namespace veredus::mail
