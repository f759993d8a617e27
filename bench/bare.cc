// bare: the lower bound of every comparison, an SMTP client on io_uring without a queue.
#include <charconv>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>

#include <arpa/inet.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "bench/bare_client.h"

namespace veredus::bench {
namespace {

constexpr char kUsage[] = R"(bare: sends messages over SMTP with the least work that does it.

  --messages N      (100000)      --domains D       spread over d0000.bench.test... (1)
  --size OCTETS     of each message's content, 512 or more (2048)
  --connections C   at once (100); one for each domain where there are several
  --port P          (2525)        --connect ADDR    all of it there, not to the domains' own addresses
  --per-connection N  messages, then QUIT and another connection (any number)
  --tls             STARTTLS, TLS 1.3, resumed from the second connection on
  --chunking        one BDAT send per message, instead of DATA in two
  --distinct        no two contents alike, all laid out beforehand
  --contents FILE   likewise, out of the file: of one size, with ".\r\n" behind each
  --sign FILE       with this RSA key: SHA-256 of each distinct body, signature over its header; what
                    is sent is the same. --one-body: hashed only at first
  --template FILE   the content, with {{id}} and {{to}}, instead of one of --size
  --print-template  print the content that --size stands for, and end
  --cpu N           pin to this processor
  --json            the result as one JSON object
Exit 0: all were delivered; 1: not; 64: wrong use.
)";

struct Settings {
  BareOptions bare;
  std::string template_file;
  bool distinct = false;
  bool print_template = false;
  bool json = false;
  bool help = false;
  int cpu = -1;
};

template <typename T>
bool number(std::string_view text, T& value) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

bool apply_flag(std::string_view name, Settings& s) {
  bool* flag = name == "--chunking"         ? &s.bare.chunking
               : name == "--tls"            ? &s.bare.tls
               : name == "--distinct"       ? &s.distinct
               : name == "--one-body"       ? &s.bare.one_body
               : name == "--print-template" ? &s.print_template
               : name == "--json"           ? &s.json
               : name == "--help"           ? &s.help
                                            : nullptr;
  if (flag != nullptr) *flag = true;
  return flag != nullptr;
}

bool apply_value(std::string_view name, std::string_view value, Settings& s) {
  if (name == "--messages") {
    return number(value, s.bare.messages) && s.bare.messages > 0 && s.bare.messages <= 100'000'000;
  }
  if (name == "--domains") {
    return number(value, s.bare.domains) && s.bare.domains > 0 && s.bare.domains <= kMaxDomains;
  }
  if (name == "--connections") {
    return number(value, s.bare.connections) && s.bare.connections > 0 &&
           s.bare.connections <= 15000;
  }
  if (name == "--size") return number(value, s.bare.size) && s.bare.size >= 512;
  if (name == "--per-connection") return number(value, s.bare.per_connection);
  if (name == "--port") return number(value, s.bare.port);
  if (name == "--cpu") return number(value, s.cpu);
  if (name == "--template") return !(s.template_file = value).empty();
  if (name == "--contents") return !(s.bare.contents_file = value).empty();
  if (name == "--sign") return !(s.bare.sign_key_file = value).empty();
  if (name != "--connect") return false;
  in_addr address;
  bool good = inet_pton(AF_INET, std::string(value).c_str(), &address) == 1;
  if (good) s.bare.connect = ntohl(address.s_addr);
  return good;
}

std::string parse(int argc, char** argv, Settings& s) {
  for (int i = 1; i < argc; ++i) {
    if (apply_flag(argv[i], s)) continue;
    if (i + 1 >= argc) return std::string("unknown option or missing value: ") + argv[i];
    if (!apply_value(argv[i], argv[i + 1], s)) {
      return std::string("cannot use ") + argv[i] + " " + argv[i + 1];
    }
    ++i;
  }
  if (s.distinct || !s.bare.contents_file.empty()) return "";
  if (s.template_file.empty()) {
    s.bare.text = make_template(s.bare.size, s.bare.domains);
    return "";
  }
  std::ifstream file(s.template_file, std::ios::binary);
  s.bare.text.assign(std::istreambuf_iterator<char>(file), {});
  return s.bare.text.empty() ? "cannot read " + s.template_file : "";
}

void raise_limits(const Settings& s) {
  rlimit files;
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
  }
  if (s.cpu < 0) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(s.cpu, &set);
  if (sched_setaffinity(0, sizeof set, &set) != 0) {
    fprintf(stderr, "bare: there is no processor %d\n", s.cpu);
  }
}

double peak_rss_mib() {
  std::ifstream status("/proc/self/status");
  std::string line;
  while (std::getline(status, line)) {
    if (line.rfind("VmHWM:", 0) == 0) return std::stod(line.substr(6)) / 1024;
  }
  return 0;
}

void print(const Settings& s, const BareResult& result) {
  double rate = result.seconds > 0 ? result.delivered / result.seconds : 0;
  double count = result.delivered > 0 ? result.delivered : 1;
  double cpu = (result.user_us + result.system_us) / count;
  const char* form = s.json ? "{\"messages\":%u,\"seconds\":%.4f,\"msgs_per_s\":%.1f,"
                              "\"cpu_us_per_msg\":%.3f,\"user_us_per_msg\":%.3f,"
                              "\"sent_bytes_per_msg\":%.1f,\"peak_rss_mib\":%.1f,"
                              "\"handshakes\":%u,\"resumed\":%u}\n"
                            : "%u messages in %.3f s: %.0f/s, CPU %.2f us each (%.2f of it user), "
                              "%.1f octets each, %.1f MiB, %u handshakes, %u resumed\n";
  printf(form, result.delivered, result.seconds, rate, cpu, result.user_us / count,
         static_cast<double>(result.sent_octets) / count, peak_rss_mib(), result.handshakes,
         result.resumed);
}

int run(int argc, char** argv) {
  Settings settings;
  std::string wrong = parse(argc, argv, settings);
  if (!wrong.empty()) {
    fprintf(stderr, "bare: %s (--help shows the options)\n", wrong.c_str());
    return 64;
  }
  if (settings.help || settings.print_template) {
    fputs(settings.help ? kUsage : settings.bare.text.c_str(), stdout);
    return 0;
  }
  raise_limits(settings);
  BareClient client(settings.bare);
  BareResult result = client.run();
  if (!result.error.empty()) fprintf(stderr, "bare: %s\n", result.error.c_str());
  print(settings, result);
  return result.error.empty() ? 0 : 1;
}

}  // namespace
}  // namespace veredus::bench

int main(int argc, char** argv) {
  return veredus::bench::run(argc, argv);
}
