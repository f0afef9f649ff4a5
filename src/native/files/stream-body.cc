#include "files/stream-body.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/sendfile.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace rackboot {
namespace {

/// Of one download before the next one has its turn: so much that a call costs nothing beside it, so little that forty are served evenly.
constexpr uint64_t kTurnBytes = 512 * 1024;

}  // namespace

int StreamBody::open(uint32_t id, DeliveryRound& round, const StreamSpec& spec, std::unique_ptr<StreamBody>& out, std::string& message) {
  // Descriptors of its own: the connection may be closed, and the file let go, while this thread uses them.
  const int socket = fcntl(spec.socket, F_DUPFD_CLOEXEC, 0);
  const int file = socket < 0 ? -1 : fcntl(spec.file, F_DUPFD_CLOEXEC, 0);
  if (file >= 0) {
    out.reset(new StreamBody(id, round, spec, socket, file));
    return 0;
  }
  const int error = errno;
  message = std::string("a download cannot begin: ") + strerror(error);
  if (socket >= 0) close(socket);
  return error;
}

StreamBody::StreamBody(uint32_t id, DeliveryRound& round, const StreamSpec& spec, int socket, int file)
    : Delivery(id, round), socket_(socket), file_(file), spec_(spec) {}

void StreamBody::begin() {
  cork(true);
  deadlineMs_ = round_.nowMs + spec_.idleMs;
}

bool StreamBody::ready() {
  auto offset = static_cast<off_t>(spec_.offsetBytes + sentBytes_);
  const auto count = static_cast<size_t>(std::min(kTurnBytes, spec_.lengthBytes - sentBytes_));
  const ssize_t sent = sendfile(socket_.fd(), file_.fd(), &offset, count);
  if (sent < 0) {
    if (errno == EAGAIN || errno == EINTR) return false;
    const bool gone = errno == EPIPE || errno == ECONNRESET;
    fail(gone ? "the client closed the connection" : std::string("the file cannot be sent: ") + strerror(errno));
    return true;
  }
  if (sent == 0) {
    fail("the file was shortened while it was being sent");
    return true;
  }
  sentBytes_ += static_cast<uint64_t>(sent);
  deadlineMs_ = round_.nowMs + spec_.idleMs;
  if (sentBytes_ < spec_.lengthBytes) {
    tellProgress(sentBytes_);
    return true;
  }
  over_ = true;
  cork(false);
  tell(DeliveryEventKind::finished, sentBytes_);
  return true;
}

/// Without it every call pushes what it has and wakes the receiver, segment by segment.
void StreamBody::cork(bool on) {
  const int value = on ? 1 : 0;
  setsockopt(socket_.fd(), IPPROTO_TCP, TCP_CORK, &value, sizeof value);
}

void StreamBody::timeout() {
  fail("the client took nothing for " + std::to_string(static_cast<int>(spec_.idleMs / 1000)) + " s");
}

void StreamBody::abort(const std::string&) {
  over_ = true;
}

void StreamBody::fail(const std::string& reason) {
  over_ = true;
  tell(DeliveryEventKind::failed, sentBytes_, reason);
}

}  // namespace rackboot
