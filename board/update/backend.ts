import type { SlotCard } from "./card.ts";
import { begin, complete, confirm, isConfirmed, isWhole, otherSlot, SlotError, type SlotName, tryTarget } from "./slots.ts";

/**
 * RAUC's questions about the boot loader (RAUC manual, "Custom bootloader backend"): `get-primary`, `set-primary SLOT`,
 * `get-state SLOT`, `set-state SLOT good|bad`, `get-current`. Resolves to what goes to stdout. Throws {@link SlotError}.
 */
export async function answerRauc(card: SlotCard, [question, slot, state]: readonly string[]): Promise<string> {
  const slots = await card.read();
  switch (question) {
    case "get-current":
      return card.running;
    case "get-primary": {
      // An installed slot is tried first: to RAUC that is the active one.
      const next = tryTarget(slots);
      return slots.states[next] === "good" ? slots.primary : next;
    }
    case "get-state":
      return isWhole(slots.states[slotOf(slot)]) ? "good" : "bad";
    case "set-primary":
      await setPrimary(card, slotOf(slot));
      return "";
    case "set-state":
      await setState(card, slotOf(slot), state);
      return "";
    default:
      throw new SlotError(`${question ?? "nothing"} is no question of RAUC's; the image and RAUC do not fit each other`);
  }
}

/** RAUC says this when an update is on the card. It does not start from now on: it is tried, and earns that. */
async function setPrimary(card: SlotCard, slot: SlotName): Promise<void> {
  const slots = await card.read();
  if (slot === slots.primary) return;
  if (slots.states[slot] === "writing") return await card.write(complete(slots));
  // By hand, of a system that is there already: it can be tried as it is.
  if (!isWhole(slots.states[slot])) throw new SlotError(`slot ${slot} is ${slots.states[slot]}; install an update first`);
}

async function setState(card: SlotCard, slot: SlotName, state: string | undefined): Promise<void> {
  const slots = await card.read();
  if (state === "good") {
    if (slot !== card.running) throw new SlotError(`only a slot that runs can be found good, and slot ${slot} does not`);
    if (!isConfirmed(slots, card.running)) await card.write(confirm(slots, card.running));
    return;
  }
  if (state !== "bad") throw new SlotError(`${state ?? "nothing"} is no state of a slot; RAUC knows good and bad`);
  if (slot !== otherSlot(card.running)) throw new SlotError(`slot ${slot} runs, and is what the card has; it cannot be given up`);
  await card.write(begin(slots, card.running));
}

function slotOf(word: string | undefined): SlotName {
  if (word === "a" || word === "b") return word;
  throw new SlotError(`there is no slot ${word ?? ""}; the slots are a and b`);
}
