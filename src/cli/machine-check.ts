import type { Command } from "commander";
import type { MoveReport } from "../machine/boot-entries.ts";
import { type Context, client, EXIT, examples, SOCKET_OPTION } from "./context.ts";
import { another } from "./machine-edit.ts";
import { entryNumber } from "./machine-entries.ts";
import { json, type Output } from "./output.ts";

interface Options {
  readonly socket?: string;
  readonly json?: boolean;
  readonly nic?: readonly string[];
  readonly like?: string;
  readonly entry?: number;
}

export function addCheckMove(machine: Command, context: Context): void {
  const { output } = context;
  machine
    .command("check")
    .description("would what the machine boots next boot on other hardware? looks into its initramfs")
    .argument("<name>", "as under machines in the configuration")
    .option("--nic <card>", "of the other hardware: its driver (e1000e) or PCI identifier (8086:10d3); again for each", another)
    .option("--like <who>", "the other hardware is this machine's, or has this MAC address, and iPXE has shown its network card")
    .option("--entry <number>", 'another entry, from "rackboot machine entries"', entryNumber)
    .option("--json", "for programs")
    .option(...SOCKET_OPTION)
    .addHelpText(
      "after",
      `\nThe driver of a network card: readlink /sys/class/net/eth0/device/driver; its identifier: lspci -nn\n${examples(
        "rackboot machine check uqbar --nic e1000e",
        "rackboot machine check uqbar --nic 8086:10d3",
        "rackboot machine check uqbar --like tlon",
      )}`,
    )
    .action(async (name: string, options: Options) => {
      const { nic = [], like, entry } = options;
      const asked = { name, nics: nic, ...(like !== undefined && { like }), ...(entry !== undefined && { entry }) };
      const report = await client(options).call("machine.check", asked);
      if (report.problems.length > 0) context.exitCode = EXIT.failed;
      output.out(options.json === true ? json(report) : moveText(name, report, output));
    });
}

export function moveText(name: string, report: MoveReport, { paint }: Pick<Output, "paint">): string {
  const { title, files, compressions, kernelVersion, nics, drivers, problems, mend } = report;
  const made = `${files.join(", ")}: ${compressions.join(", ")}${kernelVersion === undefined ? "" : `, Linux ${kernelVersion}`}`;
  const lines = [`${paint("bold", title)} ${paint("dim", `(${made})`)}`, ...drivers];
  if (nics.length === 0) lines.push(paint("dim", "no network card was asked about: --nic or --like says which the other hardware has"));
  if (problems.length === 0) return `${[...lines, `${paint("green", "good:")} it finds its root over iSCSI`].join("\n  ")}\n`;
  const mending = mend === undefined ? [] : [`run this in ${name} before it moves:`, `    ${mend}`];
  return `${[...lines, ...problems.map((problem) => `${paint("yellow", "missing:")} ${problem}`), ...mending].join("\n  ")}\n`;
}
