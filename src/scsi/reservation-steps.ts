import {
  isHolder,
  keyOf,
  MAX_REGISTRATIONS,
  type Nexus,
  type NexusId,
  nexusId,
  RESERVATION_TYPES,
  type Registration,
  type Reservations,
} from "./reservations.ts";
import type { Attention, UnitChange } from "./unit-state.ts";

/** SPC-4, annex F.2. */
const RESERVATIONS_PREEMPTED = { asc: 0x2a, ascq: 0x03 } as const;
const RESERVATIONS_RELEASED = { asc: 0x2a, ascq: 0x04 } as const;
const REGISTRATIONS_PREEMPTED = { asc: 0x2a, ascq: 0x05 } as const;

export type Refusal =
  | "conflict"
  /** A type that is none of the six. */
  | "type"
  /** RELEASE of a reservation of another type. */
  | "release"
  /** A service action reservation key that cannot be meant. */
  | "key"
  | "full";

export type Step = { readonly change: UnitChange } | { readonly refused: Refusal };

/** A PERSISTENT RESERVE OUT as it was asked for (SPC-4, 6.14). */
export interface Request {
  readonly nexus: Nexus;
  readonly type: number;
  readonly key: bigint;
  readonly serviceKey: bigint;
  readonly aptpl: boolean;
  /** ALL_TG_PT: the nexuses of this initiator port with every target port of the target; otherwise the one that asked. */
  readonly nexuses: readonly Nexus[];
}

const NOTHING: Step = { change: {} };
const refuse = (refused: Refusal): Step => ({ refused });

function nextGeneration({ generation }: Reservations): number {
  return (generation + 1) >>> 0;
}

function others(reservations: Reservations, nexus: NexusId): readonly NexusId[] {
  return reservations.registrations.map((registration) => nexusId(registration.nexus)).filter((id) => id !== nexus);
}

function tell(what: { readonly asc: number; readonly ascq: number }, nexuses: readonly NexusId[]): readonly Attention[] {
  return nexuses.length === 0 ? [] : [{ ...what, nexuses }];
}

/** SPC-4, 5.13.7: REGISTER; `ignoring` is REGISTER AND IGNORE EXISTING KEY. */
export function register(before: Reservations, request: Request, ignoring: boolean): Step {
  const known = keyOf(before, nexusId(request.nexus));
  if (!ignoring && request.key !== (known ?? 0n)) return refuse("conflict");
  if (known === undefined && request.serviceKey === 0n) return NOTHING;
  if (request.serviceKey === 0n) return unregister(before, request);
  const meant = new Set(request.nexuses.map(nexusId));
  // SPC-4, 5.13.7.2: with ALL_TG_PT, a nexus that is registered already is in the way of a new registration.
  if (known === undefined && !ignoring && before.registrations.some(({ nexus }) => meant.has(nexusId(nexus)))) return refuse("conflict");
  const kept = before.registrations.filter(({ nexus }) => !meant.has(nexusId(nexus)));
  const registrations = [...kept, ...request.nexuses.map((nexus): Registration => ({ nexus, key: request.serviceKey }))];
  if (registrations.length > MAX_REGISTRATIONS) return refuse("full");
  return { change: { reservations: { ...before, registrations, aptpl: request.aptpl, generation: nextGeneration(before) } } };
}

/** SPC-4, 5.13.11.2 and 5.13.11.3. */
function unregister(before: Reservations, { nexus, aptpl }: Request): Step {
  const id = nexusId(nexus);
  const registrations = before.registrations.filter((registration) => nexusId(registration.nexus) !== id);
  const type = before.held === undefined ? undefined : RESERVATION_TYPES.get(before.held.type);
  const releases = type !== undefined && (type.allHold ? registrations.length === 0 : isHolder(before, id));
  const { held, ...rest } = before;
  const after = { ...rest, ...(held !== undefined && !releases && { held }), registrations, aptpl, generation: nextGeneration(before) };
  const attentions = releases && type.registrants ? tell(RESERVATIONS_RELEASED, others(before, id)) : [];
  return { change: { reservations: after, attentions } };
}

/** The nexus that asks must be registered, with this key. */
function mayAct(before: Reservations, { nexus, key }: Request): boolean {
  return keyOf(before, nexusId(nexus)) === key;
}

/** SPC-4, 5.13.9. */
export function reserve(before: Reservations, request: Request): Step {
  if (!mayAct(before, request)) return refuse("conflict");
  if (!RESERVATION_TYPES.has(request.type)) return refuse("type");
  const { held } = before;
  if (held === undefined) return { change: { reservations: { ...before, held: { type: request.type, holder: nexusId(request.nexus) } } } };
  return isHolder(before, nexusId(request.nexus)) && held.type === request.type ? NOTHING : refuse("conflict");
}

