import { createHash } from "node:crypto";
import { existsSync, readFileSync, statSync } from "node:fs";
import type { DatabaseSync } from "node:sqlite";
import type { VolumeConfig } from "../machine/config.ts";
import type { VolumeName } from "../machine/identifiers.ts";
import type { DataPlane, VolumeId } from "../native/data-plane.ts";
import type { Emit } from "../state/events.ts";
import { VolumeCatalogue } from "./catalogue.ts";
import { createClone, createSparse, VolumeError, volumePath } from "./files.ts";

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
  readonly #catalogue: VolumeCatalogue;
  readonly #emit: Emit;
  readonly #now: () => number;
  readonly #open = new Map<VolumeName, OpenVolume>();
  readonly #byId = new Map<VolumeId, OpenVolume>();

  constructor(parts: { dataPlane: DataPlane; database: DatabaseSync; emit: Emit; now: () => number }) {
    this.#dataPlane = parts.dataPlane;
    this.#catalogue = new VolumeCatalogue(parts.database);
    this.#emit = parts.emit;
    this.#now = parts.now;
  }

  get(name: VolumeName): OpenVolume | undefined {
    return this.#open.get(name);
  }

  byId(id: VolumeId): OpenVolume | undefined {
    return this.#byId.get(id);
  }

  /**
   * Opens what `settings` names and is not open, reopens what changed, closes what it no longer names. A volume that
   * cannot be opened is told as `volume.failed` and left out.
   */
  async apply(settings: VolumeStoreSettings): Promise<void> {
    for (const [name, open] of this.#open) {
      const wanted = settings.volumes.get(name);
      if (wanted === undefined || !sameVolume(open.config, wanted)) await this.#close(open);
    }
    for (const [name, config] of settings.volumes) {
      if (this.#open.has(name)) continue;
      try {
        await this.#openOne(settings, name, config);
      } catch (cause) {
        this.#emit({ type: "volume.failed", volume: name, reason: (cause as Error).message });
      }
    }
  }

  async #openOne(settings: VolumeStoreSettings, name: VolumeName, config: VolumeConfig): Promise<void> {
    const path = await this.#ensureFile(settings, name, config);
    const entry = this.#catalogue.ensure(name, this.#now());
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
      ...identity(entry.uuid, config.serial),
    };
    this.#open.set(name, volume);
    this.#byId.set(id, volume);
    this.#emit({ type: "volume.opened", volume: name, sizeBytes: volume.sizeBytes });
  }

  async #ensureFile(settings: VolumeStoreSettings, name: VolumeName, config: VolumeConfig): Promise<string> {
    const { source } = config;
    if (source.kind === "file") {
      if (!existsSync(source.path)) throw new VolumeError(`${source.path} does not exist; create it or correct "file:"`);
      return source.path;
    }
    const path = volumePath(settings.storage, name);
    if (existsSync(path)) return path;
    if (source.kind === "sparse") {
      await createSparse(path, source.sizeBytes);
      return path;
    }
    const origin = source.origin as VolumeName;
    const originConfig = settings.volumes.get(origin);
    const originPath =
      originConfig === undefined ? volumePath(settings.storage, origin) : await this.#ensureFile(settings, origin, originConfig);
    const serving = this.#open.get(origin);
    // A clone of a live disk is taken at one instant: what is in flight ends first, what comes next waits.
    if (serving !== undefined) await this.#dataPlane.freeze(serving.id);
    try {
      await createClone(path, originPath, source.sizeBytes);
    } finally {
      if (serving !== undefined) this.#dataPlane.thaw(serving.id);
    }
    return path;
  }

  async #close(volume: OpenVolume): Promise<void> {
    this.#open.delete(volume.name);
    this.#byId.delete(volume.id);
    await this.#dataPlane.closeVolume(volume.id);
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
