import { type BigIntStats, statSync } from "node:fs";
import type { VolumeName } from "../machine/identifiers.ts";
import type { SnapshotReport, VolumeReport } from "../machine/volume.ts";
import { type ExtentFacts, measureExtents } from "../native/extents.ts";
import type { StoredVolume } from "./catalogue.ts";
import { fileBytes } from "./copy.ts";
import { snapshotPath } from "./layout.ts";
import type { Library } from "./library.ts";

/** What a list shows of a volume and its snapshots besides what is known of who uses it. */
export type StoredReport = Omit<VolumeReport, "settings" | "configured" | "open" | "machines">;

interface Measured {
  readonly stamp: string;
  /** When the stamp was first seen. */
  readonly sinceMs: number;
  readonly measuredMs: number;
  readonly facts: ExtentFacts | undefined;
}

/** File systems give blocks back in the background: what is measured sooner after a change is measured again. */
const SETTLED_MS = 10_000;

interface MeasuredFile {
  readonly stats: BigIntStats;
  readonly facts: ExtentFacts | undefined;
}

/** Volumes that can share blocks with each other: a volume, its snapshots, their clones, and so on. */
interface Family {
  readonly files: { readonly path: string; readonly stats: BigIntStats }[];
  lastChangeNs: bigint;
}

/**
 * How much room volumes take. What is shared and what is not takes a walk over every extent, so it is remembered: until the
 * file itself, or a file that may share blocks with it, is written, made or deleted.
 */
export class Usage {
  readonly #library: Library;
  #measured = new Map<string, Measured>();

  constructor(library: Library) {
    this.#library = library;
  }

  /** Of every volume. Those whose blocks are gone are left out. */
  async report(): Promise<readonly StoredReport[]> {
    const { catalogue } = this.#library;
    const files = await this.#measure();
    const clones = catalogue.clones();
    return [...catalogue.all].flatMap((volume) => this.#reportOne(volume, files, clones) ?? []);
  }

  /** Undefined where its blocks are gone. */
  async reportOf(volume: StoredVolume): Promise<StoredReport | undefined> {
    const paths = this.#pathsOf(volume);
    const facts = await measureExtents(paths);
    const files = new Map<string, MeasuredFile>();
    for (const [index, path] of paths.entries()) {
      const stats = statSync(path, { bigint: true, throwIfNoEntry: false });
      if (stats !== undefined) files.set(path, { stats, facts: facts[index] });
    }
    return this.#reportOne(volume, files, this.#library.catalogue.clones());
  }

  #reportOne(
    volume: StoredVolume,
    files: ReadonlyMap<string, MeasuredFile>,
    clones: ReadonlyMap<string, readonly VolumeName[]>,
  ): StoredReport | undefined {
    const { storage } = this.#library;
    const { name, record } = volume;
    const path = this.#library.pathOf(volume);
    const file = files.get(path);
    if (file === undefined) return undefined;
    const snapshots = [...volume.snapshots].flatMap(([snapshot, { uuid, createdMs, automatic }]): SnapshotReport[] => {
      const found = files.get(snapshotPath(storage, name, snapshot));
      if (found === undefined) return [];
      return [
        {
          name: snapshot,
          createdMs,
          sizeBytes: Number(found.stats.size),
          usedBytes: usedBytes(found.stats),
          ...(found.facts !== undefined && { aloneBytes: found.facts.ownBytes }),
          automatic,
          clones: clones.get(uuid) ?? [],
        },
      ];
    });
    const origin = this.#originOf(volume);
    return {
      name,
      uuid: record.uuid,
      createdMs: record.createdMs,
      sizeBytes: file.stats.isFile() ? Number(file.stats.size) : fileBytes(path),
      usedBytes: usedBytes(file.stats),
      ...(file.facts !== undefined && { sharedBytes: file.facts.sharedBytes, extents: file.facts.extents }),
      ...(origin !== undefined && { origin }),
      ...(record.file !== undefined && { file: record.file }),
      snapshots,
    };
  }

  /** By the names of today; that of its making where the origin is gone. */
  #originOf({ record: { origin } }: StoredVolume): string | undefined {
    if (origin === undefined) return undefined;
    const found = origin.uuid === undefined ? undefined : this.#library.catalogue.findSnapshot(origin.uuid);
    const [volume, snapshot] = found === undefined ? [origin.volume, origin.snapshot] : [found.volume.name, found.snapshot];
    return snapshot === undefined ? volume : `${volume}@${snapshot}`;
  }

  async #measure(): Promise<ReadonlyMap<string, MeasuredFile>> {
    const files = new Map<string, { readonly stats: BigIntStats; readonly stamp: string }>();
    for (const family of this.#families()) {
      for (const { path, stats } of family.files) {
        files.set(path, { stats, stamp: `${stats.ino}:${family.files.length}:${family.lastChangeNs}` });
      }
    }
    const next = new Map<string, Measured>();
    const stale: string[] = [];
    for (const [path, { stats, stamp }] of files) {
      const known = this.#measured.get(path);
      if (known?.stamp === stamp && known.measuredMs - known.sinceMs > SETTLED_MS) next.set(path, known);
      else if (stats.isFile()) stale.push(path);
    }
    const nowMs = performance.now();
    for (const [index, facts] of (await measureExtents(stale)).entries()) {
      const path = stale[index] ?? "";
      const stamp = files.get(path)?.stamp ?? "";
      const known = this.#measured.get(path);
      next.set(path, { stamp, sinceMs: known?.stamp === stamp ? known.sinceMs : nowMs, measuredMs: nowMs, facts });
    }
    this.#measured = next;
    return new Map([...files].map(([path, { stats }]) => [path, { stats, facts: next.get(path)?.facts }]));
  }

  /** Every file of the store, by family. Clones whose origin was deleted still share blocks with its other clones. */
  #families(): Iterable<Family> {
    const { catalogue } = this.#library;
    const families = new Map<string, Family>();
    const heads = new Map<VolumeName, string>();
    const headOf = (volume: StoredVolume): string => {
      const known = heads.get(volume.name);
      if (known !== undefined) return known;
      // A circle cannot be made by cloning; should a record claim one, it ends here.
      heads.set(volume.name, volume.record.uuid);
      const { origin } = volume.record;
      const found = origin?.uuid === undefined ? undefined : catalogue.findSnapshot(origin.uuid);
      const head = found !== undefined ? headOf(found.volume) : (origin?.uuid ?? volume.record.uuid);
      heads.set(volume.name, head);
      return head;
    };
    for (const volume of catalogue.all) {
      const head = headOf(volume);
      const family = families.get(head) ?? { files: [], lastChangeNs: 0n };
      families.set(head, family);
      for (const path of this.#pathsOf(volume)) {
        const stats = statSync(path, { bigint: true, throwIfNoEntry: false });
        if (stats === undefined) continue;
        family.files.push({ path, stats });
        if (stats.ctimeNs > family.lastChangeNs) family.lastChangeNs = stats.ctimeNs;
      }
    }
    return families.values();
  }

  #pathsOf(volume: StoredVolume): readonly string[] {
    const snapshots = [...volume.snapshots.keys()].map((each) => snapshotPath(this.#library.storage, volume.name, each));
    return [this.#library.pathOf(volume), ...snapshots];
  }
}

/** `st_blocks` counts sectors of 512 octets everywhere; a device takes no room of ours. */
function usedBytes(stats: BigIntStats): number {
  return stats.isFile() ? Number(stats.blocks) * 512 : 0;
}
