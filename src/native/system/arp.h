// Packet sockets for src/native/arp.ts. Results are a descriptor or 0, or -errno with a sentence.
#pragma once

#include <cstdint>
#include <string>

#include "system/datagrams.h"

namespace rackboot {

/// Hears on `device` what others say in ARP as whoever has `address` (host order), and nothing else.
int openArpWatch(const std::string& device, uint32_t address, std::string& message);

/// Asks the wire who has `address`, as somebody who has none (RFC 5227, 2.1.1), from `mac`.
int sendArpProbe(int fd, uint32_t address, const uint8_t* mac);

/// Who else than `mac` was heard since the last call; false where nobody was.
bool heardArp(int fd, const uint8_t* mac, uint8_t* other);

}  // namespace rackboot
