/**
 * Who has a unit to himself: persistent reservations (SPC-4, 5.13) and those of RESERVE(6) (SPC-2, 5.5), as a state and
 * the steps that lead from one to the next. Pure: it knows nexuses by their names, and nothing of connections.
 */

/** An initiator port and a target port: see {@link nexusId}. Also the TransportID of the first and the name of the second. */
export type NexusId = string;

export interface Nexus {
  /** SPC-4, 7.6.4.6: "iqn...,i,0x" and the ISID in 12 digits. */
  readonly initiatorPort: string;
  /** RFC 7143, 4.4.1.2: "iqn...,t,0x" and the target portal group tag in 4 digits. */
  readonly targetPort: string;
  /** Relative target port identifier. */
  readonly portalTag: number;
}

export function nexusId({ initiatorPort, targetPort }: Nexus): NexusId {
  return `${initiatorPort} ${targetPort}`;
}

export interface Registration {
  readonly nexus: Nexus;
  readonly key: bigint;
}

/** What a type keeps others from, and whether every registrant may do what its holder may. */
export interface ReservationType {
  readonly denied: "writes" | "medium";
  readonly registrants: boolean;
  /** Every registrant is a holder. */
  readonly allHold: boolean;
}

/** SPC-4, table 66 (7.3.3.4); the names are the standard's. */
export const RESERVATION_TYPES: ReadonlyMap<number, ReservationType & { readonly name: string }> = new Map([
  [1, { name: "Write Exclusive", denied: "writes", registrants: false, allHold: false }],
  [3, { name: "Exclusive Access", denied: "medium", registrants: false, allHold: false }],
  [5, { name: "Write Exclusive - Registrants Only", denied: "writes", registrants: true, allHold: false }],
  [6, { name: "Exclusive Access - Registrants Only", denied: "medium", registrants: true, allHold: false }],
  [7, { name: "Write Exclusive - All Registrants", denied: "writes", registrants: true, allHold: true }],
  [8, { name: "Exclusive Access - All Registrants", denied: "medium", registrants: true, allHold: true }],
]);

export interface Reservations {
  /** PRGENERATION; 0 after every start of the daemon. */
  readonly generation: number;
  /** Kept over a restart of the daemon. */
  readonly aptpl: boolean;
  readonly registrations: readonly Registration[];
  /** The persistent reservation; with "all registrants", `holder` says nothing. */
  readonly held?: { readonly type: number; readonly holder: NexusId };
  /** Who did RESERVE(6). */
  readonly reserved?: NexusId;
}

export const NO_RESERVATIONS: Reservations = { generation: 0, aptpl: false, registrations: [] };

/** Registrations of one unit: a rack of two paths each, with room. */
export const MAX_REGISTRATIONS = 256;

/** What is in a command's way, least first; see `denied` of {@link import("./opcodes.ts").Opcode}. */
export const DENIED = ["nothing", "writes", "medium", "unit"] as const;
export type Denied = (typeof DENIED)[number];

export function keyOf(reservations: Reservations, nexus: NexusId): bigint | undefined {
  return reservations.registrations.find((registration) => nexusId(registration.nexus) === nexus)?.key;
}

export function isHolder(reservations: Reservations, nexus: NexusId): boolean {
  const { held } = reservations;
  if (held === undefined) return false;
  return RESERVATION_TYPES.get(held.type)?.allHold === true ? keyOf(reservations, nexus) !== undefined : held.holder === nexus;
}

/** What reservations keep a nexus from. */
export function deniedTo(reservations: Reservations, nexus: NexusId): Denied {
  if (reservations.reserved !== undefined) return reservations.reserved === nexus ? "nothing" : "unit";
  const type = reservations.held === undefined ? undefined : RESERVATION_TYPES.get(reservations.held.type);
  if (type === undefined || isHolder(reservations, nexus)) return "nothing";
  return type.registrants && keyOf(reservations, nexus) !== undefined ? "nothing" : type.denied;
}

/** What they keep those from who have no part in them. */
export function deniedToOthers(reservations: Reservations): Denied {
  return deniedTo(reservations, "");
}

/** Whether a command that `needs` at least this much is in conflict where `denied` is what is kept from its nexus. */
export function conflicts(denied: Denied, needs: Denied): boolean {
  return needs !== "nothing" && DENIED.indexOf(denied) >= DENIED.indexOf(needs);
}
