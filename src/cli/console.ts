import { InvalidArgumentError } from "commander";
import { type AddCommand, client, EXIT, examples, SOCKET_OPTION, untilInterrupted } from "./context.ts";

interface ConsoleWords {
  readonly device?: string;
  readonly speed: number;
  readonly login: string;
  readonly socket?: string;
}

const SPEEDS: readonly number[] = [1200, 2400, 4800, 9600, 19_200, 38_400, 57_600, 115_200, 230_400, 460_800, 921_600];

export const addConsole: AddCommand = (program, context) => {
  program
    .command("console")
    .description("the menu of the serial console, here or on a serial line")
    .option("--device <path>", "a UART, a USB serial adapter or a pty; without it, this terminal")
    .option("--speed <baud>", "of the device, 8N1", parseSpeed, 115_200)
    .option("--login <command>", "what has the device when the daemon does not answer and Ctrl-C is pressed", "login")
    .option(...SOCKET_OPTION)
    .addHelpText("after", examples("rackboot console", "rackboot console --device /dev/ttyUSB0 --speed 115200"))
    .action(async (options: ConsoleWords) => {
      const { device: path, speed } = options;
      if (path === undefined && !(process.stdin.isTTY && process.stdout.isTTY)) {
        context.exitCode = EXIT.usage;
        return context.output.err(
          'the console needs a terminal; for a serial line, say --device. Programs have "rackboot status --json"\n',
        );
      }
      // Loaded only here: the other subcommands need no serial port.
      const { runConsole } = await import("../../board/console/run.ts");
      const tell = (sentence: string): void => context.output.err(`console: ${sentence}\n`);
      const login = options.login.split(" ").filter((word) => word !== "");
      await runConsole(
        { daemon: client(options), ...(path !== undefined && { device: { path, speed } }), login, tell },
        untilInterrupted(),
      );
    });
};

function parseSpeed(text: string): number {
  if (SPEEDS.includes(Number(text))) return Number(text);
  throw new InvalidArgumentError(`It is one of ${SPEEDS.join(", ")}.`);
}
