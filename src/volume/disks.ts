import type { MachineName, VolumeName } from "../machine/identifiers.ts";
import type { Rack } from "../machine/rack.ts";
import type { DataPlane, VolumeId } from "../native/data-plane.ts";
import type { Emit } from "../state/events.ts";
import { FullVolumes } from "./full.ts";
import { type CurrentBoot, MachineDisks } from "./machine-disks.ts";
import { VolumeOperations } from "./operations.ts";
import { VolumeStore, type VolumeStoreSettings } from "./store.ts";
import { VolumeTransfers } from "./transfer.ts";

export interface DisksParts {
  readonly dataPlane: DataPlane;
  readonly emit: Emit;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Of the configuration in force. */
  readonly rack: () => Rack;
  readonly isConnected: (machine: MachineName) => boolean;
  /** Drops a machine's sessions; resolves when nothing of them is in flight. */
  readonly fence: (machine: MachineName, reason: string) => Promise<void>;
  readonly currentBoot: (machine: MachineName) => CurrentBoot | undefined;
  /** A disk of a machine appeared, went or became another one: sessions must be shown what they have now. */
  readonly onChanged: (volume: VolumeName) => void;
}

/** All that is about disks, put together: what is served, what a person does with it, what a machine's life does to it. */
export class Disks {
  readonly store: VolumeStore;
  readonly operations: VolumeOperations;
  readonly transfers: VolumeTransfers;
  readonly machines: MachineDisks;
  readonly #full: FullVolumes;

  constructor(parts: DisksParts) {
    const { dataPlane, emit, now, rack, isConnected, fence, currentBoot, onChanged } = parts;
    const machinesWith = (volume: VolumeName): readonly { readonly name: MachineName; readonly connected: boolean }[] =>
      rack()
        .machines.filter(({ disks }) => disks.includes(volume))
        .map(({ name }) => ({ name, connected: isConnected(name) }));
    const isLive = (volume: VolumeName): boolean => machinesWith(volume).some(({ connected }) => connected);
    this.store = new VolumeStore({ dataPlane, emit, now, isLive, onChanged });
    this.operations = new VolumeOperations(this.store, { machinesWith, fence });
    this.transfers = new VolumeTransfers(this.store, this.operations);
    this.#full = new FullVolumes(emit);
    this.machines = new MachineDisks(this.store, { machine: (name) => rack().byName(name), isConnected, fence, currentBoot });
  }

  /** Clears away what a crash left, opens what `settings` names, and watches the pool. `missing`: why there is no disk for all that. */
  async start(settings: VolumeStoreSettings, missing?: string): Promise<void> {
    if (missing !== undefined) return this.store.doWithout(missing);
    await this.store.recover(settings.storage);
    this.store.library.pool.watch(
      () => this.store.warnOfThreshold(),
      () => this.#full.look(),
    );
    await this.store.apply(settings);
  }

  /** A write to the volume found no room. */
  full(volume: VolumeId): void {
    const open = this.store.byId(volume);
    if (open !== undefined) this.#full.refused(open.name, open.path);
  }

  /** The data plane closes the files. */
  stop(): void {
    if (this.store.isOpen) this.store.library.pool.close();
  }
}
