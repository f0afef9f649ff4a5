import { closeSync, copyFileSync, constants as fsConstants, fsyncSync, openSync, truncateSync, writeSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import type { ConnectionId, VolumeId } from "../../src/native/data-plane.ts";
import { type Bench, pattern } from "./bench.ts";
import { cdb, unmapList } from "./cdb.ts";
import type { CommandAnswer, Initiator } from "./initiator.ts";

export const KIBI = 1024;
export const MEBI: number = 1024 * KIBI;
const BLOCK = 512;
export const GOLDEN_BYTES: number = 4 * MEBI;
/** Data, a hole, data in many small pieces, and a tail that is a hole. */
const PIECES: readonly (readonly [at: number, bytes: number])[] = [
  [0, MEBI],
  ...Array.from({ length: 32 }, (_, index) => [MEBI + 128 * KIBI + index * 32 * KIBI, 20 * KIBI] as const),
  [2 * MEBI + 512 * KIBI, MEBI],
];
export const GOLDEN_DATA_BYTES: number = PIECES.reduce((sum, [, bytes]) => sum + bytes, 0);

export function goldenContent(): Buffer {
  const content = Buffer.alloc(GOLDEN_BYTES);
  const data = pattern(GOLDEN_BYTES, 7);
  for (const [at, bytes] of PIECES) data.copy(content, at, at, at + bytes);
  return content;
}

/** A disk to be cloned, written as a disk is, so that it has holes and many extents. Its content is {@link goldenContent}. */
export function makeGolden(folder: string): string {
  const path = join(folder, "golden");
  const content = goldenContent();
  const fd = openSync(path, "w");
  for (const [at, bytes] of PIECES) writeSync(fd, content, at, bytes, at);
  fsyncSync(fd);
  closeSync(fd);
  truncateSync(path, GOLDEN_BYTES);
  return path;
}

export function reflink(from: string, to: string): void {
  copyFileSync(from, to, fsConstants.COPYFILE_FICLONE_FORCE);
}

/** What a machine does to its disk, or a person to the volume. Offsets and lengths are parts of 1 of the disk as it is then. */
export interface Step {
  readonly kind: "write" | "fua" | "unmap" | "zero" | "same" | "verify" | "swap" | "read" | "flush" | "snapshot" | "reopen" | "grow";
  readonly at: number;
  readonly length: number;
  readonly seed: number;
}

export const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.record({
    kind: fc.constantFrom<Step["kind"]>(
      ...([
        "write",
        "write",
        "fua",
        "unmap",
        "zero",
        "same",
        "verify",
        "swap",
        "read",
        "read",
        "flush",
        "snapshot",
        "reopen",
        "grow",
      ] as const),
    ),
    at: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
    length: fc.double({ min: 0, max: 1, noNaN: true }),
    seed: fc.nat(255),
  }),
  { minLength: 10, maxLength: 40 },
);

const LONGEST_BLOCKS = 300;
/** One COMPARE AND WRITE. */
const MOST_SWAPPED = 1;

type Session = Initiator & { readonly connection: ConnectionId };

/** A clone with two sessions, which are on two threads, and what it must hold. */
export class TestClone {
  readonly path: string;
  content: Buffer;
  readonly #bench: Bench;
  readonly #origins: string[];
  #sessions: readonly Session[] = [];
  #id: VolumeId = 0;
  #turn = 0;

  private constructor(bench: Bench, path: string, origins: readonly string[], content: Buffer) {
    this.#bench = bench;
    this.path = path;
    this.#origins = [...origins];
    this.content = content;
  }

  static async make(bench: Bench, from: string, path: string, origins: readonly string[], content: Buffer): Promise<TestClone> {
    reflink(from, path);
    return await TestClone.attach(bench, path, origins, content);
  }

  /** One that is there already. */
  static async attach(bench: Bench, path: string, origins: readonly string[], content: Buffer): Promise<TestClone> {
    const clone = new TestClone(bench, path, origins, Buffer.from(content));
    await clone.open();
    return clone;
  }

  get id(): VolumeId {
    return this.#id;
  }

  /** Octets that were read through an origin since it was opened. */
  get borrowedBytes(): number {
    return this.#bench.plane.counters().volumes.find(({ volume }) => volume === this.#id)?.borrowedBytes ?? -1;
  }

  async open(): Promise<void> {
    this.#id = this.#bench.volume(0, { path: this.path, origins: this.#origins }).id;
    this.#sessions = [await this.#bench.login([this.#id]), await this.#bench.login([this.#id])];
  }

