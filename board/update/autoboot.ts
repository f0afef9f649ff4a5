import type { CardLayout } from "./layout.ts";
import { otherSlot, SLOT_STATES, type SlotName, type SlotState, type Slots, tryTarget } from "./slots.ts";

/**
 * autoboot.txt, the file that a Pi's boot loader reads first (Raspberry Pi documentation, "autoboot.txt"; at most 512 octets).
 * It holds the whole state of the slots, so that one write of one sector changes it: the loader's own keys say what starts, and
 * a comment, which the loader passes over, says what is known of both slots.
 */

type BootPartitions = CardLayout["bootPartitions"];

/** Always this long: rewriting it in place touches neither the FAT nor the size in the directory. Half of what the loader reads. */
export const AUTOBOOT_BYTES = 256;

/** Up to here the loader reads (documentation, "autoboot.txt"). */
const LOADER_READS_BYTES = 512;

export function encodeAutoboot(slots: Slots, partitions: BootPartitions): string {
  const text = [
    "[all]",
    "tryboot_a_b=1",
    `boot_partition=${partitions[slots.primary]}`,
    "[tryboot]",
    `boot_partition=${partitions[tryTarget(slots)]}`,
    "# rackboot keeps this file. By hand: the first number is what starts.",
    `# slots a=${slots.states.a} b=${slots.states.b}`,
    "#",
  ].join("\n");
  // The padding is the last comment.
  return `${text.padEnd(AUTOBOOT_BYTES - 1, "#")}\n`;
}

export type AutobootReading = { readonly ok: true; readonly slots: Slots } | { readonly ok: false; readonly reason: string };

/**
 * Reads what {@link encodeAutoboot} wrote and what a person or another editor made of it: what the loader would start counts, and a
 * slot that nothing is known of is `empty`, unless the loader starts it. Never throws.
 */
export function decodeAutoboot(text: string, partitions: BootPartitions): AutobootReading {
  const read = text.slice(0, LOADER_READS_BYTES);
  const number = bootPartition(read);
  const primary = (["a", "b"] as const).find((slot) => partitions[slot] === number);
  if (primary === undefined) {
    return { ok: false, reason: number === undefined ? "it names no boot_partition" : `boot_partition=${number} is none of its slots` };
  }
  const known = /^# slots a=([a-z]+) b=([a-z]+)\s*$/m.exec(read);
  const states: Record<SlotName, SlotState> = { a: stateOf(known?.[1]), b: stateOf(known?.[2]) };
  // Whatever is started from power-off was good to whoever wrote that.
  states[primary] = "good";
  return { ok: true, slots: { primary, states } };
}

function stateOf(word: string | undefined): SlotState {
  return SLOT_STATES.find((state) => state === word) ?? "empty";
}

/** The loader's own reading of the file: the last setting that its filters let through (documentation, "Conditional filters"). */
export function bootPartition(text: string, tryboot = false): number | undefined {
  let applies = true;
  let found: number | undefined;
  for (const line of text.split(/\r?\n/)) {
    const filter = /^\s*\[(\w+)\]\s*$/.exec(line)?.[1];
    if (filter !== undefined) applies = filter === "all" || (filter === "tryboot" && tryboot);
    const value = /^\s*boot_partition=(\d+)\s*$/.exec(line)?.[1];
    if (applies && value !== undefined) found = Number(value);
  }
  return found;
}

/** `a` or `b` from the kernel's command line (`rauc.slot=`); undefined where the system was not started from a card of ours. */
export function runningSlot(kernelLine: string): SlotName | undefined {
  const [, slot] = /(?:^|\s)rauc\.slot=([ab])(?:\s|$)/.exec(kernelLine) ?? [];
  return slot === "a" || slot === "b" ? slot : undefined;
}

/** For people: "slot a". */
export function slotWords(slots: Slots, running: SlotName): string {
  const idle = otherSlot(running);
  return `slot ${running} runs; slot ${idle} is ${slots.states[idle]}`;
}
