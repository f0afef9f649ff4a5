/** The CDBs that tests send (SBC-3, 5), as numbers. */
const be = (value: number, bytes: number): number[] => {
  const out: number[] = [];
  for (let shift = bytes - 1; shift >= 0; shift--) out.push(Math.floor(value / 256 ** shift) % 256);
  return out;
};

const FUA = 0x08;

export const cdb = {
  testUnitReady: (): number[] => [0, 0, 0, 0, 0, 0],
  requestSense: (): number[] => [3, 0, 0, 0, 252, 0],
  inquiry: (length = 96): number[] => [0x12, 0, 0, ...be(length, 2), 0],
  read6: (lba: number, blocks: number): number[] => [0x08, ...be(lba, 3), blocks, 0],
  write6: (lba: number, blocks: number): number[] => [0x0a, ...be(lba, 3), blocks, 0],
  read10: (lba: number, blocks: number): number[] => [0x28, 0, ...be(lba, 4), 0, ...be(blocks, 2), 0],
  write10: (lba: number, blocks: number, fua = false): number[] => [0x2a, fua ? FUA : 0, ...be(lba, 4), 0, ...be(blocks, 2), 0],
  read12: (lba: number, blocks: number): number[] => [0xa8, 0, ...be(lba, 4), ...be(blocks, 4), 0, 0],
  write12: (lba: number, blocks: number): number[] => [0xaa, 0, ...be(lba, 4), ...be(blocks, 4), 0, 0],
  read16: (lba: number, blocks: number): number[] => [0x88, 0, ...be(lba, 8), ...be(blocks, 4), 0, 0],
  write16: (lba: number, blocks: number, fua = false): number[] => [0x8a, fua ? FUA : 0, ...be(lba, 8), ...be(blocks, 4), 0, 0],
  synchronizeCache10: (): number[] => [0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0],
  synchronizeCache16: (): number[] => [0x91, 0, ...be(0, 8), ...be(0, 4), 0, 0],
  unmap: (listBytes: number): number[] => [0x42, 0, 0, 0, 0, 0, 0, ...be(listBytes, 2), 0],
  /** `flags`: UNMAP 08h, NDOB 01h, ANCHOR 10h. */
  writeSame10: (lba: number, blocks: number, flags = 0): number[] => [0x41, flags, ...be(lba, 4), 0, ...be(blocks, 2), 0],
  writeSame16: (lba: number, blocks: number, flags = 0): number[] => [0x93, flags, ...be(lba, 8), ...be(blocks, 4), 0, 0],
  /** `check`: BYTCHK. */
  verify10: (lba: number, blocks: number, check = 0): number[] => [0x2f, check << 1, ...be(lba, 4), 0, ...be(blocks, 2), 0],
  verify12: (lba: number, blocks: number, check = 0): number[] => [0xaf, check << 1, ...be(lba, 4), ...be(blocks, 4), 0, 0],
  verify16: (lba: number, blocks: number, check = 0): number[] => [0x8f, check << 1, ...be(lba, 8), ...be(blocks, 4), 0, 0],
  writeVerify10: (lba: number, blocks: number, check = 0): number[] => [0x2e, check << 1, ...be(lba, 4), 0, ...be(blocks, 2), 0],
  writeVerify12: (lba: number, blocks: number, check = 0): number[] => [0xae, check << 1, ...be(lba, 4), ...be(blocks, 4), 0, 0],
  writeVerify16: (lba: number, blocks: number, check = 0): number[] => [0x8e, check << 1, ...be(lba, 8), ...be(blocks, 4), 0, 0],
  compareAndWrite: (lba: number, blocks: number): number[] => [0x89, 0, ...be(lba, 8), 0, 0, 0, blocks, 0, 0],
  orWrite: (lba: number, blocks: number): number[] => [0x8b, 0, ...be(lba, 8), ...be(blocks, 4), 0, 0],
  prefetch10: (lba: number, blocks: number): number[] => [0x34, 0, ...be(lba, 4), 0, ...be(blocks, 2), 0],
  prefetch16: (lba: number, blocks: number): number[] => [0x90, 0, ...be(lba, 8), ...be(blocks, 4), 0, 0],
  modeSense6: (): number[] => [0x1a, 0, 0x3f, 0, 255, 0],
  persistentReserveOut: (length: number): number[] => [0x5f, 0, 0, 0, 0, ...be(length, 4), 0],
} as const;

/** UNMAP's parameter list (SBC-4, 5.35). */
export function unmapList(ranges: readonly (readonly [lba: number, blocks: number])[]): Buffer {
  const body = ranges.flatMap(([lba, blocks]) => [...be(lba, 8), ...be(blocks, 4), 0, 0, 0, 0]);
  return Buffer.from([...be(body.length + 6, 2), ...be(body.length, 2), 0, 0, 0, 0, ...body]);
}
