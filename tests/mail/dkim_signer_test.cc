#include "engine/mail/dkim_signer.h"

#include <cctype>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/mail/dkim_verify.h"
#include "tests/mail/dkim_test_keys.h"
#include "tests/mail/random_message.h"

namespace veredus::mail {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr int64_t kWall = 1'782'898'205'000'000'000;
constexpr std::string_view kMessage =
    "Received: x\r\nFrom: a@news.example\r\nTo: b@c.example\r\nSubject: Hi\r\n\r\nBody \r\n";

const std::shared_ptr<const DkimKey>& rsa() {
  static const std::shared_ptr<const DkimKey> key = testing::rsa_key(1024);
  return key;
}
const std::shared_ptr<const DkimKey>& ed25519() {
  static const std::shared_ptr<const DkimKey> key = testing::ed25519_key();
  return key;
}

DkimIdentity identity(const std::shared_ptr<const DkimKey>& key = ed25519()) {
  DkimIdentity made;
  made.name = "it";
  made.domain = "news.example";
  made.selector = key == rsa() ? "rsa" : "ed";
  made.key = key;
  return made;
}

DkimKeyAnswer known_key(const std::string& name) {
  const bool is_rsa = name.starts_with("rsa.");
  return {DkimKeyAnswer::Status::found, {(is_rsa ? rsa() : ed25519())->public_record()}, ""};
}

class DkimSign : public ::testing::Test {
 protected:
  std::string fields(std::vector<const DkimIdentity*> identities, std::string_view message,
                     DkimBodyHashes* constant_body = nullptr) {
    const Piece piece{message.data(), message.size()};
    std::string out = "before ";
    const absl::Status status = signer.sign(identities, {&piece, 1}, kWall, constant_body, out);
    if (!status.ok()) {
      EXPECT_EQ(out, "before ");
      return "error: " + std::string(status.message());
    }
    return out.substr(7);
  }
  static std::string verdicts(std::string_view message) {
    std::string text;
    for (const DkimVerdict& verdict : verify_dkim(message, kWall, known_key)) {
      text += dkim_result_name(verdict.result);
      text += " " + verdict.reason + "\n";
    }
    return text;
  }
  // As people read it: folds are blanks.
  static std::string unfolded(std::string text) {
    for (size_t at; (at = text.find("\r\n\t")) != std::string::npos;) text.replace(at, 3, " ");
    return text;
  }

