#include "plane/connection.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "plane/plane.h"
#include "plane/worker.h"

namespace rackboot {
namespace {

/// What one turn reads and one system call sends: enough for a long queue of small commands, little enough that the data is still in the
/// cache when it is sent. Who shares the thread gets less, since the others wait for as long as that takes.
constexpr uint32_t kTurnBytes = 512 * 1024;
constexpr uint64_t kSendBytes = 1 << 20;
constexpr uint32_t kSharedTurnBytes = 256 * 1024;
constexpr uint64_t kSharedSendBytes = 256 * 1024;
constexpr size_t kSendVectors = 512;
/// A peer that does not read its replies is not listened to either.
constexpr uint64_t kUnsentBytes = 8 << 20;
/// How long a closing connection waits for its peer: to take the last replies, and to close its side.
constexpr uint64_t kLingerNs = 2'000'000'000;
constexpr uint64_t kDropLingerNs = 200'000'000;
constexpr uint64_t kShutdownNs = 3'000'000'000;

// A peer that vanished is noticed within about a minute and a half, also where it is not pinged (Session::mayPing).
constexpr int kKeepaliveIdleS = 30;
constexpr int kKeepaliveIntervalS = 10;
constexpr int kKeepaliveProbes = 6;
constexpr unsigned kUserTimeoutMs = 75'000;

void setOption(int fd, int level, int name, int value) {
  setsockopt(fd, level, name, &value, sizeof value);
}

void describe(const sockaddr_storage& address, std::string& text, uint16_t& port) {
  char buffer[INET6_ADDRSTRLEN] = {};
  if (address.ss_family == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
    inet_ntop(AF_INET6, &v6.sin6_addr, buffer, sizeof buffer);
    port = ntohs(v6.sin6_port);
  } else {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
    inet_ntop(AF_INET, &v4.sin_addr, buffer, sizeof buffer);
    port = ntohs(v4.sin_port);
  }
  text = buffer;
}

}  // namespace

Connection::Connection(Worker& worker, ConnectionId id, int fd) : worker_(worker), id_(id), fd_(fd), framer_(worker.pool()) {}

Connection::~Connection() {
  close(fd_);
}

void Connection::open(uint32_t portal) {
  setOption(fd_, IPPROTO_TCP, TCP_NODELAY, 1);
  setOption(fd_, SOL_SOCKET, SO_KEEPALIVE, 1);
  setOption(fd_, IPPROTO_TCP, TCP_KEEPIDLE, kKeepaliveIdleS);
  setOption(fd_, IPPROTO_TCP, TCP_KEEPINTVL, kKeepaliveIntervalS);
  setOption(fd_, IPPROTO_TCP, TCP_KEEPCNT, kKeepaliveProbes);
  setOption(fd_, IPPROTO_TCP, TCP_USER_TIMEOUT, static_cast<int>(kUserTimeoutMs));
  Event event(EventType::accepted, id_);
  event.portal = portal;
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  if (getpeername(fd_, reinterpret_cast<sockaddr*>(&address), &length) == 0) describe(address, event.address, event.port);
  length = sizeof address;
  if (getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &length) == 0) describe(address, event.localAddress, event.localPort);
  emit(std::move(event));
  worker_.setDeadline(*this, rackboot::nowNs() + kLoginTimeoutNs);
  wake();
}

void Connection::turn() {
  bool more = false;
  if (isOpen() && !receive_.inFlight) parse();
  if (session_ && (isOpen() || phase_ == Phase::finishing)) {
    more = session_->pump(worker_.connections() > 1 ? kSharedTurnBytes : kTurnBytes);
    starving = session_->starving();
  }
  flush();
  if (phase_ == Phase::finishing && out_.empty() && !send_.inFlight && !session_->working()) end(CloseReason::shutdown, "the daemon stops");
  if (isOpen()) {
    if (!stalled_) armReceive();
    if (starving) worker_.starve(*this);
    if (more) wake();
  } else if (phase_ != Phase::finishing) {
    part();
  } else if (more) {
    wake();
  }
}

