import { randomBytes } from "node:crypto";
import { closeSync, openSync, readFileSync, statSync, writeSync } from "node:fs";
import type { VolumeConfig } from "../../src/machine/config.ts";
import { type MachineName, parseMachineName, type VolumeName } from "../../src/machine/identifiers.ts";
import type { Machine } from "../../src/machine/machine.ts";
import { Rack } from "../../src/machine/rack.ts";
import { DEFAULT_VOLUME_SETTINGS } from "../../src/machine/volume.ts";
import type { StateEvent } from "../../src/state/events.ts";
import { Disks } from "../../src/volume/disks.ts";
import { diskPath } from "../../src/volume/layout.ts";
import type { CurrentBoot } from "../../src/volume/machine-disks.ts";
import { FakeDataPlane } from "../fakes/data-plane.ts";
import { machine } from "../iscsi/support.ts";

export const MIB: number = 1024 ** 2;

export const sparse = (sizeBytes: number, changes: Partial<VolumeConfig> = {}): VolumeConfig => ({
  ...DEFAULT_VOLUME_SETTINGS,
  source: { kind: "sparse", sizeBytes },
  ...changes,
});

export const cloneOf = (origin: string, sizeBytes?: number): VolumeConfig => ({
  ...DEFAULT_VOLUME_SETTINGS,
  source: { kind: "clone", origin, ...(sizeBytes !== undefined && { sizeBytes }) },
});

/** The disks of a rack whose data plane is a fake, on a real file system; a test says who is connected. */
export class TestDisks {
  readonly plane: FakeDataPlane = new FakeDataPlane();
  readonly events: StateEvent[] = [];
  readonly connected: Set<MachineName> = new Set();
  readonly boots: Map<MachineName, CurrentBoot> = new Map();
  readonly fenced: string[] = [];
  readonly disks: Disks;
  readonly storage: string;
  #machines: readonly Machine[] = [];

  constructor(storage: string) {
    this.storage = storage;
    this.disks = new Disks({
      dataPlane: this.plane,
      emit: (event) => void this.events.push(event),
      now: Date.now,
      rack: () => new Rack(this.#machines),
      isConnected: (name) => this.connected.has(name),
      fence: async (name, reason) => {
        this.fenced.push(`${name}: ${reason}`);
        this.connected.delete(name);
      },
      currentBoot: (name) => this.boots.get(name),
      onChanged: () => undefined,
    });
  }

  /** Starts, or takes another configuration. Machines are given as their disks. */
  async configure(
    volumes: Readonly<Record<string, VolumeConfig>> = {},
    machines: Readonly<Record<string, readonly string[] | Partial<Machine>>> = {},
  ): Promise<void> {
    this.#machines = Object.entries(machines).map(([name, given]) => {
      return machine(name, Array.isArray(given) ? { disks: given as VolumeName[] } : (given as Partial<Machine>));
    });
    const settings = {
      storage: this.storage,
      volumes: new Map(Object.entries(volumes) as [VolumeName, VolumeConfig][]),
      machines: this.#machines,
    };
    if (!this.disks.store.isOpen) return await this.disks.start(settings);
    const retire = await this.disks.store.apply(settings);
    await retire();
  }

  path(volume: string): string {
    return diskPath(this.storage, volume as VolumeName);
  }

  /** Writes as a machine would, and returns what was written. */
  write(volume: string, offset = 0, octets = 65_536): Buffer {
    return writeAt(this.path(volume), offset, octets);
  }

  read(volume: string, offset = 0, octets = 65_536): Buffer {
    return readFileSync(this.path(volume)).subarray(offset, offset + octets);
  }

  told(type: StateEvent["type"]): readonly StateEvent[] {
    return this.events.filter((event) => event.type === type);
  }

  boot(name: string, number: number, hasLoggedIn = false, confirmed = true): MachineName {
    const known = parseMachineName(name);
    this.boots.set(known, { number, confirmed, hasLoggedIn });
    return known;
  }

  stop(): void {
    this.disks.stop();
  }
}

export function writeAt(path: string, offset: number, octets: number): Buffer {
  const data = randomBytes(octets);
  const fd = openSync(path, "r+");
  writeSync(fd, data, 0, octets, offset);
  closeSync(fd);
  return data;
}

export const allocated = (path: string): number => statSync(path).blocks * 512;

/** Resolves with the refusal's sentence; throws where there was none. */
export async function refusal(work: Promise<unknown>): Promise<string> {
  const outcome = await work.then(
    () => undefined,
    (error: Error) => error,
  );
  if (outcome === undefined) throw new Error("it was not refused");
  if ((outcome as { code?: string }).code !== "ERR_VOLUME" && (outcome as { code?: string }).code !== "ERR_IDENTIFIER") throw outcome;
  return outcome.message;
}
