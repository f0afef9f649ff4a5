#include "raw_server.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "pdu.hpp"
#include "ring.hpp"

namespace loadgen {
namespace {

constexpr std::size_t kReceiveBytes = 256u << 10;
constexpr std::size_t kMaxPieces = 512;
constexpr std::uint64_t kAcceptTag = ~std::uint64_t{0};
constexpr std::uint64_t kSignalTag = kAcceptTag - 1;
constexpr std::uint64_t kTurnNs = 1'000'000'000;

struct Reply {
  pdu::Header header{};
  std::uint32_t length = 0;
};

struct Peer {
  int fd = -1;
  std::vector<std::uint8_t> input = std::vector<std::uint8_t>(kReceiveBytes);
  pdu::Header header{};
  std::size_t headerHave = 0;
  std::size_t skip = 0;
  std::vector<Reply> gathering;
  std::vector<Reply> sending;
  std::vector<iovec> pieces;
  std::size_t piecesDone = 0;
  msghdr message{};
  bool busySending = false;
  bool open = true;
  std::uint32_t held = 0;
};

void answer(Peer& peer) {
  Reply& reply = peer.gathering.emplace_back();
  const std::uint8_t opcode = peer.header[pdu::kCdb];
  const bool read = opcode == pdu::kRead10 || opcode == pdu::kRead16;
  reply.length = read ? pdu::get32(&peer.header[pdu::kExpectedLength]) : 0;
  reply.header[0] = read ? pdu::kDataIn : pdu::kScsiResponse;
  reply.header[pdu::kFlags] = static_cast<std::uint8_t>(pdu::kFinal | (read ? pdu::kDataInStatus : 0));
  pdu::put24(&reply.header[pdu::kDataLength], reply.length);
  std::memcpy(&reply.header[pdu::kItt], &peer.header[pdu::kItt], 4);
  pdu::put32(&reply.header[pdu::kMaxCmdSn], pdu::get32(&peer.header[pdu::kCmdSn]) + kMaxDepth);
}

void take(Peer& peer, const std::uint8_t* at, std::size_t left) {
  while (left > 0) {
    if (peer.skip > 0) {
      const std::size_t some = std::min(left, peer.skip);
      peer.skip -= some;
      at += some;
      left -= some;
    } else {
      const std::size_t some = std::min(left, peer.header.size() - peer.headerHave);
      std::memcpy(&peer.header[peer.headerHave], at, some);
      peer.headerHave += some;
      at += some;
      left -= some;
      if (peer.headerHave == peer.header.size()) peer.skip = pdu::get24(&peer.header[pdu::kDataLength]);
    }
    if (peer.headerHave < peer.header.size() || peer.skip > 0) continue;
    peer.headerHave = 0;
    answer(peer);
  }
}

class RawServer {
 public:
  explicit RawServer(const Options& options) : ring_(2048, options.spinMicroseconds), payload_(kMaxBlockBytes, 0x5a) {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigprocmask(SIG_BLOCK, &signals, nullptr);
    signals_ = signalfd(-1, &signals, SFD_CLOEXEC);

    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int on = 1;
    setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(options.port);
    if (inet_pton(AF_INET, options.host.c_str(), &address.sin_addr) != 1)
      throw UsageError("--host: " + options.host + " is no IPv4 address");
    socklen_t length = sizeof address;
    if (bind(listener_, reinterpret_cast<sockaddr*>(&address), length) != 0 || listen(listener_, kMaxSessions) != 0 ||
        getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &length) != 0)
      throw RunError("listen on " + options.host + " port " + std::to_string(options.port) + ": " + std::strerror(errno));
    std::printf("listening on %u\n", ntohs(address.sin_port));
    std::fflush(stdout);
  }
  ~RawServer() {
    close(listener_);
    close(signals_);
  }

  void serve() {
    accept();
    io_uring_sqe* sqe = ring_.request();
    io_uring_prep_poll_add(sqe, signals_, POLLIN);
    sqe->user_data = kSignalTag;
    while (!ended_) {
      ring_.wait(kTurnNs);
      ring_.completions([this](std::uint64_t data, int result, unsigned flags) { completed(data, result, flags); });
      for (const std::size_t index : touched_) send(index);
      touched_.clear();
    }
  }

