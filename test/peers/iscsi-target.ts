import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { ReservationStore } from "../../src/iscsi/reservation-store.ts";
import { SanitizeStore } from "../../src/iscsi/sanitize-store.ts";
import { IscsiServer } from "../../src/iscsi/server.ts";
import type { VolumeConfig } from "../../src/machine/config.ts";
import { type MachineName, parseIpv4, parseVolumeName, type VolumeName } from "../../src/machine/identifiers.ts";
import type { Machine } from "../../src/machine/machine.ts";
import { Rack } from "../../src/machine/rack.ts";
import type { ChapSecrets } from "../../src/machine/secrets.ts";
import { type DataPlane, openDataPlane } from "../../src/native/data-plane.ts";
import type { StateEvent } from "../../src/state/events.ts";
import { VolumeStore } from "../../src/volume/store.ts";
import type { Resources } from "../harness/resources.ts";
import { machine } from "../iscsi/support.ts";

const MEBI = 1048576;

/** A disk of 64 MiB as the configuration's defaults make it, with changes. */
export function disk(changes: Partial<VolumeConfig> = {}): VolumeConfig {
  return {
    source: { kind: "sparse", sizeBytes: 64 * MEBI },
    readOnly: false,
    shared: false,
    blockSize: 512,
    writeCache: true,
    thin: true,
    removable: false,
    ...changes,
  };
}

/** One machine of the target, open to any initiator, with its one disk. */
export interface TargetDisk {
  readonly machine: string;
  readonly config: VolumeConfig;
  readonly secrets?: ChapSecrets;
}

export const volumeOf = (name: string): VolumeName => parseVolumeName(`${name}-root`);

/**
 * The iSCSI service as the appliance composes it: the real data plane, the real volume store, on two portals of the
 * loopback network.
 */
export class PeerTarget {
  readonly events: StateEvent[] = [];
  readonly storage: string;
  readonly #disks: readonly TargetDisk[];
  readonly #database: DatabaseSync;
  readonly #plane: DataPlane;
  readonly #volumes: VolumeStore;
  readonly #server: IscsiServer;
  #portals: readonly string[] = [];

  private constructor(storage: string, disks: readonly TargetDisk[]) {
    this.storage = storage;
    this.#disks = disks;
    this.#database = new DatabaseSync(join(storage, "reservations.sqlite"));
    const emit = (event: StateEvent): void => void this.events.push(event);
    this.#plane = openDataPlane({ threads: 1, memoryBytes: 64 * MEBI, onEvents: (events) => this.#server.handle(events) });
    this.#volumes = new VolumeStore({ dataPlane: this.#plane, emit, now: Date.now });
    const secrets = new Map(disks.flatMap((each) => (each.secrets === undefined ? [] : [[each.machine, each.secrets] as const])));
    this.#server = new IscsiServer({
      dataPlane: this.#plane,
      rack: this.rack(),
      portals: ["127.0.0.1", "127.0.0.2"].map((address) => ({ address: parseIpv4(address), port: 0 })),
      volumes: this.#volumes,
      reservations: new ReservationStore(this.#database),
      sanitized: new SanitizeStore(this.#database),
      secretsFor: (name: MachineName) => secrets.get(name),
      random: randomBytes,
      emit,
    });
  }

  /** In a folder of its own, or again in the one that an earlier target left. */
  static async start(resources: Resources, disks: readonly TargetDisk[], storage?: string): Promise<PeerTarget> {
    const folder = storage ?? mkdtempSync(join(tmpdir(), "rackboot-peers-"));
    if (storage === undefined) resources.defer("target's disks", () => rmSync(folder, { recursive: true }));
    const target = new PeerTarget(folder, disks);
    resources.defer("target", () => target.stop());
    const volumes = new Map(disks.map(({ machine: name, config }) => [volumeOf(name), config]));
    await target.#volumes.apply({ storage: folder, volumes });
    target.#portals = target.#server.listen().map(({ address, port }) => `${address}:${port}`);
    return target;
  }

  rack(): Rack {
    const machines = this.#disks.map(
      ({ machine: name, secrets }): Machine => machine(name, { anyInitiator: true, disks: [volumeOf(name)], chap: secrets !== undefined }),
    );
    return new Rack(machines);
  }

  get server(): IscsiServer {
    return this.#server;
  }

  /** `iscsi://` URL of a machine's LUN 0 through a portal; `credentials` as user%secret. */
  url(name: string, options: { readonly portal?: 0 | 1; readonly credentials?: string } = {}): string {
    const credentials = options.credentials === undefined ? "" : `${options.credentials}@`;
    return `iscsi://${credentials}${this.portal(options.portal)}/iqn.2026-01.lan.rackboot:${name}/0`;
  }

  portal(index: 0 | 1 = 0): string {
    return this.#portals[index] ?? "";
  }

  told(type: StateEvent["type"]): readonly StateEvent[] {
    return this.events.filter((event) => event.type === type);
  }

  #stopped = false;

  async stop(): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    await this.#server.stop(100);
    await this.#plane.close();
    this.#database.close();
  }
}
