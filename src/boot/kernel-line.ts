import type { Machine } from "../machine/machine.ts";
import type { ServerFacts } from "./facts.ts";

/**
 * The words of a kernel command line, as the kernel takes them apart: white space ends a word, except between double
 * quotes. The quotes themselves are left out, so a word may hold white space.
 */
export function kernelWords(text: string): string[] {
  const words: string[] = [];
  let word: string | undefined;
  let quoted = false;
  for (const character of text) {
    if (character === '"') {
      quoted = !quoted;
      word ??= "";
    } else if (/\s/.test(character) && !quoted) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else {
      word = (word ?? "") + (/\s/.test(character) ? " " : character);
    }
  }
  if (word !== undefined) words.push(word);
  return words.filter((each) => each !== "");
}

/**
 * What the kernel of `machine` is started with: the entry's own arguments, the machine's, and what an initramfs needs to
 * find the machine's disks, as far as the line does not say it already (dracut.cmdline(7)):
 *
 *   netroot=iscsi:<portal>::<port>:<LUN, empty for all>:<target>  rd.iscsi.initiator=<initiator>  ip=dhcp
 *
 * A machine without disks is given none of these, nor is an entry that attaches them by itself.
 */
export function kernelLine(machine: Machine, entryArguments: string, facts: ServerFacts, attachesDisks = false): readonly string[] {
  const entry = kernelWords(entryArguments);
  // What stands behind a lone "--" is for init and not for the kernel, so nothing may be added there.
  const dashes = entry.indexOf("--");
  const own = [...(dashes < 0 ? entry : entry.slice(0, dashes)), ...kernelWords(machine.arguments)];
  const forInit = dashes < 0 ? [] : entry.slice(dashes);
  const added = machine.disks.length === 0 || attachesDisks ? [] : ADDITIONS.filter((each) => !each.present.test(own.join("\n")));
  return [...own, ...added.map((each) => each.word(machine, facts)), ...forInit];
}

/** What is added, and what on a line makes it superfluous: the same thing by an older name, or firmware's iBFT that says it. */
const ADDITIONS: readonly { readonly present: RegExp; readonly word: (machine: Machine, facts: ServerFacts) => string }[] = [
  {
    present: /^(netroot=|iscsi_target_name=|rd\.iscsi\.target\.name=|root=iscsi:|(rd\.)?iscsi[._]firmware(=1)?$)/m,
    word: (machine, facts) => `netroot=iscsi:${facts.portals[0]}::${facts.iscsiPort}::${machine.target}`,
  },
  {
    present: /^((rd\.iscsi\.|iscsi_)initiator=|(rd\.)?iscsi[._]firmware(=1)?$)/m,
    word: (machine) => `rd.iscsi.initiator=${machine.initiators[0]}`,
  },
  { present: /^ip=/m, word: () => "ip=dhcp" },
];

/** The line asks for the iBFT that iSCSI firmware leaves in memory. */
export function wantsFirmwareTable(words: readonly string[]): boolean {
  return words.some((word) => /^(rd\.)?iscsi[._]firmware(=1)?$/.test(word));
}

/** The first serial port that the line makes a console of; `speed` is 115200 where the line leaves it to the kernel. */
export function serialConsole(words: readonly string[]): { readonly unit: number; readonly speed: number } | undefined {
  for (const word of words) {
    const [, unit, speed] = /^console=ttyS([0-9])(?:,([0-9]+))?/.exec(word) ?? [];
    if (unit !== undefined) return { unit: Number(unit), speed: speed === undefined ? 115200 : Number(speed) };
  }
  return undefined;
}
