import { type Answer, checkCondition, good } from "./answer.ts";
import type { Command, CommandContext, LogicalUnit } from "./logical-unit.ts";
import { nexusId } from "./reservations.ts";
import { invalidField, SENSE_KEY, type Sense } from "./sense.ts";
import type { Attention } from "./unit-state.ts";

/** SPC-4, annex F.2. */
const MEDIUM_REMOVAL_PREVENTED: Sense = { key: SENSE_KEY.illegalRequest, asc: 0x53, ascq: 0x02 };
const MEDIUM_MAY_HAVE_CHANGED: Attention = { asc: 0x28, ascq: 0x00 };

/*
 * SBC-3, 5.25 START STOP UNIT
 *
 *  0  0x1b     1  IMMED (bit 0)     3  power condition modifier     4  power condition (bits 7 to 4), NO_FLUSH, LOEJ, START
 *
 * There is no motor to stop. A removable unit without its medium keeps its disk; it only says that there is none.
 */
export function startStopUnit({ cdb }: Command, unit: LogicalUnit, { state }: CommandContext): Answer {
  const octet = cdb[4] ?? 0;
  // A power condition is entered and left at once; START and LOEJ mean nothing beside it.
  if (octet >> 4 !== 0 || (octet & 0x02) === 0) return good();
  if (!unit.config.removable) return checkCondition(invalidField(4, 1));
  if (state.medium.preventing.length > 0) return checkCondition(MEDIUM_REMOVAL_PREVENTED);
  const ejected = (octet & 0x01) === 0;
  if (ejected === state.medium.ejected) return good();
  return { ...good(), change: { medium: { ...state.medium, ejected }, attentions: ejected ? [] : [MEDIUM_MAY_HAVE_CHANGED] } };
}

/** SPC-4, 6.15 (SPC-3 for disks): 00b allow, 01b prevent, for each nexus by itself; 10b and 11b are obsolete. */
export function preventAllow({ cdb }: Command, _unit: LogicalUnit, { state, nexus }: CommandContext): Answer {
  const prevent = (cdb[4] ?? 0) & 0x03;
  if ((prevent & 0x02) !== 0) return checkCondition(invalidField(4, 1));
  const id = nexusId(nexus);
  const others = state.medium.preventing.filter((other) => other !== id);
  return { ...good(), change: { medium: { ...state.medium, preventing: prevent === 1 ? [...others, id] : others } } };
}
