import type { DatabaseSync } from "node:sqlite";
import { DiskBoots } from "./boot/disk/disk-boots.ts";
import { DiskLooks } from "./boot/disk/looks.ts";
import { DiskMemories } from "./boot/disk/memory-store.ts";
import { Downloads } from "./boot/downloads.ts";
import type { ServerFacts } from "./boot/facts.ts";
import { LoaderInspector } from "./boot/file-system.ts";
import { InstallBoots } from "./boot/install/install-boots.ts";
import { InstallStore } from "./boot/install/installs.ts";
import { type FoundLoaders, findLoaders, loaderWords } from "./boot/loaders.ts";
import { MissingLoaders } from "./boot/missing-loaders.ts";
import { bootOffer } from "./boot/offer.ts";
import { OpenFiles } from "./boot/open-files.ts";
import type { BootPlan } from "./boot/plan.ts";
import { BootResolver, type ResolverSettings } from "./boot/resolver.ts";
import type { LeaseStore } from "./dhcp/lease-store.ts";
import { DhcpServer } from "./dhcp/server.ts";
import { monitoringRoutes } from "./http/monitoring.ts";
import { HttpServer } from "./http/server.ts";
import { ImageStore } from "./image/store.ts";
import { KNOCK_MS } from "./machine/boots.ts";
import { deviceOf } from "./machine/config.ts";
import type { Ipv4, MachineName } from "./machine/identifiers.ts";
import type { Machine } from "./machine/machine.ts";
import type { Rack } from "./machine/rack.ts";
import type { ChapSecrets } from "./machine/secrets.ts";
import type { Settings } from "./machine/settings.ts";
import { FileSender } from "./native/file-sender.ts";
import { mtuOf } from "./network/mtu.ts";
import type { followBoots } from "./state/boot-events.ts";
import type { DataPlaneNumbers } from "./state/data-plane-metrics.ts";
import type { TimedEvent } from "./state/events.ts";
import { Metrics } from "./state/metrics.ts";
import type { Store } from "./state/store.ts";
import { TftpServer } from "./tftp/server.ts";
import type { Disks } from "./volume/disks.ts";

export interface BootServicesParts {
  readonly store: Store;
  readonly database: DatabaseSync;
  readonly leases: LeaseStore;
  readonly version: string;
  /** Those in force. */
  readonly settings: () => Settings;
  readonly rack: () => Rack;
  readonly disks: Disks;
  /** Not asked before {@link BootServices.start}. */
  readonly boots: () => ReturnType<typeof followBoots>;
  /** The first portal's; 0 before it is open. */
  readonly iscsiPort: () => number;
  readonly numbers: () => DataPlaneNumbers;
}

/**
 * The half of the appliance that hands machines what they boot: addresses, loaders, menus, kernels, installers; the other
 * half gives them their disks.
 */
export class BootServices {
  /** Installation media. */
  readonly images: ImageStore;
  readonly installs: InstallBoots;
  /** What machines boot from their disks. */
  readonly diskBoots: DiskBoots;
  readonly #parts: BootServicesParts;
  readonly #loaders: FoundLoaders = findLoaders();
  readonly #missing: MissingLoaders;
  readonly #resolver: BootResolver;
  readonly #dhcp: DhcpServer;
  readonly #sender: FileSender;
  readonly #tftp: TftpServer;
  readonly #http: HttpServer;
  /** When each machine's firmware last asked for an address, until it asks for its loader. */
  readonly #knocks = new Map<MachineName, number>();

