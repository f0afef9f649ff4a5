import { ByteReader } from "../wire/reader.ts";
import { type Answer, checkCondition, good } from "./answer.ts";
import type { Command, CommandContext, LogicalUnit } from "./logical-unit.ts";
import { invalidField, invalidParameter, PARAMETER_LIST_LENGTH_ERROR, WRITE_PROTECTED } from "./sense.ts";

/** SBC-3, table 85. */
const ACTION = { overwrite: 0x01, blockErase: 0x02, exitFailureMode: 0x1f } as const;

/*
 * SBC-3, 5.19 SANITIZE
 *
 *  0  0x48     1  IMMED (bit 7), reserved, AUSE (bit 5), service action     2  reserved (5)     7  parameter list length (2)
 *
 * What is asked for twice is done twice; a failed one is left by EXIT FAILURE MODE, or by sanitizing again.
 */
export function sanitize({ cdb, dataOut }: Command, unit: LogicalUnit, { state }: CommandContext): Answer {
  const reader = new ByteReader(cdb);
  reader.skip(1);
  const flags = reader.u8();
  if ((flags & 0x40) !== 0) return checkCondition(invalidField(1, 6));
  for (const octet of reader.bytes(5).entries()) if (octet[1] !== 0) return checkCondition(invalidField(2 + octet[0]));
  const length = reader.u16();
  const action = flags & 0x1f;
  const immediate = (flags & 0x80) !== 0;
  if (action === ACTION.exitFailureMode) return exitFailureMode(length, state.medium.sanitizeFailed, state);
  if (state.mode.writeProtected) return checkCondition(WRITE_PROTECTED);
  if (action === ACTION.blockErase) {
    if (length !== 0) return checkCondition(invalidField(7));
    return { ...good(), job: { kind: "sanitize", passes: [undefined], immediate } };
  }
  const passes = readOverwrite(dataOut, length, unit.config.blockSize);
  return "status" in passes ? passes : { ...good(), job: { kind: "sanitize", passes: passes.patterns, immediate } };
}

function exitFailureMode(length: number, failed: boolean, { medium }: CommandContext["state"]): Answer {
  if (length !== 0) return checkCondition(invalidField(7));
  return failed ? { ...good(), change: { medium: { ...medium, sanitizeFailed: false } } } : good();
}

/*
 * SBC-3, 5.19.2.1: INVERT (bit 7), TEST (6, 5), overwrite count (4 to 0); reserved; pattern length (2), pattern
 */
function readOverwrite(dataOut: Uint8Array, length: number, blockSize: number): Answer | { readonly patterns: readonly Uint8Array[] } {
  if (length <= 4 || length > blockSize + 4) return checkCondition(invalidField(7));
  if (dataOut.length < length) return checkCondition(PARAMETER_LIST_LENGTH_ERROR);
  const list = new ByteReader(dataOut);
  const flags = list.u8();
  list.skip(1);
  const octets = list.u16();
  const count = flags & 0x1f;
  if (count === 0) return checkCondition(invalidParameter(0));
  if (octets === 0 || octets > blockSize || octets > list.remaining) return checkCondition(invalidParameter(2));
  const pattern = Uint8Array.from(list.bytes(octets));
  const inverted = pattern.map((octet) => ~octet);
  const inverts = (flags & 0x80) !== 0;
  // With INVERT, the passes alternate, and the last one is of the pattern as it is.
  return { patterns: Array.from({ length: count }, (_, pass) => (inverts && (count - 1 - pass) % 2 === 1 ? inverted : pattern)) };
}
