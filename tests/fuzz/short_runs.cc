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

extern "C" {
int reply_fuzz(const uint8_t* data, size_t size);
int dialogue_fuzz(const uint8_t* data, size_t size);
int dns_answer_fuzz(const uint8_t* data, size_t size);
int mta_sts_fuzz(const uint8_t* data, size_t size);
int tls_answer_fuzz(const uint8_t* data, size_t size);
int seven_bit_fuzz(const uint8_t* data, size_t size);
int mailbox_list_fuzz(const uint8_t* data, size_t size);
int address_fuzz(const uint8_t* data, size_t size);
int admission_fuzz(const uint8_t* data, size_t size);
int builder_fuzz(const uint8_t* data, size_t size);
}

namespace {

struct Target {
  std::string_view name;
  int (*run)(const uint8_t*, size_t);
};
constexpr Target kTargets[] = {
    {"reply", reply_fuzz},
    {"dialogue", dialogue_fuzz},
    {"dns_answer", dns_answer_fuzz},
    {"mta_sts", mta_sts_fuzz},
    {"tls_answer", tls_answer_fuzz},
    {"seven_bit", seven_bit_fuzz},
    {"mailbox_list", mailbox_list_fuzz},
    {"address", address_fuzz},
    {"admission", admission_fuzz},
    {"builder", builder_fuzz},
};

// What the targets' languages are made of.
constexpr std::string_view kWords[] = {
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
