import { randomBytes } from "node:crypto";
import type { DatabaseSync } from "node:sqlite";
import { Panel } from "../board/panel.ts";
import { openSystem } from "../board/system/open.ts";
import { openUpdates } from "../board/update/open.ts";
import type { Updater } from "../board/update/updater.ts";
import { BootServices } from "./boot-services.ts";
import type { System } from "./control/system-operations.ts";
import type { LeaseStore } from "./dhcp/lease-store.ts";
import { ReservationStore } from "./iscsi/reservation-store.ts";
import { SanitizeStore } from "./iscsi/sanitize-store.ts";
import { IscsiServer } from "./iscsi/server.ts";
import type { Config } from "./machine/config.ts";
import { keep, keysThatWait } from "./machine/config-once.ts";
import type { Machine } from "./machine/machine.ts";
import { Rack } from "./machine/rack.ts";
import type { Settings } from "./machine/settings.ts";
import { type DataPlane, LATENCY_SECONDS, openDataPlane } from "./native/data-plane.ts";
import { dataThreads, spinOf } from "./native/threads.ts";
import { RackNetwork } from "./network/rack-network.ts";
import { followBoots } from "./state/boot-events.ts";
import type { DataPlaneNumbers } from "./state/data-plane-metrics.ts";
import { Timelines } from "./state/database.ts";
import type { Faults } from "./state/faults.ts";
import { Identify } from "./state/identify.ts";
import type { Store } from "./state/store.ts";
import { Disks } from "./volume/disks.ts";
import type { VolumeStoreSettings } from "./volume/store.ts";

export interface ApplianceParts {
  readonly settings: Settings;
  readonly store: Store;
  /** Parts raise and clear the numbered faults here. */
  readonly faults: Faults;
  readonly database: DatabaseSync;
  readonly leases: LeaseStore;
  /** Why there is no data disk: no volume is served then, and everything else is. */
  readonly noDataDisk?: string;
  readonly version: string;
  /** For what is worth knowing only until the power goes: beside the control socket. */
  readonly runFolder: string;
  /** The operating system under the daemon; absent where that is a person's own machine. */
  readonly system?: System;
  /** Whose lamps and button; absent: what the device tree says. */
  readonly board?: string;
}

/** How long initiators have to log out when the daemon stops. */
const LOGOUT_GRACE_MS = 500;

/**
 * The composition root: builds every part, hands each what it needs, starts and stops them in order. Nothing else in the
 * project knows more than one service.
 */
export class Appliance {
  /** For the control API. */
  readonly system: System | undefined;
  /** Absent where the system was not started from a card of ours. */
  readonly updates: Updater | undefined;
  /** For the control API. */
  readonly identify: Identify;
  /** What machines are handed, and what they are asked by. */
  readonly boot: BootServices;
  readonly #parts: ApplianceParts;
  readonly #panel: Panel;
  readonly #store: Store;
  readonly #network: RackNetwork;
  readonly #plane: DataPlane;
  readonly #disks: Disks;
  readonly #iscsi: IscsiServer;
  readonly #boots: ReturnType<typeof followBoots>;
  #settings: Settings;
  #endUpdates: (() => void) | undefined;
  /** The first portal's; 0 before it is open. */
  #iscsiPort = 0;
  #rack: Rack;

