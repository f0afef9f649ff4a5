import { randomUUID } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { type MachineName, parseVolumeName, type VolumeName } from "../machine/identifiers.ts";
import {
  DEFAULT_VOLUME_SETTINGS,
  MAX_VOLUME_BYTES,
  MIN_VOLUME_BYTES,
  type PoolReport,
  type VolumeReport,
  type VolumeSettings,
} from "../machine/volume.ts";
import { type CopyOptions, createSparse, duplicate, fileBytes, growFile } from "./copy.ts";
import { explained, VolumeError } from "./error.ts";
import { writeJson } from "./files.ts";
import {
  DISK_FILE,
  parseOrigin,
  parseVolumeReference,
  snapshotFolder,
  snapshotPath,
  VOLUME_FILE,
  type VolumeRecord,
  volumeFolder,
} from "./layout.ts";
import type { Library } from "./library.ts";
import { readable } from "./pool.ts";
import type { SnapshotOptions } from "./snapshots.ts";
import type { VolumeStore } from "./store.ts";
import { type StoredReport, Usage } from "./usage.ts";

/** What operations need to know of the rack. */
export interface VolumeUsers {
  /** Machines whose disks name the volume. */
  machinesWith(volume: VolumeName): readonly { readonly name: MachineName; readonly connected: boolean }[];
  /** Drops a machine's sessions; resolves when nothing of them is in flight. */
  fence(machine: MachineName, reason: string): Promise<void>;
}

/**
 * What a person does with volumes. Each operation happened or did not, whatever comes in between; each refuses with one
 * sentence ({@link VolumeError}, or IdentifierError for a name), and has changed nothing then. Names are as they were typed.
 */
export class VolumeOperations {
  readonly #store: VolumeStore;
  readonly #users: VolumeUsers;
  #usage: Usage | undefined;

  constructor(store: VolumeStore, users: VolumeUsers) {
    this.#store = store;
    this.#users = users;
  }

