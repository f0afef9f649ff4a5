// System calls for src/native/datagrams.ts. Results are a descriptor or 0, or -errno with a sentence.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace rackboot {

constexpr size_t kMacBytes = 6;

struct DatagramSocketOptions {
  std::string device;  // empty: any
  std::string address;
  uint16_t port = 0;
  bool broadcast = false;
  int receiveBytes = 0;  // 0: the system's usual
  int sendBytes = 0;
};

/// A bound, non-blocking UDP socket.
int openDatagramSocket(const DatagramSocketOptions& options, std::string& message);

struct Datagram {
  const uint8_t* data = nullptr;
  size_t size = 0;
  uint32_t address = 0;  // host order
  uint16_t port = 0;
};

/// All of them, in as few system calls as it takes; an errno (or 0) for each. Waits a few milliseconds for a full send buffer.
std::vector<int> sendDatagrams(int fd, const std::vector<Datagram>& datagrams);

/// As many are taken at a time. What is longer than any message of DHCP in one frame is cut off, and makes no sense to its reader.
constexpr size_t kDatagramsAtOnce = 64;
constexpr size_t kDatagramSlotBytes = 4096;

struct ReceivedDatagram {
  size_t size = 0;
  uint32_t address = 0;  // host order
  uint16_t port = 0;
};

/// What waits at a socket, in one system call: datagram i stands at kDatagramSlotBytes * i of `slots`, which holds kDatagramsAtOnce.
std::vector<ReceivedDatagram> receiveDatagrams(int fd, uint8_t* slots);

/// SIOCSARP: `address` is at `mac` (6 octets), behind `device`.
int setNeighbour(const std::string& device, const std::string& address, const uint8_t* mac);

/// SIOCGARP: who answered for `address` behind `device`; -ENXIO where nobody did.
int getNeighbour(const std::string& device, const std::string& address, uint8_t* mac);

/// SIOCDARP: the next packet to `address` asks anew who has it.
int forgetNeighbour(const std::string& device, const std::string& address);

}  // namespace rackboot
