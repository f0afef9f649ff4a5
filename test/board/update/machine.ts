import { bootPartition, decodeAutoboot, encodeAutoboot } from "../../../board/update/autoboot.ts";
import type { SlotCard } from "../../../board/update/card.ts";
import {
  attempt,
  begin,
  complete,
  confirm,
  isConfirmed,
  NEW_CARD,
  otherSlot,
  type SlotName,
  type Slots,
  started,
} from "../../../board/update/slots.ts";

export const PARTITIONS: Readonly<Record<SlotName, number>> = { a: 2, b: 3 };
/** An image is written in this many pieces. */
export const PIECES = 3;

/** The current ends here. */
export class PowerCut extends Error {}

/** What a slot holds: the pieces of one version, or of two where a write was cut off. */
interface Content {
  readonly version: string;
  readonly pieces: number;
}

/**
 * A board with a card, as far as an update is concerned: each write is one that the card does whole or not at all, the boot loader
 * reads autoboot.txt by its own rules, and the flag for trying lives until the next start. After `writesLeft` writes the current ends.
 */
export class Machine implements SlotCard {
  sector: string = encodeAutoboot(NEW_CARD, PARTITIONS);
  readonly contents: Record<SlotName, Content> = { a: { version: "1", pieces: PIECES }, b: { version: "", pieces: 0 } };
  running: SlotName = "a";
  writesLeft: number = Number.POSITIVE_INFINITY;
  writes = 0;

  #spend(): void {
    if (this.writesLeft === 0) throw new PowerCut();
    this.writesLeft--;
    this.writes++;
  }

  slots(): Slots {
    const reading = decodeAutoboot(this.sector, PARTITIONS);
    if (!reading.ok) throw new Error(reading.reason);
    return reading.slots;
  }

  async read(): Promise<Slots> {
    return this.slots();
  }

  async write(slots: Slots): Promise<void> {
    this.put(slots);
  }

  put(slots: Slots): void {
    this.#spend();
    this.sector = encodeAutoboot(slots, PARTITIONS);
  }

  /** What starts. Throws where a person would see nothing on the screen. */
  boot(tryboot: boolean): SlotName {
    const number = bootPartition(this.sector, tryboot);
    const slot = (["a", "b"] as const).find((name) => PARTITIONS[name] === number);
    if (slot === undefined) throw new Error(`the loader finds no partition ${number}`);
    if (this.contents[slot].pieces !== PIECES) throw new Error(`slot ${slot} is started half written`);
    this.running = slot;
    return slot;
  }

  get version(): string {
    return this.contents[this.running].version;
  }

  /** As RAUC does it. */
  install(version: string): void {
    this.put(begin(this.slots(), this.running));
    const idle = otherSlot(this.running);
    for (let pieces = 1; pieces <= PIECES; pieces++) {
      this.#spend();
      this.contents[idle] = { version, pieces };
    }
    this.put(complete(this.slots()));
  }

  /** The restart that tries the other slot; a version that does not come up is left again by init. */
  tryOther(works: (version: string) => boolean): void {
    this.put(attempt(this.slots(), this.running));
    this.boot(true);
    this.comeUp(works);
  }

  /** What the daemon does when it is READY, or what init does when it is not. */
  comeUp(works: (version: string) => boolean): void {
    if (!works(this.version)) this.boot(false);
    const slots = this.slots();
    const next = isConfirmed(slots, this.running) ? started(slots, this.running) : confirm(slots, this.running);
    if (next !== slots) this.put(next);
  }
}