  async mapped(): Promise<number> {
    return (await this.#bench.event("volume-mapped", ({ volume }) => volume === this.#id)).sharedBytes;
  }

  async close(): Promise<void> {
    for (const session of this.#sessions) session.end();
    await this.#bench.plane.closeVolume(this.#id);
  }

  /** Each command goes over the other session. */
  execute(command: readonly number[], options: Parameters<Initiator["execute"]>[1] = {}): Promise<CommandAnswer> {
    const session = this.#sessions[this.#turn++ % this.#sessions.length];
    if (session === undefined) throw new Error("the clone is not open");
    return session.execute(command, options);
  }

  async read(offset: number, bytes: number): Promise<Buffer> {
    const { status, sense, data } = await this.execute(cdb.read16(offset / BLOCK, bytes / BLOCK), { read: bytes });
    if (status !== 0) throw new Error(`a read of ${this.path} was refused: ${sense}`);
    return data;
  }

  /** Throws where the disk is not what it must be. */
  async check(offset = 0, bytes: number = this.content.length): Promise<void> {
    const step = 256 * KIBI;
    for (let at = offset; at < offset + bytes; at += step) {
      const length = Math.min(step, offset + bytes - at);
      const found = await this.read(at, length);
      const wanted = this.content.subarray(at, at + length);
      if (found.equals(wanted)) continue;
      const first = found.findIndex((octet, index) => octet !== wanted[index]);
      throw new Error(`${this.path}: octet ${at + first} is not what was written last`);
    }
  }

  async take(step: Step): Promise<void> {
    const capacity = this.content.length / BLOCK;
    const lba = Math.floor(step.at * capacity);
    const most = step.kind === "swap" ? MOST_SWAPPED : LONGEST_BLOCKS;
    const blocks = Math.max(1, Math.min(capacity - lba, Math.floor(step.length * most)));
    const [from, to] = [lba * BLOCK, (lba + blocks) * BLOCK];
    const fresh = pattern(blocks * BLOCK, step.seed);
    const done = async (answer: Promise<CommandAnswer>, after: Buffer | number): Promise<void> => {
      const { status, sense } = await answer;
      if (status !== 0) throw new Error(`${step.kind} was refused: ${sense}`);
      this.content.fill(after, from, to);
    };
    switch (step.kind) {
      case "write":
      case "fua":
        return await done(this.execute(cdb.write16(lba, blocks, step.kind === "fua"), { write: fresh }), fresh);
      case "verify":
        return await done(this.execute(cdb.writeVerify16(lba, blocks, 1), { write: fresh }), fresh);
      case "unmap": {
        const list = unmapList([[lba, blocks]]);
        return await done(this.execute(cdb.unmap(list.length), { write: list }), 0);
      }
      case "zero":
        return await done(this.execute(cdb.writeSame16(lba, blocks, 1 + (step.seed % 2) * 8)), 0);
      case "same": {
        const block = fresh.subarray(0, BLOCK);
        return await done(this.execute(cdb.writeSame16(lba, blocks), { write: block }), block);
      }
      case "swap": {
        const block = fresh.subarray(0, BLOCK);
        const pair = Buffer.concat([this.content.subarray(from, from + BLOCK), block]);
        return await done(this.execute(cdb.compareAndWrite(lba, 1), { write: pair }), block);
      }
      case "read":
        return await this.check(from, to - from);
      case "flush":
        await this.execute(cdb.synchronizeCache10());
        return;
      case "snapshot":
        return await this.#snapshot();
      case "reopen":
        await this.close();
        return await this.open();
      case "grow":
        return await this.#grow();
    }
  }

  /** As the store does it; the snapshot is one more file that blocks may be read through at the next opening. */
  async #snapshot(): Promise<void> {
    if (this.#origins.length >= 8) return;
    const snapshot = `${this.path}@${this.#origins.length}`;
    await this.#bench.plane.freeze(this.#id);
    reflink(this.path, snapshot);
    this.#bench.plane.thaw(this.#id);
    this.#origins.push(snapshot);
  }

  async #grow(): Promise<void> {
    if (this.content.length >= 2 * GOLDEN_BYTES) return;
    this.content = Buffer.concat([this.content, Buffer.alloc(256 * KIBI)]);
    truncateSync(this.path, this.content.length);
    await this.#bench.plane.updateVolume(this.#id, { sizeBytes: this.content.length });
    for (const session of this.#sessions) await session.execute(cdb.testUnitReady());
  }
}
