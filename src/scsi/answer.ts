import type { CommandResult } from "../native/data-plane.ts";
import { descriptorSense, fixedSense, type Sense } from "./sense.ts";
import type { UnitJob } from "./unit-job.ts";
import type { UnitChange } from "./unit-state.ts";

/** SAM-5, 5.3.1. */
export const STATUS = { good: 0x00, checkCondition: 0x02, busy: 0x08, reservationConflict: 0x18 } as const;

/** What a command came to, before its sense data is encoded. */
export interface Answer {
  readonly status: number;
  readonly data?: Uint8Array;
  readonly sense?: Sense;
  /** What it changed of the unit; in force before the initiator hears of it. */
  readonly change?: UnitChange;
  /** What is still to be done for it; the answer is then what that came to. */
  readonly job?: UnitJob;
}

export const RESERVATION_CONFLICT: Answer = { status: STATUS.reservationConflict };

export function good(data?: Uint8Array): Answer {
  return data === undefined ? { status: STATUS.good } : { status: STATUS.good, data };
}

export function checkCondition(sense: Sense): Answer {
  return { status: STATUS.checkCondition, sense };
}

/** `descriptor`: the format that the Control mode page asks for (D_SENSE). */
export function encodeAnswer({ status, data, sense }: Answer, descriptor: boolean): CommandResult {
  const encoded = sense === undefined ? undefined : descriptor ? descriptorSense(sense) : fixedSense(sense);
  return { status, ...(data !== undefined && { data }), ...(encoded !== undefined && { sense: encoded }) };
}