void Connection::parse() {
  // Replies that pile up stop the parsing; sending brings the next turn.
  stalled_ = out_.bytes() >= kUnsentBytes;
  if (stalled_) return;
  const Framer::Verdict verdict = framer_.advance(*this);
  const uint64_t copied = framer_.copiedBytes();
  worker_.stats().payloadBytesCopied.add(copied - copiedBefore_);
  copiedBefore_ = copied;
  switch (verdict) {
    case Framer::Verdict::needMore:
    case Framer::Verdict::stopped: break;
    case Framer::Verdict::stalled: stalled_ = true; break;
    case Framer::Verdict::refused:
      if (isOpen()) {
        counters().protocolErrors.add(1);
        end(CloseReason::protocolError, "a login PDU is too long");
      }
      break;
    case Framer::Verdict::headerDigest:
      counters().protocolErrors.add(1);
      end(CloseReason::digestError, "a header does not match its digest");
      break;
    case Framer::Verdict::dataDigest: session_->dataDigestError(framer_.header()); break;
  }
}

void Connection::armReceive() {
  if (receive_.inFlight || broken_) return;
  const int count = framer_.prepare(receive_.vectors, session_ && session_->expectsDataOut());
  if (count == 0) {
    starving = true;  // no memory for a receive buffer now
    return;
  }
  io_uring_sqe* sqe = worker_.ring().entry(&receive_);
  if (count == 1) {
    io_uring_prep_recv(sqe, fd_, receive_.vectors[0].iov_base, receive_.vectors[0].iov_len, 0);
  } else {
    receive_.message = {};
    receive_.message.msg_iov = receive_.vectors;
    receive_.message.msg_iovlen = static_cast<size_t>(count);
    io_uring_prep_recvmsg(sqe, fd_, &receive_.message, 0);
  }
  io_uring_sqe_set_data(sqe, static_cast<Completion*>(&receive_));
  receive_.inFlight = true;
  listeningNs_ = worker_.ring().roundNs();
}

void Connection::received(int result) {
  receive_.inFlight = false;
  if (result > 0) {
    arrivedNs_ = worker_.ring().roundNs();
    worker_.stats().bytesReceived.add(static_cast<uint64_t>(result));
    if (isOpen()) framer_.commit(static_cast<uint32_t>(result));
  } else if (result == 0) {
    broken_ = true;
    if (isOpen() || phase_ == Phase::finishing) end(CloseReason::peerClosed, "the initiator closed the connection");
  } else if (result != -EINTR && result != -EAGAIN) {
    failed(-result, "receive");
  }
  wake();
}

void Connection::flush() {
  if (send_.inFlight || out_.empty() || broken_) return;
  send_.vectors.resize(kSendVectors);
  send_.message = {};
  send_.message.msg_iov = send_.vectors.data();
  send_.message.msg_iovlen = out_.gather(send_.vectors.data(), kSendVectors, worker_.connections() > 1 ? kSharedSendBytes : kSendBytes);
  io_uring_sqe* sqe = worker_.ring().entry(&send_);
  io_uring_prep_sendmsg(sqe, fd_, &send_.message, MSG_NOSIGNAL);
  io_uring_sqe_set_data(sqe, static_cast<Completion*>(&send_));
  send_.inFlight = true;
}

void Connection::sent(int result) {
  send_.inFlight = false;
  if (result >= 0) {
    worker_.stats().bytesSent.add(static_cast<uint64_t>(result));
    out_.consume(static_cast<uint64_t>(result));
  } else if (result != -EINTR && result != -EAGAIN) {
    failed(-result, "send");
  }
  wake();
}