  constructor(parts: BootServicesParts) {
    this.#parts = parts;
    const { store, database } = parts;
    const { emit } = store;
    const { config } = parts.settings();
    const monotonicMs = (): number => performance.now();
    const inspector = new LoaderInspector();
    this.#missing = new MissingLoaders(this.#loaders, emit);
    this.diskBoots = new DiskBoots({
      looks: new DiskLooks(),
      memories: new DiskMemories(database),
      inspector,
      pathOf: async (machine, volume) => {
        await this.#parts.disks.machines.ready(machine);
        return this.#parts.disks.store.get(volume)?.path;
      },
      bootOf: (machine) => {
        const boot = this.#parts.boots().current(machine);
        return boot === undefined || boot.reached.has("up") ? undefined : boot.number;
      },
      planOf: (machine) => this.#planOf(machine),
      firstDiskOf: (machine) => this.#rack().byName(machine)?.disks[0],
      emit,
    });
    const bootOf = (machine: MachineName): number | undefined => this.#parts.boots().current(machine)?.number;
    this.images = new ImageStore({
      storage: config.storage.path,
      room: () => this.#parts.disks.store.library.pool,
      now: Date.now,
      emit,
    });
    this.installs = new InstallBoots({
      images: this.images,
      installs: new InstallStore(database),
      storage: () => this.#settings().config.storage.path,
      facts: () => this.#facts(),
      configured: (machine) => this.#rack().byName(machine),
      bootOf,
      secretsFor: (machine) => this.#settings().secrets.get(machine),
      naaOf: ({ disks: [first] }) => {
        const naa = first === undefined ? undefined : this.#parts.disks.store.get(first)?.naa;
        return naa && Buffer.from(naa).toString("hex");
      },
      emit,
    });
    this.#resolver = new BootResolver(this.#resolverSettings(), inspector);
    this.#dhcp = new DhcpServer({
      config,
      rack: this.#rack(),
      store: parts.leases,
      bootOffer: (kind, machine) =>
        machine === undefined ? undefined : bootOffer(kind, this.installs.now(machine), this.#facts(), this.#loaders),
      onFirmwareDiscover: ({ name }) => this.#knocks.set(name, performance.now()),
      emit,
    });

