import type { Machine } from "../machine/machine.ts";
import type { ServerFacts } from "./facts.ts";
import { kernelLine } from "./kernel-line.ts";
import type { BootEntry, BootPlan } from "./plan.ts";

/**
 * The menu that PXELINUX reads, and U-Boot after it (`pxe get`, `pxe boot`): U-Boot's parser knows these words and passes over
 * others (doc/README.pxe of u-boot; wiki.syslinux.org, Config). Names stand without a folder: both put that of the boot file before
 * them, U-Boot even before a slash, and the machine's files are found with and without it.
 */

/** PXELINUX counts in tenths of a second. */
const MENU_TENTHS = 20;
const FOLDER = "pxelinux.cfg";
/** U-Boot asks for its processor and board before it asks for `default`: `default-arm-bcm283x-rpi`. */
const DEFAULT_NAME = /^default(-[a-z0-9_-]+)?$/;

/** What follows `pxelinux.cfg/` in a path, in lower case; undefined where it is no such path. */
export function menuAsked(segments: readonly string[]): string | undefined {
  return segments.at(-2)?.toLowerCase() === FOLDER ? segments.at(-1)?.toLowerCase() : undefined;
}

export function isDefaultMenu(name: string): boolean {
  return DEFAULT_NAME.test(name);
}

/** The menu of one machine. Nothing that a configuration or a disk holds can begin a line of it. */
export function pxelinuxConfig(machine: Machine, plan: BootPlan, facts: ServerFacts): string {
  return `${[`# ${machine.name}: written by rackboot at each request.`, ...body(machine, plan, facts)].join("\n")}\n`;
}

function body(machine: Machine, plan: BootPlan, facts: ServerFacts): string[] {
  switch (plan.kind) {
    case "kernel":
      return [
        title(plan.notes[0] ?? `this is ${machine.name}`),
        "PROMPT 0",
        `TIMEOUT ${MENU_TENTHS}`,
        `DEFAULT entry-${plan.defaultIndex}`,
        ...plan.entries.flatMap((entry, index) => label(machine, entry, index, facts)),
      ];
    case "local":
      return [title("this machine boots from its own disk"), "DEFAULT local", "LABEL local", "LOCALBOOT -1"];
    case "uki":
      return [title("this machine boots a unified kernel image, which is for UEFI")];
    case "sanboot":
      return [title("this machine boots the loader on its iSCSI disk, which needs iPXE")];
    case "nothing":
      return [title(plan.reason)];
  }
}

function label(machine: Machine, entry: BootEntry, index: number, facts: ServerFacts): string[] {
  const words = kernelLine(machine, entry.arguments, facts, entry.attachesDisks).map((word) => (/\s/.test(word) ? `"${word}"` : word));
  return [
    `LABEL entry-${index}`,
    `MENU LABEL ${oneLine(entry.title)}`,
    `KERNEL ${entry.kernel.name}`,
    ...(entry.initrds.length === 0 ? [] : [`INITRD ${entry.initrds.map(({ name }) => name).join(",")}`]),
    // Without one, U-Boot hands on the device tree that it runs with itself.
    ...(entry.devicetree === undefined ? [] : [`FDT ${entry.devicetree.name}`]),
    `APPEND ${oneLine(words.join(" "))}`,
  ];
}

/** Both show it, and neither has another way to say something. */
function title(sentence: string): string {
  return `MENU TITLE rackboot: ${oneLine(sentence)}`;
}

function oneLine(text: string): string {
  return text.replaceAll(/[\r\n]+/g, " ");
}
