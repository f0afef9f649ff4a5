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