 private:
  void accept() {
    io_uring_sqe* sqe = ring_.request();
    io_uring_prep_accept(sqe, listener_, nullptr, nullptr, SOCK_CLOEXEC);
    sqe->user_data = kAcceptTag;
  }

  void receive(std::size_t index, bool pollFirst) {
    Peer& peer = *peers_[index];
    io_uring_sqe* sqe = ring_.request();
    io_uring_prep_recv(sqe, peer.fd, peer.input.data(), peer.input.size(), 0);
    if (pollFirst) sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
    sqe->user_data = index << 1;
    ++peer.held;
  }

  void send(std::size_t index) {
    Peer& peer = *peers_[index];
    if (peer.busySending || !peer.open) return;
    if (peer.piecesDone == peer.pieces.size()) {
      peer.pieces.clear();
      peer.piecesDone = 0;
      peer.sending.clear();
      std::swap(peer.sending, peer.gathering);
      for (Reply& reply : peer.sending) {
        peer.pieces.push_back({reply.header.data(), reply.header.size()});
        if (reply.length > 0) peer.pieces.push_back({payload_.data(), reply.length});
      }
    }
    const std::size_t count = std::min(kMaxPieces, peer.pieces.size() - peer.piecesDone);
    if (count == 0) return;
    peer.message.msg_iov = peer.pieces.data() + peer.piecesDone;
    peer.message.msg_iovlen = count;
    io_uring_sqe* sqe = ring_.request();
    io_uring_prep_sendmsg(sqe, peer.fd, &peer.message, MSG_NOSIGNAL);
    sqe->user_data = index << 1 | 1;
    peer.busySending = true;
    ++peer.held;
  }

  void accepted(int fd) {
    if (fd < 0) throw RunError(std::string("accept: ") + std::strerror(-fd));
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    auto peer = std::make_unique<Peer>();
    peer->fd = fd;
    // A closed peer's place is taken again, so that a long-lived server stays as large as its sessions.
    const auto free = std::find_if(peers_.begin(), peers_.end(), [](const auto& other) { return !other->open && other->held == 0; });
    const auto index = static_cast<std::size_t>(free - peers_.begin());
    if (free == peers_.end())
      peers_.push_back(std::move(peer));
    else
      *free = std::move(peer);
    receive(index, true);
    accept();
  }

  void completed(std::uint64_t data, int result, unsigned flags) {
    if (data == kSignalTag) {
      ended_ = true;
      return;
    }
    if (data == kAcceptTag) {
      accepted(result);
      return;
    }
    const std::size_t index = data >> 1;
    Peer& peer = *peers_[index];
    --peer.held;
    if (data & 1) peer.busySending = false;
    if (result <= 0) {
      if (std::exchange(peer.open, false)) close(peer.fd);
      return;
    }
    if (data & 1) {
      for (auto octets = static_cast<std::size_t>(result); octets > 0;) {
        iovec& piece = peer.pieces[peer.piecesDone];
        const std::size_t some = std::min(octets, piece.iov_len);
        piece.iov_base = static_cast<std::uint8_t*>(piece.iov_base) + some;
        piece.iov_len -= some;
        octets -= some;
        if (piece.iov_len == 0) ++peer.piecesDone;
      }
    } else {
      take(peer, peer.input.data(), static_cast<std::size_t>(result));
      receive(index, !(flags & IORING_CQE_F_SOCK_NONEMPTY));
    }
    touched_.push_back(index);
  }

  Ring ring_;
  std::vector<std::uint8_t> payload_;
  int listener_ = -1;
  int signals_ = -1;
  bool ended_ = false;
  std::vector<std::unique_ptr<Peer>> peers_;
  std::vector<std::size_t> touched_;
};

}  // namespace

void serveRaw(const Options& options) {
  RawServer(options).serve();
}

}  // namespace loadgen
