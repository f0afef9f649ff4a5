#include "files/tftp-download.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/udp.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace rackboot {
namespace {

// RFC 1350, 5.
constexpr uint16_t kData = 3;
constexpr uint16_t kAck = 4;
constexpr uint16_t kError = 5;
constexpr size_t kHeaderBytes = 4;
constexpr uint16_t kErrorUndefined = 0;
constexpr uint16_t kErrorUnknownTransfer = 5;

/// One UDP datagram over IPv4 holds no more, segmented or not.
constexpr size_t kLargestDatagram = 65507;
/// UDP_MAX_SEGMENTS of every kernel that has UDP_SEGMENT.
constexpr size_t kMostSegments = 64;
/// A whole ERROR with a long message; an ACK has 4 octets.
constexpr size_t kPacketBytes = 600;
/// Taken from the socket in one call; a client that repeats its ACKs sends no more of them than a window has blocks.
constexpr size_t kPacketsAtOnce = 16;
/// Calls to the socket in one turn, so that a flood on one port delays nobody else for long.
constexpr int kCallsInATurn = 8;
/// A stranger's packets are told of this often in one download, and passed over after that.
constexpr uint32_t kMostMalformedTold = 32;
constexpr size_t kLongestMessage = 128;
/// Asked of the disk before it is needed.
constexpr uint64_t kReadAheadBytes = 2 * 1024 * 1024;

std::string nameOf(const sockaddr_in& address) {
  char text[INET_ADDRSTRLEN] = "";
  inet_ntop(AF_INET, &address.sin_addr, text, sizeof text);
  return std::string(text) + ":" + std::to_string(ntohs(address.sin_port));
}

uint16_t word(const uint8_t* octets) {
  return static_cast<uint16_t>(octets[0] << 8 | octets[1]);
}

void putWord(uint8_t* octets, uint16_t value) {
  octets[0] = static_cast<uint8_t>(value >> 8);
  octets[1] = static_cast<uint8_t>(value);
}

/// The message of an ERROR. Several clients leave out its NUL.
std::string printable(const uint8_t* octets, size_t length) {
  std::string out;
  for (size_t i = 0; i < std::min(length, kLongestMessage) && octets[i] != 0; ++i) {
    out.push_back(octets[i] >= 0x20 && octets[i] < 0x7f ? static_cast<char>(octets[i]) : '?');
  }
  return out;
}

}  // namespace

int TftpDownload::open(uint32_t id, DeliveryRound& round, const TftpSpec& spec, std::unique_ptr<TftpDownload>& out, std::string& message) {
  sockaddr_in own{};
  sockaddr_in peer{};
  own.sin_family = peer.sin_family = AF_INET;
  peer.sin_port = htons(spec.peerPort);
  if (inet_pton(AF_INET, spec.address.c_str(), &own.sin_addr) != 1 || inet_pton(AF_INET, spec.peerAddress.c_str(), &peer.sin_addr) != 1) {
    message = "a TFTP download from " + spec.address + " to " + spec.peerAddress + ": not an IPv4 address";
    return EINVAL;
  }
  const int socket = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const int file = socket < 0 ? -1 : fcntl(spec.file, F_DUPFD_CLOEXEC, 0);
  if (file >= 0 && bind(socket, reinterpret_cast<sockaddr*>(&own), sizeof own) == 0) {
    out.reset(new TftpDownload(id, round, spec, socket, file, peer));
    return 0;
  }
  const int error = errno;
  message = "a UDP socket for a TFTP download from " + spec.address + ": " + strerror(error);
  if (file >= 0) close(file);
  if (socket >= 0) close(socket);
  return error;
}

TftpDownload::TftpDownload(uint32_t id, DeliveryRound& round, const TftpSpec& spec, int socket, int file, const sockaddr_in& peer)
    : Delivery(id, round),
      socket_(socket),
      file_(file),
      offsetBytes_(spec.offsetBytes),
      oack_(spec.oack),
      peer_(peer),
      transfer_(spec.plan, *this) {}

void TftpDownload::begin() {
  transfer_.begin(!oack_.empty(), round_.nowMs);
}

