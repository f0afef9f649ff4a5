import type { VolumeConfig } from "./config.ts";
import type { MachineName, VolumeName } from "./identifiers.ts";

/** How a volume is served, apart from where its blocks come from. */
export type VolumeSettings = Omit<VolumeConfig, "source">;

export const DEFAULT_VOLUME_SETTINGS: VolumeSettings = {
  readOnly: false,
  shared: false,
  blockSize: 512,
  writeCache: true,
  thin: true,
  removable: false,
};

/** The smallest that is a disk at all. */
export const MIN_VOLUME_BYTES: number = 1024 ** 2;
/** 64 TiB: more than a data SSD can promise without being asked twice. */
export const MAX_VOLUME_BYTES: number = 64 * 1024 ** 4;

/** A snapshot as `rackboot volume snapshots` shows it. Sizes are octets. */
export interface SnapshotReport {
  readonly name: VolumeName;
  readonly createdMs: number;
  readonly sizeBytes: number;
  readonly usedBytes: number;
  /** What deleting it would give back; undefined where the file system cannot tell. */
  readonly aloneBytes?: number;
  /** Made for a clone, and gone with its last one. */
  readonly automatic: boolean;
  readonly clones: readonly VolumeName[];
}

/** A volume as `rackboot volume list` shows it. Sizes are octets. */
export interface VolumeReport {
  readonly name: VolumeName;
  readonly uuid: string;
  readonly createdMs: number;
  readonly sizeBytes: number;
  /** What its file takes, shared or not. */
  readonly usedBytes: number;
  /** Of that, what other files hold too; undefined where the file system cannot tell. */
  readonly sharedBytes?: number;
  readonly extents?: number;
  /** `volume@snapshot` by its name of today, or `volume` where clones are full copies. */
  readonly origin?: string;
  /** The file or device outside of the store that has its blocks. */
  readonly file?: string;
  readonly settings: VolumeSettings;
  /** It stands under `volumes` in the configuration, or inside a machine. */
  readonly configured: boolean;
  /** Served right now. */
  readonly open: boolean;
  readonly machines: readonly MachineName[];
  readonly snapshots: readonly SnapshotReport[];
}

/** The file system that the store is on. */
export interface PoolReport {
  readonly path: string;
  /** `xfs`, `btrfs`, `ext4`, `tmpfs`, or the magic number of what it is. */
  readonly fileSystem: string;
  /** Clones and snapshots share blocks; otherwise they are full copies. */
  readonly reflink: boolean;
  readonly sizeBytes: number;
  readonly freeBytes: number;
}

/** Of a copy that takes long. `totalBytes` is undefined where nobody can know it. */
export interface CopyProgress {
  readonly doneBytes: number;
  readonly totalBytes?: number;
}
