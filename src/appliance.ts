import { randomBytes } from "node:crypto";
import type { DatabaseSync } from "node:sqlite";
import { Panel } from "../board/panel.ts";
import { openSystem } from "../board/system/open.ts";
import { openUpdates } from "../board/update/open.ts";
import type { Updater } from "../board/update/updater.ts";
import { DiskBoots } from "./boot/disk/disk-boots.ts";
import { DiskLooks } from "./boot/disk/looks.ts";
import { DiskMemories } from "./boot/disk/memory-store.ts";
import { Downloads } from "./boot/downloads.ts";
import type { ServerFacts } from "./boot/facts.ts";
import { LoaderInspector } from "./boot/file-system.ts";
import { InstallBoots } from "./boot/install/install-boots.ts";
import { InstallStore } from "./boot/install/installs.ts";
import { type FoundLoaders, findLoaders } from "./boot/loaders.ts";
import { bootOffer } from "./boot/offer.ts";
import { OpenFiles } from "./boot/open-files.ts";
import type { BootPlan } from "./boot/plan.ts";
import { BootResolver, type ResolverSettings } from "./boot/resolver.ts";
import type { System } from "./control/system-operations.ts";
import { LeaseStore } from "./dhcp/lease-store.ts";
import { DhcpServer } from "./dhcp/server.ts";
import { monitoringRoutes } from "./http/monitoring.ts";
import { HttpServer } from "./http/server.ts";
import { ImageStore } from "./image/store.ts";
import { ReservationStore } from "./iscsi/reservation-store.ts";
import { IscsiServer } from "./iscsi/server.ts";
import type { Config } from "./machine/config.ts";
import { keep, keysThatWait } from "./machine/config-once.ts";
import type { Ipv4, MachineName } from "./machine/identifiers.ts";
import type { Machine } from "./machine/machine.ts";
import { Rack } from "./machine/rack.ts";
import type { ChapSecrets, Secrets } from "./machine/secrets.ts";
import { type DataPlane, openDataPlane } from "./native/data-plane.ts";
import { dataThreads } from "./native/threads.ts";
import { RackNetwork } from "./network/rack-network.ts";
import { followBoots } from "./state/boot-events.ts";
import { Timelines } from "./state/database.ts";
import type { Faults } from "./state/faults.ts";
import { Identify } from "./state/identify.ts";
import { type DataPlaneNumbers, Metrics } from "./state/metrics.ts";
import type { Store } from "./state/store.ts";
import { TftpServer } from "./tftp/server.ts";
import { Disks } from "./volume/disks.ts";
import type { VolumeStoreSettings } from "./volume/store.ts";

/** What a configuration file and its secrets say, in force together. */
export interface Settings {
  readonly config: Config;
  readonly secrets: Secrets;
}

export interface ApplianceParts {
  readonly settings: Settings;
  readonly store: Store;
  /** Parts raise and clear the numbered faults here. */
  readonly faults: Faults;
  readonly database: DatabaseSync;
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
  readonly #parts: ApplianceParts;
  readonly #panel: Panel;
  readonly #store: Store;
  readonly #network: RackNetwork;
  readonly #loaders: FoundLoaders = findLoaders();
  readonly #plane: DataPlane;
  readonly #disks: Disks;
  readonly #iscsi: IscsiServer;
  readonly #diskBoots: DiskBoots;
  readonly #images: ImageStore;
  readonly #installs: InstallBoots;
  readonly #resolver: BootResolver;
  readonly #dhcp: DhcpServer;
  readonly #tftp: TftpServer;
  readonly #http: HttpServer;
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
    const monotonicMs = (): number => performance.now();

