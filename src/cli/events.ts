import { lineOf } from "../state/log.ts";
import { type AddCommand, client, examples, SOCKET_OPTION, untilInterrupted } from "./context.ts";
import { clock } from "./output.ts";

export const addEvents: AddCommand = (program, context) => {
  program
    .command("events")
    .description("what happens, as it happens, until Ctrl-C or the daemon's end")
    .option("--json", "one JSON object a line, with every field")
    .option("--machine <name>", "only what concerns this machine")
    .option(...SOCKET_OPTION)
    .addHelpText("after", examples("rackboot events", "rackboot events --machine uqbar", "rackboot events --json | jq .type"))
    .action(async (options: { readonly json?: boolean; readonly machine?: string; readonly socket?: string }) => {
      const { out, paint } = context.output;
      for await (const event of client(options).follow("events", {}, untilInterrupted())) {
        if (options.machine !== undefined && !("machine" in event && event.machine === options.machine)) continue;
        if (options.json === true) out(`${JSON.stringify(event)}\n`);
        else {
          const line = lineOf(event);
          if (line === undefined) continue;
          const colour = line.level === "error" ? "red" : line.level === "warn" ? "yellow" : undefined;
          out(`${paint("dim", clock(event.atMs))}  ${colour === undefined ? line.sentence : paint(colour, line.sentence)}\n`);
        }
      }
    });
};
