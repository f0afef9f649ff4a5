import { randomUUID } from "node:crypto";
import { statSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { VolumeName } from "../machine/identifiers.ts";
import type { VolumeSettings } from "../machine/volume.ts";
import { type CopyOptions, duplicate, fileBytes, growFile } from "./copy.ts";
import { explained, VolumeError } from "./error.ts";
import { type Prepared, writeJson } from "./files.ts";
import { DISK_FILE, type OriginRecord, parseOrigin, snapshotPath, VOLUME_FILE, type VolumeRecord, volumeFolder } from "./layout.ts";
import type { Library } from "./library.ts";
import { readable } from "./pool.ts";
import type { Serving, Snapshots } from "./snapshots.ts";

export interface CloneOptions extends CopyOptions {
  /** Grown to this; absent: as large as its origin. */
  readonly sizeBytes?: number;
  /** Grown to this if it would be smaller. */
  readonly atLeastBytes?: number;
  readonly settings?: VolumeSettings;
  /** The boot of an ephemeral machine that it is made for. */
  readonly boot?: number;
}

/** Blocks of one instant: a snapshot's, or the volume's own where blocks cannot be shared and nobody is there to write. */
export interface Source {
  readonly path: string;
  readonly origin: OriginRecord;
  /** Throws where it was written to meanwhile; a snapshot never is. */
  readonly verify?: () => void;
}

/** Clones: each hangs on an immutable snapshot whose blocks it shares, or is a full copy where blocks cannot be shared. */
export class Clones {
  readonly #library: Library;
  readonly #snapshots: Snapshots;
  readonly #serving: Serving;

  constructor(library: Library, snapshots: Snapshots, serving: Serving) {
    this.#library = library;
    this.#snapshots = snapshots;
    this.#serving = serving;
  }

  /** `origin` is `volume` or `volume@snapshot`. Throws {@link VolumeError}. The caller holds the lock of `name` alone. */
  async make(name: VolumeName, origin: string, options: CloneOptions = {}): Promise<VolumeRecord> {
    const { folders, storage, catalogue, emit, now } = this.#library;
    const begun = performance.now();
    if (catalogue.get(name) !== undefined) throw new VolumeError(`${name} exists already; choose another name`);
    try {
      const record = await this.withSource(origin, async (source) => {
        const made: VolumeRecord = {
          uuid: randomUUID(),
          createdMs: now(),
          origin: source.origin,
          ...(options.settings !== undefined && { settings: options.settings }),
          ...(options.boot !== undefined && { boot: options.boot }),
        };
        await folders.appear(volumeFolder(storage, name), async (temporary) => {
          await mkdir(join(temporary, "snapshots"), { mode: 0o700 });
          await this.#fill(temporary, source, made, options);
        });
        catalogue.refresh(name);
        return made;
      });
      const elapsedMs = performance.now() - begun;
      const sizeBytes = fileBytes(join(volumeFolder(storage, name), DISK_FILE));
      emit({ type: "volume.made", volume: name, how: "cloned", origin: nameOf(record.origin), sizeBytes, elapsedMs });
      return record;
    } catch (cause) {
      throw explained(`no clone of ${origin} was made`, cause);
    }
  }

  /**
   * A fresh clone in the place of an old one, which keeps its identity and its snapshots: `swap` is called with what puts it
   * there. The caller holds the lock of `name` alone.
   */
  async renew(
    name: VolumeName,
    options: Omit<CloneOptions, "settings"> & { readonly origin?: string },
    swap: (commit: () => Promise<void>) => Promise<void>,
  ): Promise<void> {
    const { folders, storage, catalogue, emit, now } = this.#library;
    const begun = performance.now();
    const { record: before } = catalogue.need(name);
    const origin = options.origin ?? this.originOf(name);
    if (origin === undefined) throw new VolumeError(`${name} is no clone, so there is nothing to make it anew from`);
    const { boot: _, ...identity } = before;
    try {
      await this.withSource(origin, async (source) => {
        const after: VolumeRecord = {
          ...identity,
          createdMs: now(),
          origin: source.origin,
          ...(options.boot !== undefined && { boot: options.boot }),
        };
        const prepared: Prepared = await folders.prepare(volumeFolder(storage, name), ["snapshots"], (temporary) =>
          this.#fill(temporary, source, after, options),
        );
        await swap(() => prepared.commit());
        catalogue.refresh(name);
      });
    } catch (cause) {
      throw explained(`${name} could not be made anew`, cause);
    }
    if (before.origin?.uuid !== undefined) await this.#snapshots.collect(before.origin.uuid);
    emit({ type: "volume.renewed", volume: name, origin, elapsedMs: performance.now() - begun });
  }

  /** What a clone hangs on, by its name of today; undefined for what is no clone. Throws where the origin is gone. */
  originOf(name: VolumeName): string | undefined {
    const { catalogue } = this.#library;
    const { origin } = catalogue.need(name).record;
    if (origin === undefined) return undefined;
    if (origin.uuid === undefined) return origin.volume;
    const found = catalogue.findSnapshot(origin.uuid);
    if (found === undefined) throw new VolumeError(`the origin of ${name}, ${nameOf(origin)}, was deleted; clone it from another volume`);
    return `${found.volume.name}@${found.snapshot}`;
  }

  async #fill(temporary: string, source: Source, record: VolumeRecord, options: CloneOptions): Promise<void> {
    const file = join(temporary, DISK_FILE);
    const originBytes = fileBytes(source.path);
    const { sizeBytes = originBytes } = options;
    if (sizeBytes < originBytes) {
      throw new VolumeError(
        `${readable(sizeBytes)} is less than the ${readable(originBytes)} of ${nameOf(source.origin)}: a clone can grow, not shrink; choose a larger size`,
      );
    }
    await duplicate(source.path, file, { ...options, room: (bytes) => this.#library.pool.requireRoom("a full copy", bytes) });
    source.verify?.();
    const grownBytes = Math.max(sizeBytes, options.atLeastBytes ?? 0);
    if (grownBytes > originBytes) await growFile(file, grownBytes);
    await writeJson(join(temporary, VOLUME_FILE), { ...record, sizeBytes: Math.max(grownBytes, originBytes) });
  }

  /** Calls `use` with a volume or a snapshot of it as it is now; nothing can take it away before that is done. */
  async withSource<T>(text: string, use: (source: Source) => Promise<T>): Promise<T> {
    const { catalogue, locks, storage } = this.#library;
    const { volume: name, snapshot } = parseOrigin(text);
    const volume = catalogue.need(name);
    if (snapshot !== undefined) {
      return await locks.shared(name, async () => {
        const { uuid } = catalogue.needSnapshot(catalogue.need(name), snapshot);
        return use({ path: snapshotPath(storage, name, snapshot), origin: { volume: name, snapshot, uuid } });
      });
    }
    if (!this.#library.canShare(volume)) return await locks.shared(name, () => this.#fromVolume(name, use));
    const pinned = await locks.exclusive(name, () => this.#snapshots.pinCurrent(catalogue.need(name)));
    try {
      return await locks.shared(name, async () => {
        const origin = { volume: name, snapshot: pinned.name, uuid: pinned.uuid };
        return use({ path: snapshotPath(storage, name, pinned.name), origin });
      });
    } finally {
      this.#snapshots.unpin(pinned.uuid);
      await this.#snapshots.collect(pinned.uuid);
    }
  }

  /** Without shared blocks a snapshot would be a second full copy: the volume itself is copied while nobody writes to it. */
  async #fromVolume<T>(name: VolumeName, use: (source: Source) => Promise<T>): Promise<T> {
    const { catalogue } = this.#library;
    if (this.#serving.isLive(name)) {
      throw new VolumeError(`${name} is in use and would change while it is copied; shut its machine down first, or name a snapshot of it`);
    }
    const path = this.#library.needBlocks(catalogue.need(name));
    const before = modifiedAt(path);
    const verify = (): void => {
      if (modifiedAt(path) === before) return;
      throw new VolumeError(`${name} was written to while it was copied; shut its machine down, and try again`);
    };
    return await use({ path, origin: { volume: name }, verify });
  }
}

function modifiedAt(path: string): bigint {
  return statSync(path, { bigint: true }).mtimeNs;
}

/** As a person writes it. */
export function nameOf(origin: OriginRecord | undefined): string {
  if (origin === undefined) return "nothing";
  return origin.snapshot === undefined ? origin.volume : `${origin.volume}@${origin.snapshot}`;
}