    this.#plane = openDataPlane({
      threads: dataThreads(config.iscsi),
      memoryBytes: config.iscsi.memoryBytes,
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
      onFull: (volume) => this.#disks.full(volume),
      ready: (machine, reconnects) => this.#disks.machines.ready(machine, reconnects ? "reconnect" : "login"),
      secretsFor: (machine) => this.#settings.secrets.get(machine),
      random: randomBytes,
      emit,
    });
    const inspector = new LoaderInspector();
    this.#diskBoots = new DiskBoots({
      looks: new DiskLooks(),
      memories: new DiskMemories(database),
      inspector,
      pathOf: async (machine, volume) => {
        await this.#disks.machines.ready(machine);
        return this.#disks.store.get(volume)?.path;
      },
      bootOf: (machine) => {
        const boot = this.#boots.current(machine);
        return boot === undefined || boot.reached.has("up") ? undefined : boot.number;
      },
      planOf: (machine) => this.#planOf(machine),
      firstDiskOf: (machine) => this.#rack.byName(machine)?.disks[0],
      emit,
    });
    const bootOf = (machine: MachineName): number | undefined => this.#boots.current(machine)?.number;
    this.#images = new ImageStore({
      storage: config.storage.path,
      room: () => this.#disks.store.library.pool,
      now: Date.now,
      emit,
    });
    this.#installs = new InstallBoots({
      images: this.#images,
      installs: new InstallStore(database),
      storage: () => this.#settings.config.storage.path,
      facts: () => this.#facts(),
      configured: (machine) => this.#rack.byName(machine),
      bootOf,
      secretsFor: (machine) => this.#settings.secrets.get(machine),
      naaOf: ({ disks: [first] }) => {
        const naa = first === undefined ? undefined : this.#disks.store.get(first)?.naa;
        return naa && Buffer.from(naa).toString("hex");
      },
      emit,
    });
    this.#resolver = new BootResolver(this.#resolverSettings(), inspector);
    this.#dhcp = new DhcpServer({
      config,
      rack: this.#rack,
      store: new LeaseStore(database),
      bootOffer: (kind, machine) =>
        machine === undefined ? undefined : bootOffer(kind, this.#installs.now(machine), this.#facts(), this.#loaders),
      onFirmwareDiscover: (machine) => this.#forgetDownloads(machine),
      emit,
    });

    const files = {
      files: this.#resolver,
      openFiles: new OpenFiles(),
      downloads: new Downloads(emit, monotonicMs),
      machineAt: (address: Ipv4) => this.#machineAt(address),
      emit,
      nowMs: monotonicMs,
    };
    this.#tftp = new TftpServer(this.#tftpSettings(), files);
    const metrics = new Metrics({ store, version: parts.version, dataPlane: () => this.#dataPlaneNumbers() });
    this.#http = new HttpServer(this.#httpSettings(), {
      ...files,
      routes: monitoringRoutes(metrics, () => store.snapshot()),
      heard: ({ machine }, path) => machine !== undefined && this.#installs.report(machine, path.split("/").slice(1)),
    });

    this.#network = new RackNetwork({ runFolder: parts.runFolder, emit, faults: parts.faults });

    const timelines = new Timelines(database);
    store.restore(timelines.load());
    store.subscribe((event) => this.#diskBoots.handle(event));
    this.#boots = followBoots(store, {
      loaderBegins: config.dhcp.mode !== "server",
      lastNumber: timelines.lastNumber(),
      onConfirmed: (machine, boot) => this.#beginBoot(machine, boot),
    });
  }

  /** Those of the configuration in force. */
  get machines(): readonly Machine[] {
    return this.#rack.machines;
  }

  /** With what they boot now, where that is not what they are configured to boot. */
  get machinesNow(): readonly Machine[] {
    return this.#rack.machines.map((machine) => this.#installs.now(machine));
  }

  /** Installation media, for the control API. */
  get images(): ImageStore {
    return this.#images;
  }

  get installs(): InstallBoots {
    return this.#installs;
  }

  /** What machines boot from their disks, for the control API. */
  get diskBoots(): DiskBoots {
    return this.#diskBoots;
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
    if (this.#parts.noDataDisk === undefined) await this.#images.start();
    const portals = this.#iscsi.listen();
    this.#iscsiPort = portals[0]?.port ?? 0;
    this.#started("iscsi", `on ${portals.map(({ address, port }) => `${address}:${port}`).join(", ")}`);
    await this.#tftp.start();
    this.#started("tftp", `on ${config.network.address}:${this.#tftp.port}`);
    await this.#http.start();
    this.#started("http", `on ${config.network.address}:${this.#http.port}`);
    // The ports that the system chose are known now.
    this.#resolver.update(this.#resolverSettings());
    await this.#dhcp.start();
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
    await this.#tftp.update(this.#tftpSettings());
    await this.#http.update(this.#httpSettings());
    await this.#dhcp.update(config, this.#rack);
    this.#listenForInitiators(config);
    // Then as at the start, disks first and addresses last.
    const retire = await this.#disks.store.apply(volumesOf(config));
    this.#rack = new Rack(config.machines);
    this.#iscsi.applyRack(this.#rack);
    await retire();
    this.#resolver.update(this.#resolverSettings());
    this.#boots.loaderBegins = config.dhcp.mode !== "server";
    await this.#dhcp.update(config, this.#rack);
  }

  /** Nobody new is let in, what runs ends in order. Never throws for what a peer does. */
  async stop(): Promise<void> {
    this.#endUpdates?.();
    this.#network.stop();
    await this.#dhcp.stop();
    await this.#http.stop();
    await this.#tftp.stop();
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

  /** A machine boots: the session that the boot before left half open could still write, and ends here. */
  #beginBoot(name: MachineName, boot: number): void {
    this.#installs.began(name, boot);
    void this.#disks.machines.begin(name);
    const machine = this.#rack.byName(name);
    if (machine !== undefined) void this.#diskBoots.prepare(this.#installs.now(machine));
  }

  /**
   * Firmware that asks for an address has no download: what is open of an earlier try ends. GRUB counts its ports from the
   * same number at every boot and would meet its own old connections.
   */
  #forgetDownloads(machine: Machine): void {
    for (const address of new Set([machine.address, ...machine.macs.map((mac) => this.#dhcp.addressOf(mac))])) {
      if (address === undefined) continue;
      this.#http.forget(address);
      this.#tftp.forget(address);
    }
  }

  /**
   * iPXE needs them in its script. Once the machine is up, whoever asks for that is some program on it and not its firmware,
   * whose asking would have begun a new boot.
   */
  #secretsForFirmware({ name }: Machine): ChapSecrets | undefined {
    this.#boots.signal(name, { kind: "asked", role: "config" });
    const isUp = this.#boots.current(name)?.reached.has("up") === true;
    return isUp && this.#settings.config.dhcp.mode === "server" ? undefined : this.#settings.secrets.get(name);
  }

  /** A reservation, or whoever has the lease; with what it boots now. */
  #machineAt(address: Ipv4): Machine | undefined {
    const mac = this.#dhcp.macAt(address);
    const machine = this.#rack.byAddress(address) ?? (mac === undefined ? undefined : this.#rack.byMac(mac));
    return machine && this.#installs.now(machine);
  }

  /** Never rejects. */
  #planOf(machine: Machine): Promise<BootPlan> {
    const { boot } = machine;
    return boot.kind === "install" || boot.kind === "rescue" ? this.#installs.plan(machine, boot) : this.#diskBoots.plan(machine);
  }

  #facts(): ServerFacts {
    const { network, iscsi, tftp, http } = this.#settings.config;
    const [first = network.address, ...others] = iscsi.portals;
    return {
      address: network.address,
      tftpPort: this.#tftp?.port || tftp.port,
      httpPort: this.#http?.port || http.port,
      portals: [first, ...others],
      iscsiPort: this.#iscsiPort || iscsi.port,
    };
  }

  #resolverSettings(): ResolverSettings {
    const { root } = this.#settings.config.tftp;
    return {
      facts: this.#facts(),
      loaders: this.#loaders,
      ...(root !== undefined && { root }),
      isMachine: (name) => this.#rack.byName(name as MachineName) !== undefined,
      // Before the answer is made of the disk, which may be one to make anew.
      diskPlan: (machine) => {
        this.#boots.signal(machine.name, { kind: "asked", role: "config" });
        return this.#planOf(machine);
      },
      installFile: (machine, segments) => this.#installs.file(machine, segments),
      secretsFor: (machine) => this.#secretsForFirmware(machine),
    };
  }

  #tftpSettings(): ConstructorParameters<typeof TftpServer>[0] {
    const { network, tftp } = this.#settings.config;
    return { address: network.address, port: tftp.port, windowsize: tftp.windowsize };
  }

  #httpSettings(): ConstructorParameters<typeof HttpServer>[0] {
    const { network, http } = this.#settings.config;
    return { address: network.address, ...http };
  }

  #dataPlaneNumbers(): DataPlaneNumbers {
    const counters = this.#plane.counters();
    const volumes = counters.volumes.flatMap((volume) => {
      const name = this.#disks.store.byId(volume.volume)?.name;
      return name === undefined ? [] : [{ ...volume, name, ...this.#disks.store.room(volume.volume) }];
    });
    return { ...counters, volumes };
  }
}

function volumesOf({ storage, volumes, machines }: Config): VolumeStoreSettings {
  return { storage: storage.path, volumes, machines };
}
