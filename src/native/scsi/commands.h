// The commands that the data path answers itself, as a table: whatever is not in it goes up to TypeScript.
#pragma once

#include <cstdint>

#include "scsi/sense.h"
#include "storage/volume.h"

namespace rackboot {

enum class CommandKind : uint8_t {
  passUp,  // not in the table
  testUnitReady,
  requestSense,
  read,
  write,
  synchronizeCache,
  prefetch,
  // Carried out step by step (iscsi/medium.cc).
  unmap,
  writeSame,
  verify,
  writeVerify,
  compareAndWrite,
  orWrite,
};

/// Where an opcode keeps what a block command needs (SBC-3, 5; READ(6) in SBC-3, 5.7).
struct CommandRow {
  uint8_t opcode;
  const char* name;
  CommandKind kind;
  uint8_t cdbBytes;
  uint8_t lbaAt, lbaBytes;
  uint8_t blocksAt, blocksBytes;  // 0 octets: none; of UNMAP the parameter list length
  bool hasFua;                    // octet 1: protection in bits 7-5, DPO bit 4, FUA bit 3
  Denied denied;                  // by what a reservation of another has to deny, at least, to be in its way (SBC-3, 4.17)
};

/// Rows by opcode; null where TypeScript answers.
const CommandRow* commandRow(uint8_t opcode);

/// SPC-4, 5.14 (SAM-5, 5.14): answered although a unit attention waits, and without clearing it.
bool ignoresUnitAttention(uint8_t opcode);

/// BYTCHK of VERIFY and WRITE AND VERIFY (SBC-4, 5.41): what the medium is compared with.
enum class ByteCheck : uint8_t { none = 0, data = 1, reserved = 2, oneBlock = 3 };

// Bounds of one command, which vpd.ts tells in the Block Limits page. They bound how long a volume cannot be frozen, and memory.
constexpr uint64_t kUnmapBytes = 512 << 20;  // all descriptors together
constexpr uint32_t kUnmapDescriptors = 256;
constexpr uint64_t kWriteSameBytes = 1 << 30;
constexpr uint32_t kCompareAndWriteBlocks = 1;

/// A CDB of the table in numbers.
struct BlockRange {
  uint64_t lba = 0;
  uint32_t blocks = 0;
  bool fua = false;
  ByteCheck check = ByteCheck::none;
  bool unmap = false;   // WRITE SAME may give the blocks back
  bool noData = false;  // NDOB: WRITE SAME writes zeroes that nobody sends
};

/// Reads a CDB of 16 octets. Returns kGood, or kInvalidField for bits that nothing here supports.
Outcome decode(const CommandRow& row, const uint8_t* cdb, BlockRange& range);

}  // namespace rackboot
