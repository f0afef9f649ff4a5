import type { LogicalUnit } from "./logical-unit.ts";
import { type NexusId, NO_RESERVATIONS, type Reservations } from "./reservations.ts";
import { MEDIUM_NOT_PRESENT, SANITIZE_FAILED, SANITIZE_IN_PROGRESS, type Sense } from "./sense.ts";
import type { CopyResult } from "./unit-job.ts";

/** What MODE SELECT can change; all initiators of a unit share it (SPC-4, 5.8). */
export interface ModeParameters {
  /** WCE, Caching mode page. */
  readonly writeCache: boolean;
  /** D_SENSE, Control mode page. */
  readonly descriptorSense: boolean;
  /** SWP, Control mode page. */
  readonly writeProtected: boolean;
}

/** Whether the medium can be used. */
export interface MediumState {
  /** A removable unit says that it has none. */
  readonly ejected: boolean;
  /** Who prevents its removal. */
  readonly preventing: readonly NexusId[];
  /** SANITIZE is under way: from 0 to 1. */
  readonly sanitizing?: number;
  readonly sanitizeFailed: boolean;
}

export const MEDIUM_PRESENT: MediumState = { ejected: false, preventing: [], sanitizeFailed: false };

/** What the data plane answers commands with that need the medium, where they cannot have it. */
export function unreadySense({ sanitizing, sanitizeFailed, ejected }: MediumState): Sense | undefined {
  if (sanitizing !== undefined) return { ...SANITIZE_IN_PROGRESS, progress: sanitizing };
  if (sanitizeFailed) return SANITIZE_FAILED;
  return ejected ? MEDIUM_NOT_PRESENT : undefined;
}

/** What initiators have set on a unit. */
export interface UnitState {
  readonly mode: ModeParameters;
  readonly reservations: Reservations;
  readonly medium: MediumState;
  /** The latest copies, oldest first. */
  readonly copies: readonly CopyResult[];
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
  readonly medium?: MediumState;
  readonly attentions?: readonly Attention[];
  /** Whose commands are aborted. */
  readonly abort?: readonly NexusId[];
}

/** As the configuration has it. */
export function defaultMode({ config }: Pick<LogicalUnit, "config">): ModeParameters {
  return { writeCache: config.writeCache, descriptorSense: false, writeProtected: config.readOnly };
}

export function initialState(unit: Pick<LogicalUnit, "config">): UnitState {
  return { mode: defaultMode(unit), reservations: NO_RESERVATIONS, medium: MEDIUM_PRESENT, copies: [] };
}
