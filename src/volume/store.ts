import { createHash, randomUUID } from "node:crypto";
import { existsSync, readFileSync, statSync } from "node:fs";
import type { VolumeConfig, VolumeSource } from "../machine/config.ts";
import type { VolumeName } from "../machine/identifiers.ts";
import type { DataPlane, VolumeId } from "../native/data-plane.ts";
import type { Emit } from "../state/events.ts";
import { appearVolume, createCopy, createSparse, removeLeftovers, VolumeError } from "./files.ts";
import { diskPath, parseOrigin, readRecord, snapshotPath, type VolumeRecord } from "./layout.ts";

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

/** What the store needs to know; `volumes` holds the inline ones too. */
export interface VolumeStoreSettings {
  readonly storage: string;
  readonly volumes: ReadonlyMap<VolumeName, VolumeConfig>;
}

/**
 * The disks: makes the files that the configuration names at their first use, opens them in the data plane, and follows
 * changes of the configuration. One volume that cannot be opened never keeps the others from being served.
 */
export class VolumeStore {
  readonly #dataPlane: DataPlane;
  readonly #emit: Emit;
  readonly #now: () => number;
  readonly #open = new Map<VolumeName, OpenVolume>();
  readonly #byId = new Map<VolumeId, OpenVolume>();

  constructor(parts: { readonly dataPlane: DataPlane; readonly emit: Emit; readonly now: () => number }) {
    this.#dataPlane = parts.dataPlane;
    this.#emit = parts.emit;
    this.#now = parts.now;
  }

  /** Clears away what a crash left. Once, before the first {@link apply}. */
  async recover(storage: string): Promise<void> {
    await removeLeftovers(storage);
  }

  get(name: VolumeName): OpenVolume | undefined {
    return this.#open.get(name);
  }

  byId(id: VolumeId): OpenVolume | undefined {
    return this.#byId.get(id);
  }

  /**
   * Opens what `settings` names and is not open as it says. What it no longer names, or names differently, is served on
   * until the returned function is called, so that sessions can be led over to the new first. A volume that cannot be
   * opened is told as `volume.failed` and left out.
   */
  async apply(settings: VolumeStoreSettings): Promise<() => Promise<void>> {
    const retired = [...this.#open.values()].filter((open) => {
      const wanted = settings.volumes.get(open.name);
      return wanted === undefined || !sameVolume(open.config, wanted);
    });
    for (const volume of retired) this.#open.delete(volume.name);
    for (const [name, config] of settings.volumes) {
      if (this.#open.has(name)) continue;
      try {
        await this.#openOne(settings, name, config);
      } catch (cause) {
        this.#emit({ type: "volume.failed", volume: name, reason: (cause as Error).message });
      }
    }
    return async () => {
      for (const volume of retired) {
        this.#byId.delete(volume.id);
        await this.#dataPlane.closeVolume(volume.id);
      }
    };
  }

  /** Every volume that is being served. */
  get all(): Iterable<OpenVolume> {
    return this.#open.values();
  }

  async #openOne(settings: VolumeStoreSettings, name: VolumeName, config: VolumeConfig): Promise<void> {
    const { path, record } = await this.#ensure(settings, name, config);
    const id = this.#dataPlane.openVolume({
      path,
      sizeBytes: 0,
      blockSize: config.blockSize,
      readOnly: config.readOnly,
      writeCache: config.writeCache,
      thin: config.thin,
    });
    const volume: OpenVolume = {
      name,
      id,
      path,
      sizeBytes: sizeOf(path, config.blockSize),
      config,
      ...identity(record.uuid, config.serial),
    };
    this.#open.set(name, volume);
    this.#byId.set(id, volume);
    this.#emit({ type: "volume.opened", volume: name, sizeBytes: volume.sizeBytes });
  }

  /** Where the volume's blocks are, and who it is; made now if this is its first use. */
  async #ensure(
    settings: VolumeStoreSettings,
    name: VolumeName,
    config: VolumeConfig,
  ): Promise<{ readonly path: string; readonly record: VolumeRecord }> {
    const { storage } = settings;
    const { source } = config;
    const path = source.kind === "file" ? source.path : diskPath(storage, name);
    if (source.kind === "file" && !existsSync(path)) throw new VolumeError(`${path} does not exist; create it or correct "file:"`);
    const known = readRecord(storage, name);
    if (known !== undefined) return { path, record: known };
    const record: VolumeRecord = {
      uuid: randomUUID(),
      createdMs: this.#now(),
      ...(source.kind === "clone" && { origin: source.origin }),
    };
    if (source.kind === "file") await appearVolume(storage, name, record, async () => {});
    else if (source.kind === "sparse") await appearVolume(storage, name, record, (file) => createSparse(file, source.sizeBytes));
    else await this.#clone(settings, name, record, source);
    return { path, record };
  }

  async #clone(
    settings: VolumeStoreSettings,
    name: VolumeName,
    record: VolumeRecord,
    source: Extract<VolumeSource, { kind: "clone" }>,
  ): Promise<void> {
    const { storage } = settings;
    const origin = parseOrigin(source.origin);
    if (origin.snapshot !== undefined) {
      const path = snapshotPath(storage, origin.volume, origin.snapshot);
      await appearVolume(storage, name, record, (file) => createCopy(file, path, source.sizeBytes));
      return;
    }
    const configured = settings.volumes.get(origin.volume);
    const path =
      configured === undefined ? diskPath(storage, origin.volume) : (await this.#ensure(settings, origin.volume, configured)).path;
    const serving = this.#open.get(origin.volume);
    // A clone of a live disk is taken at one instant: what is in flight ends first, what comes next waits.
    if (serving !== undefined) await this.#dataPlane.freeze(serving.id);
    try {
      await appearVolume(storage, name, record, (file) => createCopy(file, path, source.sizeBytes));
    } finally {
      if (serving !== undefined) this.#dataPlane.thaw(serving.id);
    }
  }
}

function sameVolume(left: VolumeConfig, right: VolumeConfig): boolean {
  return JSON.stringify(left) === JSON.stringify(right);
}

/** A file that is no whole number of blocks is served up to its last whole one. */
function sizeOf(path: string, blockSize: number): number {
  const facts = statSync(path);
  const bytes = facts.isBlockDevice() ? blockDeviceBytes(facts.rdev) : facts.size;
  return Math.floor(bytes / blockSize) * blockSize;
}

/** stat tells no size of a block device; sysfs counts it in sectors of 512 octets whatever the device's own block size is. */
function blockDeviceBytes(rdev: number): number {
  const major = (rdev >> 8) & 0xfff;
  const minor = (rdev & 0xff) | ((rdev >> 12) & 0xfff00);
  return Number(readFileSync(`/sys/dev/block/${major}:${minor}/size`, "utf8")) * 512;
}

function identity(uuid: string, serial: string | undefined): { serial: string; naa: Uint8Array } {
  const digest = createHash("sha256").update(`rackboot volume ${uuid}`).digest();
  const naa = Uint8Array.from(digest.subarray(0, 8));
  naa[0] = 0x30 | ((naa[0] ?? 0) & 0x0f);
  return { serial: serial ?? uuid.replaceAll("-", "").slice(0, 20), naa };
}
