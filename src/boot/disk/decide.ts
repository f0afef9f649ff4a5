import { type ChoiceReason, chooseDefault } from "./choose.ts";
import type { DiskEntry, DiskFindings, DiskMenuItem } from "./disk-boot.ts";
import { printable } from "./view.ts";

/** What one boot of a disk starts unless somebody at the menu wants something else. */
export interface DiskDecision {
  /** Of {@link DiskFindings.entries}. */
  readonly index: number;
  readonly entry: DiskEntry;
  readonly because: ChoiceReason;
  /** This boot is what next_entry asked for: remember the key, so that the next boot is an ordinary one. */
  readonly nextEntry?: { readonly value: string; readonly key: string };
  /** For people: where the disk wanted something that cannot be booted from here. */
  readonly note?: string;
}

/**
 * The entry that the disk's own GRUB would start. `usedNextEntry` is the key of the last next_entry that was served to this
 * disk. Undefined where the disk has no entry at all.
 */
export function decide(findings: DiskFindings, usedNextEntry?: string): DiskDecision | undefined {
  const { menu, variables, configured, entries } = findings;
  const choice = chooseDefault({ menu, variables, usedNextEntry, ...(configured === undefined ? {} : { configured }) });
  const { because } = choice;
  let items: readonly DiskMenuItem[] | undefined = menu;
  let item: DiskMenuItem | undefined;
  for (const step of choice.path) {
    item = items?.[step];
    items = item?.children;
  }
  const index = item?.entry ?? 0;
  const entry = entries[index];
  if (entry === undefined) return undefined;
  const missed = item !== undefined && item.entry === undefined;
  return {
    index,
    entry,
    because: missed ? "first" : because,
    ...(choice.nextEntry === undefined ? {} : { nextEntry: choice.nextEntry }),
    ...(missed
      ? {
          note: `the disk's default is "${printable(item?.title ?? "")}", which cannot be booted from here; "${entry.title}" takes its place`,
        }
      : {}),
  };
}
