import type { Machine } from "../machine/machine.ts";
import type { ServerFacts } from "./facts.ts";
import { kernelLine, serialConsole } from "./kernel-line.ts";
import type { BootEntry, BootPlan, PlannedFile } from "./plan.ts";

/** What is known of the GRUB that will read the configuration. */
export interface GrubAbilities {
  /** Its image has the http module: far faster than its TFTP, which takes one block a round trip. */
  readonly http: boolean;
}

/** Long enough to press a key, short enough that a rack does not wait. */
const MENU_SECONDS = 2;
/** For a person to read why it did not work, before the machine tries again. */
const RETRY_SECONDS = 30;
/** Lines of explanation that fit a screen below the rest. */
const MAX_NOTES_SHOWN = 16;

/**
 * The grub.cfg of one machine. Every line ends with a newline; nothing that a configuration or a disk holds is read as GRUB's
 * language.
 */
export function grubConfig(machine: Machine, plan: BootPlan, facts: ServerFacts, grub: GrubAbilities): string {
  return lines([
    `# ${machine.name}: written by rackboot at each request.`,
    say(`this is ${machine.name}`),
    ...body(machine, plan, facts, grub),
  ]);
}

function body(machine: Machine, plan: BootPlan, facts: ServerFacts, grub: GrubAbilities): string[] {
  switch (plan.kind) {
    case "kernel": {
      const words = plan.entries.map((entry) => kernelLine(machine, entry.arguments, facts, entry.attachesDisks));
      return [
        ...terminal(words[plan.defaultIndex] ?? []),
        // GRUB takes a number before any identifier or title, and those of a disk may be anything.
        `set default=${plan.defaultIndex}`,
        `set timeout=${MENU_SECONDS}`,
        "set timeout_style=countdown",
        ...plan.notes.slice(0, MAX_NOTES_SHOWN).map(say),
        ...plan.entries.flatMap((entry, index) => menuEntry(machine, entry, words[index] ?? [], devices(facts, grub))),
      ];
    }
    case "uki": {
      const file = pathOf(machine, plan.file);
      return [
        ...firstOf(devices(facts, grub), [`chainloader ${file}`], "starting Linux"),
        ...dead("could not load the unified kernel image"),
      ];
    }
    case "local":
      return [say("this machine boots from its own disk"), "exit"];
    case "sanboot":
      return dead("this machine boots the loader on its iSCSI disk, which needs iPXE and not GRUB");
    case "nothing":
      return [say(plan.reason), ...plan.notes.slice(0, MAX_NOTES_SHOWN).map(say), ...dead("it is looked at again at the next try")];
  }
}

/** GRUB writes where the kernel will write. Firmware that copies its screen to the serial port would show both twice. */
function terminal(words: readonly string[]): string[] {
  const serial = serialConsole(words);
  if (serial === undefined) return [];
  const screen = words.includes("console=tty0") ? " console" : "";
  return [
    `if serial --unit=${serial.unit} --speed=${serial.speed}; then`,
    "  terminal_input serial console",
    `  terminal_output serial${screen}`,
    "fi",
  ];
}

function menuEntry(machine: Machine, entry: BootEntry, words: readonly string[], from: readonly string[]): string[] {
  const initrds = entry.initrds.map((file) => pathOf(machine, file)).join(" ");
  const steps = [
    `linux ${[pathOf(machine, entry.kernel), ...words.map(quote)].join(" ")}`,
    ...(entry.devicetree === undefined ? [] : [`devicetree ${pathOf(machine, entry.devicetree)}`]),
    ...(initrds === "" ? [] : [`initrd ${initrds}`]),
  ];
  return [
    `menuentry ${quote(entry.title)} {`,
    ...[...firstOf(from, steps, "starting Linux"), ...dead(`could not load ${entry.title}`)].map((line) => `  ${line}`),
    "}",
  ];
}

/** Boots from the first server from which every step succeeds. */
function firstOf(servers: readonly string[], steps: readonly string[], then: string): string[] {
  const inner = steps.reduceRight<string[]>(
    (rest, step) => [
      // The arguments of a kernel are its own to show.
      `echo "rackboot: loading ${step.split(" ", 2).join(" ")}"`,
      `if ${step}; then`,
      ...rest.map((line) => `  ${line}`),
      "fi",
    ],
    [say(then), "boot"],
  );
  return [`for server in ${servers.map(quote).join(" ")}; do`, ...inner.map((line) => `  ${line}`), "done"];
}

/** Names of files are ours, and need no quotes. */
function pathOf(machine: Machine, file: PlannedFile): string {
  return `$server/${machine.name}/${file.name}`;
}

/** The server by each protocol that this GRUB has, the fastest first. GRUB speaks TFTP with port 69 only. */
function devices(facts: ServerFacts, grub: GrubAbilities): string[] {
  const tftp = `(tftp,${facts.address})`;
  if (!grub.http) return [tftp];
  return [`(http,${facts.address}${facts.httpPort === 80 ? "" : `:${facts.httpPort}`})`, tftp];
}

function dead(reason: string): string[] {
  return [say(reason), say(`restarting in ${RETRY_SECONDS} seconds`), `sleep --interruptible ${RETRY_SECONDS}`, "reboot"];
}

function say(text: string): string {
  return `echo ${quote(`rackboot: ${text}`)}`;
}

/** One word of GRUB's language that stands for exactly `text`. */
export function quote(text: string): string {
  return /^[A-Za-z0-9_.,:=/@%+-]+$/.test(text) ? text : `'${text.replaceAll(/[\r\n]+/g, " ").replaceAll("'", "'\\''")}'`;
}

function lines(all: readonly string[]): string {
  return `${all.join("\n")}\n`;
}
