// The fuzz targets without libFuzzer: a short run of each, the same on every run, for tools/test.
// What they find in long runs, under clang and with coverage, is another matter (README.md).
//
//   short_runs TARGET [RUNS]

#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include <unistd.h>

// The targets, as tests/CMakeLists.txt lists them: TARGET(name) for each.
#define TARGET(name) extern "C" int name##_fuzz(const uint8_t* data, size_t size);
#include "short_targets.inc"
#undef TARGET

namespace {

struct Target {
  std::string_view name;
  int (*run)(const uint8_t*, size_t);
};
constexpr Target kTargets[] = {
#define TARGET(name) {#name, name##_fuzz},
#include "short_targets.inc"
#undef TARGET
};

// What the targets' languages are made of.
constexpr std::string_view kWords[] = {
    "{\"batch\":\"b\",\"sender\":\"\",\"message\":{\"raw\":\"From: a@b.c\\r\\n\\r\\nx\"}}\n",
    "{\"batch\":\"b\",\"sender\":\"\",\"message\":{\"from\":\"a@b.c\",\"html\":\"",
    "{\"to\":\"a@b.c\"",
    "\"vars\":{\"a\":\"",
    ",\"attachments\":[{\"base64\":\"",
    "\"}",
    "}}\n",
    "250 ",
    "250-",
    "354 go\r\n",
    "421 ",
    "550 5.1.1 ",
    "\r\n",
    "\n",
    "220 mx\r\n",
    "STARTTLS\r\n",
    "AUTH PLAIN",
    "PIPELINING",
    "v=STSv1; id=1;",
    "version:",
    "STSv1\n",
    "mode:enforce",
    "max_age:1",
    "mx:",
    "*.example.org",
    "; ",
    "=",
    "Content-Type:",
    " multipart/mixed; boundary=b\r\n",
    "\r\n\r\n--b",
    "--",
    "charset=utf-8",
    "\xc3\xa4",
    "\xff",
    "quoted-printable",
    "\"",
    "\\",
    " 8bit\r\n",
    "ada@example.org",
    " <ada@",
    "example.org>",
    ", ",
    "friends:",
    "From: ",
    "List-Unsubscribe: <https://",
    "MIME-Version: 1.0\r\n",
    "{{x}}",
    ";",
    "(",
    ")",
    ".\r\n",
    "\x00\x01",
    "\xc0\x0c",
    " \t",
    "From: a@b.c\r\n",
    "DKIM-Signature: v=1; a=ed25519-sha256; d=b.c; s=s1; h=from; bh=",
    "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=;",
    "; c=relaxed",
    "; l=1",
    "; b=",
    "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
};

std::vector<uint8_t> input_of(uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<uint8_t> bytes;
  for (size_t parts = random() % 40; parts > 0; --parts) {
    if (random() % 3 == 0) {
      const std::string_view word = kWords[random() % std::size(kWords)];
      bytes.insert(bytes.end(), word.begin(), word.end());
    } else if (random() % 8 == 0) {
      bytes.insert(bytes.end(), random() % 64, static_cast<uint8_t>(random()));
    } else {
      bytes.push_back(static_cast<uint8_t>(random()));
    }
  }
  return bytes;
}

volatile uint32_t current_seed = 0;

void tell_seed(int) {
  char text[64];
  const int size = std::snprintf(text, sizeof text, "with the input of seed %u\n", current_seed);
  static_cast<void>(!write(STDERR_FILENO, text, static_cast<size_t>(size)));
  std::signal(SIGABRT, SIG_DFL);
  std::abort();
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view wanted = argc > 1 ? argv[1] : "";
  const unsigned long runs = argc > 2 ? std::strtoul(argv[2], nullptr, 10) : 500'000;
  for (const Target& target : kTargets) {
    if (target.name != wanted) continue;
    std::signal(SIGABRT, tell_seed);
    std::signal(SIGSEGV, tell_seed);
    for (uint32_t seed = 0; seed < runs; ++seed) {
      current_seed = seed;
      const std::vector<uint8_t> bytes = input_of(seed);
      target.run(bytes.data(), bytes.size());
    }
    std::printf("%s: %lu inputs\n", argv[1], runs);
    return 0;
  }
  std::fprintf(stderr, "short_runs TARGET [RUNS]; there is no target \"%s\"\n",
               argc > 1 ? argv[1] : "");
  return 64;
}
