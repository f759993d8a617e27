#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dns/answer.h"
#include "engine/tls/mta_sts.h"
#include "tests/dns/message.h"

namespace veredus::tls {
namespace {

using ::testing::HasSubstr;

TEST(StsRecordTest, Parse) {
  struct Row {
    std::string text;
    std::string id;     // empty: refused
    std::string error;  // in it
  };
  const std::string longest(kStsIdMax, 'a');
  const std::string name32 = "x" + std::string(31, '-');
  const Row rows[] = {
      {"v=STSv1; id=20160831085700Z;", "20160831085700Z", ""},
      {"v=STSv1;id=1", "1", ""},
      {"v=STSv1; id=1; ", "1", ""},
      {"v=STSv1 \t;\t id=aZ09 \t; ", "aZ09", ""},
      {"v=STSv1; id=" + longest, longest, ""},
      {"v=STSv1; ext.a_b-c=1:2,<>~!; id=7", "7", ""},
      {"v=STSv1; id=7; next=2", "7", ""},
      {"v=STSv1; id=7; empty=;", "7", ""},
      {"v=STSv1; id=7; " + name32 + "=1", "7", ""},
      // Of what is there twice the first counts.
      {"v=STSv1; id=first; id=second;", "first", ""},
      {"v=STSv1; id=first; id=a-b;", "first", ""},
      {"v=STSv1; v=STSv2; id=1", "1", ""},
      {"v=STSv1; ID=upper; id=lower", "lower", ""},

      {"", "", "byte 1: it does not begin"},
      {"v=STSv1", "", "byte 1: it does not begin"},
      {"v=STSv1 ", "", "byte 1: it does not begin"},
      {"v=STSv1 id=1;", "", "byte 1: it does not begin"},
      {"v=STSv10; id=1", "", "byte 1: it does not begin"},
      {"v=STSv2; id=1", "", "byte 1: it does not begin"},
      {"V=STSv1; id=1", "", "byte 1: it does not begin"},
      {"v=stsv1; id=1", "", "byte 1: it does not begin"},
      {" v=STSv1; id=1", "", "byte 1: it does not begin"},
      {"v = STSv1; id=1", "", "byte 1: it does not begin"},
      {"id=1; v=STSv1;", "", "byte 1: it does not begin"},
      {"v=STSv1;", "", "byte 9: no id"},
      {"v=STSv1; ext=1;", "", "byte 16: no id"},
      {"v=STSv1; ID=1;", "", "no id"},
      {"v=STSv1; id=", "", "byte 10: the id is \"\", not 1 to 32"},
      {"v=STSv1; id= 1", "", "byte 10: the id is \" 1\""},
      {"v=STSv1; id=a-b", "", "byte 10: the id is \"a-b\""},
      {"v=STSv1; id=a b", "", "byte 10: the id is \"a b\""},
      {"v=STSv1; id=" + longest + "a", "", "byte 10: the id is"},
      {"v=STSv1; id=\xC3\xA9", "", "\"\\xc3\\xa9\""},
      {std::string("v=STSv1; id=a\0-", 15), "", "\"a\\x00-\""},
      {"v=STSv1; id=; id=2", "", "byte 10: the id is \"\""},
      {"v=STSv1; id =1", "", "byte 10: \"id =1\" is no field"},
      {"v=STSv1;; id=1", "", "byte 9: \"\" is no field"},
      {"v=STSv1; ; id=1", "", "byte 10: \"\" is no field"},
      {"v=STSv1; word; id=1", "", "byte 10: \"word\" is no field"},
      {"v=STSv1; =1; id=1", "", "\"=1\" is no field"},
      {"v=STSv1; -x=1; id=1", "", "\"-x=1\" is no field"},
      {"v=STSv1; " + name32 + "y=1; id=1", "", "is no field"},
      {"v=STSv1; x=a=b; id=1", "", "byte 10: \"x=a=b\" has a character"},
      {"v=STSv1; x=a b; id=1", "", "has a character"},
      {"v=STSv1; x=a\nb; id=1", "", "\"x=a\\nb\" has a character"},
      {"v=STSv1; x=\x7F; id=1", "", "has a character"},
      {"v=STSv1; x=\xC3\xA9; id=1", "", "has a character"},
  };
  for (const Row& row : rows) {
    const absl::StatusOr<StsRecord> record = parse_sts_record(row.text);
    ASSERT_EQ(record.ok(), !row.id.empty()) << row.text << ": " << record.status();
    if (record.ok()) {
      EXPECT_EQ(record->id, row.id) << row.text;
    } else {
      EXPECT_EQ(record.status().code(), absl::StatusCode::kInvalidArgument);
      EXPECT_THAT(std::string(record.status().message()), HasSubstr(row.error)) << row.text;
    }
  }
}

TEST(StsRecordTest, AnErrorIsShortHoweverLongTheRecord) {
  const absl::StatusOr<StsRecord> record =
      parse_sts_record("v=STSv1; id=" + std::string(60000, '\x01'));
  ASSERT_FALSE(record.ok());
  EXPECT_LT(record.status().message().size(), 400u);
  EXPECT_THAT(std::string(record.status().message()), HasSubstr("...\""));
}

dns::Answer answer_of(std::vector<std::string> texts) {
  dns::Answer answer;
  answer.txt = std::move(texts);
  return answer;
}

TEST(StsRecordTest, ExactlyOneOfSeveral) {
  struct Row {
    std::vector<std::string> texts;
    absl::StatusCode code;
  };
  const std::string good = "v=STSv1; id=1";
  const Row rows[] = {
      {{good}, absl::StatusCode::kOk},
      {{"v=spf1 -all", good, ""}, absl::StatusCode::kOk},
      {{"v=STSv2; id=9", "v=STSv1 and so on", good, "v=STSv10; id=8"}, absl::StatusCode::kOk},
      {{}, absl::StatusCode::kNotFound},
      {{"v=spf1 -all", "v=STSv2; id=9"}, absl::StatusCode::kNotFound},
      {{good, "v=STSv1; id=2"}, absl::StatusCode::kInvalidArgument},
      {{good, good}, absl::StatusCode::kInvalidArgument},
      {{good, "v=STSv1;"}, absl::StatusCode::kInvalidArgument},  // a broken one counts, too
      {{"v=STSv1; id=?"}, absl::StatusCode::kInvalidArgument},
  };
  for (const Row& row : rows) {
    const absl::StatusOr<StsRecord> record = find_sts_record(answer_of(row.texts));
    EXPECT_EQ(record.status().code(), row.code)
        << (row.texts.empty() ? "" : row.texts.front()) << ": " << record.status();
    if (record.ok()) {
      EXPECT_EQ(record->id, "1");
    }
  }
}

// Another one may be among those that were not read.
TEST(StsRecordTest, NotAllOfThemWereRead) {
  for (const char* const text : {"v=STSv1; id=1", "v=spf1 -all"}) {
    dns::Answer answer = answer_of({text});
    answer.clipped = true;
    EXPECT_EQ(find_sts_record(answer).status().code(), absl::StatusCode::kUnavailable);
  }
}

TEST(StsRecordTest, FromTheBytesOfAnAnswer) {
  using dns::testing::Bytes;
  const auto strings = [](const std::vector<std::string>& parts) {
    Bytes data;
    for (const std::string& part : parts) {
      data.push_back(static_cast<uint8_t>(part.size()));
      data.insert(data.end(), part.begin(), part.end());
    }
    return data;
  };
  constexpr std::string_view kAsked = "_mta-sts.example.org";
  dns::testing::Message message(kAsked, dns::RecordType::txt);
  message.cname(kAsked, 60, "sts.example.net")
      .record(dns::testing::wire_name("sts.example.net"), 16, 60, strings({"other", ""}))
      .record(dns::testing::wire_name("sts.example.net"), 16, 60,
              strings({"v=STS", "", "v1; id=2026", "0701;"}));
  dns::Answer answer;
  ASSERT_EQ(parse_answer(message.bytes(), kAsked, dns::RecordType::txt, answer),
            dns::ParseStatus::ok);
  const absl::StatusOr<StsRecord> record = find_sts_record(answer);
  ASSERT_TRUE(record.ok()) << record.status();
  EXPECT_EQ(record->id, "20260701");
  // A string over the end of its record.
  dns::testing::Message broken(kAsked, dns::RecordType::txt);
  broken.record({0xC0, 12}, 16, 60, {9, 'v', '='});
  EXPECT_EQ(parse_answer(broken.bytes(), kAsked, dns::RecordType::txt, answer),
            dns::ParseStatus::malformed);
}

TEST(StsRecordTest, Names) {
  dns::Name name;
  ASSERT_TRUE(sts_record_name("example.org", name));
  EXPECT_EQ(name.view(), "_mta-sts.example.org");
  ASSERT_TRUE(sts_policy_host("example.org", name));
  EXPECT_EQ(name.view(), "mta-sts.example.org");
  EXPECT_FALSE(sts_record_name("", name));
  EXPECT_FALSE(sts_policy_host("", name));
  EXPECT_TRUE(sts_record_name(std::string(dns::kMaxName - 9, 'a'), name));
  EXPECT_FALSE(sts_record_name(std::string(dns::kMaxName - 8, 'a'), name));
  EXPECT_TRUE(sts_policy_host(std::string(dns::kMaxName - 8, 'a'), name));
  EXPECT_FALSE(sts_policy_host(std::string(dns::kMaxName - 7, 'a'), name));
}

}  // namespace
}  // namespace veredus::tls
