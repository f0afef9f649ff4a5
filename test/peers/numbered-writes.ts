import { randomInt } from "node:crypto";
import { BLOCK, type DiskClient } from "./disk-client.ts";

/**
 * Writes to a disk that is to lose its server or its power, and what may be found there afterwards. Every sector carries who
 * wrote it, where, and which of its writes it was, so that a sector that is neither old nor new is seen, as is one that a
 * neighbour wrote, and one whose write should be there and is gone.
 */

export const DISK_BYTES: number = 16 * 1024 * 1024;
export const SLOT_BLOCKS = 8;
export const SLOTS: number = DISK_BYTES / BLOCK / SLOT_BLOCKS;
/** Read or filled with one command. */
const SLOTS_AT_ONCE = 64;
const FUA_EVERY = 16;
const FLUSH_EVERY = 64;

/** What sector `block` of a slot holds after a machine's write number `write`; 0 is what the origin has. */
function sector(machine: string, slot: number, block: number, write: number): Buffer {
  const text = `${write === 0 ? "golden" : machine} slot ${slot} block ${block} write ${write} `;
  return Buffer.alloc(BLOCK, text);
}

function slotContent(machine: string, slot: number, write: number): Buffer {
  return Buffer.concat(Array.from({ length: SLOT_BLOCKS }, (_, block) => sector(machine, slot, block, write)));
}

/** Writes what clones begin with, and flushes it. */
export async function fillOrigin(client: DiskClient): Promise<void> {
  for (let first = 0; first < SLOTS; first += SLOTS_AT_ONCE) {
    const slots = Array.from({ length: SLOTS_AT_ONCE }, (_, index) => slotContent("", first + index, 0));
    const { status } = await client.write(first * SLOT_BLOCKS, Buffer.concat(slots));
    if (status !== 0) throw new Error(`the origin could not be written: status ${status}`);
  }
  if ((await client.flush()).status !== 0) throw new Error("the origin could not be flushed");
}

/** One machine: what is on its disk, or may be. */
export class NumberedWriter {
  readonly name: string;
  /** After which answer a write must be found: every one (the server dies), or that of a flush or FUA (the power goes). */
  readonly #keptAfter: "any-answer" | "flush";
  acknowledged = 0;
  /** Of these, those that must be found whatever follows. */
  durable = 0;
  /** Writes that were under way at an end: either outcome is right. */
  underWay = 0;
  /** Sectors that were found with less than was acknowledged, rightly so. */
  rolledBack = 0;
  /** By block: the numbers of the writes that may be found there, oldest first. Absent: 0 alone. */
  readonly #possible = new Map<number, number[]>();
  /** Blocks where more than one may be. */
  readonly #open = new Set<number>();
  #writes = 0;
  /** Acknowledged, and not known to be durable. */
  #unsure = 0;
  #answered = true;

  constructor(name: string, keptAfter: "any-answer" | "flush") {
    this.name = name;
    this.#keptAfter = keptAfter;
  }

  /** Writes until the connection is lost. */
  async write(client: DiskClient): Promise<void> {
    for (;;) {
      const slot = randomInt(SLOTS);
      const write = ++this.#writes;
      const fua = write % FUA_EVERY === 0;
      this.#begin(slot, write);
      this.#answered = false;
      const { status, sense } = await client.write(slot * SLOT_BLOCKS, slotContent(this.name, slot, write), { fua });
      this.#answered = true;
      if (status !== 0) throw new Error(`${this.name}: a write was refused with status ${status} ${sense}`);
      this.acknowledged++;
      if (fua || this.#keptAfter === "any-answer") {
        this.#settle(this.#blocksOf(slot));
        this.durable++;
      } else this.#unsure++;
      if (write % FLUSH_EVERY !== 0) continue;
      const flushed = await client.flush();
      if (flushed.status !== 0) throw new Error(`${this.name}: a flush was refused with status ${flushed.status} ${flushed.sense}`);
      this.#settle([...this.#open]);
      this.durable += this.#unsure;
      this.#unsure = 0;
    }
  }

  /** Reads the whole disk; throws where it is not what it must be. */
  async check(client: DiskClient): Promise<void> {
    if (!this.#answered) this.underWay++;
    this.#unsure = 0;
    this.#answered = true;
    for (let first = 0; first < SLOTS; first += SLOTS_AT_ONCE) {
      const { status, data } = await client.read(first * SLOT_BLOCKS, SLOTS_AT_ONCE * SLOT_BLOCKS * BLOCK);
      if (status !== 0) throw new Error(`${this.name}: a read was refused with status ${status}`);
      const octets = Buffer.from(data);
      for (let index = 0; index < SLOTS_AT_ONCE * SLOT_BLOCKS; index++) {
        this.#checkBlock(first * SLOT_BLOCKS + index, octets.subarray(index * BLOCK, (index + 1) * BLOCK));
      }
    }
  }

  #begin(slot: number, write: number): void {
    for (const block of this.#blocksOf(slot)) {
      this.#possible.set(block, [...(this.#possible.get(block) ?? [0]), write]);
      this.#open.add(block);
    }
  }

  #settle(blocks: readonly number[]): void {
    for (const block of blocks) {
      this.#possible.set(block, this.#possible.get(block)?.slice(-1) ?? [0]);
      this.#open.delete(block);
    }
  }

  #blocksOf(slot: number): readonly number[] {
    return Array.from({ length: SLOT_BLOCKS }, (_, block) => slot * SLOT_BLOCKS + block);
  }

  #checkBlock(block: number, found: Buffer): void {
    const possible = this.#possible.get(block) ?? [0];
    const [slot, inSlot] = [Math.floor(block / SLOT_BLOCKS), block % SLOT_BLOCKS];
    const write = possible.find((each) => found.equals(sector(this.name, slot, inSlot, each)));
    if (write === undefined) {
      const text = found.toString("latin1", 0, 60);
      throw new Error(`${this.name}: block ${inSlot} of slot ${slot} is of none of the writes ${possible.join(", ")}: ${text}`);
    }
    if (write !== possible.at(-1)) this.rolledBack++;
    this.#possible.set(block, [write]);
    this.#open.delete(block);
  }
}