  DkimSigner signer;
};

TEST_F(DkimSign, WhatTheFieldSays) {
  const DkimIdentity it = identity();
  const std::string field = unfolded(fields({&it}, kMessage));
  EXPECT_THAT(field,
              ::testing::StartsWith(
                  "DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed; d=news.example; s=ed; "
                  "t=1782898205; h=from:from:"));
  EXPECT_THAT(field, Not(HasSubstr("l=")));
  EXPECT_THAT(field, Not(HasSubstr("x=")));
  DkimIdentity other = identity(rsa());
  other.relaxed_header = other.relaxed_body = false;
  other.lifetime_ns = 3'600'000'000'000;
  EXPECT_THAT(unfolded(fields({&other}, kMessage)),
              ::testing::StartsWith("DKIM-Signature: v=1; a=rsa-sha256; c=simple/simple; "
                                    "d=news.example; s=rsa; t=1782898205; x=1782901805; h=from:"));
}

TEST_F(DkimSign, TheSameMessageHasTheSameSignature) {
  const DkimIdentity one = identity(), two = identity(rsa());
  EXPECT_EQ(fields({&one, &two}, kMessage), fields({&one, &two}, kMessage));
}

TEST_F(DkimSign, FieldsAreNamedAsOftenAsTheyAreThereAndOnceMore) {
  DkimIdentity it = identity();
  it.signed_fields = {"from", "subject", "list-id"};
  it.oversigned_fields = {"subject", "cc"};
  const std::string field =
      unfolded(fields({&it}, "subject: a\r\nFROM: b\r\nX: c\r\nSubject : d\r\nList-ID: e\r\n\r\n"));
  EXPECT_THAT(field, HasSubstr("h=from:subject:subject:subject:list-id:cc; "));
}

TEST_F(DkimSign, LinesHaveAtMost76Columns) {
  DkimIdentity it = identity(rsa());
  for (size_t domain = 1; domain < 64; ++domain) {
    it.domain = std::string(domain, 'd') + ".example";
    const std::string field = fields({&it}, kMessage);
    for (size_t at = 0, end; at < field.size(); at = end + 2) {
      end = field.find("\r\n", at);
      ASSERT_NE(end, std::string::npos);
      const size_t tab = field[at] == '\t' ? 7 : 0;
      const bool long_word = domain > 55;  // d= alone may be longer
      EXPECT_LE(end - at + tab, long_word ? 90u : 76u) << field;
      EXPECT_NE(field[end - 1], ' ');
    }
    ASSERT_EQ(verdicts(field + std::string(kMessage)), "pass \n") << field;
  }
}

TEST_F(DkimSign, OtherSignaturesStayAndAreNotSigned) {
  const DkimIdentity it = identity();
  const std::string once = fields({&it}, kMessage) + std::string(kMessage);
  const std::string twice = fields({&it}, once) + once;
  EXPECT_EQ(verdicts(twice), "pass \npass \n");
  EXPECT_EQ(verdicts(twice.substr(0, twice.size() - once.size()) + std::string(kMessage)),
            "pass \n");
}

// Others may sign signatures; none is a part of itself (RFC 6376 §3.7).
TEST_F(DkimSign, ASignatureOfSignaturesIsNotItsOwn) {
  const DkimIdentity first = identity();
  DkimIdentity second = identity();
  second.signed_fields = {"from", "dkim-signature"};
  second.oversigned_fields = {"dkim-signature"};
  const std::string once = fields({&first}, kMessage) + std::string(kMessage);
  EXPECT_EQ(verdicts(fields({&second}, once) + once), "pass \npass \n");
}

TEST_F(DkimSign, AConstantBodyIsHashedOnce) {
  DkimIdentity it = identity(), simple = identity();
  simple.relaxed_body = false;
  DkimBodyHashes hashes;
  const std::string with = fields({&it, &simple}, kMessage, &hashes);
  EXPECT_EQ(with, fields({&it, &simple}, kMessage));
  ASSERT_TRUE(hashes.simple && hashes.relaxed);
  EXPECT_NE(*hashes.simple, *hashes.relaxed);
  // What is known counts, whatever the body is now.
  const std::string header(kMessage.substr(0, kMessage.find("Body")));
  EXPECT_EQ(fields({&it, &simple}, header + "Other\r\n", &hashes), with);
}

TEST_F(DkimSign, WhatCannotBeSigned) {
  const DkimIdentity it = identity();
  EXPECT_THAT(fields({&it}, "To: a\r\n\r\nFrom: b\r\n"), HasSubstr("has no From field"));
  EXPECT_THAT(fields({&it}, ""), HasSubstr("has no From field"));
  std::string many = "From: a\r\n";
  for (size_t i = 0; i <= kDkimHashedFieldsMax; ++i) many += "To: b\r\n";
  EXPECT_THAT(fields({&it}, many + "\r\n"), HasSubstr("more than 1000 fields"));
  EXPECT_EQ(fields({}, kMessage), "");
}

// What the door says is what the signer does.
TEST_F(DkimSign, WhatCanBeSignedIsKnownBefore) {
  const auto times = [](size_t count, std::string_view field) {
    std::string text;
    for (size_t i = 0; i < count; ++i) text += field;
    return text;
  };
  DkimIdentity more = identity();
  more.signed_fields.push_back("x-campaign");
  more.oversigned_fields.push_back("x-tag");
  const std::string begin = "FROM : {{a}}\r\n b\r\nDate: d\r\nMessage-ID: <i>\r\n";
  const std::string no_from = "has no From field, which must be signed";
  const std::string too_many = "has more than 1000 fields to be signed";
  const struct {
    std::string block, told, told_of_more;
  } rows[] = {
      {begin, "", ""},
      {"", no_from, no_from},
      {"To: a\r\n From: b\r\n", no_from, no_from},
      {"To: a\r\nFromage: b\r\n", no_from, no_from},
      {begin + times(kDkimHashedFieldsMax - 3, "To: b\r\n"), "", ""},
      {begin + times(kDkimHashedFieldsMax - 2, "to: b\r\n"), too_many, too_many},
      {begin + times(kDkimHashedFieldsMax, "Received: b\r\n"), "", ""},
      {begin + times(kDkimHashedFieldsMax, "Subject: b\r\n c\r\n"), too_many, too_many},
      {begin + "To: b\r\n" + times(kDkimHashedFieldsMax, " c\r\n"), "", ""},
      {begin + times(kDkimHashedFieldsMax, "X-Campaign: b\r\n"), "", too_many},
      {begin + times(kDkimHashedFieldsMax, "X-Tag: b\r\n"), "", too_many},
  };
  const DkimIdentity usual = identity();
  for (const auto& row : rows) {
    const std::string shown = row.block.substr(0, 100);
    for (const bool with_more : {false, true}) {
      const DkimIdentity* const by = with_more ? &more : &usual;
      const std::string& told = with_more ? row.told_of_more : row.told;
      std::string_view why_not;
      EXPECT_EQ(can_be_signed(row.block, why_not, {&by, 1}), told.empty()) << shown;
      EXPECT_EQ(why_not, told) << shown;
      const std::string made = fields({by}, row.block + "\r\n");
      EXPECT_EQ(made.starts_with("DKIM-Signature: "), told.empty()) << shown << made;
    }
    std::string_view why_not;
    EXPECT_EQ(can_be_signed(row.block, why_not), row.told.empty()) << shown;
  }
  // Two fields are still to come.
  const std::string unfinished = "From: a\r\n" + times(kDkimHashedFieldsMax - 2, "To: b\r\n");
  std::string_view why_not;
  EXPECT_FALSE(can_be_signed(unfinished, why_not));
  EXPECT_TRUE(can_be_signed(unfinished.substr(0, unfinished.size() - 7), why_not));
}

TEST(DkimHeader, AVeryLargeOneLeavesNoMemoryBehind) {
  DkimHeader header;
  const auto read = [&](const std::string& message) {
    const Piece piece{message.data(), message.size()};
    header.read({&piece, 1});
  };
  std::string large;
  for (int i = 0; i < 100'000; ++i) large += "To: a\r\n";
  read(large + "\r\n");
  EXPECT_EQ(header.size(), 100'000u);
  EXPECT_GT(header.memory(), large.size());
  read(std::string(kMessage));
  EXPECT_EQ(header.size(), 4u);
  EXPECT_LT(header.memory(), 1'000u);
  const std::string usual = "From: a\r\nSubject: " + std::string(10'000, 'x') + "\r\n\r\n";
  read(usual);
  const size_t kept = header.memory();
  read(std::string(kMessage));
  EXPECT_EQ(header.memory(), kept);
}

// Each shard has a signer, and none holds a key for another one's sake.
TEST_F(DkimSign, KeysThatNobodyHoldsAreForgotten) {
  DkimSigner other;
  const auto sign_with = [&](const DkimIdentity& it) {
    EXPECT_THAT(fields({&it}, kMessage), HasSubstr("b="));
    const DkimIdentity* const by = &it;
    const Piece piece{kMessage.data(), kMessage.size()};
    std::string out;
    EXPECT_TRUE(other.sign({&by, 1}, {&piece, 1}, kWall, nullptr, out).ok());
  };
  std::weak_ptr<const DkimKey> first;
  for (int i = 0; i < 3; ++i) {
    DkimIdentity it = identity();
    it.key = testing::ed25519_key();
    if (i == 0) first = it.key;
    for (int j = 0; j < 3; ++j) sign_with(it);
    EXPECT_EQ(signer.copies(), 1u);
    EXPECT_EQ(other.copies(), 1u);
  }
  EXPECT_TRUE(first.expired());
  signer.forget_gone_keys();
  EXPECT_EQ(signer.copies(), 0u);
  const DkimIdentity kept = identity();
  for (int i = 0; i < 2'000; ++i) {
    std::string out;
    const DkimIdentity* const by = &kept;
    const Piece piece{kMessage.data(), kMessage.size()};
    ASSERT_TRUE(other.sign({&by, 1}, {&piece, 1}, kWall, nullptr, out).ok());
  }
  other.forget_gone_keys();
  EXPECT_EQ(other.copies(), 1u) << "one that is held stays";
}

// Without a new one, too: also when the one that is gone was still held when the last came.
TEST_F(DkimSign, KeysAreForgottenWhileOthersSign) {
  DkimIdentity gone = identity();
  gone.key = testing::ed25519_key();
  const DkimIdentity stays = identity();
  fields({&gone, &stays}, kMessage);
  gone.key = nullptr;
  EXPECT_EQ(signer.copies(), 2u);
  for (int i = 0; i < 1'024; ++i) fields({&stays}, kMessage);
  EXPECT_EQ(signer.copies(), 1u);
}

// A new key may lie where one that is gone has lain.
TEST_F(DkimSign, AKeyAtTheSamePlaceIsAnotherKey) {
  for (int i = 0; i < 50; ++i) {
    DkimIdentity it = identity();
    it.key = testing::ed25519_key();
    const std::string message = fields({&it}, kMessage) + std::string(kMessage);
    const auto found = verify_dkim(message, kWall, [&](const std::string&) {
      return DkimKeyAnswer{DkimKeyAnswer::Status::found, {it.key->public_record()}, ""};
    });
    ASSERT_EQ(found.size(), 1u);
    EXPECT_EQ(found[0].reason, "");
  }
}

// Random messages in random pieces, by all kinds of identities: valid as they are, and with any one
// byte of what is signed changed not valid.
TEST_F(DkimSign, RandomMessagesVerifyAndChangedOnesDoNot) {
  std::mt19937 random(3);
  testing::RandomMessage shapes(random);
  std::vector<DkimIdentity> all;
  for (const bool is_rsa : {false, true}) {
    for (const unsigned canon : {0u, 1u, 2u, 3u}) {
      DkimIdentity it = identity(is_rsa ? rsa() : ed25519());
      it.relaxed_header = (canon & 1) != 0;
      it.relaxed_body = (canon & 2) != 0;
      all.push_back(it);
    }
  }
  for (int run = 0; run < 400; ++run) {
    const std::string message = shapes.make();
    const DkimIdentity* const by[] = {&all[random() % all.size()], &all[random() % all.size()]};
    std::string out;
    ASSERT_TRUE(signer.sign(by, shapes.cut(message), kWall, nullptr, out).ok());
    ASSERT_EQ(verdicts(out + message), "pass \npass \n") << out << message;
    std::string changed = message;
    // A letter or digit, so that another one in its place changes every canonical form.
    const size_t body = message.find("\r\n\r\n");
    for (int tries = 0; tries < 20; ++tries) {
      const size_t at = random() % message.size();
      const bool in_body = body != std::string::npos && at > body;
      const bool in_from = at > message.find("Ada <") && at < message.find("Ada <") + 20;
      if (!std::isalnum(static_cast<unsigned char>(message[at])) || (!in_body && !in_from))
        continue;
      changed[at] = message[at] == 'x' ? 'y' : 'x';
      const std::string found = verdicts(out + changed);
      EXPECT_THAT(found, Not(HasSubstr("pass"))) << at << "\n" << out << message;
      changed[at] = message[at];
    }
  }
}

// No bit of the signature's own field may change either, but in white space.
TEST_F(DkimSign, AnyChangedByteOfTheFieldIsFound) {
  for (const bool relaxed : {false, true}) {
    DkimIdentity it = identity();
    it.relaxed_header = relaxed;
    const std::string field = fields({&it}, kMessage);
    for (size_t at = 0; at + 2 < field.size(); ++at) {
      if (!std::isalnum(static_cast<unsigned char>(field[at]))) continue;
      std::string changed = field;
      changed[at] = static_cast<char>(changed[at] ^ 1);
      EXPECT_THAT(verdicts(changed + std::string(kMessage)), Not(HasSubstr("pass"))) << changed;
    }
  }
}

TEST_F(DkimSign, AFurtherFieldBreaksIt) {
  const DkimIdentity it = identity();
  const std::string signed_message = fields({&it}, kMessage) + std::string(kMessage);
  for (const std::string& field : default_oversigned_fields()) {
    EXPECT_THAT(verdicts(field + ": x\r\n" + signed_message), HasSubstr("fail")) << field;
  }
  EXPECT_EQ(verdicts("X-Other: x\r\nReceived: y\r\n" + signed_message), "pass \n");
}

}  // namespace
}  // namespace veredus::mail
