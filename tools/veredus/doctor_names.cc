#include <array>
#include <cstring>
#include <fstream>
#include <sstream>

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dns/address.h"
#include "engine/io/tls.h"
#include "tools/veredus/doctor.h"

namespace veredus::tools {
namespace {

using State = Finding::State;

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t length = 0;
};

bool to_socket_address(const std::string& host, uint16_t port, SocketAddress& out) {
  const auto address = dns::IpAddress::parse(host);
  if (!address) return false;
  if (address->family == dns::IpAddress::Family::v4) {
    auto* v4 = reinterpret_cast<sockaddr_in*>(&out.storage);
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    std::memcpy(&v4->sin_addr, address->bytes.data(), 4);
    out.length = sizeof *v4;
  } else {
    auto* v6 = reinterpret_cast<sockaddr_in6*>(&out.storage);
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    std::memcpy(&v6->sin6_addr, address->bytes.data(), 16);
    out.length = sizeof *v6;
  }
  return true;
}

// "192.0.2.1", "192.0.2.1:53", "2001:db8::1", "[2001:db8::1]:53"
bool parse_server(std::string text, SocketAddress& out) {
  uint16_t port = 53;
  if (!dns::IpAddress::parse(text)) {
    const size_t colon = text.rfind(':');
    if (colon == std::string::npos) return false;
    port = static_cast<uint16_t>(std::strtoul(text.c_str() + colon + 1, nullptr, 10));
    text.resize(colon);
    if (text.size() > 2 && text.front() == '[') text = text.substr(1, text.size() - 2);
  }
  return to_socket_address(text, port, out);
}

std::vector<std::string> servers_of(const control::Config& config) {
  if (!config.dns_servers.empty()) return config.dns_servers;
  std::vector<std::string> servers;
  std::ifstream in("/etc/resolv.conf");
  for (std::string line; std::getline(in, line);) {
    std::istringstream words(line);
    std::string word, server;
    if (words >> word >> server && word == "nameserver") servers.push_back(server);
  }
  return servers;
}

enum class Reply { none, answered, validated };

// What comes back to a question for the root's name servers. Their record is signed: a resolver
// that validates says so in the AD bit, if the question has it (RFC 6840 §5.7).
Reply ask_server(const SocketAddress& server) {
  const int fd = socket(server.storage.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return Reply::none;
  constexpr std::array<uint8_t, 17> kQuestion = {0x56, 0x44, 1, 0x20, 0, 1, 0, 0, 0,
                                                 0,    0,    0, 0,    0, 2, 0, 1};
  Reply answer = Reply::none;
  if (connect(fd, reinterpret_cast<const sockaddr*>(&server.storage), server.length) == 0) {
    for (int tries = 0; tries < 2 && answer == Reply::none; ++tries) {
      if (send(fd, kQuestion.data(), kQuestion.size(), 0) < 0) break;
      pollfd wait{fd, POLLIN, 0};
      std::array<uint8_t, 1500> reply{};
      if (poll(&wait, 1, 1500) > 0) {
        const ssize_t got = recv(fd, reply.data(), reply.size(), 0);
        if (got < 12 || reply[0] != kQuestion[0] || reply[1] != kQuestion[1]) continue;
        answer = (reply[3] & 0x20) != 0 ? Reply::validated : Reply::answered;
      }
    }
  }
  close(fd);
  return answer;
}

std::vector<std::string> addresses_of(const std::string& name) {
  std::vector<std::string> texts;
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(name.c_str(), nullptr, &hints, &found) != 0) return texts;
  for (const addrinfo* item = found; item != nullptr; item = item->ai_next) {
    std::array<char, NI_MAXHOST> text{};
    if (getnameinfo(item->ai_addr, item->ai_addrlen, text.data(), text.size(), nullptr, 0,
                    NI_NUMERICHOST) == 0) {
      texts.emplace_back(text.data());
    }
  }
  freeaddrinfo(found);
  return texts;
}

std::string name_of(const SocketAddress& address) {
  std::array<char, NI_MAXHOST> name{};
  const int got = getnameinfo(reinterpret_cast<const sockaddr*>(&address.storage), address.length,
                              name.data(), name.size(), nullptr, 0, NI_NAMEREQD);
  return got == 0 ? name.data() : "";
}

bool contains(const std::vector<std::string>& texts, const std::string& text) {
  for (const std::string& item : texts) {
    if (item == text) return true;
  }
  return false;
}

// A source with an address of its own: address → PTR → the same address, and EHLO says that name.
void check_bound_source(const std::string& name, const std::string& source_address,
                        const std::string& ehlo, Findings& out) {
  const std::string check = "source " + name;
  SocketAddress address;
  if (!to_socket_address(source_address, 0, address)) return;
  const int fd = socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const bool ours =
      bind(fd, reinterpret_cast<const sockaddr*>(&address.storage), address.length) == 0;
  close(fd);
  if (!ours) {
    out.push_back({check, State::fail, source_address + " is not an address of this host",
                   "add it to an interface, or take it out of the sources"});
    return;
  }
  const std::string ptr = name_of(address);
  if (ptr.empty()) {
    out.push_back({check, State::warn, source_address + " has no PTR record: many hosts refuse it",
                   "have its owner set one to " + ehlo});
  } else if (!contains(addresses_of(ptr), source_address)) {
    out.push_back({check, State::warn,
                   source_address + " is called " + ptr + ", but that name has other addresses",
                   "give " + ptr + " an address record with " + source_address});
  } else if (ptr != ehlo) {
    out.push_back({check, State::warn, source_address + " is called " + ptr + ", EHLO says " + ehlo,
                   "set the source's ehlo to " + ptr});
  } else {
    out.push_back({check, State::ok, source_address + " is " + ptr + ", both ways", ""});
  }
}

void check_server(const control::Config& config, const std::string& server, Findings& out) {
  SocketAddress address;
  if (!parse_server(server, address)) {
    out.push_back({"DNS", State::fail, server + " is no address", "correct it"});
    return;
  }
  const bool believed = config.dns_trust_ad || server.starts_with("127.") || server == "::1" ||
                        server.starts_with("[::1]");
  const Reply reply = ask_server(address);
  if (reply == Reply::none) {
    out.push_back({"DNS", State::fail, server + " does not answer",
                   "start it (a caching resolver on this host is best), or set dns.servers"});
    return;
  }
  out.push_back({"DNS", State::ok, server + " answers", ""});
  if (reply != Reply::validated) {
    out.push_back({"DANE", State::warn, server + " does not validate: TLSA records do not hold",
                   "a validating resolver on this host (unbound) is best"});
  } else if (!believed) {
    out.push_back(
        {"DANE", State::warn,
         server + " says that it validates, and is not believed: TLSA records do not hold",
         "run a validating resolver on this host, or, if nobody can come between, set "
         "dns.trust_ad = true"});
  } else {
    out.push_back({"DANE", State::ok, server + " validates", ""});
  }
}

}  // namespace

