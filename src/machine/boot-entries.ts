import type { VolumeName } from "./identifiers.ts";

/** Why a boot gets the entry that it gets: the disk says so, for good or for this time; a person does; or another one failed. */
export type EntryReason = "disk" | "next-entry" | "chosen" | "fell-back";

/** What a machine's first disk would boot, for people. */
export interface EntriesReport {
  readonly volume: VolumeName;
  readonly entries: readonly { readonly title: string; readonly id: string; readonly kernel: string; readonly arguments: string }[];
  /** What the next boot gets; absent where there is no entry. `failed` is the title of the entry that gave way. */
  readonly next?: { readonly index: number; readonly because: EntryReason; readonly failed?: string };
  readonly unifiedKernels: readonly string[];
  readonly notes: readonly string[];
}

/** Whether what a machine boots next would boot on other hardware. */
export interface MoveReport {
  readonly volume: VolumeName;
  /** Of the entry. */
  readonly title: string;
  /** The network cards that were asked about. */
  readonly nics: readonly string[];
  /** The initramfs that was looked into: its files on the disk, laid over each other. */
  readonly files: readonly string[];
  readonly kernelVersion?: string;
  /** Of the archives that it is made of. */
  readonly compressions: readonly string[];
  /** Which driver takes which of the network cards that were asked about by their PCI identifiers. */
  readonly drivers: readonly string[];
  /** Sentences; empty where it should boot. */
  readonly problems: readonly string[];
  /** What to run in the machine before it moves, where there are problems. */
  readonly mend?: string;
}
