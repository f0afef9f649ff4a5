#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

// The iSCSI PDUs that an initiator meets: field offsets and codes of RFC 7143, section 11.
namespace loadgen::pdu {

inline constexpr std::size_t kHeaderBytes = 48;
using Header = std::array<std::uint8_t, kHeaderBytes>;

// Initiator opcodes (11.2.1.2).
inline constexpr std::uint8_t kNopOut = 0x00;
inline constexpr std::uint8_t kScsiCommand = 0x01;
inline constexpr std::uint8_t kLoginRequest = 0x03;
inline constexpr std::uint8_t kTextRequest = 0x04;
inline constexpr std::uint8_t kDataOut = 0x05;
inline constexpr std::uint8_t kLogoutRequest = 0x06;
// Target opcodes.
inline constexpr std::uint8_t kNopIn = 0x20;
inline constexpr std::uint8_t kScsiResponse = 0x21;
inline constexpr std::uint8_t kLoginResponse = 0x23;
inline constexpr std::uint8_t kTextResponse = 0x24;
inline constexpr std::uint8_t kDataIn = 0x25;
inline constexpr std::uint8_t kLogoutResponse = 0x26;
inline constexpr std::uint8_t kR2t = 0x31;
inline constexpr std::uint8_t kAsync = 0x32;
inline constexpr std::uint8_t kReject = 0x3f;

inline constexpr std::uint8_t kImmediate = 0x40;
inline constexpr std::uint8_t kFinal = 0x80;
inline constexpr std::uint8_t kRead = 0x40;
inline constexpr std::uint8_t kWrite = 0x20;
inline constexpr std::uint8_t kSimpleTask = 0x01;
inline constexpr std::uint8_t kDataInStatus = 0x01;
inline constexpr std::uint8_t kOverflow = 0x04;
inline constexpr std::uint8_t kUnderflow = 0x02;

inline constexpr std::uint32_t kNoTag = 0xffffffff;

// Offsets within the basic header segment (11.2.1, 11.3 to 11.19).
inline constexpr std::size_t kFlags = 1;
inline constexpr std::size_t kResponse = 2;
inline constexpr std::size_t kStatus = 3;
inline constexpr std::size_t kAhsWords = 4;
inline constexpr std::size_t kDataLength = 5;
inline constexpr std::size_t kLun = 8;
inline constexpr std::size_t kItt = 16;
inline constexpr std::size_t kTtt = 20;
inline constexpr std::size_t kExpectedLength = 20;
inline constexpr std::size_t kCmdSn = 24;
inline constexpr std::size_t kStatSn = 24;
inline constexpr std::size_t kExpStatSn = 28;
inline constexpr std::size_t kExpCmdSn = 28;
inline constexpr std::size_t kMaxCmdSn = 32;
inline constexpr std::size_t kCdb = 32;
inline constexpr std::size_t kDataSn = 36;
inline constexpr std::size_t kBufferOffset = 40;
inline constexpr std::size_t kResidual = 44;
inline constexpr std::size_t kDesiredLength = 44;

inline std::uint32_t get16(const std::uint8_t* p) {
  return static_cast<std::uint32_t>(p[0] << 8 | p[1]);
}
inline std::uint32_t get24(const std::uint8_t* p) {
  return static_cast<std::uint32_t>(p[0] << 16 | p[1] << 8 | p[2]);
}
inline std::uint32_t get32(const std::uint8_t* p) {
  return static_cast<std::uint32_t>(p[0]) << 24 | get24(p + 1);
}
inline std::uint64_t get64(const std::uint8_t* p) {
  return static_cast<std::uint64_t>(get32(p)) << 32 | get32(p + 4);
}

inline void put16(std::uint8_t* p, std::uint32_t v) {
  p[0] = static_cast<std::uint8_t>(v >> 8);
  p[1] = static_cast<std::uint8_t>(v);
}
inline void put24(std::uint8_t* p, std::uint32_t v) {
  p[0] = static_cast<std::uint8_t>(v >> 16);
  put16(p + 1, v);
}
inline void put32(std::uint8_t* p, std::uint32_t v) {
  p[0] = static_cast<std::uint8_t>(v >> 24);
  put24(p + 1, v);
}
inline void put64(std::uint8_t* p, std::uint64_t v) {
  put32(p, static_cast<std::uint32_t>(v >> 32));
  put32(p + 4, static_cast<std::uint32_t>(v));
}

// Sequence numbers wrap (RFC 1982); true when a comes before or is b.
inline bool serialAtMost(std::uint32_t a, std::uint32_t b) {
  return static_cast<std::int32_t>(b - a) >= 0;
}

// SAM-5, 4.7: flat space addressing above 255, peripheral device addressing below.
inline void putLun(std::uint8_t* p, std::uint32_t lun) {
  put64(p, 0);
  put16(p, lun < 256 ? lun : 0x4000 | lun);
}

// A data segment is padded to whole words (11.2.3).
inline std::uint32_t padding(std::uint32_t length) {
  return (4 - length % 4) % 4;
}

// SAM-5, 5.3.1.
inline constexpr std::uint8_t kGood = 0x00;
inline constexpr std::uint8_t kCheckCondition = 0x02;
inline constexpr std::uint8_t kBusy = 0x08;
inline constexpr std::uint8_t kTaskSetFull = 0x28;

// SBC-4 operation codes.
inline constexpr std::uint8_t kTestUnitReady = 0x00;
inline constexpr std::uint8_t kReadCapacity10 = 0x25;
inline constexpr std::uint8_t kRead10 = 0x28;
inline constexpr std::uint8_t kWrite10 = 0x2a;
inline constexpr std::uint8_t kSynchronizeCache10 = 0x35;
inline constexpr std::uint8_t kRead16 = 0x88;
inline constexpr std::uint8_t kWrite16 = 0x8a;
inline constexpr std::uint8_t kServiceActionIn16 = 0x9e;
inline constexpr std::uint8_t kReadCapacity16 = 0x10;

}  // namespace loadgen::pdu
