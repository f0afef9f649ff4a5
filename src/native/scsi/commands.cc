#include "scsi/commands.h"

#include <array>

#include "bytes.h"

namespace rackboot {
namespace {

constexpr CommandRow kRows[] = {
    // opcode, name, kind, length, LBA, blocks, FUA, what denies it
    {0x00, "TEST UNIT READY", CommandKind::testUnitReady, 6, 0, 0, 0, 0, false, Denied::unit},
    {0x03, "REQUEST SENSE", CommandKind::requestSense, 6, 0, 0, 0, 0, false, Denied::nothing},
    {0x08, "READ(6)", CommandKind::read, 6, 1, 3, 4, 1, false, Denied::medium},
    {0x0a, "WRITE(6)", CommandKind::write, 6, 1, 3, 4, 1, false, Denied::writes},
    {0x28, "READ(10)", CommandKind::read, 10, 2, 4, 7, 2, true, Denied::medium},
    {0x2a, "WRITE(10)", CommandKind::write, 10, 2, 4, 7, 2, true, Denied::writes},
    {0x2e, "WRITE AND VERIFY(10)", CommandKind::writeVerify, 10, 2, 4, 7, 2, false, Denied::writes},
    {0x2f, "VERIFY(10)", CommandKind::verify, 10, 2, 4, 7, 2, false, Denied::medium},
    {0x34, "PRE-FETCH(10)", CommandKind::prefetch, 10, 2, 4, 7, 2, false, Denied::medium},
    {0x35, "SYNCHRONIZE CACHE(10)", CommandKind::synchronizeCache, 10, 2, 4, 7, 2, false, Denied::writes},
    {0x41, "WRITE SAME(10)", CommandKind::writeSame, 10, 2, 4, 7, 2, false, Denied::writes},
    {0x42, "UNMAP", CommandKind::unmap, 10, 0, 0, 7, 2, false, Denied::writes},
    {0x88, "READ(16)", CommandKind::read, 16, 2, 8, 10, 4, true, Denied::medium},
    {0x8a, "WRITE(16)", CommandKind::write, 16, 2, 8, 10, 4, true, Denied::writes},
    {0x89, "COMPARE AND WRITE", CommandKind::compareAndWrite, 16, 2, 8, 13, 1, true, Denied::writes},
    {0x8b, "ORWRITE(16)", CommandKind::orWrite, 16, 2, 8, 10, 4, true, Denied::writes},
    {0x8e, "WRITE AND VERIFY(16)", CommandKind::writeVerify, 16, 2, 8, 10, 4, false, Denied::writes},
    {0x8f, "VERIFY(16)", CommandKind::verify, 16, 2, 8, 10, 4, false, Denied::medium},
    {0x90, "PRE-FETCH(16)", CommandKind::prefetch, 16, 2, 8, 10, 4, false, Denied::medium},
    {0x91, "SYNCHRONIZE CACHE(16)", CommandKind::synchronizeCache, 16, 2, 8, 10, 4, false, Denied::writes},
    {0x93, "WRITE SAME(16)", CommandKind::writeSame, 16, 2, 8, 10, 4, false, Denied::writes},
    {0xa8, "READ(12)", CommandKind::read, 12, 2, 4, 6, 4, true, Denied::medium},
    {0xaa, "WRITE(12)", CommandKind::write, 12, 2, 4, 6, 4, true, Denied::writes},
    {0xae, "WRITE AND VERIFY(12)", CommandKind::writeVerify, 12, 2, 4, 6, 4, false, Denied::writes},
    {0xaf, "VERIFY(12)", CommandKind::verify, 12, 2, 4, 6, 4, false, Denied::medium},
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

/// SBC-4, 5.41: 10b is reserved, and 11b too where the data is written first.
Outcome decodeCheck(const CommandRow& row, uint8_t octet, BlockRange& range) {
  if (octet & kProtectMask) return kInvalidField;
  range.check = static_cast<ByteCheck>(octet >> 1 & 3);
  if (range.check == ByteCheck::reserved) return kInvalidField;
  if (range.check == ByteCheck::oneBlock && row.kind == CommandKind::writeVerify) return kInvalidField;
  return kGood;
}

/// SBC-4, 5.55: anchored blocks are not supported, and LBDATA and PBDATA are obsolete.
Outcome decodeSame(const CommandRow& row, uint8_t octet, BlockRange& range) {
  constexpr uint8_t kAnchor = 0x10, kUnmap = 0x08, kObsolete = 0x06, kNoData = 0x01;
  if (octet & (kProtectMask | kAnchor | kObsolete)) return kInvalidField;
  range.unmap = (octet & kUnmap) != 0;
  range.noData = (octet & kNoData) != 0;
  if (range.noData && row.cdbBytes == 10) return kInvalidField;
  return kGood;
}

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
  if (row.kind == CommandKind::verify || row.kind == CommandKind::writeVerify) return decodeCheck(row, cdb[1], range);
  if (row.kind == CommandKind::writeSame) return decodeSame(row, cdb[1], range);
  if (row.kind == CommandKind::unmap) return cdb[1] & 1 ? kInvalidField : kGood;  // ANCHOR
  if (!row.hasFua) return kGood;
  if (cdb[1] & kProtectMask) return kInvalidField;
  range.fua = (cdb[1] & kFua) != 0;
  return kGood;
}

}  // namespace rackboot
