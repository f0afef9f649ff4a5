import { Command, CommanderError } from "commander";
import { packageVersion } from "../control/version.ts";
import { addCertificate } from "./certificate.ts";
import { addCheck } from "./check.ts";
import { addConfig } from "./config.ts";
import { addConsole } from "./console.ts";
import { type AddCommand, type Context, EXIT, examples } from "./context.ts";
import { addEvents } from "./events.ts";
import { addIdentify } from "./identify.ts";
import { addImage } from "./image.ts";
import { addImport } from "./import.ts";
import { addLogs } from "./logs.ts";
import { addMachine } from "./machine.ts";
import { type Output, processOutput } from "./output.ts";
import { addReport } from "./report.ts";
import { addSchema } from "./schema.ts";
import { addServe } from "./serve.ts";
import { addStatus } from "./status.ts";
import { addUnlock } from "./unlock.ts";
import { addUpdate } from "./update.ts";
import { addVolume } from "./volume.ts";

const COMMANDS: readonly AddCommand[] = [
  addServe,
  addCheck,
  addStatus,
  addLogs,
  addReport,
  addUnlock,
  addMachine,
  addVolume,
  addImage,
  addImport,
  addConfig,
  addUpdate,
  addEvents,
  addIdentify,
  addConsole,
  addCertificate,
  addSchema,
];

function program(context: Context): Command {
  const root = new Command("rackboot")
    .description("Boots every diskless machine of a rack: DHCP, TFTP, HTTP and iSCSI as views of one machine.")
    .version(packageVersion())
    .exitOverride()
    .configureOutput({ writeOut: context.output.out, writeErr: context.output.err })
    .showHelpAfterError('(add "--help" to see how)')
    .addHelpText("after", examples("rackboot check rackboot.yaml", "rackboot serve --config rackboot.yaml", "rackboot status --watch"));
  for (const add of COMMANDS) add(root, context);
  return root;
}

/** Runs the `rackboot` command. `argv` is the whole of process.argv. Resolves to the exit code, and never rejects. */
export async function runCli(argv: readonly string[], output: Output = processOutput()): Promise<number> {
  const context: Context = { output, exitCode: EXIT.ok };
  try {
    await program(context).parseAsync([...argv]);
    return context.exitCode;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
    output.err(`${output.paintError("red", "rackboot:")} ${explainError(error)}\n`);
    return EXIT.failed;
  }
}

/** An error with a code was foreseen, and its message says what to do; anything else is a bug and shows where it is. */
function explainError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return "code" in error && typeof error.code === "string" ? error.message : (error.stack ?? error.message);
}