    this.#sender = new FileSender();
    const files = {
      sender: this.#sender,
      files: this.#resolver,
      openFiles: new OpenFiles(),
      downloads: new Downloads(emit, monotonicMs),
      machineAt: (address: Ipv4) => this.#machineAt(address),
      emit,
      nowMs: monotonicMs,
    };
    this.#tftp = new TftpServer(this.#tftpSettings(), { ...files, mtu: () => mtuOf(deviceOf(this.#settings().config.network)) });
    const metrics = new Metrics({ store, version: parts.version, dataPlane: parts.numbers });
    this.#http = new HttpServer(this.#httpSettings(), {
      ...files,
      routes: monitoringRoutes(metrics, () => store.snapshot()),
      heard: ({ machine }, path) => machine !== undefined && this.installs.report(machine, path.split("/").slice(1)),
    });
    store.subscribe((event) => this.#heard(event));
  }

  /** Files first, addresses last: nobody is invited before there is something to boot. Throws the first error. */
  async start(): Promise<void> {
    const { address } = this.#settings().config.network;
    this.#started("loaders", loaderWords(this.#loaders));
    await this.#tftp.start();
    this.#started("tftp", `on ${address}:${this.#tftp.port}`);
    await this.#http.start();
    this.#started("http", `on ${address}:${this.#http.port}`);
    // The ports that the system chose are known now.
    this.#resolver.update(this.#resolverSettings());
    await this.#dhcp.start();
  }

  /** The configuration changes: opens what it asks for, for the machines of before. Throws where a port cannot be had. */
  async takePorts(): Promise<void> {
    await this.#tftp.update(this.#tftpSettings());
    await this.#http.update(this.#httpSettings());
    await this.#dhcp.update(this.#settings().config, this.#rack());
  }

  /** And then: serves the machines that there are now. */
  async follow(): Promise<void> {
    this.#resolver.update(this.#resolverSettings());
    await this.#dhcp.update(this.#settings().config, this.#rack());
  }

  /** Nobody new is let in, what runs ends in order. */
  async stop(): Promise<void> {
    await this.#dhcp.stop();
    await this.#http.stop();
    await this.#tftp.stop();
    this.#sender.close();
  }

  /** A machine boots: the session that the boot before left half open could still write, and ends here. */
  began(name: MachineName, boot: number): void {
    this.installs.began(name, boot);
    void this.#parts.disks.machines.begin(name);
    const machine = this.#rack().byName(name);
    if (machine !== undefined) void this.diskBoots.prepare(this.installs.now(machine));
  }

  #settings(): Settings {
    return this.#parts.settings();
  }

  #rack(): Rack {
    return this.#parts.rack();
  }

  #started(service: string, detail: string): void {
    this.#parts.store.emit({ type: "service.started", service, detail });
  }

  #heard(event: TimedEvent): void {
    if (event.type === "transfer.started" && (event.role === "loader" || event.role === "config")) this.#restarted(event.machine);
    if (event.type === "boot.began" && event.firmware !== undefined) {
      const machine = this.#rack().byName(event.machine);
      if (machine !== undefined) this.#missing.began(this.installs.now(machine), event.boot, event.firmware);
    }
    this.diskBoots.handle(event);
  }

  /**
   * A machine whose firmware asked for an address and now asks for its loader has restarted: what it has open from before
   * that ends. GRUB counts its ports from the same number at every boot and would meet its own old connections. The first
   * question alone ends nothing, since anybody can ask it.
   */
  #restarted(name: MachineName | undefined): void {
    const knockMs = name && this.#knocks.get(name);
    const machine = name && this.#rack().byName(name);
    if (name === undefined || knockMs === undefined) return;
    this.#knocks.delete(name);
    if (machine === undefined || performance.now() - knockMs > KNOCK_MS) return;
    for (const address of new Set([machine.address, ...machine.macs.map((mac) => this.#dhcp.addressOf(mac))])) {
      if (address === undefined) continue;
      this.#http.forget(address, knockMs);
      this.#tftp.forget(address, knockMs);
    }
  }

  /**
   * iPXE needs them in its script. Once the machine is up, whoever asks for that is some program on it and not its firmware,
   * whose asking would have begun a new boot.
   */
  #secretsForFirmware({ name }: Machine): ChapSecrets | undefined {
    this.#parts.boots().signal(name, { kind: "asked", role: "config" });
    const isUp = this.#parts.boots().current(name)?.reached.has("up") === true;
    return isUp && this.#settings().config.dhcp.mode === "server" ? undefined : this.#settings().secrets.get(name);
  }

  /** A reservation, or whoever has the lease; where another server gives addresses, whoever answers for it. With what it boots now. */
  #machineAt(address: Ipv4): Machine | undefined {
    const isOurs = this.#settings().config.dhcp.mode === "server";
    const mac = (isOurs ? undefined : this.#dhcp.neighbourAt(address)) ?? this.#dhcp.macAt(address);
    const machine = this.#rack().byAddress(address) ?? (mac === undefined ? undefined : this.#rack().byMac(mac));
    return machine && this.installs.now(machine);
  }

  /** Never rejects. */
  #planOf(machine: Machine): Promise<BootPlan> {
    const { boot } = machine;
    return boot.kind === "install" || boot.kind === "rescue" ? this.installs.plan(machine, boot) : this.diskBoots.plan(machine);
  }

  #facts(): ServerFacts {
    const { network, iscsi, tftp, http, dhcp } = this.#settings().config;
    const [first = network.address, ...others] = iscsi.portals;
    return {
      address: network.address,
      tftpPort: this.#tftp?.port || tftp.port,
      httpPort: this.#http?.port || http.port,
      portals: [first, ...others],
      iscsiPort: this.#parts.iscsiPort() || iscsi.port,
      isProxy: dhcp.mode === "proxy",
    };
  }

  #resolverSettings(): ResolverSettings {
    const { root } = this.#settings().config.tftp;
    return {
      facts: this.#facts(),
      loaders: this.#loaders,
      ...(root !== undefined && { root }),
      isMachine: (name) => this.#rack().byName(name as MachineName) !== undefined,
      // Before the answer is made of the disk, which may be one to make anew.
      diskPlan: (machine) => {
        this.#parts.boots().signal(machine.name, { kind: "asked", role: "config" });
        return this.#planOf(machine);
      },
      lacksLoader: ({ name }, firmware) => {
        const boot = this.#parts.boots().current(name)?.number;
        if (boot !== undefined) this.#missing.tell(name, boot, firmware);
      },
      installFile: (machine, segments) => this.installs.file(machine, segments),
      secretsFor: (machine) => this.#secretsForFirmware(machine),
    };
  }

  #tftpSettings(): ConstructorParameters<typeof TftpServer>[0] {
    const { network, tftp } = this.#settings().config;
    return {
      address: network.address,
      port: tftp.port,
      windowsize: tftp.windowsize,
      ...(tftp.upload !== undefined && { upload: tftp.upload }),
    };
  }

  #httpSettings(): ConstructorParameters<typeof HttpServer>[0] {
    const { network, http } = this.#settings().config;
    return { address: network.address, ...http };
  }
}
