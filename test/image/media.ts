import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { runOrThrow } from "../harness/process.ts";
import type { Resources } from "../harness/resources.ts";

/** A folder of its own, gone when the resources close. */
export function ownFolder(resources: Resources): string {
  const folder = mkdtempSync(join(tmpdir(), "rackboot-image-"));
  resources.defer(folder, () => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export const KERNEL: Buffer = Buffer.alloc(9_000_000, "kernel ");
const INITRD = Buffer.alloc(3_000_001, "initrd ");
export const PACKAGE = "BaseOS/Packages/g/glibc-2.28-251.el8_10.2.x86_64.rpm";

/** The files of a RHEL DVD's layout, with contents of our own; `.treeinfo` states their checksums. */
export function rhelFiles(version: string, name = "Red Hat Enterprise Linux"): ReadonlyMap<string, Buffer> {
  const files = new Map<string, Buffer>([
    ["images/pxeboot/vmlinuz", KERNEL],
    ["images/pxeboot/initrd.img", INITRD],
    ["images/install.img", Buffer.alloc(100_000, "stage2 ")],
    ["EFI/BOOT/BOOTX64.EFI", Buffer.from("UEFI shim,shim of the medium")],
    ["EFI/BOOT/grubx64.efi", Buffer.from("GRUB of the medium with blksize and HTTP/1.1")],
    ["BaseOS/repodata/repomd.xml", Buffer.from("<repomd/>")],
    ["AppStream/repodata/repomd.xml", Buffer.from("<repomd/>")],
    [PACKAGE, Buffer.alloc(2_100_000, "glibc ")],
    ["media.repo", Buffer.alloc(0)],
  ]);
  const checked = ["images/pxeboot/vmlinuz", "images/pxeboot/initrd.img", "images/install.img"];
  const sums = checked.map((path) => `${path} = sha256:${sha256(files.get(path) ?? Buffer.alloc(0))}`);
  files.set(".treeinfo", Buffer.from(treeinfo(version, name, sums)));
  return files;
}

export function sha256(octets: Uint8Array): string {
  return createHash("sha256").update(octets).digest("hex");
}

/** As productmd writes it. */
export function treeinfo(version: string, name: string, checksums: readonly string[] = [], arch = "x86_64"): string {
  return `[checksums]
${checksums.join("\n")}

[general]
; WARNING.0 = This section provides compatibility with pre-productmd treeinfos.
arch = ${arch}
family = ${name}
version = ${version}

[header]
type = productmd.treeinfo
version = 1.2

[images-${arch}]
efiboot.img = images/efiboot.img
initrd = images/pxeboot/initrd.img
kernel = images/pxeboot/vmlinuz

[release]
name = ${name}
short = RHEL
version = ${version}

[stage2]
mainimage = images/install.img

[tree]
arch = ${arch}
build_timestamp = 1714600000
platforms = ${arch},xen
variants = AppStream,BaseOS
`;
}

/** Returns `folder`. */
export function writeTree(folder: string, files: ReadonlyMap<string, Buffer>, links: Readonly<Record<string, string>> = {}): string {
  for (const [path, content] of files) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), content);
  }
  for (const [path, target] of Object.entries(links)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    symlinkSync(target, join(folder, path));
  }
  return folder;
}

/** `options` are those of mkisofs: -R for Rock Ridge, -J for Joliet. */
export async function makeIso(folder: string, iso: string, options: readonly string[] = ["-R", "-J", "-joliet-long"]): Promise<void> {
  await runOrThrow(["xorriso", "-as", "mkisofs", "-quiet", ...options, "-V", "RHEL-8-10-0-BaseOS-x86_64", "-o", iso, folder]);
}
