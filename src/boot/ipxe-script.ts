import type { Machine } from "../machine/machine.ts";
import type { ChapSecrets } from "../machine/secrets.ts";
import { httpUrl, type ServerFacts, tftpUrl } from "./facts.ts";
import { kernelLine } from "./kernel-line.ts";
import { type BootEntry, type BootPlan, rootPath } from "./plan.ts";

/** For a person to read why it did not work, before the machine tries again. */
const RETRY_SECONDS = 30;
/** Lines of explanation that fit a screen below the rest. */
const MAX_NOTES_SHOWN = 16;
/** The setting that stands for a dollar sign which iPXE is not to expand. */
const DOLLAR: string = "$".concat("{dollar}");

/** The iPXE script of one machine (ipxe.org/scripting): its default entry, over HTTP, and over TFTP where that fails. */
export function ipxeScript(machine: Machine, plan: BootPlan, facts: ServerFacts, chap?: ChapSecrets): string {
  return `${[
    "#!ipxe",
    `# ${machine.name}: written by rackboot at each request.`,
    "set dollar:string $",
    `set initiator-iqn ${machine.initiators[0]}`,
    `echo rackboot: this is ${machine.name}`,
    ...body(machine, plan, facts, chap),
    ":failed",
    `echo rackboot: that did not work. Restarting in ${RETRY_SECONDS} seconds`,
    `sleep ${RETRY_SECONDS}`,
    "reboot",
  ].join("\n")}\n`;
}

function body(machine: Machine, plan: BootPlan, facts: ServerFacts, chap: ChapSecrets | undefined): string[] {
  switch (plan.kind) {
    case "kernel":
      return [...plan.notes.map(say), ...bootEntry(machine, plan.entries[plan.defaultIndex] ?? plan.entries[0], facts)];
    case "uki": {
      const image = `/${machine.name}/${plan.file.name}`;
      return [...fetchAs("kernel", "linux.efi", image, "", facts), "echo rackboot: starting Linux", "boot || goto failed"];
    }
    case "sanboot":
      return [
        ...credentials(chap),
        "echo rackboot: starting the boot loader on the iSCSI disk",
        `sanboot --drive 0x80 ${rootPath(machine, facts.portals[0], facts.iscsiPort)} || goto failed`,
      ];
    case "local":
      return ["echo rackboot: this machine boots from its own disk", "exit"];
    case "nothing":
      return [say(plan.reason), ...plan.notes.slice(0, MAX_NOTES_SHOWN).map(say), "goto failed"];
  }
}

/** iPXE hands them on in the iBFT, so that they need not stand on a kernel's command line. */
function credentials(chap: ChapSecrets | undefined): string[] {
  if (chap === undefined) return [];
  const { user, secret, mutual } = chap;
  const own = [`set username ${text(user)}`, `set password ${text(secret)}`];
  return mutual === undefined ? own : [...own, `set reverse-username ${text(mutual.user)}`, `set reverse-password ${text(mutual.secret)}`];
}

function bootEntry(machine: Machine, entry: BootEntry, facts: ServerFacts): string[] {
  const initrds = entry.initrds.map(({ name }, index) => ({
    as: index === 0 ? "initrd" : `initrd-${index}`,
    path: `/${machine.name}/${name}`,
  }));
  // The kernel's EFI stub asks iPXE for the initramfs by these names; a BIOS kernel passes the words over.
  const words = [...initrds.map(({ as }) => `initrd=${as}`), ...kernelLine(machine, entry.arguments, facts, entry.attachesDisks)]
    .map(word)
    .join(" ");
  return [
    ...fetchAs("kernel", "vmlinuz", `/${machine.name}/${entry.kernel.name}`, words, facts),
    ...initrds.flatMap(({ as, path }) => fetchAs("initrd", as, path, "", facts)),
    "echo rackboot: starting Linux",
    "boot || goto failed",
  ];
}

/** Over HTTP, and over TFTP where that fails. */
function fetchAs(command: "kernel" | "initrd", as: string, path: string, words: string, facts: ServerFacts): string[] {
  const from = (url: string): string => `${command} --name ${as} ${url}${words === "" ? "" : ` ${words}`}`;
  return [`${from(httpUrl(facts, path))} || ${from(tftpUrl(facts, path))} || goto failed`];
}

function say(sentence: string): string {
  return `echo rackboot: ${text(sentence)}`;
}

/** iPXE hands the line on as it stands, and the kernel takes a quoted word as one. */
function word(argument: string): string {
  return text(/\s/.test(argument) ? `"${argument}"` : argument);
}

/** iPXE expands settings anywhere on a line, and ends a command at a lone `||` or `&&`, which no argument is. */
function text(line: string): string {
  return line.replaceAll(/\$(?=\{)/g, () => DOLLAR).replaceAll(/[\r\n]+/g, " ");
}
