#include "engine/control/http_sockets.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>

#include <arpa/inet.h>
#include <grp.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace veredus::control {
namespace {

constexpr int kBacklog = 512;

absl::Status failed(const std::string& what, int error, const std::string& remedy) {
  return absl::UnavailableError(what + ": " + std::generic_category().message(error) +
                                (remedy.empty() ? "" : "; " + remedy));
}

// A socket file may be left over from a run that was killed; one that answers belongs to somebody.
absl::Status claim_path(const std::string& path, const sockaddr_un& address) {
  struct stat found {};
  if (lstat(path.c_str(), &found) != 0) return absl::OkStatus();
  if (!S_ISSOCK(found.st_mode)) {
    return absl::AlreadyExistsError(path +
                                    " is there and is no socket: move it away, or set "
                                    "feed.socket to another path");
  }
  const int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (probe < 0) return failed("socket", errno, "");
  const bool answered =
      connect(probe, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  close(probe);
  if (answered) {
    return absl::AlreadyExistsError("another program answers at " + path +
                                    ": stop it, or set feed.socket to another path");
  }
  if (unlink(path.c_str()) != 0) {
    return failed("cannot remove the old " + path, errno, "run as its owner");
  }
  return absl::OkStatus();
}

absl::Status set_access(const FeedSocketOptions& options, gid_t& group_id) {
  const char* name = options.group.empty() ? "veredus" : options.group.c_str();
  const group* wanted = getgrnam(name);
  if (wanted == nullptr && !options.group.empty()) {
    return absl::NotFoundError("there is no group " + options.group + " for " + options.path +
                               ": make it with groupadd --system, or set feed.group");
  }
  // With the default group, a process that may not give files to it keeps its own.
  if (wanted != nullptr &&
      chown(options.path.c_str(), static_cast<uid_t>(-1), wanted->gr_gid) != 0 &&
      !options.group.empty()) {
    return failed("cannot give " + options.path + " to group " + options.group, errno,
                  "be a member of it, or run as root");
  }
  if (chmod(options.path.c_str(), options.mode) != 0) {
    return failed("cannot set the mode of " + options.path, errno, "");
  }
  struct stat made {};
  if (stat(options.path.c_str(), &made) != 0) return failed(options.path, errno, "");
  group_id = made.st_gid;
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ListenSocket> listen_on_unix(const FeedSocketOptions& options) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (options.path.size() >= sizeof address.sun_path) {
    return absl::InvalidArgumentError(options.path + ": a socket's path has at most 107 bytes");
  }
  std::memcpy(address.sun_path, options.path.c_str(), options.path.size() + 1);

  const std::filesystem::path directory = std::filesystem::path(options.path).parent_path();
  std::error_code error;
  if (!std::filesystem::exists(directory, error)) {
    std::filesystem::create_directories(directory, error);
    if (error) {
      return failed("cannot make " + directory.string(), error.value(),
                    "make it, or set feed.socket to another path");
    }
  }
  if (absl::Status status = claim_path(options.path, address); !status.ok()) return status;

  ListenSocket made;
  made.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (made.fd < 0) return failed("socket", errno, "");
  // Nobody can connect before listen(), by which time mode and group are right.
  absl::Status status;
  if (bind(made.fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    status = failed("cannot bind " + options.path, errno, "is its directory ours to write?");
  }
  if (status.ok()) status = set_access(options, made.group);
  if (status.ok() && ::listen(made.fd, kBacklog) != 0) {
    status = failed("cannot listen at " + options.path, errno, "");
  }
  if (!status.ok()) {
    close(made.fd);
    return status;
  }
  return made;
}

absl::StatusOr<ListenSocket> listen_on_tcp(const std::string& address, uint16_t port) {
  sockaddr_storage storage{};
  socklen_t length = 0;
  auto* v4 = reinterpret_cast<sockaddr_in*>(&storage);
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&storage);
  if (inet_pton(AF_INET, address.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    length = sizeof *v4;
  } else if (inet_pton(AF_INET6, address.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    length = sizeof *v6;
  } else {
    return absl::InvalidArgumentError(address + " is no numeric address");
  }
  ListenSocket made;
  made.fd = socket(storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (made.fd < 0) return failed("socket", errno, "");
  const int on = 1;
  setsockopt(made.fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(made.fd, reinterpret_cast<const sockaddr*>(&storage), length) != 0 ||
      ::listen(made.fd, kBacklog) != 0) {
    const absl::Status status = failed("cannot listen at " + address + ":" + std::to_string(port),
                                       errno, "set http.listen to another port, or to \"off\"");
    close(made.fd);
    return status;
  }
  getsockname(made.fd, reinterpret_cast<sockaddr*>(&storage), &length);
  made.port = ntohs(storage.ss_family == AF_INET ? v4->sin_port : v6->sin6_port);
  return made;
}

PeerVerdict judge_peer(int fd, const FeedSocketOptions& options, gid_t socket_group) {
  PeerVerdict verdict;
  ucred peer{};
  socklen_t length = sizeof peer;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) {
    verdict.who = "a peer that the kernel does not name";
    return verdict;
  }
  verdict.who = "uid " + std::to_string(peer.uid) + " (pid " + std::to_string(peer.pid) + ")";
  if (!options.users.empty()) {
    verdict.allowed =
        std::find(options.users.begin(), options.users.end(), peer.uid) != options.users.end();
    return verdict;
  }
  if (peer.uid == 0 || peer.uid == geteuid() || peer.gid == socket_group) {
    verdict.allowed = true;
    return verdict;
  }
  std::vector<gid_t> groups(256);
  length = static_cast<socklen_t>(groups.size() * sizeof(gid_t));
  int got = getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &length);
  if (got != 0 && errno == ERANGE) {
    groups.resize(length / sizeof(gid_t));
    got = getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &length);
  }
  if (got != 0) return verdict;
  groups.resize(length / sizeof(gid_t));
  verdict.allowed = std::find(groups.begin(), groups.end(), socket_group) != groups.end();
  return verdict;
}

}  // namespace veredus::control
