// CRC32C (Castagnoli), as RFC 7143, 13.1 uses it for digests.
#pragma once

#include <cstddef>
#include <cstdint>

namespace rackboot {

/// Extends `crc`, which is 0 for a new message; the result may be extended again. With the processor's instructions where it has them.
uint32_t crc32c(uint32_t crc, const uint8_t* data, size_t length);

/// The same without them, for machines that lack them and for tests that compare the two.
uint32_t crc32cSoftware(uint32_t crc, const uint8_t* data, size_t length);

}  // namespace rackboot
