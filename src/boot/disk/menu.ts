import type { Machine } from "../../machine/machine.ts";
import type { ServerFacts } from "../facts.ts";
import { type GrubAbilities, quote } from "../grub-config.ts";
import { kernelLine, serialConsole } from "../kernel-line.ts";
import { type DiskDecision, entryFileName } from "./decide.ts";
import type { DiskEntry, DiskFindings } from "./disk-boot.ts";

/** Long enough to press a key, short enough that a rack does not wait. */
const MENU_SECONDS = 2;
/** For a person to read why it did not work, before the machine tries again. */
const RETRY_SECONDS = 30;
/** Lines of explanation that fit a screen below the rest. */
const MAX_LINES = 16;

/**
 * The grub.cfg of a machine that boots what its disk would boot: every entry of the disk, the same one the default, the kernel
 * line completed ({@link kernelLine}). Nothing that the disk holds is read as GRUB's language.
 */
export function diskMenu(
  machine: Machine,
  findings: DiskFindings,
  decision: DiskDecision | undefined,
  facts: ServerFacts,
  grub: GrubAbilities,
): string {
  const head = [`# ${machine.name}: made from what its disk holds, at each request.`, say(`this is ${machine.name}`)];
  if (decision === undefined) return text([...head, ...explain(machine, findings.notes)]);
  const words = findings.entries.map((entry) => kernelLine(machine, entry.arguments, facts));
  return text([
    ...head,
    ...terminal(words[decision.index] ?? []),
    `set default=${decision.index}`,
    `set timeout=${MENU_SECONDS}`,
    "set timeout_style=countdown",
    ...(decision.note === undefined ? [] : [say(decision.note)]),
    ...findings.entries.flatMap((entry, index) => menuEntry(machine, entry, index, words[index] ?? [], servers(facts, grub))),
  ]);
}

function menuEntry(machine: Machine, entry: DiskEntry, index: number, words: readonly string[], from: readonly string[]): string[] {
  const file = (name: Parameters<typeof entryFileName>[1]): string => `$server/${machine.name}/${entryFileName(index, name)}`;
  const initrds = entry.initrds.map((_initrd, at) => file(`initrd-${at}`)).join(" ");
  const extra = [
    ...(entry.devicetree === undefined ? [] : [`devicetree ${file("devicetree")}`]),
    ...(initrds === "" ? [] : [`echo "rackboot: loading initramfs ${initrds}"`, `initrd ${initrds}`]),
  ];
  return [
    `menuentry ${quote(entry.title)} --id ${quote(entry.id)} {`,
    `  for server in ${from.map(quote).join(" ")}; do`,
    `    echo "rackboot: loading kernel ${file("vmlinuz")}"`,
    `    if linux ${[file("vmlinuz"), ...words.map(quote)].join(" ")}; then`,
    // An empty body is no script to GRUB.
    `      if ${extra.length === 0 ? "true" : extra.join("; ")}; then`,
    `        ${say("starting Linux")}`,
    "        boot",
    "      fi",
    "    fi",
    "  done",
    ...restart(`could not load ${entry.title}`).map((line) => `  ${line}`),
    "}",
  ];
}

function explain(machine: Machine, notes: readonly string[]): string[] {
  return [
    say(`nothing on the disk of ${machine.name} can be booted:`),
    ...notes.slice(0, MAX_LINES).map(say),
    ...restart("it is looked at again at the next boot"),
  ];
}

function restart(reason: string): string[] {
  return [say(reason), say(`restarting in ${RETRY_SECONDS} seconds`), `sleep --interruptible ${RETRY_SECONDS}`, "reboot"];
}

/** The server by each protocol that this GRUB has, the fastest first. GRUB speaks TFTP with port 69 only. */
function servers(facts: ServerFacts, grub: GrubAbilities): string[] {
  const tftp = `(tftp,${facts.address})`;
  return grub.http ? [`(http,${facts.address}${facts.httpPort === 80 ? "" : `:${facts.httpPort}`})`, tftp] : [tftp];
}

/** GRUB writes where the kernel will write. */
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

function say(sentence: string): string {
  return `echo ${quote(`rackboot: ${sentence}`)}`;
}

function text(lines: readonly string[]): string {
  return `${lines.join("\n")}\n`;
}
