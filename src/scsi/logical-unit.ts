import type { VolumeConfig } from "../machine/config.ts";
import type { UnitCounters } from "./log.ts";
import type { Nexus } from "./reservations.ts";
import type { UnitState } from "./unit-state.ts";

/** What INQUIRY says of every disk of ours; left-justified ASCII (SPC-4, 6.4.2). */
export const VENDOR = "RACKBOOT";
export const PRODUCT = "DISK";
/** Told to initiators, so it changes only when what they are told does. */
export const REVISION = "0001";

/** A disk as an initiator is told of it. All of it is stable over restarts of the daemon. */
export interface LogicalUnit {
  readonly sizeBytes: number;
  /** The unit serial number, printable ASCII. */
  readonly serial: string;
  /** The NAA identifier, eight octets. */
  readonly naa: Uint8Array;
  readonly config: Pick<VolumeConfig, "blockSize" | "readOnly" | "writeCache" | "thin" | "removable">;
}

/** What a command is answered from, beside its CDB. */
export interface CommandContext {
  /** Undefined for a LUN that the session does not have. */
  readonly unit: LogicalUnit | undefined;
  /** What initiators have set on the unit; of no meaning without one. */
  readonly state: UnitState;
  readonly nexus: Nexus;
  /** Every unit of the session, for commands that are about several. */
  readonly units: readonly LogicalUnit[];
  /** The LUNs of the session. */
  readonly luns: readonly number[];
  /** The target's iSCSI name; undefined in a discovery session. */
  readonly target: string | undefined;
  /** Relative target port and target port group of the session, from 1. */
  readonly portalTag: number;
  /** Of all portals. */
  readonly portalTags: readonly number[];
  readonly counters: () => UnitCounters;
}

/** A command with everything that came with it. */
export interface Command {
  readonly cdb: Uint8Array;
  readonly dataOut: Uint8Array;
}

export function blocksOf(unit: LogicalUnit): number {
  return Math.floor(unit.sizeBytes / unit.config.blockSize);
}