bool TftpDownload::ready() {
  bool hadSomething = blocked_;
  if (blocked_) {
    blocked_ = false;
    pump();
  }
  std::array<std::array<uint8_t, kPacketBytes>, kPacketsAtOnce> packets;
  std::array<sockaddr_in, kPacketsAtOnce> senders;
  std::array<iovec, kPacketsAtOnce> parts;
  std::array<mmsghdr, kPacketsAtOnce> headers{};
  // In lock step there is one ACK at a time, and asking for a second costs half as much as the first.
  const size_t most = transfer_.plan().windowsize > 1 ? kPacketsAtOnce : 1;
  for (size_t i = 0; i < most; ++i) {
    parts[i] = {packets[i].data(), kPacketBytes};
    headers[i].msg_hdr.msg_name = &senders[i];
    headers[i].msg_hdr.msg_iov = &parts[i];
    headers[i].msg_hdr.msg_iovlen = 1;
  }
  for (int call = 0; call < kCallsInATurn && !over_; ++call) {
    for (mmsghdr& header : headers) header.msg_hdr.msg_namelen = sizeof(sockaddr_in);
    const int count = recvmmsg(socket_.fd(), headers.data(), static_cast<unsigned>(most), MSG_DONTWAIT, nullptr);
    // An ICMP error of an earlier packet comes up here, and is taken with it: the client may be restarting.
    for (int i = 0; i < count && !over_; ++i) received(packets[i].data(), headers[i].msg_len, senders[i]);
    hadSomething = hadSomething || count > 0;
    if (count < static_cast<int>(kPacketsAtOnce)) break;
  }
  return hadSomething;
}

void TftpDownload::received(const uint8_t* packet, size_t length, const sockaddr_in& from) {
  if (from.sin_port == 0) return malformed(from, "a packet from port 0, which cannot be answered");
  if (from.sin_addr.s_addr != peer_.sin_addr.s_addr || from.sin_port != peer_.sin_port) {
    malformed(from, "a packet to another client's transfer");
    return sendError(from, kErrorUnknownTransfer, "unknown transfer ID");
  }
  if (length < kHeaderBytes) return malformed(from, "the packet ends early");
  switch (word(packet)) {
    case kAck: {
      const uint64_t before = transfer_.acked();
      transfer_.acknowledged(word(packet + 2), round_.nowMs);
      const auto& plan = transfer_.plan();
      if (!over_ && transfer_.acked() > before) tellProgress(std::min(transfer_.acked() * plan.blksize, plan.sizeBytes));
      return;
    }
    case kError: return transfer_.clientError(word(packet + 2), printable(packet + kHeaderBytes, length - kHeaderBytes));
    default: return malformed(from, "a packet with opcode " + std::to_string(word(packet)) + " in a download");
  }
}

void TftpDownload::malformed(const sockaddr_in& from, std::string reason) {
  if (malformedTold_ == kMostMalformedTold) return;
  ++malformedTold_;
  tell(DeliveryEventKind::malformed, 0, std::move(reason), nameOf(from));
}

void TftpDownload::timeout() {
  deadlineMs_ = kNever;
  transfer_.timedOut();
}

void TftpDownload::abort(const std::string& reason) {
  if (over_) return;
  transfer_.giveUp();
  sendError(peer_, kErrorUndefined, reason);
  over_ = true;
}

void TftpDownload::fail(const std::string& reason) {
  abort(reason);
  tell(DeliveryEventKind::failed, 0, reason);
}

void TftpDownload::sendOack() {
  // A datagram that cannot be sent is a datagram lost, and lost ones are what the protocol is made for.
  sendto(socket_.fd(), oack_.data(), oack_.size(), MSG_DONTWAIT, reinterpret_cast<const sockaddr*>(&peer_), sizeof peer_);
}

void TftpDownload::sendBlocks(uint64_t first, uint64_t count) {
  if (!begun_) tell(DeliveryEventKind::began, 0);
  begun_ = true;
  if (first != end_) next_ = first;
  end_ = first + count;
  deadlineMs_ = kNever;
  if (!blocked_) pump();
}

void TftpDownload::setTimer(double afterMs) {
  timerMs_ = afterMs;
  startTimer();
}

void TftpDownload::ended(TransferEnd outcome, const std::string& reason, bool tellClient) {
  if (tellClient) sendError(peer_, kErrorUndefined, reason);
  over_ = true;
  const auto kind = outcome == TransferEnd::finished ? DeliveryEventKind::finished
                    : outcome == TransferEnd::probed ? DeliveryEventKind::probed
                                                     : DeliveryEventKind::failed;
  tell(kind, outcome == TransferEnd::finished ? transfer_.plan().sizeBytes : 0, reason);
}

/// Sends what is ordered: as many blocks in one call as one datagram of the kernel's holds.
void TftpDownload::pump() {
  while (next_ < end_ && !over_) {
    std::string reason;
    if (!layBlocks(next_, countAtOnce(end_ - next_), reason)) return fail(reason);
    if (sendScratch()) next_ += laid_.count;
    if (blocked_) return;
  }
  startTimer();
  layNextWindow();
}

size_t TftpDownload::countAtOnce(uint64_t wanted) const {
  const size_t blockBytes = transfer_.plan().blksize + kHeaderBytes;
  const size_t most = segments_ ? std::min(kMostSegments, std::max<size_t>(kLargestDatagram / blockBytes, 1)) : 1;
  return static_cast<size_t>(std::min<uint64_t>(most, wanted));
}