void Connection::failed(int error, const char* what) {
  broken_ = true;
  if (!isOpen() && phase_ != Phase::finishing) return;
  const std::string detail = std::string(what) + ": " + strerror(error);
  switch (error) {
    case ECONNRESET:
    case EPIPE: return end(CloseReason::peerClosed, detail.c_str());
    case ETIMEDOUT:
    case EHOSTUNREACH: return end(CloseReason::keepalive, detail.c_str());
    default: return end(CloseReason::ioError, detail.c_str());
  }
}

void Connection::end(CloseReason reason, const char* detail) {
  if (!isOpen() && phase_ != Phase::finishing) return;
  // The last PDU of a login, a logout or a rejected PDU says why; a reset by unread octets must not overtake it.
  waitsForPeer_ =
      phase_ == Phase::login || reason == CloseReason::logout || reason == CloseReason::protocolError || reason == CloseReason::digestError;
  phase_ = Phase::flushing;
  reason_ = reason;
  detail_ = detail;
  worker_.setDeadline(*this, rackboot::nowNs() + (waitsForPeer_ ? kLingerNs : kDropLingerNs));
  wake();
}

/// The steps of closing; each turn takes those that are possible.
void Connection::part() {
  if (session_) session_->abandon();
  if (phase_ == Phase::flushing && ((out_.empty() && !send_.inFlight) || broken_)) {
    phase_ = waitsForPeer_ && !broken_ ? Phase::parting : Phase::closing;
    ::shutdown(fd_, phase_ == Phase::parting ? SHUT_WR : SHUT_RDWR);
  }
  if (phase_ == Phase::parting) {
    if (!broken_) return armReceive();
    phase_ = Phase::closing;
  }
  if (phase_ != Phase::closing) return;
  if (receive_.inFlight || send_.inFlight) {
    ::shutdown(fd_, SHUT_RDWR);  // both complete now
    return;
  }
  if (session_) {
    session_->receiveStopped();
    if (!session_->idle()) return;  // writes go on; `closed` must come after them
  }
  worker_.remove(*this);
}

void Connection::timeout() {
  deadlineNs = 0;
  if (phase_ == Phase::login) {
    end(CloseReason::loginTimeout, "no login was completed in 30 s");
    return;
  }
  if (phase_ == Phase::fullFeature) return watch();
  if (phase_ == Phase::finishing) end(CloseReason::shutdown, "the daemon stops");
  if (!isOpen()) hurry();
}

void Connection::watchUntil(uint64_t atNs) {
  watchNs_ = atNs;
  worker_.setDeadline(*this, atNs);
}

/// Pings a peer that is silent, and gives up one that stays so. Whatever it sends is a sign of life.
void Connection::watch() {
  const PingLimits& limits = worker_.plane().pings();
  const uint64_t now = rackboot::nowNs();
  // Its silence says nothing where it is not listened to, where replies do not get out (TCP_USER_TIMEOUT sees to that), where a Logout
  // waits for its answer, and where this thread stood still, as then its peers may have.
  const bool blocked = !receive_.inFlight || send_.inFlight || !out_.empty() || !session_->mayPing();
  if (blocked || now > watchNs_ + limits.idleNs) {
    if (session_->pinged()) pingedNs_ = now;
    return watchUntil(now + limits.idleNs);
  }
  if (session_->pinged()) {
    const uint64_t due = std::max(listeningNs_, pingedNs_) + limits.answerNs;
    if (now >= due && session_->answersPings()) return end(CloseReason::keepalive, "the initiator does not answer");
    return watchUntil(now >= due ? now + limits.idleNs : std::min(due, now + limits.idleNs));
  }
  const uint64_t due = listeningNs_ + limits.idleNs;
  if (now < due) return watchUntil(due);
  session_->pingInitiator();
  pingedNs_ = now;
  watchUntil(now + std::min(limits.idleNs, limits.answerNs));
  wake();
}

