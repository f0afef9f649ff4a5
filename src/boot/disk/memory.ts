import type { EntryReason } from "../../machine/boot-entries.ts";
import { type DiskDecision, decide } from "./decide.ts";
import type { DiskEntry, DiskFindings } from "./disk-boot.ts";

/** An entry as it is remembered: a kernel or an initramfs that was made anew is another one, whatever it is called. */
export interface EntryName {
  readonly id: string;
  readonly kernel: string;
  /** Of the kernel and all that is laid over it. */
  readonly sizeBytes: number;
}

/** What the appliance remembers of a disk, because the disk itself is never written by it. */
export interface DiskMemory {
  /** The next_entry that was used, and the boot that it was for: that boot may ask for it again. */
  readonly usedNextEntry?: { readonly key: string; readonly boot: number };
  /** What a person chose; `once` is for one boot, which is named as soon as it asks. */
  readonly chosen?: { readonly entry: EntryName; readonly once: boolean; readonly boot?: number };
  /** What the latest boot was given, until it is known how that ended. */
  readonly served?: { readonly boot: number; readonly entry: EntryName };
  /** How often in a row an entry did not come up; the latest ones last. */
  readonly failures: readonly { readonly entry: EntryName; readonly times: number }[];
  readonly lastUp?: EntryName;
}

export const NO_MEMORY: DiskMemory = { failures: [] };

/** Failed boots in a row after which an entry gives way to the one that last came up. */
export const FAILURES_UNTIL_FALL_BACK = 2;
/** Entries of one disk whose failures are remembered. */
const MAX_FAILURES = 8;

export interface Settled {
  readonly index: number;
  readonly entry: DiskEntry;
  readonly because: EntryReason;
  /** The entry that gave way. */
  readonly failed?: DiskEntry;
  readonly note?: string;
  /** To be remembered once the machine has been told. */
  readonly after: DiskMemory;
}

export function entryName(entry: DiskEntry): EntryName {
  const files = [entry.kernel, ...entry.initrds];
  return { id: entry.id, kernel: entry.kernel.path, sizeBytes: files.reduce((sum, file) => sum + file.sizeBytes, 0) };
}

/**
 * Which entry a boot gets: what a person chose, else what the disk says, and where that failed too often, what last came up.
 * `boot` is absent where nobody boots: then nothing is used up. Undefined where the disk has no entry.
 */
export function settle(findings: DiskFindings, memory: DiskMemory, boot?: number): Settled | undefined {
  const before = forgetPast(memory, boot);
  const chosen = before.chosen === undefined ? undefined : find(findings.entries, before.chosen.entry);
  const wanted = chosen === undefined ? decide(findings, pastNextEntry(before, boot)) : undefined;
  const index = chosen ?? wanted?.index;
  const entry = index === undefined ? undefined : findings.entries[index];
  if (index === undefined || entry === undefined) return undefined;
  const remember = (given: DiskEntry): DiskMemory => (boot === undefined ? memory : after(before, findings, wanted, given, boot));
  const because: EntryReason = chosen !== undefined ? "chosen" : wanted?.because === "next-entry" ? "next-entry" : "disk";
  const onlyOnce = because === "next-entry" || (because === "chosen" && before.chosen?.once === true);
  const other = onlyOnce ? undefined : fallBack(findings.entries, entry, before);
  const given = other === undefined ? undefined : findings.entries[other];
  if (other !== undefined && given !== undefined) {
    return { index: other, entry: given, because: "fell-back", failed: entry, after: remember(given) };
  }
  return { index, entry, because, after: remember(entry), ...(wanted?.note === undefined ? {} : { note: wanted.note }) };
}

/** The boot never came up. */
export function failed(memory: DiskMemory, boot: number): DiskMemory {
  const { served, ...rest } = memory;
  if (served?.boot !== boot) return memory;
  const times = rest.failures.find((each) => same(each.entry, served.entry))?.times ?? 0;
  return { ...rest, failures: [...without(rest.failures, served.entry), { entry: served.entry, times: times + 1 }].slice(-MAX_FAILURES) };
}

/** The boot came up with its disk. */
export function cameUp(memory: DiskMemory, boot: number): DiskMemory {
  const { served, ...rest } = memory;
  if (served?.boot !== boot) return memory;
  return { ...rest, lastUp: served.entry, failures: without(rest.failures, served.entry) };
}

/** A person wants this entry, and so it gets a fresh start. */
export function choose(memory: DiskMemory, entry: EntryName | undefined, once: boolean): DiskMemory {
  const { chosen: _, ...rest } = memory;
  return entry === undefined ? rest : { ...rest, chosen: { entry, once }, failures: without(rest.failures, entry) };
}

/** The disk holds what it held at another time: what failed on it may be mended. */
export function replaced(memory: DiskMemory): DiskMemory {
  const { usedNextEntry: _key, served: _served, ...rest } = memory;
  return { ...rest, failures: [] };
}

/** The place of a remembered entry: itself, else another entry of the same kernel, which a menu may have several of. */
function find(entries: readonly DiskEntry[], wanted: EntryName): number | undefined {
  const exact = entries.findIndex((entry) => same(entryName(entry), wanted));
  const index = exact >= 0 ? exact : entries.findIndex((entry) => entry.kernel.path === wanted.kernel);
  return index < 0 ? undefined : index;
}

function fallBack(entries: readonly DiskEntry[], entry: DiskEntry, { failures, lastUp }: DiskMemory): number | undefined {
  const times = failures.find((each) => same(each.entry, entryName(entry)))?.times ?? 0;
  if (times < FAILURES_UNTIL_FALL_BACK || lastUp === undefined) return undefined;
  const index = find(entries, lastUp);
  return index === undefined || entries[index] === entry ? undefined : index;
}

/** A choice for one boot is over when another boot begins. */
function forgetPast(memory: DiskMemory, boot: number | undefined): DiskMemory {
  const { chosen, ...rest } = memory;
  return chosen?.once === true && chosen.boot !== undefined && chosen.boot !== boot ? rest : memory;
}

function pastNextEntry({ usedNextEntry }: DiskMemory, boot: number | undefined): string | undefined {
  return usedNextEntry?.boot === boot ? undefined : usedNextEntry?.key;
}

function after(before: DiskMemory, findings: DiskFindings, wanted: DiskDecision | undefined, given: DiskEntry, boot: number): DiskMemory {
  const { usedNextEntry, ...rest } = before;
  const asked = (findings.variables.get("next_entry") ?? "") !== "";
  const used = wanted?.nextEntry === undefined ? (asked ? usedNextEntry : undefined) : { key: wanted.nextEntry.key, boot };
  return {
    ...rest,
    served: { boot, entry: entryName(given) },
    ...(before.chosen?.once === true ? { chosen: { ...before.chosen, boot } } : {}),
    ...(used === undefined ? {} : { usedNextEntry: used }),
  };
}

function without(failures: DiskMemory["failures"], entry: EntryName): DiskMemory["failures"] {
  return failures.filter((each) => !same(each.entry, entry));
}

function same(left: EntryName, right: EntryName): boolean {
  return left.id === right.id && left.kernel === right.kernel && left.sizeBytes === right.sizeBytes;
}
