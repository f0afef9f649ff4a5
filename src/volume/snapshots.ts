import { randomUUID } from "node:crypto";
import { mkdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { parseVolumeName, type VolumeName } from "../machine/identifiers.ts";
import type { StoredVolume } from "./catalogue.ts";
import { type CopyOptions, duplicate } from "./copy.ts";
import { explained, VolumeError } from "./error.ts";
import { withFile, writeJson } from "./files.ts";
import { DISK_FILE, SNAPSHOT_FILE, type SnapshotRecord, snapshotFolder, snapshotPath, snapshotsFolder } from "./layout.ts";
import type { Library } from "./library.ts";

/** What is dirty is flushed while the disk is served, until a round takes no longer than this: the pause flushes the rest. */
const QUICK_FLUSH_MS = 20;
const MAX_FLUSH_ROUNDS = 4;
/** A file's time is no finer than a tick of the kernel's clock (10 ms at most): what was written this shortly ago may be written again unseen. */
const SETTLED_MS = 50;

/** What taking a snapshot needs of whoever serves the disks. */
export interface Serving {
  /** Holds back new commands and flushes the others; returns what lets them go, or undefined where nobody is served. */
  freeze(volume: VolumeName): Promise<(() => void) | undefined>;
  /** A machine with a session has it. */
  isLive(volume: VolumeName): boolean;
  /** The file of a snapshot is about to be deleted. */
  withdraw(snapshot: string): void;
}

export interface SnapshotOptions extends CopyOptions {
  /** Where blocks cannot be shared: hold a machine back for as long as the copy takes. */
  readonly force?: boolean;
}

export interface TakenSnapshot {
  readonly name: VolumeName;
  readonly record: SnapshotRecord;
  /** For how long sessions were held back; 0 where there were none to hold. */
  readonly pauseMs: number;
}

/** Snapshots: of one instant, immutable, and as cheap as the file system makes them. */
export class Snapshots {
  readonly #library: Library;
  readonly #serving: Serving;
  /** Automatic ones that a clone is being made of. */
  readonly #pinned = new Map<string, number>();

  constructor(library: Library, serving: Serving) {
    this.#library = library;
    this.#serving = serving;
  }

  /** Throws {@link VolumeError}. The caller holds the volume's lock alone. */
  async take(volume: StoredVolume, name: VolumeName, automatic: boolean, options: SnapshotOptions = {}): Promise<TakenSnapshot> {
    const library = this.#library;
    const path = library.needBlocks(volume);
    const shares = library.canShare(volume);
    if (!shares && options.force !== true && this.#serving.isLive(volume.name)) {
      throw new VolumeError(
        `${volume.name} is in use, and a snapshot is a full copy here, for which its machine would have to wait; shut the machine down first, or let it wait with --force`,
      );
    }
    const folder = snapshotFolder(library.storage, volume.name, name);
    mkdirSync(snapshotsFolder(library.storage, volume.name), { recursive: true, mode: 0o700 });
    let pauseMs = 0;
    let record: SnapshotRecord | undefined;
    try {
      await flushWhileServing(path);
      await library.folders.appear(folder, async (temporary) => {
        const begun = performance.now();
        const thaw = await this.#serving.freeze(volume.name);
        let stamp: string | undefined;
        try {
          stamp = stampOf(path, library.now());
          await duplicate(path, join(temporary, DISK_FILE), {
            ...options,
            room: (bytes) => library.pool.requireRoom("a full copy", bytes),
          });
        } finally {
          thaw?.();
          if (thaw !== undefined) pauseMs = performance.now() - begun;
        }
        record = { uuid: randomUUID(), createdMs: library.now(), automatic, ...(stamp !== undefined && { stamp }) };
        await writeJson(join(temporary, SNAPSHOT_FILE), record);
      });
    } catch (cause) {
      throw explained(`no snapshot of ${volume.name} was taken`, cause);
    } finally {
      library.catalogue.refresh(volume.name);
    }
    if (record === undefined) throw new VolumeError(`no snapshot of ${volume.name} was taken`);
    library.emit({ type: "volume.snapshot", volume: volume.name, snapshot: name, pauseMs });
    return { name, record, pauseMs };
  }

  /**
   * A snapshot of the volume as it is now, for a clone to hang on: the last one where nothing was written since. It stays at
   * least until {@link unpin}. The caller holds the volume's lock alone.
   */
  async pinCurrent(volume: StoredVolume): Promise<{ readonly name: VolumeName; readonly uuid: string }> {
    const stamp = stampOf(this.#library.needBlocks(volume), this.#library.now());
    const same = [...volume.snapshots].findLast(([, record]) => record.stamp !== undefined && record.stamp === stamp);
    const { name, record } =
      same === undefined ? await this.take(volume, this.#automaticName(volume), true) : { name: same[0], record: same[1] };
    this.#pinned.set(record.uuid, (this.#pinned.get(record.uuid) ?? 0) + 1);
    return { name, uuid: record.uuid };
  }

  unpin(uuid: string): void {
    const count = (this.#pinned.get(uuid) ?? 0) - 1;
    if (count > 0) this.#pinned.set(uuid, count);
    else this.#pinned.delete(uuid);
  }

  /** Removes an automatic snapshot that no clone hangs on any more; does nothing for any other. */
  async collect(uuid: string): Promise<void> {
    const { catalogue, locks, folders, storage } = this.#library;
    const place = catalogue.findSnapshot(uuid);
    if (place?.record.automatic !== true) return;
    await locks.exclusive(place.volume.name, async () => {
      const found = catalogue.findSnapshot(uuid);
      if (found === undefined || this.#pinned.has(uuid) || catalogue.clones().has(uuid)) return;
      this.#serving.withdraw(snapshotPath(storage, found.volume.name, found.snapshot));
      await folders.disappear(snapshotFolder(storage, found.volume.name, found.snapshot));
      catalogue.refresh(found.volume.name);
    });
  }

  /** Removes what a crash between a snapshot and its clone left. Before anything is served. */
  async collectAll(): Promise<void> {
    const { catalogue } = this.#library;
    const clones = catalogue.clones();
    const unused = [...catalogue.all].flatMap(({ snapshots }) =>
      [...snapshots.values()].filter(({ automatic, uuid }) => automatic && !clones.has(uuid)),
    );
    for (const { uuid } of unused) await this.collect(uuid);
  }

  #automaticName(volume: StoredVolume): VolumeName {
    const time = new Date(this.#library.now()).toISOString().replace(/[-:]/g, "").slice(0, 15);
    for (let number = 1; ; number++) {
      const name = parseVolumeName(number === 1 ? `auto-${time}` : `auto-${time}-${number}`);
      if (!volume.snapshots.has(name)) return name;
    }
  }
}

/** What changes whenever the file is written; undefined where the last write is too recent to tell it from the next, and for devices. */
export function stampOf(path: string, nowMs: number): string | undefined {
  const facts = statSync(path, { bigint: true });
  if (!facts.isFile() || nowMs - Number(facts.mtimeMs) < SETTLED_MS) return undefined;
  return `${facts.ino}:${facts.size}:${facts.mtimeNs}`;
}

async function flushWhileServing(path: string): Promise<void> {
  await withFile(path, "r", async (file) => {
    for (let round = 0; round < MAX_FLUSH_ROUNDS; round++) {
      const begun = performance.now();
      await file.datasync();
      if (performance.now() - begun < QUICK_FLUSH_MS) return;
    }
  });
}