void check_dns(const control::Config& config, Findings& out) {
  const std::vector<std::string> servers = servers_of(config);
  if (servers.empty()) {
    out.push_back(
        {"DNS", State::fail, "no servers are known", "set dns.servers, or fill /etc/resolv.conf"});
  }
  for (const std::string& server : servers) {
    check_server(config, server, out);
  }
}

// Without them whoever must be verified is not sent to.
void check_authorities(const control::Config& config, Findings& out) {
  const auto trust = io::TlsTrust::load(config.authorities);
  if (trust.ok()) {
    out.push_back({"authorities", State::ok, config.authorities + " can be read", ""});
  } else {
    out.push_back({"authorities", State::warn, std::string(trust.status().message()),
                   "until then mail to domains whose MTA-STS policy is enforced waits"});
  }
}

void check_names(const control::Config& config, Findings& out) {
  if (config.hostname.find('.') == std::string::npos) {
    out.push_back({"hostname", State::warn,
                   config.hostname + " is no full name: many hosts refuse it in EHLO",
                   "set node.hostname, as in \"mail.example.org\""});
  }
  for (const SourceSettings& source : config.sources) {
    const std::string& ehlo = source.ehlo.empty() ? config.hostname : source.ehlo;
    if (source.address.family != 0) {
      for (const io::Endpoint& address : {source.address, source.address6}) {
        if (address.family == 0) continue;
        check_bound_source(source.name, io::to_text(address), ehlo, out);
      }
    } else if (addresses_of(ehlo).empty()) {
      out.push_back({"source " + source.name, State::warn,
                     "EHLO says " + ehlo + ", which has no address: many hosts refuse it",
                     "give it an address record, or set node.hostname"});
    } else {
      out.push_back({"source " + source.name, State::ok,
                     "EHLO says " + ehlo + "; the kernel chooses the address", ""});
    }
  }
}

}  // namespace veredus::tools
