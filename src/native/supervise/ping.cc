#include "ping.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <string_view>

namespace rackboot::supervise {
namespace {

constexpr std::string_view kQuestion =
    "POST /v1/ping HTTP/1.1\r\nHost: rackboot\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}";
constexpr std::string_view kAnswer = "HTTP/1.1 200 ";

}  // namespace

void Ping::ask() {
  close();
  socket_ = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (socket_ < 0 || path_.size() >= sizeof(address.sun_path)) return close();
  memcpy(address.sun_path, path_.data(), path_.size());
  // A stream connection on this host is there at once, or is refused; so is the room for a question this short.
  if (connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
      send(socket_, kQuestion.data(), kQuestion.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(kQuestion.size())) {
    close();
  }
}

bool Ping::answered() {
  if (socket_ < 0) return false;
  char text[kAnswer.size()];
  const ssize_t octets = recv(socket_, text, sizeof(text), MSG_PEEK);
  if (octets < static_cast<ssize_t>(sizeof(text))) {
    if (octets == 0) close();
    return false;
  }
  close();
  return std::string_view(text, sizeof(text)) == kAnswer;
}

void Ping::close() {
  if (socket_ >= 0) ::close(socket_);
  socket_ = -1;
}

}  // namespace rackboot::supervise