/// While the client takes what it was sent, so that the answer to its ACK is a call to the socket and nothing else. A slip is told
/// when the blocks are due.
void TftpDownload::layNextWindow() {
  const uint64_t left = transfer_.totalBlocks() - (next_ - 1);
  std::string reason;
  if (round_.isAlone && left > 0) layBlocks(next_, countAtOnce(std::min<uint64_t>(left, transfer_.plan().windowsize)), reason);
}

/// Lays `count` DATA packets into the scratch memory, payloads read straight to their places. They may lie there already.
bool TftpDownload::layBlocks(uint64_t first, size_t count, std::string& reason) {
  if (round_.scratchOwner == id_ && laid_.first == first && laid_.count == count) return true;
  const auto& plan = transfer_.plan();
  const size_t blockBytes = plan.blksize + kHeaderBytes;
  if (round_.scratch.size() < count * blockBytes) round_.scratch.resize(count * blockBytes);
  round_.scratchOwner = id_;
  const uint64_t from = (first - 1) * plan.blksize;
  const auto wanted = static_cast<size_t>(std::min<uint64_t>(count * plan.blksize, plan.sizeBytes - from));
  laid_ = {0, count, wanted + count * kHeaderBytes};
  std::array<iovec, kMostSegments> parts;
  for (size_t i = 0; i < count; ++i) {
    uint8_t* packet = round_.scratch.data() + i * blockBytes;
    putWord(packet, kData);
    putWord(packet + 2, static_cast<uint16_t>(first + i));
    parts[i] = {packet + kHeaderBytes, std::min<size_t>(plan.blksize, wanted - std::min(wanted, i * plan.blksize))};
  }
  if (from + wanted + kReadAheadBytes / 2 > readAheadTo_ && readAheadTo_ < plan.sizeBytes) {
    posix_fadvise(file_.fd(), static_cast<off_t>(offsetBytes_ + readAheadTo_), kReadAheadBytes, POSIX_FADV_WILLNEED);
    readAheadTo_ += kReadAheadBytes;
  }
  const ssize_t got = wanted == 0 ? 0 : preadv(file_.fd(), parts.data(), static_cast<int>(count), static_cast<off_t>(offsetBytes_ + from));
  if (got == static_cast<ssize_t>(wanted)) {
    laid_.first = first;
    return true;
  }
  reason = got < 0 ? std::string("the file cannot be read: ") + strerror(errno) : "the file was shortened while it was being sent";
  return false;
}

/// Sends what is laid. False where nothing left: the socket is full, or the kernel does not segment and it has to be tried anew.
bool TftpDownload::sendScratch() {
  const size_t count = laid_.count;
  iovec part{round_.scratch.data(), laid_.length};
  alignas(cmsghdr) std::array<uint8_t, CMSG_SPACE(sizeof(uint16_t))> control{};
  msghdr header{};
  header.msg_name = const_cast<sockaddr_in*>(&peer_);
  header.msg_namelen = sizeof peer_;
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  if (count > 1) {
    header.msg_control = control.data();
    header.msg_controllen = control.size();
    cmsghdr* message = CMSG_FIRSTHDR(&header);
    message->cmsg_level = SOL_UDP;
    message->cmsg_type = UDP_SEGMENT;
    message->cmsg_len = CMSG_LEN(sizeof(uint16_t));
    const auto segment = static_cast<uint16_t>(transfer_.plan().blksize + kHeaderBytes);
    memcpy(CMSG_DATA(message), &segment, sizeof segment);
  }
  // An ICMP error of an earlier packet is told once, and the next call sends.
  for (int attempt = 0; attempt < 2; ++attempt) {
    if (sendmsg(socket_.fd(), &header, MSG_DONTWAIT) >= 0) return true;
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
      blocked_ = true;
      return false;
    }
    // No segmentation here: an old kernel, blocks larger than the interface's MTU, or a device without checksums.
    if (count > 1 && (errno == EINVAL || errno == EIO || errno == EMSGSIZE || errno == EOPNOTSUPP)) {
      segments_ = false;
      return false;
    }
  }
  return true;
}

void TftpDownload::sendError(const sockaddr_in& to, uint16_t code, const std::string& message) {
  std::vector<uint8_t> packet(kHeaderBytes);
  putWord(packet.data(), kError);
  putWord(packet.data() + 2, code);
  packet.insert(packet.end(), message.begin(), message.end());
  packet.push_back(0);
  sendto(socket_.fd(), packet.data(), packet.size(), MSG_DONTWAIT, reinterpret_cast<const sockaddr*>(&to), sizeof to);
}

/// A disk that is slow is no packet that is lost: the clock starts when the last ordered block has left.
void TftpDownload::startTimer() {
  if (timerMs_ < 0 || next_ < end_) return;
  deadlineMs_ = monotonicMs() + timerMs_;
  timerMs_ = -1;
}

}  // namespace rackboot