  /** Opens the data plane; throws where the kernel cannot carry it. */
  constructor(parts: ApplianceParts) {
    const { store, database, settings } = parts;
    const { emit } = store;
    this.system = parts.system ?? openSystem();
    this.updates = openUpdates({ version: parts.version, store, faults: parts.faults, system: this.system });
    this.#parts = parts;
    this.identify = new Identify(emit);
    this.#panel = new Panel({
      store,
      faults: parts.faults,
      identify: this.identify,
      storage: settings.config.storage.path,
      ioOperations: () => this.#plane.counters().volumes.reduce((sum, { readOps, writeOps }) => sum + readOps + writeOps, 0),
      ...(parts.board !== undefined && { board: parts.board }),
      ...(this.system !== undefined && { system: this.system }),
    });
    this.#store = store;
    this.#settings = settings;
    this.#rack = new Rack(settings.config.machines);
    const { config } = settings;

    this.#plane = openDataPlane({
      threads: dataThreads(config.iscsi),
      memoryBytes: config.iscsi.memoryBytes,
      ...spinOf(process.env),
      onEvents: (events) => this.#iscsi.handle(events),
    });
    this.#disks = new Disks({
      dataPlane: this.#plane,
      emit,
      now: Date.now,
      rack: () => this.#rack,
      isConnected: (machine) => [...this.#iscsi.sessions()].some((session) => session.machine === machine),
      fence: (machine, reason) => this.#iscsi.fence(machine, reason),
      currentBoot: (machine) => {
        const boot = this.#boots.current(machine);
        return boot && { number: boot.number, confirmed: boot.confirmed, hasLoggedIn: boot.reached.has("login") };
      },
      onChanged: () => this.#iscsi.applyRack(this.#rack),
    });
    this.#iscsi = new IscsiServer({
      dataPlane: this.#plane,
      rack: this.#rack,
      portals: config.iscsi.portals.map((address) => ({ address, port: config.iscsi.port })),
      volumes: this.#disks.store,
      reservations: new ReservationStore(database),
      sanitized: new SanitizeStore(database),
      onFull: (volume) => this.#disks.full(volume),
      ready: (machine, reconnects) => this.#disks.machines.ready(machine, reconnects ? "reconnect" : "login"),
      secretsFor: (machine) => this.#settings.secrets.get(machine),
      random: randomBytes,
      emit,
    });
    this.boot = new BootServices({
      store,
      database,
      leases: parts.leases,
      version: parts.version,
      settings: () => this.#settings,
      rack: () => this.#rack,
      disks: this.#disks,
      boots: () => this.#boots,
      iscsiPort: () => this.#iscsiPort,
      numbers: () => this.#dataPlaneNumbers(),
    });
    this.#network = new RackNetwork({ runFolder: parts.runFolder, emit, faults: parts.faults });

    const timelines = new Timelines(database);
    store.restore(timelines.load());
    this.#boots = followBoots(store, {
      loaderBegins: config.dhcp.mode !== "server",
      lastNumber: timelines.lastNumber(),
      onConfirmed: (machine, boot) => this.boot.began(machine, boot),
    });
  }

  /** Those of the configuration in force. */
  get machines(): readonly Machine[] {
    return this.#rack.machines;
  }

  /** With what they boot now, where that is not what they are configured to boot. */
  get machinesNow(): readonly Machine[] {
    return this.#rack.machines.map((machine) => this.boot.installs.now(machine));
  }

  /** What a person does with disks, for the control API. */
  get disks(): Disks {
    return this.#disks;
  }

  /** What this kernel's io_uring lacks, in a person's words; empty where nothing is missing. */
  get missingFeatures(): readonly string[] {
    return this.#plane.capabilities.missing;
  }

  /** Disks first, addresses last: nobody is invited before there is something to boot. Throws the first error; call {@link stop} then. */
  async start(): Promise<void> {
    const { config } = this.#settings;
    await this.#panel.start();
    await this.#network.take(config.network);
    await this.#disks.start(volumesOf(config), this.#parts.noDataDisk);
    if (this.#parts.noDataDisk === undefined) await this.boot.images.start();
    const portals = this.#iscsi.listen();
    this.#iscsiPort = portals[0]?.port ?? 0;
    this.#started("iscsi", `on ${portals.map(({ address, port }) => `${address}:${port}`).join(", ")}`);
    await this.boot.start();
    await this.#network.settle(config.network);
    this.#endUpdates = await this.updates?.start();
  }

  /**
   * Takes a changed configuration: sessions of machines that did not change go on. Throws if a service cannot have what it
   * asks for, and then serves what it served before. Returns the keys that wait for the next start.
   */
  async reload(next: Settings): Promise<readonly string[]> {
    const before = this.#settings;
    const deferred = keysThatWait(before.config, next.config);
    const settings = { ...next, config: keep(before.config, next.config) };
    try {
      await this.#network.take(settings.config.network);
      await this.#apply(settings);
    } catch (cause) {
      await this.#apply(before).catch((second: Error) => {
        this.#parts.faults.raise("service-stopped", "reload", { reason: `what was served before cannot be had again: ${second.message}` });
      });
      await this.#network.settle(before.config.network);
      throw cause;
    }
    // Only now: until here, what was served before could have been wanted back.
    await this.#network.settle(settings.config.network);
    this.#parts.faults.clear("service-stopped", "reload");
    return deferred;
  }

  async #apply(settings: Settings): Promise<void> {
    const { config } = settings;
    this.#settings = settings;
    // Ports first: where one cannot be had, no session has been touched yet.
    await this.boot.takePorts();
    this.#listenForInitiators(config);
    // Then as at the start, disks first and addresses last.
    const retire = await this.#disks.store.apply(volumesOf(config));
    this.#rack = new Rack(config.machines);
    this.#iscsi.applyRack(this.#rack);
    await retire();
    this.#boots.loaderBegins = config.dhcp.mode !== "server";
    await this.boot.follow();
  }

  /** Nobody new is let in, what runs ends in order. Never throws for what a peer does. */
  async stop(): Promise<void> {
    this.#endUpdates?.();
    this.#network.stop();
    await this.boot.stop();
    await this.#iscsi.stop(LOGOUT_GRACE_MS);
    this.#boots.close();
    this.#disks.stop();
    // The last light goes out when nothing is on its way to a disk any more.
    this.#panel.stop();
    await this.#plane.close();
  }

  /** Sessions go on; those over an address that is gone hear nothing more until it comes back. */
  #listenForInitiators({ iscsi }: Config): void {
    const portals = this.#iscsi.relisten(iscsi.portals.map((address) => ({ address, port: iscsi.port })));
    if (portals === undefined) return;
    this.#iscsiPort = portals[0]?.port ?? 0;
    this.#started("iscsi", `on ${portals.map(({ address, port }) => `${address}:${port}`).join(", ")}`);
  }

  #started(service: string, detail: string): void {
    this.#store.emit({ type: "service.started", service, detail });
  }

  #dataPlaneNumbers(): DataPlaneNumbers {
    const counters = this.#plane.counters();
    const volumes = counters.volumes.flatMap((volume) => {
      const name = this.#disks.store.byId(volume.volume)?.name;
      return name === undefined ? [] : [{ ...volume, name, ...this.#disks.store.room(volume.volume) }];
    });
    const machines = counters.accounts.flatMap(({ account, ...io }) => (account === "" ? [] : [{ ...io, name: account }]));
    return { ...counters, latencySeconds: LATENCY_SECONDS, volumes, machines };
  }
}

function volumesOf({ storage, volumes, machines }: Config): VolumeStoreSettings {
  return { storage: storage.path, volumes, machines };
}
