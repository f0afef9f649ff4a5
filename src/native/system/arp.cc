#include "system/arp.h"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace rackboot {
namespace {

/// RFC 826, of IPv4 over Ethernet.
struct __attribute__((packed)) ArpPacket {
  uint16_t hardware;
  uint16_t protocol;
  uint8_t hardwareBytes;
  uint8_t protocolBytes;
  uint16_t operation;
  uint8_t senderMac[kMacBytes];
  uint32_t sender;
  uint8_t targetMac[kMacBytes];
  uint32_t target;
};
static_assert(sizeof(ArpPacket) == 28);

/// Nobody sends so many between two looks but to keep us busy.
constexpr int kPacketsOfALook = 64;

/// The kernel drops all others, so that a busy wire costs nothing between two looks.
int onlyFrom(int fd, uint32_t address) {
  sock_filter steps[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(ArpPacket, sender)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, address, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, sizeof(ArpPacket)),
      BPF_STMT(BPF_RET | BPF_K, 0),
  };
  const sock_fprog program = {sizeof steps / sizeof steps[0], steps};
  return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0 ? 0 : -errno;
}

}  // namespace

int openArpWatch(const std::string& device, uint32_t address, std::string& message) {
  // Protocol 0 hears nothing yet: what comes before the filter is there would be taken for a claim.
  const int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  int error = fd < 0 ? errno : 0;
  sockaddr_ll where{};
  where.sll_family = AF_PACKET;
  where.sll_protocol = htons(ETH_P_ARP);
  where.sll_ifindex = static_cast<int>(if_nametoindex(device.c_str()));
  if (error == 0 && where.sll_ifindex == 0) error = ENODEV;
  if (error == 0) error = -onlyFrom(fd, address);
  if (error == 0 && bind(fd, reinterpret_cast<sockaddr*>(&where), sizeof where) != 0) error = errno;
  if (error == 0) return fd;
  if (fd >= 0) close(fd);
  message = "ARP on " + device + ": " + (error == EPERM ? "a packet socket needs CAP_NET_RAW. Run with it" : strerror(error));
  return -error;
}

int sendArpProbe(int fd, uint32_t address, const uint8_t* mac) {
  sockaddr_ll to{};
  socklen_t size = sizeof to;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&to), &size) != 0) return -errno;
  to.sll_protocol = htons(ETH_P_ARP);
  to.sll_halen = kMacBytes;
  std::fill_n(to.sll_addr, kMacBytes, 0xff);
  ArpPacket probe{};
  probe.hardware = htons(ARPHRD_ETHER);
  probe.protocol = htons(ETH_P_IP);
  probe.hardwareBytes = kMacBytes;
  probe.protocolBytes = sizeof probe.target;
  probe.operation = htons(ARPOP_REQUEST);
  std::copy_n(mac, kMacBytes, probe.senderMac);
  probe.target = htonl(address);
  return sendto(fd, &probe, sizeof probe, 0, reinterpret_cast<sockaddr*>(&to), sizeof to) < 0 ? -errno : 0;
}

bool heardArp(int fd, const uint8_t* mac, uint8_t* other) {
  bool heard = false;
  for (int i = 0; i < kPacketsOfALook; ++i) {
    ArpPacket packet;
    const ssize_t size = recv(fd, &packet, sizeof packet, 0);
    if (size < 0) return heard;
    if (size < static_cast<ssize_t>(sizeof packet) || std::equal(mac, mac + kMacBytes, packet.senderMac)) continue;
    std::copy_n(packet.senderMac, kMacBytes, other);
    heard = true;
  }
  return heard;
}

}  // namespace rackboot
