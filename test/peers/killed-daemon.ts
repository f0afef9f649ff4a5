import { randomInt } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { ControlClient } from "../../src/control/client.ts";
import { Resources } from "../harness/resources.ts";
import { BLOCK, DiskClient } from "../peers/disk-client.ts";
import { LoopbackDaemon } from "./loopback-daemon.ts";

/**
 * The daemon is killed with SIGKILL, again and again, under machines that write to dirty clones and reconnect. Every sector
 * carries who wrote it, where, and which of its writes it was, so that a sector that is neither old nor new is seen, as is
 * one that a neighbour wrote, and one whose acknowledged write is gone.
 */

const DISK_BYTES = 16 * 1024 * 1024;
const SLOT_BLOCKS = 8;
const SLOTS = DISK_BYTES / BLOCK / SLOT_BLOCKS;
/** Checked with one command. */
const READ_SLOTS = 64;
const RECONNECT_TIMEOUT_MS = 30_000;

export interface KillReport {
  readonly kills: number;
  readonly acknowledged: number;
  /** Writes that were under way when the daemon died: either outcome is right. */
  readonly underWay: number;
  readonly snapshots: number;
}

/** What sector `block` of a slot holds after a machine's write number `write`; 0 is what the origin has. */
function sector(machine: string, slot: number, block: number, write: number): Buffer {
  const text = `${write === 0 ? "golden" : machine} slot ${slot} block ${block} write ${write} `;
  return Buffer.alloc(BLOCK, text);
}

function slotContent(machine: string, slot: number, write: number): Buffer {
  return Buffer.concat(Array.from({ length: SLOT_BLOCKS }, (_, block) => sector(machine, slot, block, write)));
}

/** One machine: what it knows to be on its disk, and what may be. */
class Writer {
  readonly name: string;
  acknowledged = 0;
  underWay = 0;
  readonly #known = new Uint32Array(SLOTS);
  #pending: { readonly slot: number; readonly write: number } | undefined;
  #writes = 0;

  constructor(name: string) {
    this.name = name;
  }

  /** Writes until the connection is lost. */
  async write(client: DiskClient): Promise<void> {
    for (;;) {
      const slot = randomInt(SLOTS);
      const write = ++this.#writes;
      this.#pending = { slot, write };
      const { status, sense } = await client.write(slot * SLOT_BLOCKS, slotContent(this.name, slot, write), { fua: write % 16 === 0 });
      if (status !== 0) throw new Error(`${this.name}: a write was refused with status ${status} ${sense}`);
      this.#known[slot] = write;
      this.#pending = undefined;
      this.acknowledged++;
      if (write % 64 === 0) await client.flush();
    }
  }

  /** Reads the whole disk; throws where it is not what it must be. */
  async check(client: DiskClient): Promise<void> {
    for (let first = 0; first < SLOTS; first += READ_SLOTS) {
      const { status, data } = await client.read(first * SLOT_BLOCKS, READ_SLOTS * SLOT_BLOCKS * BLOCK);
      if (status !== 0) throw new Error(`${this.name}: a read was refused with status ${status}`);
      for (let slot = first; slot < first + READ_SLOTS; slot++) {
        this.#checkSlot(slot, Buffer.from(data).subarray((slot - first) * SLOT_BLOCKS * BLOCK, (slot - first + 1) * SLOT_BLOCKS * BLOCK));
      }
    }
    if (this.#pending === undefined) return;
    this.underWay++;
    // Whatever half of it is on the disk, it is written whole now, as an initiator does that got no answer.
    const { slot, write } = this.#pending;
    await client.write(slot * SLOT_BLOCKS, slotContent(this.name, slot, write));
    this.#known[slot] = write;
    this.#pending = undefined;
  }

  #checkSlot(slot: number, data: Buffer): void {
    const known = this.#known[slot] ?? 0;
    if (data.equals(slotContent(this.name, slot, known))) return;
    const pending = this.#pending?.slot === slot ? this.#pending.write : undefined;
    if (pending === undefined) throw new Error(`${this.name}: slot ${slot} is not of write ${known}: ${data.toString("latin1", 0, 60)}`);
    for (let block = 0; block < SLOT_BLOCKS; block++) {
      const found = data.subarray(block * BLOCK, (block + 1) * BLOCK);
      const isOld = found.equals(sector(this.name, slot, block, known));
      if (!isOld && !found.equals(sector(this.name, slot, block, pending))) {
        throw new Error(`${this.name}: block ${block} of slot ${slot} is neither of write ${known} nor of ${pending}`);
      }
    }
    this.#known[slot] = pending;
  }
}

