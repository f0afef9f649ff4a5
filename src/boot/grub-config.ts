import type { Machine } from "../machine/machine.ts";
import type { ServerFacts } from "./facts.ts";
import { kernelLine, serialConsole } from "./kernel-line.ts";
import type { BootEntry, BootPlan } from "./plan.ts";

/** What is known of the GRUB that will read the configuration. */
export interface GrubAbilities {
  /** Its image has the http module: far faster than its TFTP, which takes one block a round trip. */
  readonly http: boolean;
}

/** Long enough to press a key, short enough that a rack does not wait. */
const MENU_SECONDS = 2;
/** For a person to read why it did not work, before the machine tries again. */
const RETRY_SECONDS = 30;

/** The grub.cfg of one machine. Every line ends with a newline; nothing that a configuration holds is read as GRUB's language. */
export function grubConfig(machine: Machine, plan: BootPlan, facts: ServerFacts, grub: GrubAbilities): string {
  switch (plan.kind) {
    case "kernel":
      return lines([
        ...head(machine),
        ...terminal(plan.entries.flatMap((entry) => kernelLine(machine, entry.arguments, facts))),
        `set default=${quote(plan.entries[0].id)}`,
        `set timeout=${MENU_SECONDS}`,
        "set timeout_style=countdown",
        ...plan.entries.flatMap((entry) => menuEntry(machine, entry, facts, grub)),
      ]);
    case "local":
      return lines([...head(machine), say("this machine boots from its own disk"), "exit"]);
    case "sanboot":
      return lines([...head(machine), ...dead("this machine boots the loader on its iSCSI disk, which needs iPXE and not GRUB")]);
    case "nothing":
      return lines([...head(machine), ...dead(plan.reason)]);
  }
}

function head(machine: Machine): string[] {
  return [`# ${machine.name}: written by rackboot at each request.`, say(`this is ${machine.name}`)];
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

function menuEntry(machine: Machine, entry: BootEntry, facts: ServerFacts, grub: GrubAbilities): string[] {
  const words = kernelLine(machine, entry.arguments, facts).map(quote).join(" ");
  const kernel = `/${machine.name}/${entry.kernel.name}`;
  const initrd = `/${machine.name}/${entry.initrd.name}`;
  return [
    `menuentry ${quote(entry.title)} --id ${quote(entry.id)} {`,
    `  for server in ${devices(facts, grub).map(quote).join(" ")}; do`,
    `    echo "rackboot: loading kernel $server${kernel}"`,
    `    if linux $server${kernel} ${words}; then`,
    `      echo "rackboot: loading initramfs $server${initrd}"`,
    `      if initrd $server${initrd}; then`,
    `        ${say("starting Linux")}`,
    "        boot",
    "      fi",
    "    fi",
    "  done",
    ...dead(`could not load ${entry.title}`).map((line) => `  ${line}`),
    "}",
  ];
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
