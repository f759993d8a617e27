#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "engine/exchange.h"
#include "engine/io/ports.h"

// What a home needs around it when it is tested without an engine.
namespace veredus {

// Counts what intake would hear: all of it must be good.
class SoundAnswers final : public Exchange::Answers {
 public:
  void answer(intake::AppendAnswer answer) override {
    EXPECT_TRUE(answer.status.ok()) << answer.status;
    ++count;
  }
  void damage(std::string what) override { ADD_FAILURE() << what; }
  uint64_t count = 0;
};

class NoWake final : public io::Wake {
 public:
  void wake() override {}
};

}  // namespace veredus
