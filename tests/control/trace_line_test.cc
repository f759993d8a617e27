#include "engine/control/api_trace.h"
#include "gtest/gtest.h"

// Lines of a trace as JSON.

namespace veredus::control {
namespace {

std::string json_of(const TraceLine& line) {
  std::string out;
  append_trace_line(line, out);
  return out;
}

TEST(TraceLine, AsJson) {
  TraceLine line;
  line.what = TraceLine::What::server;
  line.wall_ns = 1'782'898'200'125'000'000;
  line.shard = 1;
  line.session = 17;
  line.site = "mx.example.org";
  line.host = "mx.example.org";
  line.address = "192.0.2.1:25";
  line.source = "default";
  // What a host says may be anything, and disturb a terminal.
  line.text = std::string("250 \x1b[31m\0\xff\"x\"", 14);
  EXPECT_EQ(json_of(line),
            "{\"time\":\"2026-07-01T09:30:00.125Z\",\"what\":\"server\",\"shard\":1,\"session\":17,"
            "\"site\":\"mx.example.org\",\"host\":\"mx.example.org\",\"address\":\"192.0.2.1:25\","
            "\"source\":\"default\",\"text\":\"250 \\u001b[31m\\u0000\xEF\xBF\xBD\\\"x\\\"\"}\n");
}

TEST(TraceLine, WhatItIs) {
  using What = TraceLine::What;
  const struct {
    What what;
    std::string name;
    bool text;  // also when it is empty
  } kCases[] = {{What::dialled, "dialled", false}, {What::connected, "connected", false},
                {What::tls, "tls", false},         {What::client, "client", true},
                {What::server, "server", true},    {What::content, "content", true},
                {What::closed, "closed", false}};
  for (const auto& one : kCases) {
    TraceLine line;
    line.what = one.what;
    const std::string json = json_of(line);
    EXPECT_NE(json.find("\"what\":\"" + one.name + "\""), std::string::npos) << json;
    EXPECT_EQ(json.find("\"text\":\"\"") != std::string::npos, one.text) << json;
  }
}

}  // namespace
}  // namespace veredus::control
