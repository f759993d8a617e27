#include <cmath>
#include <limits>
#include <string>

#include <gtest/gtest.h>

#include "engine/intake/address_set.h"
#include "engine/intake/json_check.h"
#include "engine/intake/json_writer.h"

namespace veredus::intake {
namespace {

std::string json_of(std::string_view text) {
  std::string out;
  append_json_string(text, out);
  return out;
}

TEST(JsonWriter, Escapes) {
  EXPECT_EQ(json_of("plain"), "\"plain\"");
  EXPECT_EQ(json_of("a\"b\\c/d"), "\"a\\\"b\\\\c/d\"");
  EXPECT_EQ(json_of("\r\n\t\x01\x1b[2J\x7f"), "\"\\r\\n\\t\\u0001\\u001b[2J\\u007f\"");
  EXPECT_EQ(json_of(std::string_view("\0", 1)), "\"\\u0000\"");
  EXPECT_EQ(json_of("gr\xC3\xBC\xC3\x9F \xE2\x82\xAC \xF0\x9F\x98\x80"),
            "\"gr\xC3\xBC\xC3\x9F \xE2\x82\xAC \xF0\x9F\x98\x80\"");
}

TEST(JsonWriter, WhatIsNotUtf8BecomesTheReplacementCharacter) {
  const std::string r = "\xEF\xBF\xBD";
  const std::pair<std::string, std::string> rows[] = {
      {"\xFF", r},
      {"a\xC3", "a" + r},
      {"\xC3(", r + "("},
      {"\xC0\xAF", r + r},
      {"\xE0\x80\xAF", r + r + r},
      {"\xED\xA0\x80", r + r + r},
      {"\xF4\x90\x80\x80", r + r + r + r},
      {"\x80x", r + "x"},
      {"\xF0\x9F\x98", r + r + r},
  };
  for (const auto& [text, wanted] : rows) EXPECT_EQ(json_of(text), "\"" + wanted + "\"");
}

TEST(JsonWriter, WhateverIsWrittenIsJson) {
  std::string every;
  for (int c = 0; c < 256; ++c) every += static_cast<char>(c);
  EXPECT_EQ(find_json_fault(json_of(every), 1).reason, "");
}

TEST(JsonWriter, CommasComeByThemselves) {
  std::string out = "x ";
  JsonWriter json(out);
  json.begin_object().field("a", 1).field("b", "t").field("c", true).key("d").begin_array();
  json.value(1).value("[").begin_object().end_object().null().end_array();
  json.key("e").begin_object().end_object().field_if("f", "").field_if("g", "y").end_object();
  EXPECT_EQ(out, R"(x {"a":1,"b":"t","c":true,"d":[1,"[",{},null],"e":{},"g":"y"})");
  json.newline().begin_array().end_array();
  EXPECT_TRUE(out.ends_with("}\n[]"));
}

TEST(JsonWriter, Numbers) {
  std::string out;
  JsonWriter(out)
      .begin_array()
      .value(int64_t{INT64_MIN})
      .value(UINT64_MAX)
      .value(uint8_t{7})
      .value(0.5)
      .value(NAN)
      .value(std::numeric_limits<double>::infinity())
      .end_array();
  EXPECT_EQ(out, "[-9223372036854775808,18446744073709551615,7,0.5,null,null]");
}

TEST(JsonCheck, GoodOnes) {
  for (const char* good :
       {"{}", "[]", " {\"a\" : [1,-0.5e+3,true,false,null,\"\\u00e9\\ud83d\\ude00\\n\"]} ", "0",
        "1e-999", "18446744073709551615", "-9223372036854775808"}) {
    EXPECT_EQ(find_json_fault(good, 8).reason, "") << good;
  }
}

TEST(JsonCheck, FaultsWithTheirPlace) {
  const std::pair<std::string, size_t> rows[] = {
      {"", 0},
      {"{", 1},
      {"{\"a\"}", 4},
      {"{\"a\":}", 5},
      {"{\"a\":1,}", 7},
      {"{\"a\":1 \"b\":2}", 7},
      {"{a:1}", 1},
      {"{} x", 3},
      {"{\"a\":1,\"a\":2}", 7},
      {"{\"a\":1,\"\\u0061\":2}", 7},
      {"[1,]", 3},
      {"[1 2]", 3},
      {"[1", 2},
      {"\"abc", 0},
      {"\"a\nb\"", 2},
      {"\"\\x\"", 1},
      {"\"\\u12g4\"", 1},
      {"\"\\ud800\"", 1},
      {"\"\\udc00\"", 1},
      {"\"\\ud800\\u0041\"", 1},
      {"\"\xFF\"", 1},
      {"\"\xED\xA0\x80\"", 1},
      {"tru", 0},
      {"nul", 0},
      {"01", 0},
      {"1.", 0},
      {"1e", 0},
      {"-", 0},
      {".5", 0},
      {"+1", 0},
      {"1e999", 0},
      {"18446744073709551616", 0},
      {"-9223372036854775809", 0},
      {"[[[[[[[[[1]]]]]]]]]", 8},
      {"'a'", 0},
  };
  for (const auto& [text, offset] : rows) {
    const JsonFault fault = find_json_fault(text, 8);
    EXPECT_NE(fault.reason, "") << text;
    EXPECT_EQ(fault.offset, offset) << text << ": " << fault.reason;
  }
  std::string many = "{";
  for (int i = 0; i < 100; ++i) many += "\"k" + std::to_string(i) + "\":1,";
  EXPECT_EQ(find_json_fault(many + "\"z\":1}", 8).reason, "");
  EXPECT_NE(find_json_fault(many + "\"k99\":1}", 8).reason, "");
  EXPECT_NE(find_json_fault(many + "\"k3\":1}", 8).reason, "");
}

TEST(JsonCheck, Compact) {
  std::string scratch;
  EXPECT_EQ(compact_json("{ \"a b\" : [ 1 , \"\\\" x\" ] }", scratch), "{\"a b\":[1,\"\\\" x\"]}");
  const std::string_view tight = "{\"a b\":\"c\\\\\"}";
  EXPECT_EQ(compact_json(tight, scratch).data(), tight.data());
}

TEST(AddressSet, IsExact) {
  AddressSet set;
  for (int i = 0; i < 20000; ++i)
    EXPECT_TRUE(set.insert("user" + std::to_string(i) + "@example.org"));
  for (int i = 0; i < 20000; ++i)
    EXPECT_FALSE(set.insert("user" + std::to_string(i) + "@example.org"));
  EXPECT_TRUE(set.insert("User0@example.org"));
  EXPECT_LT(set.bytes(), 20000u * 60);
}

}  // namespace
}  // namespace veredus::intake
