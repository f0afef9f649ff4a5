// Layout and constants of iSCSI PDUs, RFC 7143, section 11. Offsets are those of the figures there.
#pragma once

#include <cstdint>

#include "bytes.h"

namespace rackboot {

constexpr uint32_t kBhsBytes = 48;         // 11.2.1
constexpr uint32_t kDigestBytes = 4;       // 11.2.3
constexpr uint32_t kNoTag = 0xffffffff;    // 11.2.1.8, 11.7.4
constexpr uint32_t kLongestAhs = 255 * 4;  // 11.2.1.5
constexpr uint32_t padding(uint32_t length) {
  return -length & 3;
}

// 11.2.1.2: opcodes, six bits.
enum class Opcode : uint8_t {
  nopOut = 0x00,
  scsiCommand = 0x01,
  taskManagement = 0x02,
  login = 0x03,
  text = 0x04,
  dataOut = 0x05,
  logout = 0x06,
  snack = 0x10,
  nopIn = 0x20,
  scsiResponse = 0x21,
  taskManagementResponse = 0x22,
  loginResponse = 0x23,
  textResponse = 0x24,
  dataIn = 0x25,
  logoutResponse = 0x26,
  r2t = 0x31,
  asyncMessage = 0x32,
  reject = 0x3f,
};

constexpr uint8_t kImmediate = 0x40;    // 11.2.1.1, octet 0
constexpr uint8_t kFinal = 0x80;        // 11.2.1.3, octet 1
constexpr uint8_t kCommandRead = 0x40;  // 11.3.1, octet 1
constexpr uint8_t kCommandWrite = 0x20;
constexpr uint8_t kResidualOverflow = 0x04;  // 11.4.1 and 11.7.3, octet 1
constexpr uint8_t kResidualUnderflow = 0x02;
constexpr uint8_t kDataInStatus = 0x01;  // 11.7.3: the S bit

// Fields of the basic header segment that most PDUs share.
constexpr uint32_t kAhsLengthAt = 4;   // in words
constexpr uint32_t kDataLengthAt = 5;  // 24 bits
constexpr uint32_t kLunAt = 8;
constexpr uint32_t kIttAt = 16;
constexpr uint32_t kTttAt = 20;
constexpr uint32_t kExpectedLengthAt = 20;   // SCSI Command
constexpr uint32_t kReferencedTaskAt = 20;   // task management
constexpr uint32_t kCmdSnAt = 24;            // requests
constexpr uint32_t kStatSnAt = 24;           // responses
constexpr uint32_t kExpCmdSnAt = 28;         // responses
constexpr uint32_t kMaxCmdSnAt = 32;         // responses
constexpr uint32_t kCdbAt = 32;              // SCSI Command
constexpr uint32_t kReferencedCmdSnAt = 32;  // task management
constexpr uint32_t kDataSnAt = 36;           // Data-Out, Data-In; R2TSN in an R2T
constexpr uint32_t kBufferOffsetAt = 40;
constexpr uint32_t kDesiredLengthAt = 44;  // R2T
constexpr uint32_t kResidualAt = 44;

inline Opcode opcodeOf(const uint8_t* header) {
  return static_cast<Opcode>(header[0] & 0x3f);
}
inline bool isImmediate(const uint8_t* header) {
  return (header[0] & kImmediate) != 0;
}

// 11.5.1: task management functions.
enum class TaskFunction : uint8_t {
  abortTask = 1,
  abortTaskSet = 2,
  clearAca = 3,
  clearTaskSet = 4,
  lunReset = 5,
  targetWarmReset = 6,
  targetColdReset = 7,
  taskReassign = 8,
};

// 11.6.1: responses to them.
enum class TaskResponse : uint8_t {
  complete = 0,
  taskDoesNotExist = 1,
  lunDoesNotExist = 2,
  taskStillAllegiant = 3,
  reassignNotSupported = 4,
  notSupported = 5,
  rejected = 255,
};

// 11.17.1: reasons of a Reject.
enum class RejectReason : uint8_t {
  none = 0,
  dataDigest = 0x02,
  snack = 0x03,
  protocolError = 0x04,
  commandNotSupported = 0x05,
  immediateReject = 0x06,
  taskInProgress = 0x07,
  invalidField = 0x09,
};

/// Serial number arithmetic, RFC 1982 with SERIAL_BITS 32 (RFC 7143, 4.2.2).
inline bool before(uint32_t a, uint32_t b) {
  return static_cast<int32_t>(a - b) < 0;
}

}  // namespace rackboot
