import type { LogicalUnit } from "./logical-unit.ts";
import { type NexusId, NO_RESERVATIONS, type Reservations } from "./reservations.ts";

/** What MODE SELECT can change; all initiators of a unit share it (SPC-4, 5.8). */
export interface ModeParameters {
  /** WCE, Caching mode page. */
  readonly writeCache: boolean;
  /** D_SENSE, Control mode page. */
  readonly descriptorSense: boolean;
  /** SWP, Control mode page. */
  readonly writeProtected: boolean;
}

/** What initiators have set on a unit. */
export interface UnitState {
  readonly mode: ModeParameters;
  readonly reservations: Reservations;
}

/** SAM-5, 5.14; SPC-4, annex F: whom of those that see the unit it is about. */
export interface Attention {
  readonly asc: number;
  readonly ascq: number;
  /** Absent: everybody but the one whose command it was. */
  readonly nexuses?: readonly NexusId[];
}

export interface UnitChange {
  readonly mode?: ModeParameters;
  readonly reservations?: Reservations;
  readonly attentions?: readonly Attention[];
  /** Whose commands are aborted. */
  readonly abort?: readonly NexusId[];
}

/** As the configuration has it. */
export function defaultMode({ config }: Pick<LogicalUnit, "config">): ModeParameters {
  return { writeCache: config.writeCache, descriptorSense: false, writeProtected: config.readOnly };
}

export function initialState(unit: Pick<LogicalUnit, "config">): UnitState {
  return { mode: defaultMode(unit), reservations: NO_RESERVATIONS };
}
