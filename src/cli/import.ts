import { readFileSync, writeFileSync } from "node:fs";
import { basename } from "node:path";
import { stringify } from "yaml";
import { formatProblem, parseConfig } from "../machine/config-file.ts";
import { type AddCommand, EXIT, examples } from "./context.ts";
import { type Combined, combine } from "./import/combine.ts";
import { readCtlConf } from "./import/ctl-conf.ts";
import { readDnsmasq } from "./import/dnsmasq.ts";
import { formatNote, ImportError } from "./import/notes.ts";
import { json } from "./output.ts";

interface Options {
  readonly dnsmasq?: string;
  readonly ctlConf?: string;
  readonly output?: string;
  readonly secrets?: string;
  readonly json?: boolean;
}

/** Larger ones are something else. */
const MAX_FILE_CHARACTERS = 4 << 20;
const SECRET_MODE = 0o600;

export const addImport: AddCommand = (program, context) => {
  const { output } = context;
  program
    .command("import")
    .description("make a rackboot.yaml of the configurations of dnsmasq and of FreeBSD's ctld; what could not be carried over is told")
    .option("--dnsmasq <file>", "dnsmasq.conf: ranges, hosts, options, TFTP root")
    .option("--ctl-conf <file>", "ctl.conf: portals, targets, luns, who may log in")
    .option("--output <file>", "write it there; a file that is there is never overwritten (default: the standard output)")
    .option("--secrets <file>", "write the CHAP secrets there, readable by nobody else; name it secrets.yaml beside the output")
    .option("--json", "for programs: the configuration and the notes, without secrets")
    .addHelpText("after", examples("rackboot import --dnsmasq /etc/dnsmasq.conf --ctl-conf ctl.conf --output rackboot.yaml"))
    .action((options: Options) => {
      const { dnsmasq, ctlConf } = options;
      if (dnsmasq === undefined && ctlConf === undefined) {
        context.exitCode = EXIT.usage;
        return output.err("name --dnsmasq FILE, --ctl-conf FILE or both\n");
      }
      const source = <T>(file: string | undefined, read: (text: string, file: string) => T) =>
        file === undefined ? undefined : { file: basename(file), content: read(textOf(file), basename(file)) };
      const combined = combine(source(dnsmasq, readDnsmasq), source(ctlConf, readCtlConf));
      const text = textFor(combined, [dnsmasq, ctlConf]);
      const { secrets, notes } = combined;
      if (options.output !== undefined) writeNew(options.output, text, 0o644);
      if (options.secrets !== undefined) writeNew(options.secrets, stringify(secrets), SECRET_MODE);
      if (options.json === true) return output.out(json({ config: combined.config, notes }));
      if (options.output === undefined) output.out(text);
      else output.out(`${options.output} is written\n`);
      for (const note of notes) output.err(`${formatNote(note)}\n`);
      const unsaved = Object.keys(secrets);
      if (unsaved.length > 0 && options.secrets === undefined)
        output.err(`the secrets of ${unsaved.join(", ")} are not written: say --secrets secrets.yaml\n`);
      for (const problem of problemsOf(text)) output.err(`to be mended: ${problem}\n`);
    });
};

function textFor({ config }: Combined, files: readonly (string | undefined)[]): string {
  const from = files.filter((file) => file !== undefined).map((file) => basename(file));
  return `# Made of ${from.join(" and ")} by "rackboot import". Look through it, then: rackboot check FILE\n${stringify(config)}`;
}

/** What `rackboot check` would say; the secrets file is not there yet. */
function problemsOf(text: string): readonly string[] {
  const reading = parseConfig(text.replace(/^ {2}secrets: .*$/m, ""), "rackboot.yaml");
  return reading.ok ? [] : reading.problems.filter(({ key }) => !key.endsWith(".chap")).map(formatProblem);
}

function textOf(file: string): string {
  try {
    const text = readFileSync(file, "utf8");
    if (text.length > MAX_FILE_CHARACTERS || text.includes("\0")) throw new Error("it is no configuration file");
    return text;
  } catch (cause) {
    throw new ImportError(`${file} cannot be read: ${(cause as Error).message}`, { cause });
  }
}

function writeNew(file: string, text: string, mode: number): void {
  try {
    writeFileSync(file, text, { flag: "wx", mode });
  } catch (cause) {
    const isThere = (cause as NodeJS.ErrnoException).code === "EEXIST";
    const why = isThere ? "it is there already, and nothing is overwritten; name another file" : (cause as Error).message;
    throw new ImportError(`${file} is not written: ${why}`, { cause });
  }
}
