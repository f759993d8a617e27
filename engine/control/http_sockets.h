#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <sys/types.h>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace veredus::control {

// The listening sockets of the control thread, and who may use the Unix one.

struct FeedSocketOptions {
  std::string path;
  mode_t mode = 0660;
  std::string group;         // empty: `veredus` if there is such a group, else as it comes
  std::vector<uid_t> users;  // allowed to connect; empty: root, ourselves, the socket's group
};

struct ListenSocket {
  int fd = -1;
  uint16_t port = 0;                     // TCP
  gid_t group = static_cast<gid_t>(-1);  // Unix
};

// Makes the directory if it is missing, takes the place of a socket that nobody answers at, sets
// mode and group before anybody can connect. An engine that answers there is an error.
absl::StatusOr<ListenSocket> listen_on_unix(const FeedSocketOptions& options);
// `address`: numeric. Port 0: any free one.
absl::StatusOr<ListenSocket> listen_on_tcp(const std::string& address, uint16_t port);

struct PeerVerdict {
  bool allowed = false;
  std::string who;  // "uid 1001 (pid 4711)"
};
// Asks the kernel who connected (SO_PEERCRED, SO_PEERGROUPS).
PeerVerdict judge_peer(int fd, const FeedSocketOptions& options, gid_t socket_group);

}  // namespace veredus::control
