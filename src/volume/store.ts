import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { VolumeConfig } from "../machine/config.ts";
import type { MachineName, VolumeName } from "../machine/identifiers.ts";
import { DEFAULT_VOLUME_SETTINGS } from "../machine/volume.ts";
import type { DataPlane, VolumeId } from "../native/data-plane.ts";
import type { Emit } from "../state/events.ts";
import { ancestorsOf } from "./ancestry.ts";
import type { StoredVolume } from "./catalogue.ts";
import { Clones } from "./clones.ts";
import { createSparse, fileBytes } from "./copy.ts";
import { explained, VolumeError } from "./error.ts";
import { writeJson } from "./files.ts";
import { type FileRoom, roomOfFile } from "./full.ts";
import { identity } from "./identity.ts";
import { DISK_FILE, diskPath, parseOrigin, VOLUME_FILE, type VolumeRecord, volumeFolder } from "./layout.ts";
import { Library } from "./library.ts";
import { type Serving, Snapshots } from "./snapshots.ts";

/** A volume that is being served: what the initiator is told of it, and its name inside the data plane. */
export interface OpenVolume {
  readonly name: VolumeName;
  readonly id: VolumeId;
  readonly path: string;
  readonly sizeBytes: number;
  readonly config: VolumeConfig;
  /** The unit serial number (SPC-4, 7.8.15), printable ASCII. */
  readonly serial: string;
  /** The NAA IEEE Registered Extended-like identifier: type 3, locally assigned (SPC-4, 7.8.6.6.3); eight octets. */
  readonly naa: Uint8Array;
}

/** What the store needs to know of a configuration. */
export interface VolumeStoreSettings {
  readonly storage: string;
  /** Those of the configuration, the inline ones too. */
  readonly volumes: ReadonlyMap<VolumeName, VolumeConfig>;
  /** Whose disks may be volumes that only the store knows. */
  readonly machines?: readonly { readonly name: MachineName; readonly disks: readonly VolumeName[] }[];
}

export interface VolumeStoreParts {
  readonly dataPlane: DataPlane;
  readonly emit: Emit;
  readonly now: () => number;
  /** A machine with a session has the volume. */
  readonly isLive?: (volume: VolumeName) => boolean;
  /** A volume was opened, closed or exchanged between two calls of {@link VolumeStore.apply}; its machine must be shown it. */
  readonly onChanged?: (volume: VolumeName) => void;
  /** For tests, see {@link Library}. */
  readonly onStep?: (step: string) => void;
}

/**
 * The disks that are served: makes what the configuration names at its first use, opens it in the data plane, and follows
 * changes of the configuration. One volume that cannot be opened never keeps the others from being served.
 */
export class VolumeStore implements Serving {
  readonly #parts: VolumeStoreParts;
  readonly #plane: DataPlane;
  readonly #open = new Map<VolumeName, OpenVolume>();
  readonly #byId = new Map<VolumeId, OpenVolume>();
  /** What shall be open. */
  #wanted = new Map<VolumeName, VolumeConfig>();
  #settings: VolumeStoreSettings | undefined;
  /** Whose file is being exchanged, or who must wait for something else before it may be used. */
  readonly #gates = new Map<VolumeName, Promise<unknown>>();
  readonly #swapping = new Set<VolumeName>();
  #library: Library | undefined;
  /** Why there is nothing to open it on. */
  #missing: string | undefined;
  #making: { readonly snapshots: Snapshots; readonly clones: Clones } | undefined;

  constructor(parts: VolumeStoreParts) {
    this.#parts = parts;
    this.#plane = parts.dataPlane;
  }

