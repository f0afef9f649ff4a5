import { basename } from "node:path";
import type { Machine } from "../machine/machine.ts";
import { wantsFirmwareTable } from "./kernel-line.ts";
import type { ByteSource } from "./open-files.ts";

/** Where the octets of a file come from. `path` is what people are told. */
export type FileOrigin =
  /** A file of this system. */
  | { readonly kind: "path"; readonly path: string }
  /** A file inside a machine's disk, which is opened for each transfer. */
  | { readonly kind: "disk"; readonly path: string; readonly sizeBytes: number; readonly open: () => Promise<ByteSource> };

/** A file of one machine under the name that the machine asks for it by: what follows `/<machine>/` in a path. */
export interface PlannedFile {
  readonly name: string;
  readonly origin: FileOrigin;
}

/** One thing that can be booted; boot menus show the title. */
export interface BootEntry {
  readonly title: string;
  readonly kernel: PlannedFile;
  /** In the order in which they are laid over each other. */
  readonly initrds: readonly PlannedFile[];
  readonly devicetree?: PlannedFile;
  /** The entry's own kernel arguments, before anything is added. */
  readonly arguments: string;
  /** What is booted finds the machine's disks by itself: its line says nothing of them. */
  readonly attachesDisks?: boolean;
}

export type Architecture = "x64" | "aa64";

/** The boot loader that a machine's own disk brings along, as far as it can go on from the network. */
export interface LoaderChain {
  readonly architecture: Architecture;
  /** What firmware is handed: shim, or GRUB where there is no shim. */
  readonly first: FileOrigin;
  /** What is asked for beside it, by names in lower case. */
  readonly companions: ReadonlyMap<string, FileOrigin>;
  /** The GRUB that it leads to can use HTTP. */
  readonly http: boolean;
  /** Firmware may start it over HTTP: its GRUB finds the network on such a device path. */
  readonly httpBoot: boolean;
}

/** What a machine is to be handed, whatever form its firmware wants it in. */
export type BootPlan =
  | {
      readonly kind: "kernel";
      readonly entries: readonly [BootEntry, ...BootEntry[]];
      /** Of the entries. */
      readonly defaultIndex: number;
      /** For the screen: what is out of the ordinary. */
      readonly notes: readonly string[];
      /** Empty: this system's own loaders are used. */
      readonly chains: readonly LoaderChain[];
      /** To be called when a menu or a script with this default was made for the machine. */
      readonly handedOut?: () => void;
    }
  /** A unified kernel image, which firmware starts itself. */
  | { readonly kind: "uki"; readonly file: PlannedFile }
  /** iPXE attaches LUN 0 and starts the boot loader that is on it. */
  | { readonly kind: "sanboot" }
  /** Not from us: the firmware goes on to its next device. */
  | { readonly kind: "local" }
  /** There is nothing to hand out; the screen says why. */
  | { readonly kind: "nothing"; readonly reason: string; readonly notes: readonly string[] };

/** What the configuration alone says; undefined where the machine's disk or an image has to be asked. */
export function configuredPlan(machine: Machine): BootPlan | undefined {
  const { boot } = machine;
  switch (boot.kind) {
    case "kernel":
      return {
        kind: "kernel",
        entries: [
          {
            title: `${machine.name}: ${basename(boot.kernel)}`,
            kernel: { name: "vmlinuz", origin: { kind: "path", path: boot.kernel } },
            initrds: [{ name: "initrd", origin: { kind: "path", path: boot.initrd } }],
            arguments: boot.arguments,
          },
        ],
        defaultIndex: 0,
        notes: [],
        chains: [],
      };
    case "disk":
      if (machine.disks.length === 0) return nothing("boot: disk, but the machine has no disks");
      return boot.via === "sanboot" ? { kind: "sanboot" } : undefined;
    case "local":
      return { kind: "local" };
    case "uki":
      return { kind: "uki", file: { name: UKI_NAME, origin: { kind: "path", path: boot.file } } };
    case "install":
    case "rescue":
      return undefined;
  }
}

/** UEFI HTTP boot believes a name that ends in `.efi`. */
export const UKI_NAME = "linux.efi";

export function nothing(reason: string, notes: readonly string[] = []): BootPlan {
  return { kind: "nothing", reason, notes };
}

/** Every file that a plan names. */
export function filesOf(
  plan: BootPlan,
): readonly { readonly file: PlannedFile; readonly role: "kernel" | "initramfs" | "loader" | "other" }[] {
  if (plan.kind === "uki") return [{ file: plan.file, role: "loader" }];
  if (plan.kind !== "kernel") return [];
  return plan.entries.flatMap(({ kernel, initrds, devicetree }) => [
    { file: kernel, role: "kernel" as const },
    ...initrds.map((file) => ({ file, role: "initramfs" as const })),
    ...(devicetree === undefined ? [] : [{ file: devicetree, role: "other" as const }]),
  ]);
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
