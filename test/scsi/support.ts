import type { CommandResult } from "../../src/native/data-plane.ts";
import { execute } from "../../src/scsi/commands.ts";
import { NOTHING_COUNTED } from "../../src/scsi/log.ts";
import type { CommandContext, LogicalUnit } from "../../src/scsi/logical-unit.ts";
import type { Nexus } from "../../src/scsi/reservations.ts";
import { targetPortName } from "../../src/scsi/reserve.ts";
import { initialState } from "../../src/scsi/unit-state.ts";

/** Octets from hexadecimal digits; blanks are for the reader. */
export const hex = (digits: string): Uint8Array => Uint8Array.from(Buffer.from(digits.replaceAll(" ", ""), "hex"));

/** A CDB as it comes in a SCSI Command PDU: 16 octets (RFC 7143, 11.3.5). */
export function cdbOf(digits: string): Uint8Array {
  const cdb = new Uint8Array(16);
  cdb.set(hex(digits));
  return cdb;
}

/** The disk whose answers test/vectors/scsi/answers.hex keeps. */
export const UNIT: LogicalUnit = {
  sizeBytes: 1 << 30,
  serial: "4f1d2c3b4a59687786",
  naa: hex("3123456789abcdef"),
  config: { blockSize: 512, readOnly: false, writeCache: true, thin: true, removable: false },
};

export function unitWith(config: Partial<LogicalUnit["config"]>, sizeBytes: number = UNIT.sizeBytes): LogicalUnit {
  return { ...UNIT, sizeBytes, config: { ...UNIT.config, ...config } };
}

export const CONTEXT: CommandContext = {
  unit: UNIT,
  luns: [0, 1],
  target: "iqn.2026-01.lan.rackboot:uqbar",
  portalTag: 1,
  portalTags: [1, 2],
  state: initialState(UNIT),
  nexus: nexusOf("uqbar"),
  units: [],
  counters: () => NOTHING_COUNTED,
};

/** The nexus of a machine's first session through a portal. */
export function nexusOf(machine: string, portalTag = 1): Nexus {
  const target = `iqn.2026-01.lan.rackboot:${machine}`;
  return {
    initiatorPort: `iqn.1994-05.com.redhat:${machine},i,0x00023d000001`,
    targetPort: targetPortName(target, portalTag),
    portalTag,
  };
}

export function run(cdb: string, changes: Partial<CommandContext> = {}, dataOut = ""): CommandResult {
  return execute({ cdb: cdbOf(cdb), dataOut: hex(dataOut) }, { ...CONTEXT, state: initialState(changes.unit ?? UNIT), ...changes }).result;
}

/** The data of a command that must succeed. */
export function dataOf(cdb: string, changes: Partial<CommandContext> = {}): Uint8Array {
  const { status, data } = run(cdb, changes);
  if (status !== 0 || data === undefined) throw new Error(`${cdb} ended with status ${status}`);
  return data;
}

/** Sense key, code and qualifier of a failed command, and what its field pointer says: "key/asc/ascq octet.bit". */
export function senseOf({ status, sense }: CommandResult): string {
  if (status !== 2 || sense === undefined) return `status ${status}`;
  const at = (index: number): number => sense[index] ?? 0;
  const two = (value: number): string => value.toString(16).padStart(2, "0");
  const code = `${at(2) & 0xf}/${two(at(12))}/${two(at(13))}`;
  if ((at(15) & 0x80) === 0) return code;
  const bit = (at(15) & 0x08) === 0 ? "" : `.${at(15) & 7}`;
  return `${code} ${(at(15) & 0x40) === 0 ? "parameter" : "cdb"} ${(at(16) << 8) | at(17)}${bit}`;
}
