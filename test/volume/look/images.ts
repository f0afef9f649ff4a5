import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { crc32 } from "node:zlib";
import { findReader, type ReaderPrograms } from "../../../src/volume/look/reader.ts";

export const MIB: number = 2 ** 20;
export const GIB: number = 2 ** 30;
const SECTOR = 512;

/** Path -> contents, or where a symbolic link leads. Folders come by themselves. */
export type Tree = Readonly<Record<string, string | Uint8Array | { readonly link: string }>>;

/** The programs, the helper built if nobody has. */
export function readerPrograms(): ReaderPrograms {
  const root = fileURLToPath(new URL("../../..", import.meta.url));
  if (!existsSync(join(root, "dist/src/native/rackboot-confine"))) execFileSync("make", ["-s", "-C", join(root, "src/native/look")]);
  return findReader();
}

export function scratch(): { readonly path: (name: string) => string; readonly remove: () => void } {
  const folder = mkdtempSync(join(tmpdir(), "rackboot-look-"));
  return { path: (name) => join(folder, name), remove: () => rmSync(folder, { recursive: true, force: true }) };
}

function run(command: string, ...args: string[]): void {
  execFileSync(command, args, {
    stdio: ["ignore", "ignore", "pipe"],
    env: { ...process.env, PATH: `${process.env["PATH"]}:/usr/sbin:/sbin`, MTOOLS_SKIP_CHECK: "1" },
  });
}

function blank(path: string, sizeBytes: number): void {
  writeFileSync(path, "");
  truncateSync(path, sizeBytes);
}

function plant(folder: string, tree: Tree): void {
  mkdirSync(folder, { recursive: true });
  for (const [path, contents] of Object.entries(tree)) {
    const full = join(folder, path);
    mkdirSync(dirname(full), { recursive: true });
    if (typeof contents === "object" && "link" in contents) symlinkSync(contents.link, full);
    else writeFileSync(full, contents);
  }
}

export function ext4(path: string, tree: Tree, { uuid, sizeBytes = 64 * MIB }: { uuid?: string; sizeBytes?: number } = {}): string {
  plant(`${path}.tree`, tree);
  blank(path, sizeBytes);
  run("mke2fs", "-q", "-t", "ext4", ...(uuid === undefined ? [] : ["-U", uuid]), "-d", `${path}.tree`, path);
  return path;
}

/** xfs has a smallest size of 300 MiB; the file is sparse. */
export function xfs(path: string, tree: Tree, { uuid, sizeBytes = 320 * MIB }: { uuid?: string; sizeBytes?: number } = {}): string {
  plant(`${path}.tree`, tree);
  blank(path, sizeBytes);
  writeFileSync(`${path}.proto`, `unused\n0 0\nd--755 0 0\n${prototype(path, tree, "")}$\n`);
  run("mkfs.xfs", "-q", "-f", ...(uuid === undefined ? [] : ["-m", `uuid=${uuid}`]), "-p", `${path}.proto`, path);
  return path;
}

