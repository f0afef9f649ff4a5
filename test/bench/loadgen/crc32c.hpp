#pragma once

#include <cstddef>
#include <cstdint>

namespace loadgen {

// CRC32C (RFC 7143, 13.1) of `length` octets, continuing from `crc`, which starts and ends complemented: pass 0 first.
std::uint32_t crc32c(std::uint32_t crc, const std::uint8_t* data, std::size_t length);

// The digest goes out least significant octet first.
void putDigest(std::uint8_t* to, std::uint32_t crc);

}  // namespace loadgen
