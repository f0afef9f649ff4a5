#include "storage/crc32c.h"

#include <array>
#include <cstring>

#if defined(__x86_64__)
#include <nmmintrin.h>
#define RACKBOOT_CRC_TARGET __attribute__((target("sse4.2")))
#elif defined(__aarch64__)
#include <arm_acle.h>
#include <sys/auxv.h>
#define RACKBOOT_CRC_TARGET __attribute__((target("+crc")))
#ifndef HWCAP_CRC32
#define HWCAP_CRC32 (1 << 7)
#endif
#endif

namespace rackboot {
namespace {

constexpr uint32_t kPolynomial = 0x82f63b78;  // reflected

/// Table k advances a byte by k further zero bytes, so that eight bytes take one step ("slicing by eight").
constexpr std::array<std::array<uint32_t, 256>, 8> makeTables() {
  std::array<std::array<uint32_t, 256>, 8> tables{};
  for (uint32_t n = 0; n < 256; ++n) {
    uint32_t crc = n;
    for (int bit = 0; bit < 8; ++bit) crc = crc & 1 ? crc >> 1 ^ kPolynomial : crc >> 1;
    tables[0][n] = crc;
  }
  for (uint32_t n = 0; n < 256; ++n) {
    for (size_t k = 1; k < 8; ++k) tables[k][n] = tables[k - 1][n] >> 8 ^ tables[0][tables[k - 1][n] & 0xff];
  }
  return tables;
}
constexpr auto kTables = makeTables();

uint32_t updateSoftware(uint32_t crc, const uint8_t* p, size_t n) {
  for (; n >= 8; p += 8, n -= 8) {
    const uint32_t low = crc ^ (uint32_t{p[0]} | uint32_t{p[1]} << 8 | uint32_t{p[2]} << 16 | uint32_t{p[3]} << 24);
    crc = kTables[7][low & 0xff] ^ kTables[6][low >> 8 & 0xff] ^ kTables[5][low >> 16 & 0xff] ^ kTables[4][low >> 24] ^ kTables[3][p[4]] ^
          kTables[2][p[5]] ^ kTables[1][p[6]] ^ kTables[0][p[7]];
  }
  for (; n > 0; ++p, --n) crc = crc >> 8 ^ kTables[0][(crc ^ *p) & 0xff];
  return crc;
}

#ifdef RACKBOOT_CRC_TARGET
/// Octets of one of three interleaved streams. One CRC instruction has a latency of three cycles and a throughput of one a
/// cycle: three independent streams keep it busy.
constexpr size_t kLongStream = 4096;
constexpr size_t kShortStream = 256;

/// What `length` zero octets make of a CRC is linear in its bits, so four tables of 256 entries hold it.
class Shift {
 public:
  explicit Shift(size_t length) {
    std::array<uint32_t, 32> basis;
    const std::array<uint8_t, kShortStream> zeros{};
    for (uint32_t bit = 0; bit < 32; ++bit) {
      uint32_t crc = uint32_t{1} << bit;
      for (size_t done = 0; done < length; done += zeros.size()) crc = updateSoftware(crc, zeros.data(), zeros.size());
      basis[bit] = crc;
    }
    for (uint32_t k = 0; k < 4; ++k) {
      for (uint32_t n = 0; n < 256; ++n) {
        uint32_t sum = 0;
        for (uint32_t bit = 0; bit < 8; ++bit) sum ^= n >> bit & 1 ? basis[8 * k + bit] : 0;
        tables_[k][n] = sum;
      }
    }
  }
  uint32_t operator()(uint32_t crc) const {
    return tables_[0][crc & 0xff] ^ tables_[1][crc >> 8 & 0xff] ^ tables_[2][crc >> 16 & 0xff] ^ tables_[3][crc >> 24];
  }

 private:
  std::array<std::array<uint32_t, 256>, 4> tables_;
};

inline uint64_t load64(const uint8_t* p) {
  uint64_t v;
  memcpy(&v, p, sizeof v);
  return v;
}

RACKBOOT_CRC_TARGET inline uint64_t step8(uint64_t crc, uint64_t word) {
#if defined(__x86_64__)
  return _mm_crc32_u64(crc, word);
#else
  return __crc32cd(static_cast<uint32_t>(crc), word);
#endif
}
RACKBOOT_CRC_TARGET inline uint32_t step1(uint32_t crc, uint8_t octet) {
#if defined(__x86_64__)
  return _mm_crc32_u8(crc, octet);
#else
  return __crc32cb(crc, octet);
#endif
}

RACKBOOT_CRC_TARGET size_t interleaved(uint32_t& crc, const uint8_t* p, size_t n, size_t stream, const Shift& shift) {
  size_t done = 0;
  for (; n - done >= 3 * stream; done += 3 * stream) {
    uint64_t a = crc, b = 0, c = 0;
    const uint8_t* at = p + done;
    for (size_t i = 0; i < stream; i += 8) {
      a = step8(a, load64(at + i));
      b = step8(b, load64(at + stream + i));
      c = step8(c, load64(at + 2 * stream + i));
    }
    crc = shift(shift(static_cast<uint32_t>(a)) ^ static_cast<uint32_t>(b)) ^ static_cast<uint32_t>(c);
  }
  return done;
}

RACKBOOT_CRC_TARGET uint32_t updateHardware(uint32_t crc, const uint8_t* p, size_t n) {
  static const Shift longShift(kLongStream);
  static const Shift shortShift(kShortStream);
  size_t done = interleaved(crc, p, n, kLongStream, longShift);
  done += interleaved(crc, p + done, n - done, kShortStream, shortShift);
  p += done;
  n -= done;
  for (; n >= 8; p += 8, n -= 8) crc = static_cast<uint32_t>(step8(crc, load64(p)));
  for (; n > 0; ++p, --n) crc = step1(crc, *p);
  return crc;
}

bool hasInstructions() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("sse4.2") != 0;
#else
  return (getauxval(AT_HWCAP) & HWCAP_CRC32) != 0;
#endif
}
#endif

}  // namespace

uint32_t crc32cSoftware(uint32_t crc, const uint8_t* data, size_t length) {
  return ~updateSoftware(~crc, data, length);
}

uint32_t crc32c(uint32_t crc, const uint8_t* data, size_t length) {
#ifdef RACKBOOT_CRC_TARGET
  static const bool fast = hasInstructions();
  if (fast) return ~updateHardware(~crc, data, length);
#endif
  return crc32cSoftware(crc, data, length);
}

}  // namespace rackboot
