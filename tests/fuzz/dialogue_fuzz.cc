#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "tests/smtp/dialogue_model.h"

// Random replies, losses and time-outs against the model of tests/smtp/dialogue_model.h.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  veredus::smtp_test::DialogueModel model(data, size);
  const std::string error = model.run();
  if (!error.empty()) {
    std::fprintf(stderr, "%s\n", error.c_str());
    std::abort();
  }
  return 0;
}
