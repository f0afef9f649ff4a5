import { type Command, InvalidArgumentError } from "commander";
import type { EntriesReport, EntryReason } from "../machine/boot-entries.ts";
import { type Context, client, EXIT, examples, SOCKET_OPTION } from "./context.ts";
import { json, type Output, table } from "./output.ts";

interface Options {
  readonly socket?: string;
  readonly json?: boolean;
}

interface BootOptions extends Options {
  readonly entry?: number;
  readonly once?: boolean;
  readonly default?: boolean;
}

export function addEntries(machine: Command, context: Context): void {
  const { output } = context;
  machine
    .command("entries")
    .description("what the machine's first disk can boot, and what the next boot gets")
    .argument("<name>", "as under machines in the configuration")
    .option("--json", "for programs")
    .option(...SOCKET_OPTION)
    .addHelpText("after", examples("rackboot machine entries uqbar"))
    .action(async (name: string, options: Options) => {
      const report = await client(options).call("machine.entries", { name });
      output.out(options.json === true ? json(report) : entriesText(report, output));
    });

  machine
    .command("boot")
    .description("choose the entry that the machine boots from its disk")
    .argument("<name>", "as under machines in the configuration")
    .option("--entry <number>", 'from "rackboot machine entries"', entryNumber)
    .option("--once", "for the next boot only")
    .option("--default", "what the disk says again")
    .option("--json", "for programs")
    .option(...SOCKET_OPTION)
    .addHelpText("after", examples("rackboot machine boot uqbar --entry 1 --once", "rackboot machine boot uqbar --default"))
    .action(async (name: string, options: BootOptions) => {
      const { entry, once } = options;
      if ((entry === undefined) !== (options.default === true)) {
        context.exitCode = EXIT.usage;
        return output.err('say either --entry NUMBER or --default; "rackboot machine entries" shows the numbers\n');
      }
      const wanted = entry === undefined ? {} : { entry, once: once === true };
      const report = await client(options).call("machine.boot", { name, ...wanted });
      output.out(options.json === true ? json(report) : entriesText(report, output));
    });
}

export function entryNumber(text: string): number {
  if (!/^[0-9]{1,4}$/.test(text)) throw new InvalidArgumentError("It is a number from 0.");
  return Number(text);
}

const WHY: Readonly<Record<EntryReason, string>> = {
  disk: "as the disk says",
  "next-entry": "once, as the disk says",
  chosen: "as was chosen here",
  "fell-back": "came up last",
};

/** Entries with their numbers; the next one is marked, with the reason. */
export function entriesText({ volume, entries, next, unifiedKernels, notes }: EntriesReport, { paint }: Pick<Output, "paint">): string {
  const rows = entries.map(({ title, kernel }, index) => {
    const isNext = next?.index === index;
    const failed = next?.failed === undefined ? "" : `; "${next.failed}" did not`;
    return [isNext ? paint("green", "next") : "", String(index), title, kernel, isNext ? `${WHY[next.because]}${failed}` : ""];
  });
  const images = unifiedKernels.map((path) => ["", "", "unified kernel image", path]);
  const none = rows.length + images.length === 0 ? "  nothing that can be booted\n" : "";
  const list = rows.length + images.length === 0 ? none : table([...rows, ...images]);
  return `${paint("bold", volume)}\n${list}${notes.map((note) => `  ${paint("dim", note)}\n`).join("")}`;
}
