#include "crc32c.hpp"

#include <array>
#include <cstring>

namespace loadgen {
namespace {

constexpr std::array<std::uint32_t, 256> makeTable() {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i < table.size(); ++i) {
    std::uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) value = value >> 1 ^ (value & 1 ? 0x82f63b78u : 0);
    table[i] = value;
  }
  return table;
}
constexpr auto kTable = makeTable();

std::uint32_t crcTable(std::uint32_t crc, const std::uint8_t* data, std::size_t length) {
  while (length-- > 0) crc = crc >> 8 ^ kTable[(crc ^ *data++) & 0xff];
  return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) std::uint32_t crcHardware(std::uint32_t crc, const std::uint8_t* data, std::size_t length) {
  std::uint64_t wide = crc;
  for (; length >= 8; data += 8, length -= 8) {
    std::uint64_t word;
    std::memcpy(&word, data, 8);
    wide = __builtin_ia32_crc32di(wide, word);
  }
  return crcTable(static_cast<std::uint32_t>(wide), data, length);
}
bool haveHardware() {
  return __builtin_cpu_supports("sse4.2");
}
#else
std::uint32_t crcHardware(std::uint32_t crc, const std::uint8_t* data, std::size_t length) {
  return crcTable(crc, data, length);
}
bool haveHardware() {
  return false;
}
#endif

}  // namespace

std::uint32_t crc32c(std::uint32_t crc, const std::uint8_t* data, std::size_t length) {
  static const bool hardware = haveHardware();
  return ~(hardware ? crcHardware(~crc, data, length) : crcTable(~crc, data, length));
}

void putDigest(std::uint8_t* to, std::uint32_t crc) {
  for (int i = 0; i < 4; ++i) to[i] = static_cast<std::uint8_t>(crc >> (8 * i));
}

}  // namespace loadgen