  /** Clears away what a crash left, and reads what is there. Once, before the first {@link apply}, or by it. */
  async recover(storage: string): Promise<void> {
    const { emit, now, onStep } = this.#parts;
    this.#library = await Library.open({ storage, emit, now, ...(onStep !== undefined && { onStep }) });
    const snapshots = new Snapshots(this.#library, this);
    await snapshots.collectAll();
    this.#making = { snapshots, clones: new Clones(this.#library, snapshots, this) };
  }

  /** There is no data disk, for the life of this store: it serves nothing, and says why. */
  doWithout(missing: string): void {
    this.#missing = missing;
  }

  get isOpen(): boolean {
    return this.#library !== undefined;
  }

  /** Throws before {@link recover}. */
  get library(): Library {
    if (this.#library === undefined) throw this.#notOpen();
    return this.#library;
  }

  get snapshots(): Snapshots {
    return this.#made.snapshots;
  }

  get clones(): Clones {
    return this.#made.clones;
  }

  get #made(): { readonly snapshots: Snapshots; readonly clones: Clones } {
    if (this.#making === undefined) throw this.#notOpen();
    return this.#making;
  }

  #notOpen(): VolumeError {
    const missing = this.#missing;
    if (missing === undefined) return new VolumeError("the volume store is not open yet");
    return new VolumeError(`there is no data disk: ${missing}; plug it in, or correct storage.path`);
  }

  get(name: VolumeName): OpenVolume | undefined {
    return this.#open.get(name);
  }

  byId(id: VolumeId): OpenVolume | undefined {
    return this.#byId.get(id);
  }

  /** Every volume that is being served. */
  get all(): Iterable<OpenVolume> {
    return this.#open.values();
  }

  /** As the configuration has it; undefined for what only the store knows. */
  configured(name: VolumeName): VolumeConfig | undefined {
    return this.#settings?.volumes.get(name);
  }

  isLive(name: VolumeName): boolean {
    return this.#parts.isLive?.(name) ?? false;
  }

  /**
   * Opens what `settings` names and is not open as it says. What it no longer names, or names differently, is served on
   * until the returned function is called, so that sessions can be led over to the new first. A volume that cannot be
   * opened is told as `volume.failed` and left out. A clone inside a machine is made when the machine first boots.
   */
  async apply(settings: VolumeStoreSettings): Promise<() => Promise<void>> {
    if (this.#missing !== undefined) return async () => undefined;
    if (this.#library === undefined) await this.recover(settings.storage);
    this.#settings = settings;
    this.#wanted = new Map(settings.volumes);
    for (const name of settings.machines?.flatMap(({ disks }) => disks) ?? []) {
      if (!this.#wanted.has(name)) this.#wanted.set(name, this.#storedConfig(name));
    }
    const retired = [...this.#open.values()].filter((open) => {
      const wanted = this.#wanted.get(open.name);
      return wanted === undefined || !sameVolume(open.config, wanted);
    });
    for (const volume of retired) this.#open.delete(volume.name);
    for (const [name, config] of this.#wanted) {
      const waits = name.includes("/") && config.source.kind === "clone" && this.library.catalogue.get(name) === undefined;
      if (!waits) await this.#ensure(name);
    }
    return async () => {
      for (const volume of retired) {
        this.#byId.delete(volume.id);
        // A snapshot that is being taken holds the volume frozen.
        await this.library.locks.exclusive(volume.name, () => this.#plane.closeVolume(volume.id));
      }
    };
  }

  /** Makes (for `boot`) and opens a volume that shall be open and is not. What keeps it from being opened is told as `volume.failed`. */
  async ensure(name: VolumeName, boot?: number): Promise<void> {
    if (!this.#wanted.has(name) || this.#open.has(name) || this.#swapping.has(name)) return;
    await this.#ensure(name, boot);
    this.#parts.onChanged?.(name);
  }

  async #ensure(name: VolumeName, boot?: number): Promise<void> {
    const config = this.configured(name) ?? this.#storedConfig(name);
    this.#wanted.set(name, config);
    if (this.#open.has(name) || this.#swapping.has(name)) return;
    try {
      const volume = await this.#ensureMade(name, config, boot);
      this.#openOne(name, volume);
    } catch (cause) {
      this.#fail(name, cause);
    }
  }

  /** Logins that need the volume wait until `work` is done; works on one volume follow each other. */
  async gate<T>(names: readonly VolumeName[], work: () => Promise<T>): Promise<T> {
    const before = Promise.all(names.map((name) => this.#gates.get(name)));
    const done = before.then(work);
    const passed = done.then(
      () => undefined,
      () => undefined,
    );
    for (const name of names) this.#gates.set(name, passed);
    try {
      return await done;
    } finally {
      for (const name of names) if (this.#gates.get(name) === passed) this.#gates.delete(name);
    }
  }

  /** Resolves when nothing is being done to these volumes that a login must wait for. */
  async passable(names: readonly VolumeName[]): Promise<void> {
    const gates = (): Promise<unknown>[] => names.flatMap((name) => this.#gates.get(name) ?? []);
    for (let waiting = gates(); waiting.length > 0; waiting = gates()) await Promise.all(waiting);
  }

  /** Closes a volume, lets `change` put another file in its place, and opens it again whether or not that worked. */
  async swap(name: VolumeName, change: () => Promise<void>): Promise<void> {
    this.#swapping.add(name);
    try {
      await this.#close(name);
      await change();
    } finally {
      this.#swapping.delete(name);
      this.library.catalogue.refresh(name);
      try {
        const volume = this.library.catalogue.get(name);
        if (volume !== undefined) this.#openOne(name, volume);
      } catch (cause) {
        this.#fail(name, cause);
      }
      this.#parts.onChanged?.(name);
    }
  }

  /** Serves a volume no longer, until {@link ensure}: what it holds is not what its machine was promised. */
  async withhold(name: VolumeName, reason: string): Promise<void> {
    await this.#close(name);
    this.#fail(name, new VolumeError(reason));
    this.#parts.onChanged?.(name);
  }

  /** The file of a volume has grown to `sizeBytes`: in force for its sessions when this resolves, and they are told. */
  async grown(name: VolumeName, sizeBytes: number): Promise<void> {
    const open = this.#open.get(name);
    if (open === undefined) return;
    await this.#plane.updateVolume(open.id, { sizeBytes });
    const larger = { ...open, sizeBytes };
    this.#open.set(name, larger);
    this.#byId.set(open.id, larger);
    this.#plane.raiseUnitAttention(open.id, ...CAPACITY_DATA_HAS_CHANGED);
  }

  /** How large an open volume is, and what its file takes of the pool, for a scrape. */
  room(id: VolumeId): { readonly sizeBytes: number; readonly usedBytes: number } {
    return { sizeBytes: this.#byId.get(id)?.sizeBytes ?? 0, usedBytes: this.provisioned(id)?.usedBytes ?? 0 };
  }

  /** What the file of an open volume takes, and what its file system has left; undefined for a block device. */
  readonly provisioned = (id: VolumeId): FileRoom | undefined => roomOfFile(this.#byId.get(id)?.path);

  /** The pool is fuller than it should be: who has a thin disk is told. */
  warnOfThreshold(): void {
    for (const { id, config } of this.#open.values()) if (config.thin) this.#plane.raiseUnitAttention(id, ...SOFT_THRESHOLD_REACHED);
  }

  async freeze(name: VolumeName): Promise<(() => void) | undefined> {
    const open = this.#open.get(name);
    if (open === undefined) return undefined;
    await this.#plane.freeze(open.id);
    return () => this.#plane.thaw(open.id);
  }

  withdraw(snapshot: string): void {
    this.#plane.withdrawOrigin(snapshot);
  }

  async #close(name: VolumeName): Promise<void> {
    const open = this.#open.get(name);
    if (open === undefined) return;
    this.#open.delete(name);
    this.#byId.delete(open.id);
    await this.#plane.closeVolume(open.id);
  }

  #fail(volume: VolumeName, cause: unknown): void {
    this.#parts.emit({ type: "volume.failed", volume, reason: (cause as Error).message });
  }

  #openOne(name: VolumeName, volume: StoredVolume): void {
    const config = this.#wanted.get(name);
    // The configuration may have changed, or somebody else may have opened it, while it was being made.
    if (config === undefined || this.#open.has(name)) return;
    this.#refuseSharing(name, config);
    const path = this.library.needBlocks(volume);
    const { blockSize, readOnly, writeCache, thin } = config;
    const origins = ancestorsOf(this.library.catalogue, this.library.storage, volume);
    const id = this.#plane.openVolume({
      path,
      sizeBytes: 0,
      blockSize,
      readOnly,
      writeCache,
      thin,
      ...(origins.length > 0 && { origins }),
    });
    // A file that is no whole number of blocks is served up to its last whole one.
    const sizeBytes = Math.floor(fileBytes(path) / blockSize) * blockSize;
    const opened: OpenVolume = { name, id, path, sizeBytes, config, ...identity(volume.record.uuid, config.serial) };
    this.#open.set(name, opened);
    this.#byId.set(id, opened);
    this.#parts.emit({ type: "volume.opened", volume: name, sizeBytes });
  }

  /** The configuration's own volumes were checked with it; those of the store are known only now. */
  #refuseSharing(name: VolumeName, config: VolumeConfig): void {
    if (config.shared || config.readOnly || this.configured(name) !== undefined) return;
    const users = this.#settings?.machines?.filter(({ disks }) => disks.includes(name)).map((machine) => machine.name) ?? [];
    if (users.length > 1) {
      throw new VolumeError(`${users.join(" and ")} both name it, and it is neither shared nor read-only; give each a clone of its own`);
    }
  }

  /** What the store itself says of a volume that the configuration does not describe. */
  #storedConfig(name: VolumeName): VolumeConfig {
    const { catalogue } = this.library;
    const stored = catalogue.get(name);
    const path = stored === undefined ? "" : this.library.pathOf(stored);
    return { ...DEFAULT_VOLUME_SETTINGS, ...stored?.record.settings, source: { kind: "file", path } };
  }

  /** Whoever the volume is; made now if this is its first use. */
  async #ensureMade(name: VolumeName, config: VolumeConfig, boot?: number): Promise<StoredVolume> {
    const { catalogue, locks } = this.library;
    return await locks.exclusive(name, async () => {
      const known = catalogue.get(name);
      if (known === undefined) await this.#make(name, config, boot);
      else if (this.configured(name) !== undefined)
        await this.#follow(known, config.source.kind === "file" ? config.source.path : undefined);
      return catalogue.need(name);
    });
  }

  async #make(name: VolumeName, config: VolumeConfig, boot: number | undefined): Promise<void> {
    const { source } = config;
    const { storage, folders, catalogue } = this.library;
    if (source.kind === "clone") {
      const origin = parseOrigin(source.origin).volume;
      const ofConfiguration = this.configured(origin);
      if (ofConfiguration !== undefined && catalogue.get(origin) === undefined) await this.#ensureMade(origin, ofConfiguration);
      const { sizeBytes } = source;
      await this.clones.make(name, source.origin, { ...(sizeBytes !== undefined && { sizeBytes }), ...(boot !== undefined && { boot }) });
      return;
    }
    if (source.kind === "file" && source.path === "") {
      throw new VolumeError(
        `neither the configuration nor the store has it; make it with "rackboot volume create ${name}", or correct the name`,
      );
    }
    if (source.kind === "file" && !existsSync(source.path))
      throw new VolumeError(`${source.path} does not exist; create it or correct "file:"`);
    const record: VolumeRecord = {
      uuid: randomUUID(),
      createdMs: this.library.now(),
      ...(source.kind === "file" ? { file: source.path } : { sizeBytes: source.sizeBytes }),
    };
    try {
      await folders.appear(volumeFolder(storage, name), async (temporary) => {
        if (source.kind === "sparse") await createSparse(join(temporary, DISK_FILE), source.sizeBytes);
        await writeJson(join(temporary, VOLUME_FILE), record);
      });
    } catch (cause) {
      throw explained("it cannot be made", cause);
    }
    catalogue.refresh(name);
  }

  /** The configuration says that the blocks are elsewhere now: in another file, or (undefined) in the store. */
  async #follow({ name, record }: StoredVolume, file: string | undefined): Promise<void> {
    if (record.file === file) return;
    const { folders, storage, catalogue } = this.library;
    const path = file ?? diskPath(storage, name);
    if (!existsSync(path)) {
      const next = file === undefined ? `delete the volume, or go back to "file: ${record.file}"` : 'create it or correct "file:"';
      throw new VolumeError(`${path} does not exist; ${next}`);
    }
    const { file: _, ...rest } = record;
    await folders.rewrite(join(volumeFolder(storage, name), VOLUME_FILE), { ...rest, ...(file !== undefined && { file }) });
    catalogue.refresh(name);
  }
}

/** SPC-4, D.2: additional sense codes and their qualifiers. */
const CAPACITY_DATA_HAS_CHANGED = [0x2a, 0x09] as const;
const SOFT_THRESHOLD_REACHED = [0x38, 0x07] as const;

function sameVolume(left: VolumeConfig, right: VolumeConfig): boolean {
  return JSON.stringify(left) === JSON.stringify(right);
}
