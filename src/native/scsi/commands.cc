#include "scsi/commands.h"

#include <array>

#include "bytes.h"

namespace rackboot {
namespace {

constexpr CommandRow kRows[] = {
    // opcode, name, kind, length, LBA, blocks, FUA
    {0x00, "TEST UNIT READY", CommandKind::testUnitReady, 6, 0, 0, 0, 0, false},
    {0x03, "REQUEST SENSE", CommandKind::requestSense, 6, 0, 0, 0, 0, false},
    {0x08, "READ(6)", CommandKind::read, 6, 1, 3, 4, 1, false},
    {0x0a, "WRITE(6)", CommandKind::write, 6, 1, 3, 4, 1, false},
    {0x28, "READ(10)", CommandKind::read, 10, 2, 4, 7, 2, true},
    {0x2a, "WRITE(10)", CommandKind::write, 10, 2, 4, 7, 2, true},
    {0x35, "SYNCHRONIZE CACHE(10)", CommandKind::synchronizeCache, 10, 2, 4, 7, 2, false},
    {0x88, "READ(16)", CommandKind::read, 16, 2, 8, 10, 4, true},
    {0x8a, "WRITE(16)", CommandKind::write, 16, 2, 8, 10, 4, true},
    {0x91, "SYNCHRONIZE CACHE(16)", CommandKind::synchronizeCache, 16, 2, 8, 10, 4, false},
    {0xa8, "READ(12)", CommandKind::read, 12, 2, 4, 6, 4, true},
    {0xaa, "WRITE(12)", CommandKind::write, 12, 2, 4, 6, 4, true},
};

constexpr std::array<const CommandRow*, 256> indexRows() {
  std::array<const CommandRow*, 256> index{};
  for (const CommandRow& row : kRows) index[row.opcode] = &row;
  return index;
}
constexpr auto kIndex = indexRows();

uint64_t field(const uint8_t* cdb, uint32_t at, uint32_t bytes) {
  uint64_t value = 0;
  for (uint32_t i = 0; i < bytes; ++i) value = value << 8 | cdb[at + i];
  return value;
}

constexpr uint8_t kProtectMask = 0xe0;  // RDPROTECT, WRPROTECT: no protection information here
constexpr uint8_t kFua = 0x08;
constexpr uint8_t kNaca = 0x04;  // SAM-5, 5.2: in the control octet; ACA is not supported

}  // namespace

const CommandRow* commandRow(uint8_t opcode) {
  return kIndex[opcode];
}

bool ignoresUnitAttention(uint8_t opcode) {
  return opcode == 0x12 /* INQUIRY */ || opcode == 0xa0 /* REPORT LUNS */ || opcode == 0x03 /* REQUEST SENSE */;
}

Outcome decode(const CommandRow& row, const uint8_t* cdb, BlockRange& range) {
  if (cdb[row.cdbBytes - 1] & kNaca) return kInvalidField;
  range.lba = field(cdb, row.lbaAt, row.lbaBytes);
  range.blocks = static_cast<uint32_t>(field(cdb, row.blocksAt, row.blocksBytes));
  if (row.cdbBytes == 6 && row.lbaBytes > 0) {
    range.lba &= 0x1fffff;  // SBC-3, 5.7: 21 bits
    if (range.blocks == 0) range.blocks = 256;
  }
  if (!row.hasFua) return kGood;
  if (cdb[1] & kProtectMask) return kInvalidField;
  range.fua = (cdb[1] & kFua) != 0;
  return kGood;
}

}  // namespace rackboot