void Connection::hurry() {
  broken_ = true;
  ::shutdown(fd_, SHUT_RDWR);
  wake();
}

void Connection::shutdown() {
  if (phase_ == Phase::login) return end(CloseReason::shutdown, "the daemon stops");
  if (phase_ != Phase::fullFeature) return;
  phase_ = Phase::finishing;
  worker_.setDeadline(*this, rackboot::nowNs() + kShutdownNs);
  wake();
}

void Connection::drop(std::string detail) {
  end(CloseReason::dropped, detail.c_str());
}

void Connection::sendLoginPdu(std::vector<uint8_t> header, std::vector<uint8_t> data) {
  if (phase_ != Phase::login) return;
  awaitingAnswer_ = false;
  out_.push(std::move(header), std::move(data));
  wake();
}

void Connection::enterFullFeature(std::vector<uint8_t> header, std::vector<uint8_t> data, const SessionParameters& parameters,
                                  const std::vector<LunMapping>& luns, const std::shared_ptr<Account>& account) {
  if (phase_ != Phase::login) return;
  account_ = account;
  stats_ = &account->at(worker_.index());
  worker_.setDeadline(*this, 0);
  out_.push(std::move(header), std::move(data));
  out_.useDigests(parameters.headerDigest, parameters.dataDigest);
  framer_.useDigests(parameters.headerDigest, parameters.dataDigest);
  session_ = std::make_unique<Session>(*this, id_, parameters, luns);
  phase_ = Phase::fullFeature;
  awaitingAnswer_ = false;
  if (session_->mayPing()) watchUntil(rackboot::nowNs() + worker_.plane().pings().idleNs);
  wake();
}

Placement Connection::place(const uint8_t* header, uint32_t ahsBytes, uint32_t dataLength, const Received& received) {
  if (session_) return session_->place(header, ahsBytes, dataLength, received);
  if (dataLength > kLoginBytes) return {Placement::refuse};
  if (awaitingAnswer_) return {Placement::stall};
  loginAhs_ = ahsBytes;
  loginData_.resize(dataLength);
  return {Placement::store, loginData_.data()};
}

bool Connection::whole(const uint8_t* header) {
  if (session_) return session_->whole(header);
  awaitingAnswer_ = true;
  Event event(EventType::pdu, id_);
  event.header.assign(header, header + kBhsBytes + loginAhs_);
  event.data = std::move(loginData_);
  emit(std::move(event));
  return true;
}

BufferPool& Connection::buffers() {
  return worker_.pool();
}
BlockIo& Connection::io() {
  return worker_.volumes();
}
SessionCounters& Connection::counters() {
  return worker_.stats().sessions;
}
uint64_t Connection::nowNs() {
  return rackboot::nowNs();
}
VolumeViewRef Connection::view(VolumeId volume) {
  return worker_.volumes().view(volume);
}
uint32_t Connection::sessions() const {
  return worker_.connections();
}
void Connection::wake() {
  worker_.ready(*this);
}

void Connection::emit(Event&& event) {
  if (event.type != EventType::closed && !isOpen() && phase_ != Phase::finishing) return;
  worker_.emit(std::move(event));
}

BarrierRef Connection::managementBarrier(uint32_t itt, TaskFunction function) {
  return std::make_shared<Barrier>([&worker = worker_, id = id_, itt, function] {
    worker.post([id, itt, function](Worker& there) {
      Connection* connection = there.find(id);
      if (connection != nullptr && connection->session() != nullptr) connection->session()->managementDone(itt, function);
    });
  });
}

void Connection::resetVolumes(const std::vector<VolumeId>& volumes, ResetKind kind, const BarrierRef& barrier) {
  worker_.resetEverywhere(volumes, kind, id_, barrier);
}

void Connection::reportClosed() {
  Event event(EventType::closed, id_);
  event.reason = reason_;
  event.detail = detail_;
  worker_.emit(std::move(event));
}

}  // namespace rackboot
