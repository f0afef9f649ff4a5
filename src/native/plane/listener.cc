#include "plane/listener.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "plane/plane.h"
#include "plane/worker.h"

namespace rackboot {
namespace {

constexpr int kBacklog = 256;
/// Without descriptors or memory the peers wait in the backlog, and this thread must not spin on it.
__kernel_timespec pauseTime{0, 100'000'000};

std::string advice(int error, const std::string& where) {
  switch (error) {
    case EADDRINUSE: return where + " is in use by another program. Stop it, or choose another port";
    case EADDRNOTAVAIL: return where + ": no interface of this machine has that address. Configure it, or choose another";
    case EACCES: return where + ": a port below 1024 needs CAP_NET_BIND_SERVICE. Run with it, or choose another port";
    default: return where + ": " + strerror(error);
  }
}

}  // namespace

Listener* Listener::open(uint32_t portal, const std::string& address, uint16_t port, int& error, std::string& message) {
  sockaddr_storage storage{};
  socklen_t length = sizeof(sockaddr_in);
  auto& v4 = reinterpret_cast<sockaddr_in&>(storage);
  auto& v6 = reinterpret_cast<sockaddr_in6&>(storage);
  const std::string where = "portal " + address + ":" + std::to_string(port);
  if (inet_pton(AF_INET, address.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
  } else if (inet_pton(AF_INET6, address.c_str(), &v6.sin6_addr) == 1) {
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    length = sizeof(sockaddr_in6);
  } else {
    error = EINVAL;
    message = where + ": not an IP address";
    return nullptr;
  }
  const int fd = socket(storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  auto* bound = reinterpret_cast<sockaddr*>(&storage);
  if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 || bind(fd, bound, length) != 0 ||
      listen(fd, kBacklog) != 0 || getsockname(fd, bound, &length) != 0) {
    error = errno;
    message = advice(error, where);
    if (fd >= 0) close(fd);
    return nullptr;
  }
  return new Listener(portal, fd, ntohs(storage.ss_family == AF_INET ? v4.sin_port : v6.sin6_port));
}

Listener::~Listener() {
  close(fd_);
}

void Listener::start(Worker& worker) {
  worker_ = &worker;
  multishot_ = worker.ring().multishotAccept();
  worker.addGuest();
  arm();
}

void Listener::stop() {
  // Ends an accept that waits, at once and on whatever thread: a listening socket that is shut no longer listens.
  shutdown(fd_, SHUT_RDWR);
  // Last, since the worker that sees it deletes this listener.
  stopped_ = true;
}

void Listener::arm() {
  io_uring_sqe* sqe = worker_->ring().entry(this);
  if (multishot_) {
    io_uring_prep_multishot_accept(sqe, fd_, nullptr, nullptr, SOCK_CLOEXEC);
  } else {
    io_uring_prep_accept(sqe, fd_, nullptr, nullptr, SOCK_CLOEXEC);
  }
  io_uring_sqe_set_data(sqe, static_cast<Completion*>(this));
}

void Listener::completed(int result, bool more) {
  const bool paused = std::exchange(pausing_, false);
  if (result >= 0 && !paused) worker_->plane().accepted(result, portal_);
  if (more) return;
  if (stopped_) {
    worker_->removeGuest();
    delete this;
    return;
  }
  if (result == -EINVAL && multishot_) multishot_ = false;
  if (result == -EMFILE || result == -ENFILE || result == -ENOBUFS || result == -ENOMEM) {
    pausing_ = true;
    io_uring_sqe* sqe = worker_->ring().entry(this);
    io_uring_prep_timeout(sqe, &pauseTime, 0, 0);
    io_uring_sqe_set_data(sqe, static_cast<Completion*>(this));
    return;
  }
  arm();
}

}  // namespace rackboot
