#include "system/datagrams.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace rackboot {
namespace {

constexpr int kFullBufferMs = 5;

/// A buffer larger than the system gives to everybody takes CAP_NET_ADMIN; otherwise it is as large as everybody's may be.
void setBuffer(int fd, int forced, int plain, int bytes) {
  if (bytes > 0 && setsockopt(fd, SOL_SOCKET, forced, &bytes, sizeof bytes) != 0) setsockopt(fd, SOL_SOCKET, plain, &bytes, sizeof bytes);
}

int changeNeighbour(unsigned long what, const std::string& device, const std::string& address, arpreq& request) {
  auto& protocol = reinterpret_cast<sockaddr_in&>(request.arp_pa);
  protocol.sin_family = AF_INET;
  if (inet_pton(AF_INET, address.c_str(), &protocol.sin_addr) != 1 || device.size() >= sizeof request.arp_dev) return -EINVAL;
  std::copy_n(device.c_str(), device.size() + 1, request.arp_dev);
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  const int result = ioctl(fd, what, &request) == 0 ? 0 : -errno;
  close(fd);
  return result;
}

std::string advice(int error, const std::string& where) {
  switch (error) {
    case EADDRINUSE: return where + " is in use by another program. Stop it, or choose another port";
    case EADDRNOTAVAIL: return where + ": no interface of this machine has that address";
    case EACCES: return where + ": a port below 1024 needs CAP_NET_BIND_SERVICE. Run with it, or choose another port";
    case EPERM: return where + ": binding to a device needs CAP_NET_RAW. Run with it";
    case ENODEV: return where + ": there is no such network device. Correct its name";
    default: return where + ": " + strerror(error);
  }
}

}  // namespace

int openDatagramSocket(const DatagramSocketOptions& options, std::string& message) {
  const std::string where =
      "UDP " + options.address + ":" + std::to_string(options.port) + (options.device.empty() ? std::string() : " on " + options.device);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(options.port);
  if (inet_pton(AF_INET, options.address.c_str(), &address.sin_addr) != 1) {
    message = where + ": not an IPv4 address";
    return -EINVAL;
  }
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const int on = 1;
  const auto& device = options.device;
  // No SO_REUSEADDR: with it a second server would bind beside this one without a word, and get half of the packets.
  bool ok = fd >= 0;
  if (ok) setBuffer(fd, SO_RCVBUFFORCE, SO_RCVBUF, options.receiveBytes);
  if (ok) setBuffer(fd, SO_SNDBUFFORCE, SO_SNDBUF, options.sendBytes);
  if (ok && options.broadcast) ok = setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof on) == 0;
  if (ok && !device.empty()) ok = setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, device.c_str(), static_cast<socklen_t>(device.size())) == 0;
  if (ok && bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) return fd;
  const int error = errno;
  message = advice(error, where);
  if (fd >= 0) close(fd);
  return -error;
}

std::vector<int> sendDatagrams(int fd, const std::vector<Datagram>& datagrams) {
  const size_t count = datagrams.size();
  std::vector<int> errors(count, 0);
  std::vector<sockaddr_in> addresses(count);
  std::vector<iovec> pieces(count);
  std::vector<mmsghdr> messages(count);
  for (size_t i = 0; i < count; ++i) {
    const Datagram& datagram = datagrams[i];
    addresses[i].sin_family = AF_INET;
    addresses[i].sin_port = htons(datagram.port);
    addresses[i].sin_addr.s_addr = htonl(datagram.address);
    // sendmmsg reads only.
    pieces[i] = {const_cast<uint8_t*>(datagram.data), datagram.size};
    messages[i].msg_hdr.msg_name = &addresses[i];
    messages[i].msg_hdr.msg_namelen = sizeof addresses[i];
    messages[i].msg_hdr.msg_iov = &pieces[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }
  bool waited = false;
  for (size_t at = 0; at < count;) {
    const int sent = sendmmsg(fd, &messages[at], static_cast<unsigned>(count - at), 0);
    if (sent > 0) {
      at += static_cast<size_t>(sent);
    } else if (errno == EAGAIN && !waited) {
      pollfd wanted{fd, POLLOUT, 0};
      poll(&wanted, 1, kFullBufferMs);
      waited = true;
    } else if (errno != EINTR) {
      errors[at++] = errno;
    }
  }
  return errors;
}

std::vector<ReceivedDatagram> receiveDatagrams(int fd, uint8_t* slots) {
  std::array<sockaddr_in, kDatagramsAtOnce> addresses{};
  std::array<iovec, kDatagramsAtOnce> pieces{};
  std::array<mmsghdr, kDatagramsAtOnce> messages{};
  for (size_t i = 0; i < kDatagramsAtOnce; ++i) {
    pieces[i] = {slots + kDatagramSlotBytes * i, kDatagramSlotBytes};
    messages[i].msg_hdr.msg_name = &addresses[i];
    messages[i].msg_hdr.msg_namelen = sizeof addresses[i];
    messages[i].msg_hdr.msg_iov = &pieces[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }
  // Whatever keeps it from reading is found by whoever waits for the socket.
  const int count = std::max(0, recvmmsg(fd, messages.data(), kDatagramsAtOnce, MSG_DONTWAIT, nullptr));
  std::vector<ReceivedDatagram> received(static_cast<size_t>(count));
  for (size_t i = 0; i < received.size(); ++i) {
    received[i] = {messages[i].msg_len, ntohl(addresses[i].sin_addr.s_addr), ntohs(addresses[i].sin_port)};
  }
  return received;
}

int setNeighbour(const std::string& device, const std::string& address, const uint8_t* mac) {
  arpreq request{};
  request.arp_ha.sa_family = ARPHRD_ETHER;
  std::copy_n(mac, kMacBytes, request.arp_ha.sa_data);
  request.arp_flags = ATF_COM;
  return changeNeighbour(SIOCSARP, device, address, request);
}

int getNeighbour(const std::string& device, const std::string& address, uint8_t* mac) {
  arpreq request{};
  const int result = changeNeighbour(SIOCGARP, device, address, request);
  if (result != 0) return result;
  if ((request.arp_flags & ATF_COM) == 0) return -ENXIO;
  std::copy_n(reinterpret_cast<const uint8_t*>(request.arp_ha.sa_data), kMacBytes, mac);
  return 0;
}

int forgetNeighbour(const std::string& device, const std::string& address) {
  arpreq request{};
  return changeNeighbour(SIOCDARP, device, address, request);
}

}  // namespace rackboot
