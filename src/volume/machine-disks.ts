import type { VolumeConfig } from "../machine/config.ts";
import type { MachineName, VolumeName } from "../machine/identifiers.ts";
import type { Machine } from "../machine/machine.ts";
import { VolumeError } from "./error.ts";
import type { VolumeStore } from "./store.ts";

/** What a machine's disks need to know of the machine. */
export interface MachineLives {
  machine(name: MachineName): Machine | undefined;
  isConnected(name: MachineName): boolean;
  /** Drops its sessions; resolves when nothing of them is in flight. */
  fence(name: MachineName, reason: string): Promise<void>;
  /** Undefined where none is known. */
  currentBoot(name: MachineName): CurrentBoot | undefined;
}

/** The boot that goes on, and whether it has used a disk yet. */
export interface CurrentBoot {
  readonly number: number;
  /** More than a DISCOVER was heard of it, which anybody can send. */
  readonly confirmed: boolean;
  readonly hasLoggedIn: boolean;
}

/** Who waits for a machine's disks: an initiator that comes back to its session, one that logs in afresh, or a boot file. */
export type Waiting = "reconnect" | "login" | "file";

/**
 * Disks as a machine's life asks for them: a clone inside a machine is made at its first boot, the clones of an ephemeral
 * machine are made anew for every boot object and never for a reconnect, and a reset makes them anew at once. A login waits
 * until its disks are what they should be.
 */
export class MachineDisks {
  readonly #store: VolumeStore;
  readonly #lives: MachineLives;

  constructor(store: VolumeStore, lives: MachineLives) {
    this.#store = store;
    this.#lives = lives;
  }

  /** The machine boots for certain: what its last boot left is fenced, and its disks are made ready. Never rejects. */
  async begin(name: MachineName): Promise<void> {
    const machine = this.#lives.machine(name);
    const fenced = this.#lives.fence(name, "a new boot of the machine began");
    if (machine === undefined || !this.#store.isOpen) return await fenced;
    await this.#store.gate(this.#own(machine), async () => {
      await fenced;
      await this.#prepare(machine);
    });
  }

  /** Resolves when a login may be given its disks, or a loader may be looked for in them. Never rejects. */
  async ready(name: MachineName, waiting: Waiting = "file"): Promise<void> {
    const machine = this.#lives.machine(name);
    if (machine === undefined || !this.#store.isOpen) return;
    await this.#store.passable(machine.disks);
    // Firmware with an initiator of its own asks for no file; and the daemon may have been restarted during the boot.
    const boot = this.#lives.currentBoot(name);
    const mayRenew = waiting !== "reconnect" && (boot?.confirmed === true || (waiting === "login" && !this.#lives.isConnected(name)));
    const isStale = (disk: VolumeName): boolean => mayRenew && this.#isStale(machine, disk);
    if (machine.disks.some((disk) => isStale(disk) || this.#store.get(disk) === undefined)) {
      await this.#store.gate(this.#own(machine), () => this.#prepare(machine, isStale));
    }
  }

  /**
   * Throws the machine's clones away and makes fresh ones; returns which. Throws {@link VolumeError}, also while it is
   * connected, unless `force` cuts it off first.
   */
  async reset(name: MachineName, force: boolean): Promise<readonly VolumeName[]> {
    const machine = this.#lives.machine(name);
    if (machine === undefined) throw new VolumeError(`there is no machine ${name}; "rackboot machine list" names them all`);
    const clones = machine.disks.filter((disk) => this.#originOf(disk) !== undefined);
    if (clones.length === 0) throw new VolumeError(`${name} has no disk that is a clone, so there is nothing to make it anew from`);
    return await this.#store.gate(this.#own(machine), async () => {
      if (this.#lives.isConnected(name)) {
        if (!force)
          throw new VolumeError(`${name} is connected and would lose what it runs from; shut it down first, or cut it off with --force`);
        await this.#lives.fence(name, "the machine is being reset");
      }
      for (const disk of clones) {
        if (this.#store.library.catalogue.get(disk) === undefined) await this.#store.ensure(disk);
        else await this.#renew(disk);
      }
      return clones;
    });
  }

  /** What others have too is theirs to wait for as well, and is not changed by anything here. */
  #own(machine: Machine): readonly VolumeName[] {
    return machine.disks.filter((disk) => {
      const config = this.#store.configured(disk) ?? this.#store.get(disk)?.config;
      return config?.shared !== true && config?.readOnly !== true;
    });
  }

  async #prepare(machine: Machine, isStale = (disk: VolumeName): boolean => this.#isStale(machine, disk)): Promise<void> {
    for (const disk of machine.disks) {
      try {
        const boot = machine.ephemeral ? this.#lives.currentBoot(machine.name)?.number : undefined;
        if (isStale(disk)) await this.#renew(disk, boot);
        else await this.#store.ensure(disk, boot);
      } catch (cause) {
        // What is on it belongs to the boot before: no disk is better than that one.
        await this.#store.withhold(disk, (cause as Error).message).catch(() => undefined);
      }
    }
  }

  /** Whether the disk is what an earlier boot of an ephemeral machine left. A boot that has logged in keeps what it has. */
  #isStale(machine: Machine, disk: VolumeName): boolean {
    if (!machine.ephemeral || this.#originOf(disk) === undefined) return false;
    const boot = this.#lives.currentBoot(machine.name);
    const stored = this.#store.library.catalogue.get(disk);
    return boot !== undefined && !boot.hasLoggedIn && stored !== undefined && stored.record.boot !== boot.number;
  }

  /** What a private, writable clone is made of; undefined for every other disk. */
  #originOf(disk: VolumeName): string | undefined {
    const config: VolumeConfig | undefined = this.#store.configured(disk) ?? this.#store.get(disk)?.config;
    if (config?.shared === true || config?.readOnly === true) return undefined;
    if (config?.source.kind === "clone") return config.source.origin;
    if (this.#store.configured(disk) !== undefined) return undefined;
    return this.#store.library.catalogue.get(disk)?.record.origin?.volume;
  }

  async #renew(disk: VolumeName, boot?: number): Promise<void> {
    const source = this.#store.configured(disk)?.source;
    const configured = source?.kind === "clone" ? source : undefined;
    const atLeastBytes = this.#store.get(disk)?.sizeBytes ?? 0;
    await this.#store.library.locks.exclusive(disk, () =>
      this.#store.clones.renew(
        disk,
        {
          ...(configured !== undefined && { origin: configured.origin }),
          ...(configured?.sizeBytes !== undefined && { sizeBytes: configured.sizeBytes }),
          atLeastBytes,
          ...(boot !== undefined && { boot }),
        },
        (commit) => this.#store.swap(disk, commit),
      ),
    );
  }
}
