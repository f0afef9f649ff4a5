import { Option } from "commander";
import { readStartingConfig } from "../machine/config-fallback.ts";
import { LOG_LEVELS, type LogFormat, type LogLevel } from "../state/log.ts";
import { type AddCommand, EXIT, examples } from "./context.ts";
import { explainProblems } from "./explain.ts";

interface ServeOptions {
  readonly config: string;
  readonly lastGood?: string;
  readonly factory?: string;
  readonly recovery?: string;
  readonly socket?: string;
  readonly board?: string;
  readonly logFormat: LogFormat;
  readonly logLevel: LogLevel;
}

export const addServe: AddCommand = (program, context) => {
  program
    .command("serve")
    .description("run the daemon: DHCP, TFTP, HTTP and iSCSI for the machines of a configuration")
    .requiredOption("--config <file>", "rackboot.yaml; SIGHUP or a change of the file reads it again")
    .option(
      "--last-good <file>",
      "where to keep a copy of what ran, to start from when the file is bad; that is told, and the file is still followed",
    )
    .option("--factory <file>", "what to start from where there is neither file nor copy")
    .option("--recovery <file>", "while it is there, start from the factory's all the same; it goes with the first change that is kept")
    .option("--socket <path>", "where to make the control socket (default: $RACKBOOT_SOCKET, /run/rackboot or $XDG_RUNTIME_DIR/rackboot)")
    .option("--board <name>", "whose lamps and button to use (default: $RACKBOOT_BOARD, or what the device tree says)")
    .addOption(new Option("--log-format <format>", "lines for people, or JSON").choices(["text", "json"]).default("text"))
    .addOption(new Option("--log-level <level>", "the least that is logged").choices([...LOG_LEVELS]).default("info"))
    .addHelpText(
      "after",
      examples("rackboot serve --config /etc/rackboot/rackboot.yaml", "rackboot serve --config rack.yaml --log-level debug"),
    )
    .action(async (options: ServeOptions) => {
      const starting = readStartingConfig(options.config, options);
      if (!starting.ok) {
        context.output.err(explainProblems(starting, context.output.paintError));
        context.exitCode = EXIT.failed;
        return;
      }
      // Loaded only here: the other subcommands need neither the services nor the native part.
      const { runDaemon } = await import("../daemon.ts");
      context.exitCode = await runDaemon(starting, {
        ...(options.factory !== undefined && { factory: options.factory }),
        ...(options.recovery !== undefined && { recovery: options.recovery }),
        ...(options.lastGood !== undefined && { lastGood: options.lastGood }),
        ...(options.socket !== undefined && { socket: options.socket }),
        ...(options.board !== undefined && { board: options.board }),
        logFormat: options.logFormat,
        logLevel: options.logLevel,
      });
    });
};
