import { mkdirSync, mkdtempSync, rmSync, statfsSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { run, runOrThrow } from "../harness/process.ts";
import type { Resources } from "../harness/resources.ts";
import { type Place, RACK_MACHINES, SHARERS } from "./cases.ts";

const MIB = 1024 ** 2;
const CHUNK_BYTES = 4 * MIB;
const RACK_DISK_BYTES = 8 * MIB;
const RACK_FILE_SYSTEM_BYTES = 1024 * MIB;

/** Files that targets put behind their disks, in order; one may come several times. */
export interface PreparedPlace {
  readonly files: readonly string[];
  /** What lies below, for the report. */
  readonly description: string;
}

/** A file of noise: a hole would be read without touching memory or disk. */
async function makeDisk(path: string, sizeBytes: number): Promise<void> {
  const chunk = new Uint8Array(CHUNK_BYTES);
  for (let at = 0; at < chunk.length; at += 65_536) crypto.getRandomValues(chunk.subarray(at, at + 65_536));
  const file = await open(path, "w");
  try {
    for (let at = 0; at < sizeBytes; at += CHUNK_BYTES) await file.write(chunk, 0, Math.min(CHUNK_BYTES, sizeBytes - at), at);
    await file.sync();
  } finally {
    await file.close();
  }
}

function folderIn(resources: Resources, parent: string): string {
  mkdirSync(parent, { recursive: true });
  const folder = mkdtempSync(join(parent, "rackboot-bench-"));
  resources.defer(folder, () => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** XFS on a loop device past the page cache of what is below, as on a board's SSD; undefined where that takes rights we lack. */
async function mountXfs(resources: Resources, folder: string): Promise<string | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const image = join(folder, "xfs.img");
  const mountPoint = join(folder, "xfs");
  mkdirSync(mountPoint);
  await runOrThrow(["truncate", "-s", String(RACK_FILE_SYSTEM_BYTES), image]);
  if ((await run(["mkfs.xfs", "-q", image])).code !== 0) return undefined;
  const loop = await run(["losetup", "--direct-io=on", "--find", "--show", image]);
  if (loop.code !== 0) return undefined;
  const device = loop.stdout.trim();
  resources.defer(device, async () => {
    await runOrThrow(["losetup", "--detach", device]);
  });
  if ((await run(["mount", device, mountPoint])).code !== 0) return undefined;
  resources.defer(mountPoint, async () => {
    await runOrThrow(["umount", mountPoint]);
  });
  return mountPoint;
}

/** Makes a place ready; all of it is gone when the resources close. Throws when there is too little room. */
export async function preparePlace(resources: Resources, place: Place, sizeBytes: number, diskFolder: string): Promise<PreparedPlace> {
  const folder = folderIn(resources, place === "tmpfs" ? "/dev/shm" : diskFolder);
  const needed = place === "rack" ? RACK_FILE_SYSTEM_BYTES : sizeBytes;
  const { bavail, bsize } = statfsSync(folder);
  if (bavail * bsize < 2 * needed) throw new Error(`${folder}: too little room for a disk of ${needed / MIB} MiB; choose a smaller --size`);
  if (place !== "rack") {
    const path = join(folder, "disk");
    await makeDisk(path, sizeBytes);
    return {
      files: Array.from({ length: SHARERS }, () => path),
      description: place === "tmpfs" ? "tmpfs" : "this machine's disk, page cache on",
    };
  }
  const xfs = await mountXfs(resources, folder);
  const files = Array.from({ length: RACK_MACHINES }, (_, index) => join(xfs ?? folder, `disk${index}`));
  for (const file of files) await makeDisk(file, RACK_DISK_BYTES);
  return { files, description: xfs === undefined ? "this machine's disk" : "XFS on a loop device with direct I/O" };
}