/** `storage` is a folder on the file system that is tried; `machines` write at a time. Throws what was not as it must be. */
export async function killUnderLoad(options: {
  readonly storage: string;
  readonly machines: number;
  readonly kills: number;
}): Promise<KillReport> {
  const resources = new Resources();
  const daemon = new LoopbackDaemon(resources);
  const writers = Array.from({ length: options.machines }, (_, index) => new Writer(`m${index}`));
  const entry = (index: number, disks: readonly unknown[]): object => ({
    mac: `52:54:00:16:01:${index.toString(16).padStart(2, "0")}`,
    initiator: "any",
    disks,
  });
  daemon.write({
    storage: { path: options.storage },
    volumes: { golden: { size: "16M" } },
    machines: {
      maker: entry(255, ["golden"]),
      ...Object.fromEntries(writers.map(({ name }, index) => [name, entry(index, [{ clone: "golden" }])])),
    },
  });
  let snapshots = 0;
  try {
    await daemon.start();
    const maker = await DiskClient.login(resources, daemon.portal, "maker");
    for (let first = 0; first < SLOTS; first += READ_SLOTS) {
      const slots = Array.from({ length: READ_SLOTS }, (_, index) => slotContent("maker", first + index, 0));
      await maker.write(first * SLOT_BLOCKS, Buffer.concat(slots));
    }
    for (let round = 0; round <= options.kills; round++) {
      const sessions = await Promise.all(writers.map((writer) => login(resources, daemon.portal, writer.name)));
      await Promise.all(writers.map((writer, index) => writer.check(at(sessions, index))));
      if (round === options.kills) break;
      const ends = writers.map((writer, index) => writer.write(at(sessions, index)).catch((error: Error) => error));
      await sleep(randomInt(50, 400));
      // A snapshot that the kill may fall into.
      const taken = snapshot(daemon.socket, `m0/0`, `s${round}`).then((isTaken) => {
        if (isTaken) snapshots++;
      });
      await sleep(randomInt(0, 300));
      await daemon.stop("SIGKILL");
      await taken;
      for (const end of await Promise.all(ends)) if (end instanceof Error && /refused|slot/.test(end.message)) throw end;
      await daemon.start();
    }
    const sum = (key: "acknowledged" | "underWay"): number => writers.reduce((total, writer) => total + writer[key], 0);
    return { kills: options.kills, acknowledged: sum("acknowledged"), underWay: sum("underWay"), snapshots };
  } finally {
    await resources.close();
  }
}

function at<T>(list: readonly T[], index: number): T {
  const value = list[index];
  if (value === undefined) throw new Error(`there is no number ${index}`);
  return value;
}

async function login(resources: Resources, portal: string, machine: string): Promise<DiskClient> {
  const deadline = Date.now() + RECONNECT_TIMEOUT_MS;
  for (;;) {
    try {
      return await DiskClient.login(resources, portal, machine);
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await sleep(100);
    }
  }
}

async function snapshot(socket: string, name: string, snapshotName: string): Promise<boolean> {
  try {
    for await (const value of new ControlClient(socket).follow("volume.snapshot", { name, snapshot: snapshotName })) {
      if ("result" in value) return true;
    }
  } catch {
    // The daemon died over it.
  }
  return false;
}
