import { InvalidArgumentError } from "commander";
import { MAX_LOG_LINES } from "../control/system-operations.ts";
import { type AddCommand, client, examples, SOCKET_OPTION } from "./context.ts";

const USUAL_LINES = 200;

export const addLogs: AddCommand = (program, context) => {
  program
    .command("logs")
    .description("the appliance's log: the service, the kernel, what was done at the console")
    .option("-n, --lines <count>", `the last so many lines, at most ${MAX_LOG_LINES}`, parseLines, USUAL_LINES)
    .option(...SOCKET_OPTION)
    .addHelpText("after", examples("rackboot logs", "rackboot logs -n 1000 | grep dhcp"))
    .action(async (options: { readonly lines: number; readonly socket?: string }) => {
      const lines = await client(options).call("system.logs", { lines: options.lines });
      context.output.out(lines.map((line) => `${line}\n`).join(""));
    });
};

function parseLines(text: string): number {
  const lines = Number(text);
  if (Number.isInteger(lines) && lines >= 1 && lines <= MAX_LOG_LINES) return lines;
  throw new InvalidArgumentError(`a number from 1 to ${MAX_LOG_LINES}`);
}
