import { compareVersions } from "./rpm-version.ts";

/** A kernel that lies in /boot with the initramfs of its name. */
export interface BareKernel {
  readonly version: string;
  readonly linux: string;
  readonly initrd: string;
}

/** Debian's and Red Hat's spelling of an initramfs for a kernel's version. */
const INITRD_NAMES: readonly ((version: string) => string)[] = [
  (version) => `initrd.img-${version}`,
  (version) => `initramfs-${version}.img`,
  (version) => `initrd-${version}`,
];
/** Kernels of one folder that are offered. */
const MAX_KERNELS = 32;

/**
 * The kernels that lie in a folder, newest first: for disks whose boot loader's configuration cannot be read. A kernel
 * without an initramfs cannot find an iSCSI root, so it is left out. `files` are the folder's regular files.
 */
export function bareKernels(files: readonly string[]): readonly BareKernel[] {
  const present = new Set(files);
  return files
    .flatMap((linux) => {
      const version = /^vmlinu[zx]-(.+)$/.exec(linux)?.[1];
      if (version === undefined || /\.(old|bak|dpkg-.*)$/.test(version)) return [];
      const initrd = INITRD_NAMES.map((name) => name(version)).find((name) => present.has(name));
      return initrd === undefined ? [] : [{ version, linux, initrd }];
    })
    .sort((left, right) => rescueLast(left, right) || compareVersions(right.version, left.version))
    .slice(0, MAX_KERNELS);
}

/** vmlinuz-0-rescue-<machine-id> is for when nothing else works. */
function rescueLast(left: BareKernel, right: BareKernel): number {
  return Number(left.version.startsWith("0-rescue")) - Number(right.version.startsWith("0-rescue"));
}