/** SPC-4, 5.13.11.1. */
export function release(before: Reservations, request: Request): Step {
  const id = nexusId(request.nexus);
  if (!mayAct(before, request)) return refuse("conflict");
  const { held, ...rest } = before;
  if (held === undefined || !isHolder(before, id)) return NOTHING;
  if (held.type !== request.type) return refuse("release");
  const attentions = RESERVATION_TYPES.get(held.type)?.registrants === true ? tell(RESERVATIONS_RELEASED, others(before, id)) : [];
  return { change: { reservations: rest, attentions } };
}

/** SPC-4, 5.13.11.6. */
export function clear(before: Reservations, request: Request): Step {
  if (!mayAct(before, request)) return refuse("conflict");
  const { held: _held, ...rest } = before;
  const after = { ...rest, registrations: [], generation: nextGeneration(before) };
  return { change: { reservations: after, attentions: tell(RESERVATIONS_PREEMPTED, others(before, nexusId(request.nexus))) } };
}

/** SPC-4, 5.13.11.4 PREEMPT and, with `aborts`, 5.13.11.5 PREEMPT AND ABORT. */
export function preempt(before: Reservations, request: Request, aborts: boolean): Step {
  const id = nexusId(request.nexus);
  if (!mayAct(before, request)) return refuse("conflict");
  if (!RESERVATION_TYPES.has(request.type)) return refuse("type");
  const { held } = before;
  const allHold = held !== undefined && RESERVATION_TYPES.get(held.type)?.allHold === true;
  if (request.serviceKey === 0n && !allHold) return refuse("key");
  const meant = ({ nexus, key }: Registration): boolean =>
    nexusId(nexus) !== id && (request.serviceKey === 0n || key === request.serviceKey);
  const gone = before.registrations.filter(meant).map(({ nexus }) => nexusId(nexus));
  const takesOver = held !== undefined && (allHold ? request.serviceKey === 0n : keyOf(before, held.holder) === request.serviceKey);
  const known = before.registrations.some(({ key }) => key === request.serviceKey);
  if (!takesOver && !known) return refuse("conflict");
  const registrations = before.registrations.filter((registration) => !meant(registration));
  const after: Reservations = {
    ...before,
    registrations,
    generation: nextGeneration(before),
    ...(takesOver && { held: { type: request.type, holder: id } }),
  };
  const stay = others(after, id);
  const changedType = takesOver && held.type !== request.type;
  return {
    change: {
      reservations: after,
      attentions: [...tell(REGISTRATIONS_PREEMPTED, gone), ...(changedType ? tell(RESERVATIONS_RELEASED, stay) : [])],
      ...(aborts && { abort: gone }),
    },
  };
}

/**
 * RESERVE(6) (SPC-2, 7.21). Beside registrations it is the compatible handling of SPC-4, 5.13.3: nothing changes for who
 * may use the unit anyway, and it is a conflict for the others.
 */
export function reserveUnit(before: Reservations, nexus: Nexus): Step {
  const id = nexusId(nexus);
  if (before.registrations.length > 0) return hasPart(before, id) ? NOTHING : refuse("conflict");
  if (before.reserved !== undefined && before.reserved !== id) return refuse("conflict");
  return { change: { reservations: { ...before, reserved: id } } };
}

/** RELEASE(6) (SPC-2, 7.17): of one who has it not, it does nothing. */
export function releaseUnit(before: Reservations, nexus: Nexus): Step {
  const id = nexusId(nexus);
  if (before.registrations.length > 0 && !hasPart(before, id)) return refuse("conflict");
  return withoutUnitReservation(before, id);
}

/** The nexus is lost (SPC-2, 5.5.1), or, with no nexus named, the unit was reset. */
export function withoutUnitReservation(before: Reservations, nexus?: NexusId): Step {
  const { reserved, ...rest } = before;
  return reserved === undefined || (nexus !== undefined && reserved !== nexus) ? NOTHING : { change: { reservations: rest } };
}

function hasPart(reservations: Reservations, nexus: NexusId): boolean {
  const { held } = reservations;
  if (held === undefined) return false;
  const registrants = RESERVATION_TYPES.get(held.type)?.registrants === true;
  return isHolder(reservations, nexus) || (registrants && keyOf(reservations, nexus) !== undefined);
}
