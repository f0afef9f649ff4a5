import type { Command } from "commander";
import { ControlClient } from "../control/client.ts";
import { defaultSocketPath } from "../control/socket-path.ts";
import type { Output } from "./output.ts";

/** 0: done. 1: it could not be done, and stderr says why. 2: the command line makes no sense. */
export const EXIT = { ok: 0, failed: 1, usage: 2 } as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** What every subcommand is given. */
export interface Context {
  readonly output: Output;
  /** A subcommand's own end; 0 unless it says otherwise. */
  exitCode: number;
}

/** A subcommand adds itself to the program. */
export type AddCommand = (program: Command, context: Context) => void;

export const SOCKET_OPTION: readonly [string, string] = [
  "--socket <path>",
  "the daemon's control socket (default: $RACKBOOT_SOCKET, /run/rackboot or $XDG_RUNTIME_DIR/rackboot)",
];

export function client(options: { readonly socket?: string }): ControlClient {
  return new ControlClient(options.socket ?? defaultSocketPath());
}

/** Aborts when the user has seen enough (Ctrl-C, or a closed pipe behind us). */
export function untilInterrupted(): AbortSignal {
  const controller = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => controller.abort());
  process.stdout.once("error", () => controller.abort());
  return controller.signal;
}

/** The end of a subcommand's help. */
export function examples(...lines: readonly string[]): string {
  const list = lines.map((line) => `  $ ${line}`).join("\n");
  return `\nExamples:\n${list}\n\nExit codes: 0 done, 1 failed, 2 wrong usage`;
}
