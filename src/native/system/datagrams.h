// System calls for src/native/datagrams.ts. Results are a descriptor or 0, or -errno with a sentence.
#pragma once

#include <cstdint>
#include <string>

namespace rackboot {

struct DatagramSocketOptions {
  std::string device;  // empty: any
  std::string address;
  uint16_t port = 0;
  bool broadcast = false;
};

/// A bound, non-blocking UDP socket.
int openDatagramSocket(const DatagramSocketOptions& options, std::string& message);

/// SIOCSARP: `address` is at `mac` (6 octets), behind `device`.
int setNeighbour(const std::string& device, const std::string& address, const uint8_t* mac);

}  // namespace rackboot
