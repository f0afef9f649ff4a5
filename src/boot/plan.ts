import { basename } from "node:path";
import type { Machine } from "../machine/machine.ts";
import { wantsFirmwareTable } from "./kernel-line.ts";

/** A file of one machine under the name that the machine asks for it by. */
export interface NamedFile {
  /** What follows `/<machine>/` in a path. */
  readonly name: string;
  /** Absolute. */
  readonly path: string;
}

/** One thing that can be booted; boot menus show the title. */
export interface BootEntry {
  /** Unique in its plan: letters, digits, dot, dash, underscore. */
  readonly id: string;
  readonly title: string;
  readonly kernel: NamedFile;
  readonly initrd: NamedFile;
  /** The entry's own kernel arguments, before anything is added. */
  readonly arguments: string;
}

/** What a machine is to be handed, whatever form its firmware wants it in. */
export type BootPlan =
  /** The first entry is the default. */
  | { readonly kind: "kernel"; readonly entries: readonly [BootEntry, ...BootEntry[]] }
  /** iPXE attaches LUN 0 and starts the boot loader that is on it. */
  | { readonly kind: "sanboot" }
  /** Not from us: the firmware goes on to its next device. */
  | { readonly kind: "local" }
  /** There is nothing to hand out; the screen says why. */
  | { readonly kind: "nothing"; readonly reason: string };

export function bootPlan(machine: Machine): BootPlan {
  const { boot } = machine;
  switch (boot.kind) {
    case "kernel":
      return {
        kind: "kernel",
        entries: [
          {
            id: "kernel",
            title: `${machine.name}: ${basename(boot.kernel)}`,
            kernel: { name: "vmlinuz", path: boot.kernel },
            initrd: { name: "initrd", path: boot.initrd },
            arguments: boot.arguments,
          },
        ],
      };
    case "disk":
      return machine.disks.length === 0 ? { kind: "nothing", reason: "boot: disk, but the machine has no disks" } : { kind: "sanboot" };
    case "local":
      return { kind: "local" };
    case "install":
    case "rescue":
    case "uki":
      return { kind: "nothing", reason: `boot: ${boot.kind} is accepted in the configuration, but this version does not serve it yet` };
  }
}

/** RFC 4173 root path of LUN 0, for firmware that speaks iSCSI: `iscsi:<server>:<protocol>:<port>:<LUN>:<target>`. */
export function rootPath(machine: Machine, portal: string, port: number): string {
  return `iscsi:${portal}:6:${port}:0:${machine.target}`;
}

/** The entry's initramfs reads the iBFT, so iPXE has to attach the disk before it starts the kernel. */
export function needsFirmwareTable(machine: Machine): boolean {
  const { boot } = machine;
  return boot.kind === "kernel" && wantsFirmwareTable(`${boot.arguments} ${machine.arguments}`.split(/\s+/));
}
