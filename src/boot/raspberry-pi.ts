import type { Machine } from "../machine/machine.ts";
import type { ServerFacts } from "./facts.ts";
import { kernelLine } from "./kernel-line.ts";
import type { BootPlan } from "./plan.ts";

/**
 * What a Raspberry Pi's own firmware asks for (raspberrypi.com, "Network booting"): `bootcode.bin` (a Pi 2 and 3), then start.elf,
 * fixup.dat, config.txt, cmdline.txt, a device tree and a kernel, in a folder that is named by the Pi's serial number or its MAC
 * address, and then without the folder. The Pi's own files are to be found below tftp.root; what says which Linux is started is
 * the machine's.
 */

/** TFTP_PREFIX 0 and 2 of its boot loader: the last eight digits of the serial number; the MAC address with dashes. */
const FOLDER = /^([0-9a-f]{8}|[0-9a-f]{2}(-[0-9a-f]{2}){5})$/i;

/** The same path without the Pi's own folder; undefined where it has none. */
export function withoutPiFolder(segments: readonly string[]): readonly string[] | undefined {
  const [first = "", ...rest] = segments;
  return rest.length > 0 && FOLDER.test(first) ? rest : undefined;
}

/** What a Pi is told by us where nobody has put a file of that name below tftp.root. */
export const PI_FILES: readonly string[] = ["config.txt", "cmdline.txt"];

/** One of {@link PI_FILES}; undefined for every other name, and where there is no kernel to start. */
export function piFile(name: string, machine: Machine, plan: BootPlan, facts: ServerFacts): string | undefined {
  const entry = plan.kind === "kernel" ? (plan.entries[plan.defaultIndex] ?? plan.entries[0]) : undefined;
  if (entry === undefined) return undefined;
  const words = kernelLine(machine, entry.arguments, facts, entry.attachesDisks);
  // One line, and no more: what stands on a second one is not read.
  if (name === "cmdline.txt") return `${words.map((word) => (/\s/.test(word) ? `"${word}"` : word)).join(" ")}\n`;
  if (name !== "config.txt") return undefined;
  const usesSerial = words.some((word) => /^console=(tty(S|AMA)|serial)[0-9]/.test(word));
  return `${[
    `# ${machine.name}: written by rackboot at each request.`,
    "arm_64bit=1",
    ...(usesSerial ? ["enable_uart=1"] : []),
    `kernel=${entry.kernel.name}`,
    ...(entry.initrds.length === 0 ? [] : [`initramfs ${entry.initrds.map((file) => file.name).join(",")} followkernel`]),
    ...(entry.devicetree === undefined ? [] : [`device_tree=${entry.devicetree.name}`]),
  ].join("\n")}\n`;
}