/** mkfs.xfs's description of a tree; names hold no blanks. */
function prototype(image: string, tree: Tree, folder: string): string {
  const names = new Set(
    Object.keys(tree)
      .map((path) => path.replace(/^\//, ""))
      .filter((path) => path.startsWith(folder))
      .map((path) => path.slice(folder.length).split("/", 1)[0] ?? ""),
  );
  let lines = "";
  for (const name of names) {
    const path = folder + name;
    const contents = tree[path] ?? tree[`/${path}`];
    if (contents === undefined) lines += `${name} d--755 0 0\n${prototype(image, tree, `${path}/`)}$\n`;
    else if (typeof contents === "object" && "link" in contents) lines += `${name} l--777 0 0 ${contents.link}\n`;
    else lines += `${name} ---644 0 0 ${join(`${image}.tree`, path)}\n`;
  }
  return lines;
}

/** `volumeId` is eight hexadecimal digits, which GRUB shows with a dash. */
export function vfat(
  path: string,
  tree: Tree,
  { volumeId = "7B7795E7", sizeBytes = 64 * MIB }: { volumeId?: string; sizeBytes?: number } = {},
): string {
  plant(`${path}.tree`, tree);
  blank(path, sizeBytes);
  run("mkfs.vfat", "-F", "32", "-i", volumeId, path);
  const top = [...new Set(Object.keys(tree).map((each) => each.replace(/^\//, "").split("/", 1)[0] ?? ""))];
  run("mcopy", "-s", "-i", path, ...top.map((name) => join(`${path}.tree`, name)), "::");
  return path;
}

export interface Part {
  readonly image: string;
  /** In octets; what the image does not fill is empty. */
  readonly sizeBytes: number;
  readonly type: "esp" | "linux" | "lvm";
}

const GPT_TYPES = {
  esp: "c12a7328-f81f-11d2-ba4b-00a0c93ec93b",
  linux: "0fc63daf-8483-4772-8e79-3d69d8477de4",
  lvm: "e6d6d379-f507-44c2-a23c-238f2a3df928",
} as const;

/** The first three groups of a GUID are little-endian (UEFI 2.10, appendix A). */
function guid(text: string): Buffer {
  const bytes = Buffer.from(text.replaceAll("-", ""), "hex");
  bytes.subarray(0, 4).reverse();
  bytes.subarray(4, 6).reverse();
  bytes.subarray(6, 8).reverse();
  return bytes;
}

/** A disk with a GUID partition table (UEFI 2.10, 5.3) and its copy at the end; partitions begin at 1 MiB, one after the other. */
export async function gpt(path: string, sizeBytes: number, parts: readonly Part[]): Promise<string> {
  blank(path, sizeBytes);
  const lastLba = sizeBytes / SECTOR - 1;
  const table = Buffer.alloc(128 * 128);
  let at = MIB;
  for (const [index, part] of parts.entries()) {
    const entry = table.subarray(index * 128);
    guid(GPT_TYPES[part.type]).copy(entry);
    guid(`00000000-0000-4000-8000-00000000000${index + 1}`).copy(entry, 16);
    entry.writeBigUInt64LE(BigInt(at / SECTOR), 32);
    entry.writeBigUInt64LE(BigInt((at + part.sizeBytes) / SECTOR - 1), 40);
    copyInto(path, part.image, at);
    at += part.sizeBytes;
  }
  const header = (own: number, other: number, tableLba: number): Buffer => {
    const sector = Buffer.alloc(SECTOR);
    sector.write("EFI PART", 0, "latin1");
    sector.writeUInt32LE(0x00010000, 8);
    sector.writeUInt32LE(92, 12);
    sector.writeBigUInt64LE(BigInt(own), 24);
    sector.writeBigUInt64LE(BigInt(other), 32);
    sector.writeBigUInt64LE(34n, 40);
    sector.writeBigUInt64LE(BigInt(lastLba - 33), 48);
    guid("11111111-1111-4111-8111-111111111111").copy(sector, 56);
    sector.writeBigUInt64LE(BigInt(tableLba), 72);
    sector.writeUInt32LE(128, 80);
    sector.writeUInt32LE(128, 84);
    sector.writeUInt32LE(crc32(table), 88);
    sector.writeUInt32LE(crc32(sector.subarray(0, 92)), 16);
    return sector;
  };
  await put(path, 0, mbrSector([{ type: 0xee, firstLba: 1, sectors: Math.min(lastLba, 0xffffffff) }]));
  await put(path, SECTOR, header(1, lastLba, 2));
  await put(path, 2 * SECTOR, table);
  await put(path, (lastLba - 32) * SECTOR, table);
  await put(path, lastLba * SECTOR, header(lastLba, 1, lastLba - 32));
  return path;
}

/** A disk with a classic partition table. */
export async function mbr(path: string, sizeBytes: number, parts: readonly Part[]): Promise<string> {
  blank(path, sizeBytes);
  let at = MIB;
  const entries = parts.map((part) => {
    const entry = {
      type: part.type === "lvm" ? 0x8e : part.type === "esp" ? 0xef : 0x83,
      firstLba: at / SECTOR,
      sectors: part.sizeBytes / SECTOR,
    };
    copyInto(path, part.image, at);
    at += part.sizeBytes;
    return entry;
  });
  await put(path, 0, mbrSector(entries));
  return path;
}

function mbrSector(parts: readonly { readonly type: number; readonly firstLba: number; readonly sectors: number }[]): Buffer {
  const sector = Buffer.alloc(SECTOR);
  for (const [index, part] of parts.entries()) {
    const entry = sector.subarray(446 + index * 16);
    entry.writeUInt8(part.type, 4);
    entry.writeUInt32LE(part.firstLba, 8);
    entry.writeUInt32LE(part.sectors, 12);
  }
  sector.writeUInt16BE(0x55aa, 510);
  return sector;
}

export async function put(path: string, offset: number, bytes: Uint8Array): Promise<void> {
  const file = await open(path, "r+");
  try {
    await file.write(bytes, 0, bytes.length, offset);
  } finally {
    await file.close();
  }
}

function copyInto(disk: string, image: string, offset: number): void {
  run("dd", `if=${image}`, `of=${disk}`, "bs=1M", `seek=${offset / MIB}`, "conv=notrunc,sparse", "status=none");
}

const EXTENT_SECTORS = 8192;

/**
 * A physical volume with one volume group and one linear logical volume, whose contents are `image`: what `pvcreate`,
 * `vgcreate rhel` and `lvcreate -n root` leave (LVM2's lib/format_text/layout.h and lib/label/label.h), since making one with
 * LVM itself needs device-mapper in the kernel.
 */
export async function physicalVolume(
  path: string,
  image: string,
  {
    group = "rhel",
    volume = "root",
    sizeBytes = 512 * MIB,
    fileBytes = sizeBytes,
  }: { group?: string; volume?: string; sizeBytes?: number /** What is made of it; the rest is empty. */; fileBytes?: number } = {},
): Promise<string> {
  blank(path, fileBytes);
  const areaBytes = MIB - 4096;
  const id = (digit: string): string => `${digit.repeat(6)}-${`${digit.repeat(4)}-`.repeat(5)}${digit.repeat(6)}`;
  const extents = Math.floor((sizeBytes - MIB) / SECTOR / EXTENT_SECTORS);
  const text = `${group} {
id = "${id("g")}"
seqno = 2
format = "lvm2"
status = ["RESIZEABLE", "READ", "WRITE"]
flags = []
extent_size = ${EXTENT_SECTORS}
max_lv = 0
max_pv = 0
metadata_copies = 0

physical_volumes {

pv0 {
id = "${id("p")}"
device = "/dev/sda3"

status = ["ALLOCATABLE"]
flags = []
dev_size = ${sizeBytes / SECTOR}
pe_start = 2048
pe_count = ${extents}
}
}

logical_volumes {

${volume} {
id = "${id("l")}"
status = ["READ", "WRITE", "VISIBLE"]
flags = []
creation_time = 1700000000
creation_host = "installer"
segment_count = 1

segment1 {
start_extent = 0
extent_count = ${extents}

type = "striped"
stripe_count = 1

stripes = [
"pv0", 0
]
}
}
}

}
# Generated by LVM2 version 2.03.23(2) (2023-11-21): Tue Nov 14 22:13:20 2023

contents = "Text Format Volume Group"
version = 1

description = "Write from lvcreate"

creation_host = "installer"
creation_time = 1700000000
\0`;
  const metadata = Buffer.from(text, "latin1");
  const label = Buffer.alloc(SECTOR);
  label.write("LABELONE", 0, "latin1");
  label.writeBigUInt64LE(1n, 8);
  label.writeUInt32LE(32, 20);
  label.write("LVM2 001", 24, "latin1");
  label.write("p".repeat(32), 32, "latin1");
  label.writeBigUInt64LE(BigInt(sizeBytes), 64);
  label.writeBigUInt64LE(BigInt(MIB), 72);
  // One data area, a terminator, one metadata area, a terminator.
  label.writeBigUInt64LE(4096n, 104);
  label.writeBigUInt64LE(BigInt(areaBytes), 112);
  label.writeUInt32LE(lvmCrc(label.subarray(20)), 16);
  const area = Buffer.alloc(SECTOR);
  area.write(" LVM2 x[5A%r0N*>", 4, "latin1");
  area.writeUInt32LE(1, 20);
  area.writeBigUInt64LE(4096n, 24);
  area.writeBigUInt64LE(BigInt(areaBytes), 32);
  area.writeBigUInt64LE(512n, 40);
  area.writeBigUInt64LE(BigInt(metadata.length), 48);
  area.writeUInt32LE(lvmCrc(metadata), 56);
  area.writeUInt32LE(lvmCrc(area.subarray(4)), 0);
  await put(path, SECTOR, label);
  await put(path, 4096, area);
  await put(path, 4096 + 512, metadata);
  copyInto(path, image, MIB);
  return path;
}

/** LVM's CRC-32 has a start value of its own and is not inverted. */
function lvmCrc(bytes: Uint8Array): number {
  return ~crc32(bytes, ~0xf597a6cf >>> 0) >>> 0;
}
