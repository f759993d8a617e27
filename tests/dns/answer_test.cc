#include "dns/answer.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/dns/message.h"

namespace veredus::dns {
namespace {

using testing::Bytes;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::Message;
using ::testing::SizeIs;
using testing::wire_name;

ParseStatus parse(const Message& message, RecordType type, Answer& out,
                  std::string_view asked = "example.org") {
  return parse_answer(message.bytes(), asked, type, out);
}

std::vector<std::string> mx_names(const Answer& answer) {
  std::vector<std::string> names;
  for (const MxRecord& record : answer.mx)
    names.push_back(std::to_string(record.preference) + ' ' + record.name);
  return names;
}

std::vector<std::string> texts(const std::vector<IpAddress>& addresses) {
  std::vector<std::string> result;
  for (const IpAddress& address : addresses) result.push_back(address.to_string());
  return result;
}

TEST(NameTest, NormalForm) {
  const std::string label63(63, 'a');
  const std::string longest =
      label63 + '.' + label63 + '.' + label63 + '.' + std::string(61, 'b');  // 253
  struct Row {
    std::string text;
    std::string normal;  // empty: refused
  };
  const Row rows[] = {
      {"example.org", "example.org"},
      {"EXAMPLE.Org.", "example.org"},
      {"_dmarc.xn--mnchen-3ya.de", "_dmarc.xn--mnchen-3ya.de"},
      {"localhost", "localhost"},
      {longest, longest},
      {longest + ".", longest},
      {longest + "b", ""},
      {std::string(64, 'a') + ".org", ""},
      {"", ""},
      {".", ""},
      {".org", ""},
      {"a..b", ""},
      {"a.b..", ""},
      {"münchen.de", ""},
      {"a b.org", ""},
      {"[192.0.2.1]", ""},
      {"a/b.org", ""},
      {"a\\.b.org", ""},
      {std::string("a\0b.org", 7), ""},
      {"a\nb.org", ""},
  };
  for (const Row& row : rows) {
    Name name;
    ASSERT_EQ(normalize_name(row.text, name), !row.normal.empty()) << row.text;
    if (!row.normal.empty()) {
      EXPECT_EQ(name.view(), row.normal);
    }
  }
}

TEST(AnswerTest, MxRecordsAndLeastTtl) {
  Answer answer;
  Message message("ExAmPle.org", RecordType::mx);
  message.mx("example.ORG", 300, 20, "MX2.example.org")
      .mx("example.org", 200, 10, "mx1.example.net");
  ASSERT_EQ(parse(message, RecordType::mx, answer), ParseStatus::ok);
  EXPECT_THAT(mx_names(answer), ElementsAre("20 mx2.example.org", "10 mx1.example.net"));
  EXPECT_EQ(answer.ttl_s, 200u);
  EXPECT_EQ(answer.canonical, "example.org");
  EXPECT_FALSE(answer.secure);
  EXPECT_EQ(answer.aliases, 0u);
}

TEST(AnswerTest, CompressedNames) {
  // Owner and MX target as every server writes them: pointers to the question at offset 12.
  Message message("example.org", RecordType::mx);
  message.record({0xC0, 12}, 15, 60, {0, 10, 3, 'm', 'x', '1', 0xC0, 12});
  Answer answer;
  ASSERT_EQ(parse(message, RecordType::mx, answer), ParseStatus::ok);
  EXPECT_THAT(mx_names(answer), ElementsAre("10 mx1.example.org"));
}

TEST(AnswerTest, NullMx) {
  Answer answer;
  ASSERT_EQ(parse(Message("example.org", RecordType::mx).mx("example.org", 60, 0, ""),
                  RecordType::mx, answer),
            ParseStatus::ok);
  EXPECT_THAT(mx_names(answer), ElementsAre("0 "));
}

TEST(AnswerTest, Addresses) {
  Answer answer;
  Message four("example.org", RecordType::a);
  four.address("example.org", 60, "192.0.2.1").address("example.org", 60, "192.0.2.2");
  ASSERT_EQ(parse(four, RecordType::a, answer), ParseStatus::ok);
  EXPECT_THAT(texts(answer.addresses), ElementsAre("192.0.2.1", "192.0.2.2"));
  Message six("example.org", RecordType::aaaa);
  six.address("example.org", 60, "2001:db8::25").authentic();
  ASSERT_EQ(parse(six, RecordType::aaaa, answer), ParseStatus::ok);
  EXPECT_THAT(texts(answer.addresses), ElementsAre("2001:db8::25"));
  EXPECT_TRUE(answer.secure);
}

TEST(AnswerTest, TxtTlsaCname) {
  Answer answer;
  Message txt("example.org", RecordType::txt);
  txt.record(wire_name("example.org"), 16, 60, {3, 'v', '=', 'S', 2, 'T', 'S'});
  ASSERT_EQ(parse(txt, RecordType::txt, answer), ParseStatus::ok);
  EXPECT_THAT(answer.txt, ElementsAre("v=STS"));
  Message tlsa("example.org", RecordType::tlsa);
  tlsa.record(wire_name("example.org"), 52, 60, {3, 1, 2, 0xAB, 0xCD});
  ASSERT_EQ(parse(tlsa, RecordType::tlsa, answer), ParseStatus::ok);
  ASSERT_THAT(answer.tlsa, SizeIs(1));
  EXPECT_EQ(answer.tlsa[0].usage, 3);
  EXPECT_EQ(answer.tlsa[0].selector, 1);
  EXPECT_EQ(answer.tlsa[0].matching, 2);
  EXPECT_THAT(answer.tlsa[0].data, ElementsAre(0xAB, 0xCD));
  Message alias("example.org", RecordType::cname);
  alias.cname("example.org", 60, "WWW.example.net");
  ASSERT_EQ(parse(alias, RecordType::cname, answer), ParseStatus::ok);
  EXPECT_EQ(answer.cname, "www.example.net");
  EXPECT_THAT(answer.txt, IsEmpty());
  EXPECT_THAT(answer.tlsa, IsEmpty());
}

TEST(AnswerTest, FollowsAliasesInAnyOrder) {
  Answer answer;
  Message message("example.org", RecordType::a);
  message.address("c.example.net", 500, "192.0.2.9")
      .cname("b.example.net", 50, "c.example.net")
      .address("other.example.net", 1, "192.0.2.66")  // belongs to nobody in the chain
      .cname("example.org", 400, "b.example.net");
  ASSERT_EQ(parse(message, RecordType::a, answer), ParseStatus::ok);
  EXPECT_THAT(texts(answer.addresses), ElementsAre("192.0.2.9"));
  EXPECT_EQ(answer.canonical, "c.example.net");
  EXPECT_EQ(answer.aliases, 2u);
  EXPECT_EQ(answer.ttl_s, 50u);
}

Message chain(unsigned aliases) {
  Message message("example.org", RecordType::a);
  std::string name = "example.org";
  for (unsigned i = 0; i < aliases; ++i) {
    const std::string next = "n" + std::to_string(i) + ".example.org";
    message.cname(name, 60, next);
    name = next;
  }
  return message.address(name, 60, "192.0.2.1");
}

TEST(AnswerTest, AliasLimit) {
  Answer answer;
  EXPECT_EQ(parse(chain(8), RecordType::a, answer), ParseStatus::ok);
  EXPECT_THAT(answer.addresses, SizeIs(1));
  EXPECT_EQ(parse(chain(9), RecordType::a, answer), ParseStatus::too_many_aliases);
  Message loop("example.org", RecordType::a);
  loop.cname("example.org", 60, "b.example.org").cname("b.example.org", 60, "example.org");
  EXPECT_EQ(parse(loop, RecordType::a, answer), ParseStatus::too_many_aliases);
}

TEST(AnswerTest, NegativeTtlIsTheLesserOfSoaTtlAndMinimum) {
  Answer answer;
  Message none("example.org", RecordType::mx);
  none.soa("org", 900, 120);
  ASSERT_EQ(parse(none, RecordType::mx, answer), ParseStatus::ok);
  EXPECT_FALSE(answer.has_records());
  EXPECT_TRUE(answer.has_soa);
  EXPECT_EQ(answer.negative_ttl_s, 120u);
  Message no_name("example.org", RecordType::mx, kRcodeNameError);
  no_name.soa("org", 30, 7200);
  ASSERT_EQ(parse(no_name, RecordType::mx, answer), ParseStatus::ok);
  EXPECT_EQ(answer.rcode, kRcodeNameError);
  EXPECT_EQ(answer.negative_ttl_s, 30u);
  ASSERT_EQ(parse(Message("example.org", RecordType::mx), RecordType::mx, answer), ParseStatus::ok);
  EXPECT_FALSE(answer.has_soa);
}

TEST(AnswerTest, TtlWithSignBitIsZero) {
  Answer answer;
  Message message("example.org", RecordType::a);
  message.address("example.org", 0x80000000, "192.0.2.1");
  ASSERT_EQ(parse(message, RecordType::a, answer), ParseStatus::ok);
  EXPECT_EQ(answer.ttl_s, 0u);
}

TEST(AnswerTest, ErrorCodes) {
  Answer answer;
  for (unsigned code : {1u, 2u, 4u, 5u}) {
    ASSERT_EQ(parse(Message("example.org", RecordType::mx, code), RecordType::mx, answer),
              ParseStatus::ok);
    EXPECT_EQ(answer.rcode, code);
  }
  const Bytes bare = {0, 0, 0x80, 2, 0, 0, 0, 0, 0, 0, 0, 0};
  ASSERT_EQ(parse_answer(bare, "example.org", RecordType::mx, answer), ParseStatus::ok);
  EXPECT_EQ(answer.rcode, kRcodeServerFailure);
  // Without its question an answer proves nothing about the name.
  for (uint8_t code : {0, 3}) {
    const Bytes unproven = {0, 0, 0x80, code, 0, 0, 0, 0, 0, 0, 0, 0};
    EXPECT_EQ(parse_answer(unproven, "example.org", RecordType::mx, answer),
              ParseStatus::malformed);
  }
  // BADVERS: the upper bits stand in the OPT record.
  Message extended("example.org", RecordType::mx);
  extended.record({0}, 41, 0x01000000, {}, 10, 1232);
  ASSERT_EQ(parse(extended, RecordType::mx, answer), ParseStatus::ok);
  EXPECT_EQ(answer.rcode, 16);
}

TEST(AnswerTest, TruncatedIsNotRead) {
  Answer answer;
  Message message("example.org", RecordType::mx);
  message.mx("example.org", 60, 10, "mx.example.org").truncated();
  ASSERT_EQ(parse(message, RecordType::mx, answer), ParseStatus::ok);
  EXPECT_TRUE(answer.truncated);
  EXPECT_FALSE(answer.has_records());
}

TEST(AnswerTest, OddNamesAreCountedNotTaken) {
  Answer answer;
  Message message("example.org", RecordType::mx);
  message.mx("example.org", 60, 10, "mx one.example.org")
      .mx("example.org", 60, 10, "mx\n.example.org")
      .mx("example.org", 60, 10, std::string_view("mx\0.example.org", 15))
      .mx("example.org", 60, 10, "m\xC3\xBCx.example.org")
      .mx("example.org", 60, 20, "xn--mx-eka_.example.org");
  ASSERT_EQ(parse(message, RecordType::mx, answer), ParseStatus::ok);
  EXPECT_EQ(answer.unusable, 4u);
  EXPECT_THAT(mx_names(answer), ElementsAre("20 xn--mx-eka_.example.org"));
  // A dot inside a label is not two labels.
  Message dot("example.org", RecordType::mx);
  dot.record({0xC0, 12}, 15, 60, {0, 10, 3, 'a', '.', 'b', 0});
  ASSERT_EQ(parse(dot, RecordType::mx, answer), ParseStatus::ok);
  EXPECT_EQ(answer.unusable, 1u);
  Message alias("example.org", RecordType::a);
  alias.cname("example.org", 60, "a b.example.org");
  EXPECT_EQ(parse(alias, RecordType::a, answer), ParseStatus::malformed);
}

TEST(AnswerTest, OtherClassesAndOwnersAreLeftOut) {
  Answer answer;
  Message message("example.org", RecordType::a);
  message.record(wire_name("example.org"), 1, 60, {192, 0, 2, 1}, 6, 3)
      .address("example.com", 60, "192.0.2.2");
  ASSERT_EQ(parse(message, RecordType::a, answer), ParseStatus::ok);
  EXPECT_FALSE(answer.has_records());
}

TEST(AnswerTest, RecordCap) {
  Answer answer;
  Message message("example.org", RecordType::a);
  for (int i = 0; i < 1000; ++i) message.record({0xC0, 12}, 1, 60, {10, 0, 1, 1});
  ASSERT_EQ(parse(message, RecordType::a, answer), ParseStatus::ok);
  EXPECT_THAT(answer.addresses, SizeIs(kMaxAnswerRecords));
  EXPECT_TRUE(answer.clipped);
  // When only the unread rest could hold the answer, "nothing there" would be a guess.
  Message junk("example.org", RecordType::mx);
  for (int i = 0; i < 600; ++i) junk.record({0xC0, 12}, 1, 60, {10, 0, 1, 1});
  EXPECT_EQ(parse(junk, RecordType::mx, answer), ParseStatus::malformed);
}

TEST(AnswerTest, Malformed) {
  const auto mx_data = [](const Bytes& data) {
    return Message("example.org", RecordType::mx).record({0xC0, 12}, 15, 60, data).bytes();
  };
  const auto longest = [] {
    Bytes name;
    for (int i = 0; i < 4; ++i) {
      name.push_back(63);
      name.insert(name.end(), 63, 'a');
    }
    name.push_back(0);  // 257 bytes
    name.insert(name.begin(), {0, 10});
    return name;
  }();
  Bytes query = Message("example.org", RecordType::mx).bytes();
  query[2] = 0x01;
  Bytes opcode = Message("example.org", RecordType::mx).bytes();
  opcode[2] |= 0x28;
  Bytes two_questions = Message("example.org", RecordType::mx).bytes();
  two_questions[5] = 2;
  struct Row {
    const char* what;
    Bytes raw;
  };
  const size_t data_at =
      12 + 13 + 4 + 2 + 10;  // where record data begins behind this question and a pointer
  Message forward("example.org", RecordType::mx);  // to the next record's owner, the root
  forward.record({0xC0, 12}, 15, 60, {0, 10, 0xC0, data_at + 4}).record({0}, 99, 60, {});
  const Row rows[] = {
      {"nothing", {}},
      {"header cut off", {0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0, 0}},
      {"a query", query},
      {"other opcode", opcode},
      {"two questions", two_questions},
      {"other name", Message("example.net", RecordType::mx).bytes()},
      {"other type", Message("example.org", RecordType::a).bytes()},
      {"pointer to itself", mx_data({0, 10, 0xC0, data_at + 2})},
      {"pointer forward", forward.bytes()},
      {"pointer loop through a label", mx_data({0, 10, 1, 'a', 0xC0, data_at + 2})},
      {"pointer out of the message", mx_data({0, 10, 0xFF, 0xFF})},
      {"half a pointer", mx_data({0, 10, 0xC0})},
      {"label type 01", mx_data({0, 10, 0x41, 'a', 0})},
      {"label type 10", mx_data({0, 10, 0x81, 'a', 0})},
      {"label over the end", mx_data({0, 10, 9, 'a', 'b'})},
      {"name without end", mx_data({0, 10, 1, 'a'})},
      {"name over 255 bytes", mx_data(longest)},
      {"bytes behind the name", mx_data({0, 10, 1, 'a', 0, 7})},
      {"no name", mx_data({0, 10})},
      {"no data", mx_data({})},
      {"A of five bytes",
       Message("example.org", RecordType::a).record({0xC0, 12}, 1, 60, {1, 2, 3, 4, 5}).bytes()},
  };
  Answer answer;
  for (const Row& row : rows) {
    const RecordType type =
        std::string_view(row.what).starts_with("A of") ? RecordType::a : RecordType::mx;
    EXPECT_EQ(parse_answer(row.raw, "example.org", type, answer), ParseStatus::malformed)
        << row.what;
  }
}

// A message that is cut off anywhere is no answer: above all it is never "there is no MX".
TEST(AnswerTest, CutOffAfterEveryByte) {
  Message message("example.org", RecordType::mx);
  message.mx("example.org", 60, 10, "mx.example.org").mx("example.org", 60, 20, "mx2.example.org");
  Message negative("example.org", RecordType::mx);
  negative.soa("example.org", 60, 60);
  Answer answer;
  for (const Bytes& whole : {message.bytes(), negative.bytes()}) {
    for (size_t size = 0; size < whole.size(); ++size) {
      const Bytes cut(whole.begin(), whole.begin() + static_cast<long>(size));
      EXPECT_EQ(parse_answer(cut, "example.org", RecordType::mx, answer), ParseStatus::malformed)
          << size;
    }
    EXPECT_EQ(parse_answer(whole, "example.org", RecordType::mx, answer), ParseStatus::ok);
  }
}

// Names of hundreds of pointers would make 64 KiB of answer cost millions of steps.
TEST(AnswerTest, PointerChainsAreBounded) {
  Bytes raw = Message("example.org", RecordType::a).bytes();
  const size_t first = raw.size();
  Bytes data;  // a record of pointers, each to the one before
  for (size_t i = 0; i < 400; ++i) {
    const size_t target = i == 0 ? 12 : first + 10 + 1 + 2 * (i - 1);
    testing::put16(data, static_cast<unsigned>(0xC000 | target));
  }
  const auto build = [&](size_t pointer) {
    Message message("example.org", RecordType::a);
    message.record({0}, 99, 60, data);
    const size_t target = first + 11 + 2 * pointer;
    message.record({static_cast<uint8_t>(0xC0 | target >> 8), static_cast<uint8_t>(target)}, 1, 60,
                   {192, 0, 2, 1});
    return message.bytes();
  };
  Answer answer;
  EXPECT_EQ(parse_answer(build(100), "example.org", RecordType::a, answer), ParseStatus::ok);
  EXPECT_THAT(answer.addresses, SizeIs(1));
  EXPECT_EQ(parse_answer(build(399), "example.org", RecordType::a, answer), ParseStatus::malformed);
}

TEST(AnswerTest, ReusedAnswerKeepsNothing) {
  Answer answer;
  Message message("example.org", RecordType::mx);
  message.authentic().mx("example.org", 60, 10, "mx.example.org").mx("example.org", 60, 1, "a b");
  ASSERT_EQ(parse(message, RecordType::mx, answer), ParseStatus::ok);
  ASSERT_EQ(parse(Message("example.org", RecordType::mx), RecordType::mx, answer), ParseStatus::ok);
  EXPECT_FALSE(answer.has_records());
  EXPECT_FALSE(answer.secure);
  EXPECT_EQ(answer.ttl_s, 0u);
}

TEST(AnswerTest, Question) {
  Name name;
  uint16_t type = 0;
  ASSERT_TRUE(parse_question(Message("Example.org", RecordType::aaaa).bytes(), name, type));
  EXPECT_EQ(name.view(), "example.org");
  EXPECT_EQ(type, 28);
  const Bytes empty(12, 0);
  EXPECT_FALSE(parse_question(empty, name, type));
}

}  // namespace
}  // namespace veredus::dns
