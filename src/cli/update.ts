import { resolve } from "node:path";
import { Presets, SingleBar } from "cli-progress";
import type { Command } from "commander";
import type { UpdateProgress, UpdateSlot, UpdateStatus } from "../control/update-operations.ts";
import { type AddCommand, type Context, client, examples, SOCKET_OPTION } from "./context.ts";
import { json, table } from "./output.ts";

interface Options {
  readonly socket?: string;
  readonly json?: boolean;
  readonly restart?: boolean;
}

const SHOWN_STATES: Readonly<Record<UpdateSlot["state"], string>> = {
  empty: "empty",
  writing: "unfinished",
  installed: "installed, not started yet",
  trying: "on trial",
  good: "good",
  failed: "failed",
};

/** `rackboot update FILE`, and what one does with the halves of the card. */
export const addUpdate: AddCommand = (program, context) => {
  const update = program
    .command("update")
    .description("install a signed update of this board's system, or go back to the one before")
    .argument("<file>", "an update bundle (.raucb), on the data disk or on a USB stick")
    .option("--restart", "start it at once: machines wait for their disks meanwhile, some 30 s")
    .option("--json", "for programs")
    .option(...SOCKET_OPTION)
    .addHelpText(
      "after",
      examples("rackboot update /data/rackboot-1.1-rpi4.raucb --restart", "rackboot update status", "rackboot update rollback"),
    )
    .action(async (file: string, options: Options) => {
      const input = { path: resolve(file), ...(options.restart === true && { restart: true }) };
      const status = await installed(client(options).follow("update.install", input));
      show(
        context,
        options,
        status,
        options.restart === true ? "restarting into the update" : 'installed; "rackboot update restart" starts it',
      );
    });

  const simple = (name: "status" | "restart" | "rollback" | "confirm", description: string, done: string): void => {
    update
      .command(name)
      .description(description)
      .option("--json", "for programs")
      .option(...SOCKET_OPTION)
      .addHelpText("after", examples(`rackboot update ${name}`))
      .action(async (_: Options, command: Command) => {
        // Options stand before the subcommand or after it.
        const options: Options = command.optsWithGlobals();
        show(context, options, await client(options).call(`update.${name}`, {}), done);
      });
  };
  simple("status", "what each half of the card holds", "");
  simple("restart", "start what was installed; it stays if it becomes READY within 3 minutes", "restarting into the update");
  simple(
    "rollback",
    "start the system before this one; it stays if it becomes READY within 3 minutes",
    "restarting into the system before",
  );
  simple("confirm", "keep the system that runs, and forget an update that failed", "the system that runs is kept");
};

function show({ output }: Context, options: Options, status: UpdateStatus, done: string): void {
  if (options.json === true) {
    output.out(json(status));
    return;
  }
  if (done !== "") output.out(`${done}\n`);
  const rows = status.slots.map((slot) => [
    `slot ${slot.name}`,
    slot.version ?? "-",
    SHOWN_STATES[status.installing && slot.state === "writing" ? "empty" : slot.state],
    [slot.running ? "runs" : "", slot.primary ? "starts from power-off" : ""].filter((word) => word !== "").join(", "),
  ]);
  output.out(table(rows));
  if (status.installing) output.out("an update is being installed\n");
  if (!status.confirmed) output.out("the system that runs is on trial: it stays once it has been READY for a while\n");
}

async function installed(
  work: AsyncIterable<{ readonly progress: UpdateProgress } | { readonly result: UpdateStatus }>,
): Promise<UpdateStatus> {
  const bar = new SingleBar(
    { format: "{bar} {percentage} % | {step}", hideCursor: true, stream: process.stderr, clearOnComplete: true },
    Presets.shades_classic,
  );
  const shown = process.stderr.isTTY === true;
  if (shown) bar.start(100, 0, { step: "" });
  try {
    for await (const value of work) {
      if ("result" in value) return value.result;
      if (shown) bar.update(value.progress.percent, { step: value.progress.step });
    }
  } finally {
    bar.stop();
  }
  throw Object.assign(new Error('nobody told how it ended; look at "rackboot update status"'), { code: "ERR_BROKEN_OFF" });
}
