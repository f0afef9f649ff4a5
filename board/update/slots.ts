/**
 * Which half of the card is started, as a pure state machine. The whole state fits one sector of the card (autoboot.ts), every
 * transition is one write of it, and each of them leaves a card that starts: the primary slot is never the one that is written.
 *
 *     empty ── begin ─> writing ── complete ─> installed ── attempt ─> trying ── confirm ─> good (and primary)
 *                          │ power cut            ^                       │ not READY in time, or a power cut
 *                          v                      └── begin, complete ──  v
 *                       writing                                        failed
 */

export type SlotName = "a" | "b";

/**
 * `empty`: never written. `writing`: being written, or cut off while it was. `installed`: whole, and not started yet.
 * `trying`: a start of it was asked for. `good`: was READY once. `failed`: was tried, and came back to the other slot.
 */
export const SLOT_STATES = ["empty", "writing", "installed", "trying", "good", "failed"] as const;
export type SlotState = (typeof SLOT_STATES)[number];

export interface Slots {
  /** What a start from power-off takes. */
  readonly primary: SlotName;
  readonly states: Readonly<Record<SlotName, SlotState>>;
}

/** A card as it was flashed. */
export const NEW_CARD: Slots = { primary: "a", states: { a: "good", b: "empty" } };

/** What cannot be done now; the message says why, and what to do. */
export class SlotError extends Error {
  readonly code = "ERR_UPDATE";
}

/** Whoever made the bundle is not whom this card trusts. */
export class SignatureError extends SlotError {}

export function otherSlot(slot: SlotName): SlotName {
  return slot === "a" ? "b" : "a";
}

/** Whole, so that it may be started. */
export function isWhole(state: SlotState): boolean {
  return state === "installed" || state === "trying" || state === "good";
}

/** A slot that is being tried still has to earn its place. */
export function isConfirmed(slots: Slots, running: SlotName): boolean {
  return slots.primary === running;
}

/** What the boot loader takes when it is asked to try: never a slot that is not whole. */
export function tryTarget({ primary, states }: Slots): SlotName {
  const other = otherSlot(primary);
  return isWhole(states[other]) ? other : primary;
}

function withState(slots: Slots, slot: SlotName, state: SlotState): Slots {
  return { ...slots, states: { ...slots.states, [slot]: state } };
}

/** Before the first octet of the idle slot is written. */
export function begin(slots: Slots, running: SlotName): Slots {
  if (!isConfirmed(slots, running)) {
    throw new SlotError("the system that runs is itself on trial; wait until it is confirmed, then install");
  }
  return withState(slots, otherSlot(running), "writing");
}

/** After the last octet is on the card. */
export function complete(slots: Slots): Slots {
  const idle = otherSlot(slots.primary);
  if (slots.states[idle] !== "writing") throw new SlotError(`slot ${idle} was not being written; install the update again`);
  return withState(slots, idle, "installed");
}

/** Before the restart that tries the idle slot: an update, or the way back to the system before. */
export function attempt(slots: Slots, running: SlotName): Slots {
  const idle = otherSlot(running);
  if (!isConfirmed(slots, running)) throw new SlotError("the system that runs is itself on trial; wait until it is confirmed");
  if (!isWhole(slots.states[idle])) {
    throw new SlotError(`there is no whole system beside this one (slot ${idle} is ${slots.states[idle]}); install an update first`);
  }
  return withState(slots, idle, "trying");
}

/** At each start: a slot that was tried and is not what runs did not make it. */
export function started(slots: Slots, running: SlotName): Slots {
  const idle = otherSlot(running);
  return isConfirmed(slots, running) && slots.states[idle] === "trying" ? withState(slots, idle, "failed") : slots;
}

/** The system that runs is READY, and is what starts from now on. */
export function confirm(slots: Slots, running: SlotName): Slots {
  return { primary: running, states: { ...slots.states, [running]: "good" } };
}

/** A person has read of a failed update: nothing of it is wanted any more. */
export function dismiss(slots: Slots): Slots {
  const idle = otherSlot(slots.primary);
  return isWhole(slots.states[idle]) ? slots : withState(slots, idle, "empty");
}
