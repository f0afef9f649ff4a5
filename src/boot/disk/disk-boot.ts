import type { LoaderTraits } from "../loader-traits.ts";
import type { MenuItem } from "./choose.ts";
import type { GrubVariables } from "./grubenv.ts";

/** A file inside a disk; {@link "../../volume/look/disk.ts"} reads it. */
export interface DiskFile {
  /** GRUB's name of the device. */
  readonly device: string;
  /** Absolute, in the spelling of the disk. */
  readonly path: string;
  readonly sizeBytes: number;
}

/** One kernel that the disk can boot. All its files are there. */
export interface DiskEntry {
  /** As the disk names it: a BLS entry's file name, a menu entry's --id. Printable, as the title is; not always unique. */
  readonly id: string;
  readonly title: string;
  readonly kernel: DiskFile;
  /** In the order in which they are laid over each other; may be empty. */
  readonly initrds: readonly DiskFile[];
  readonly devicetree?: DiskFile;
  /** The entry's own kernel arguments, before anything is added. */
  readonly arguments: string;
}

/** A folder of the disk's EFI system partition that holds boot loaders. */
export interface DiskLoader {
  /** `redhat`, `debian`, `BOOT`... */
  readonly vendor: string;
  readonly architecture: "x64" | "aa64";
  readonly shim?: DiskFile;
  readonly grub?: DiskFile;
  /** Of the GRUB: whether it can go on from the network. */
  readonly grubTraits?: LoaderTraits;
  /** Every .efi file of the folder: the key manager and fall-back that shim asks for. */
  readonly files: readonly DiskFile[];
}

/** An item of the disk's own menu; `entry` is its place among {@link DiskFindings.entries} where it can be booted from here. */
export interface DiskMenuItem extends MenuItem {
  readonly entry?: number;
  readonly children?: readonly DiskMenuItem[];
}

/** All that a look has found, for as long as the disk does not change. */
export interface DiskFindings {
  /** In the disk's own order, submenus laid flat. Empty where nothing bootable was found: {@link notes} says what was looked for. */
  readonly entries: readonly DiskEntry[];
  readonly menu: readonly DiskMenuItem[];
  readonly variables: GrubVariables;
  /** What the disk's grub.cfg says its default is. */
  readonly configured?: string;
  /** Best first. */
  readonly loaders: readonly DiskLoader[];
  /** EFI/Linux/*.efi on the system partition: unified kernel images. */
  readonly unifiedKernels: readonly DiskFile[];
  /** For people: what was looked at and what was there, in the order of looking; what is wrong with entries that are left out. */
  readonly notes: readonly string[];
}

/** No more than this is kept for people: a disk can be wrong in more ways than anybody reads. */
export const MAX_NOTES = 32;