  get #library(): Library {
    return this.#store.library;
  }

  pool(): PoolReport {
    return this.#library.pool.report();
  }

  async list(): Promise<readonly VolumeReport[]> {
    const reports = await this.#measured.report();
    return reports.map((report) => this.#withUsers(report)).sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  async show(name: string): Promise<VolumeReport> {
    const volume = this.#library.catalogue.need(parseVolumeReference(name));
    const report = await this.#measured.reportOf(volume);
    if (report === undefined) throw new VolumeError(`the blocks of ${name} are gone: ${this.#library.pathOf(volume)} does not exist`);
    return this.#withUsers(report);
  }

  async create(name: string, sizeBytes: number, settings: Partial<VolumeSettings> = {}): Promise<VolumeReport> {
    const volume = parseVolumeName(name);
    const all = { ...DEFAULT_VOLUME_SETTINGS, ...settings };
    checkSize(sizeBytes, all.blockSize);
    await this.make(volume, "created", all, (file) => createSparse(file, sizeBytes));
    return await this.show(volume);
  }

  /** A new volume whose file `fill` makes at the path that it is given. For imports as well. */
  async make(
    name: VolumeName,
    how: "created" | "imported",
    settings: VolumeSettings,
    fill: (file: string) => Promise<void>,
  ): Promise<void> {
    const { locks, folders, storage, catalogue, emit, now } = this.#library;
    const begun = performance.now();
    await locks.exclusive(name, async () => {
      this.#refuseTaken(name);
      try {
        await folders.appear(volumeFolder(storage, name), async (temporary) => {
          await fill(join(temporary, DISK_FILE));
          await mkdir(join(temporary, "snapshots"), { mode: 0o700 });
          const record: VolumeRecord = { uuid: randomUUID(), createdMs: now(), sizeBytes: fileBytes(join(temporary, DISK_FILE)), settings };
          await writeJson(join(temporary, VOLUME_FILE), record);
        });
      } catch (cause) {
        throw explained(`${name} was not ${how}`, cause);
      } finally {
        catalogue.refresh(name);
      }
    });
    const sizeBytes = fileBytes(join(volumeFolder(storage, name), DISK_FILE));
    emit({ type: "volume.made", volume: name, how, sizeBytes, elapsedMs: performance.now() - begun });
    await this.#store.ensure(name);
  }

  /** `origin` is a volume or a snapshot; the clone has its block size unless `settings` says otherwise. */
  async clone(
    origin: string,
    name: string,
    options: CopyOptions & { readonly sizeBytes?: number; readonly settings?: Partial<VolumeSettings> } = {},
  ): Promise<VolumeReport> {
    const volume = parseVolumeName(name);
    const from = parseOrigin(origin).volume;
    this.#library.catalogue.need(from);
    const { settings: given, ...rest } = options;
    const settings = { ...DEFAULT_VOLUME_SETTINGS, blockSize: this.#settingsOf(from).blockSize, ...given };
    if (rest.sizeBytes !== undefined) checkSize(rest.sizeBytes, settings.blockSize);
    await this.#library.locks.exclusive(volume, async () => {
      this.#refuseTaken(volume);
      await this.#store.clones.make(volume, origin, { ...rest, settings });
    });
    await this.#store.ensure(volume);
    return await this.show(volume);
  }

  /** Without a name it is called after the time. Returns for how long the volume's sessions waited. */
  async snapshot(
    name: string,
    snapshot?: string,
    options: SnapshotOptions = {},
  ): Promise<{ readonly snapshot: VolumeName; readonly pauseMs: number }> {
    const { locks, catalogue, now } = this.#library;
    const volume = parseVolumeReference(name);
    const chosen = parseVolumeName(snapshot ?? new Date(now()).toISOString().replace(/[-:]/g, "").slice(0, 15));
    return await locks.exclusive(volume, async () => {
      const taken = await this.#store.snapshots.take(catalogue.need(volume), chosen, false, options);
      return { snapshot: taken.name, pauseMs: taken.pauseMs };
    });
  }

  /** Everything that was written since the snapshot is gone; identity and snapshots stay. `force` fences the machines that have it. */
  async rollback(reference: string, options: CopyOptions & { readonly force?: boolean } = {}): Promise<VolumeReport> {
    const { catalogue, locks, folders, storage, emit, pool } = this.#library;
    const { volume: name, snapshot } = parseOrigin(reference);
    if (snapshot === undefined)
      throw new VolumeError(`name the snapshot to go back to, as ${name}@SNAPSHOT; "rackboot volume snapshots ${name}" names them all`);
    await this.#store.gate([name], () =>
      locks.exclusive(name, async () => {
        const { record, ...volume } = catalogue.need(name);
        catalogue.needSnapshot({ record, ...volume }, snapshot);
        if (record.file !== undefined) {
          throw new VolumeError(`the blocks of ${name} are in ${record.file}, outside of the store; clone ${reference} instead`);
        }
        await this.#release(name, "rolled back", options.force === true);
        try {
          const prepared = await folders.prepare(volumeFolder(storage, name), ["snapshots"], async (temporary) => {
            const room = (bytes: number): void => pool.requireRoom("a full copy", bytes);
            await duplicate(snapshotPath(storage, name, snapshot), join(temporary, DISK_FILE), { ...options, room });
            await writeJson(join(temporary, VOLUME_FILE), { ...record, sizeBytes: fileBytes(join(temporary, DISK_FILE)) });
          });
          await this.#store.swap(name, () => prepared.commit());
        } catch (cause) {
          throw explained(`${name} was not rolled back`, cause);
        }
      }),
    );
    emit({ type: "volume.rolledBack", volume: name, snapshot });
    return await this.show(name);
  }

  /** Grows a volume, in use or not. */
  async resize(name: string, sizeBytes: number): Promise<VolumeReport> {
    const { catalogue, locks, folders, storage, emit } = this.#library;
    const volume = parseVolumeReference(name);
    await locks.exclusive(volume, async () => {
      const stored = catalogue.need(volume);
      if (stored.record.file !== undefined) {
        throw new VolumeError(`the blocks of ${name} are in ${stored.record.file}, outside of the store; grow that, and reload`);
      }
      const path = this.#library.needBlocks(stored);
      const before = fileBytes(path);
      if (sizeBytes < before) {
        throw new VolumeError(
          `${name} has ${readable(before)}, and a volume cannot shrink: what its machine keeps at the end would be lost; choose a larger size`,
        );
      }
      checkSize(sizeBytes, this.#settingsOf(volume).blockSize);
      try {
        await growFile(path, sizeBytes);
        // A crash before this leaves a file that is larger than it must be, which is as good.
        await folders.rewrite(join(volumeFolder(storage, volume), VOLUME_FILE), { ...stored.record, sizeBytes });
        catalogue.refresh(volume);
      } catch (cause) {
        throw explained(`${name} was not resized`, cause);
      }
      await this.#store.grown(volume, sizeBytes);
    });
    emit({ type: "volume.resized", volume, sizeBytes });
    return await this.show(volume);
  }

  async rename(name: string, to: string): Promise<VolumeReport> {
    const { catalogue, locks, folders, storage, emit } = this.#library;
    const [volume, next] = [parseVolumeReference(name), parseVolumeName(to)];
    await locks.exclusive(volume, async () => {
      catalogue.need(volume);
      this.#refuseTaken(next);
      this.#refuseNamed(volume, "renamed");
      try {
        await folders.move(volumeFolder(storage, volume), volumeFolder(storage, next));
      } finally {
        catalogue.refresh(next);
        catalogue.refresh(volume);
      }
    });
    emit({ type: "volume.renamed", volume, to: next });
    await this.#store.ensure(next);
    return await this.show(next);
  }

  /** A volume with its snapshots, or one snapshot. `force`: also where clones hang on it; they keep their blocks. */
  async delete(reference: string, options: { readonly force?: boolean } = {}): Promise<void> {
    const { catalogue, locks, folders, storage, emit } = this.#library;
    const { volume: name, snapshot } = parseOrigin(reference);
    const origin = await locks.exclusive(name, async () => {
      const volume = catalogue.need(name);
      if (snapshot === undefined) this.#refuseNamed(name, "deleted");
      const goes = snapshot === undefined ? [...volume.snapshots.values()] : [catalogue.needSnapshot(volume, snapshot)];
      const clones = catalogue.clones();
      const left = goes.flatMap(({ uuid }) => clones.get(uuid) ?? []);
      if (left.length > 0 && options.force !== true) {
        const whose = left.length > 3 ? `${left.slice(0, 3).join(", ")} and ${left.length - 3} more` : left.join(", ");
        throw new VolumeError(
          `${reference} has clones (${whose}), which could not be reset any more; delete those first, or use --force: they keep their blocks`,
        );
      }
      for (const gone of snapshot === undefined ? volume.snapshots.keys() : [snapshot])
        this.#store.withdraw(snapshotPath(storage, name, gone));
      await folders.disappear(snapshot === undefined ? volumeFolder(storage, name) : snapshotFolder(storage, name, snapshot));
      catalogue.refresh(name);
      return snapshot === undefined ? volume.record.origin?.uuid : undefined;
    });
    emit({ type: "volume.deleted", volume: name, ...(snapshot !== undefined && { snapshot }) });
    if (origin !== undefined) await this.#store.snapshots.collect(origin);
  }

  get #measured(): Usage {
    this.#usage ??= new Usage(this.#library);
    return this.#usage;
  }

  #withUsers(report: StoredReport): VolumeReport {
    const { name } = report;
    return {
      ...report,
      settings: this.#settingsOf(name),
      configured: this.#store.configured(name) !== undefined,
      open: this.#store.get(name) !== undefined,
      machines: this.#users.machinesWith(name).map((machine) => machine.name),
    };
  }

  #settingsOf(name: VolumeName): VolumeSettings {
    const configured = this.#store.configured(name);
    if (configured === undefined) return { ...DEFAULT_VOLUME_SETTINGS, ...this.#library.catalogue.get(name)?.record.settings };
    const { source: _, ...settings } = configured;
    return settings;
  }

  /** A name that the configuration gives to a volume of its own would be taken for that one. */
  #refuseTaken(name: VolumeName): void {
    if (this.#library.catalogue.get(name) !== undefined) throw new VolumeError(`${name} exists already; choose another name`);
    if (this.#store.configured(name) !== undefined) {
      throw new VolumeError(`the configuration describes a volume ${name} already; choose another name, or take it out of there`);
    }
  }

  #refuseNamed(name: VolumeName, done: string): void {
    const [machine] = this.#users.machinesWith(name);
    if (machine !== undefined) {
      throw new VolumeError(`${name} is a disk of ${machine.name}, so it cannot be ${done}; take it out of that machine's disks first`);
    }
    if (this.#store.configured(name) !== undefined) {
      throw new VolumeError(`${name} stands in the configuration, so it cannot be ${done}; take it out of volumes first`);
    }
  }

  /** Nobody uses the volume when this resolves; who comes now waits at its gate. */
  async #release(name: VolumeName, done: string, force: boolean): Promise<void> {
    const connected = this.#users.machinesWith(name).filter((machine) => machine.connected);
    if (connected.length > 0 && !force) {
      const names = connected.map((machine) => machine.name).join(" and ");
      throw new VolumeError(`${names} uses ${name}, so it cannot be ${done}; shut the machine down first, or cut it off with --force`);
    }
    for (const machine of connected) await this.#users.fence(machine.name, `its disk ${name} is being ${done}`);
  }
}

export function checkSize(sizeBytes: number, blockSize: number): void {
  if (sizeBytes < MIN_VOLUME_BYTES || sizeBytes > MAX_VOLUME_BYTES) {
    throw new VolumeError(`a volume has ${readable(MIN_VOLUME_BYTES)} to ${readable(MAX_VOLUME_BYTES)}; choose a size in between`);
  }
  if (sizeBytes % blockSize !== 0)
    throw new VolumeError(`${sizeBytes} octets are no whole number of blocks of ${blockSize}; choose a multiple`);
}
