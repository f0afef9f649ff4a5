import { type ChildProcessByStdio, execFile, spawn } from "node:child_process";
import type { Readable, Writable } from "node:stream";
import type { Resources } from "./resources.ts";
import { Transcript } from "./transcript.ts";

/** How long a process is given to end by itself after a signal. */
const STOP_TIMEOUT_MS = 15_000;

export interface ProcessOptions {
  /** What stands before the command: for example the words that enter a namespace. */
  readonly prefix?: readonly string[];
  readonly cwd?: string;
  readonly environment?: Readonly<Record<string, string>>;
}

/** How it ended: a code, or the signal that ended it. */
export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A process of ours that runs until it is stopped; it dies with us, even when we are killed. */
export class BackgroundProcess {
  readonly name: string;
  readonly output: Transcript = new Transcript();
  readonly exited: Promise<Exit>;
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>;

  constructor(resources: Resources, command: readonly string[], options: ProcessOptions = {}) {
    this.name = command[0] ?? "";
    // setpriv comes last before the command: entering a user namespace forgets the wish to die with the parent.
    const [program = "", ...args] = [...(options.prefix ?? []), "setpriv", "--pdeathsig", "KILL", "--", ...command];
    this.#child = spawn(program, args, {
      stdio: ["pipe", "pipe", "pipe"],
      env: { ...process.env, ...options.environment },
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream.setEncoding("utf8");
      stream.on("data", (chunk: string) => this.output.append(chunk));
    }
    // A process that has gone reads nothing more; that is no news.
    this.#child.stdin.on("error", () => undefined);
    this.exited = new Promise((resolve) => {
      this.#child.once("error", (error) => {
        this.output.close(`${this.name} did not start (${error.message})`);
        resolve({ code: 127, signal: null });
      });
      this.#child.once("close", (code, signal) => {
        this.output.close(`${this.name} ended (${signal ?? `exit code ${code}`})`);
        resolve({ code, signal });
      });
    });
    resources.defer(this.name, async () => {
      await this.stop();
    });
  }

  get pid(): number {
    const { pid } = this.#child;
    if (pid === undefined) throw new Error(`${this.name} did not start`);
    return pid;
  }

  get running(): boolean {
    return this.#child.pid !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  write(text: string): void {
    this.#child.stdin.write(text);
  }

  signal(name: NodeJS.Signals): void {
    if (this.running) this.#child.kill(name);
  }

  /** Asks it to end, and makes it end where it does not. Harmless when it has ended. */
  async stop(signal: NodeJS.Signals = "SIGTERM", timeoutMs: number = STOP_TIMEOUT_MS): Promise<Exit> {
    this.signal(signal);
    const timer = setTimeout(() => this.signal("SIGKILL"), timeoutMs);
    const exit = await this.exited;
    clearTimeout(timer);
    return exit;
  }
}

export interface Result {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command to its end; a code that is not 0 is a result, not an error. */
export function run(command: readonly string[], options: ProcessOptions & { readonly timeoutMs?: number } = {}): Promise<Result> {
  const [program = "", ...args] = [...(options.prefix ?? []), ...command];
  const settings = {
    encoding: "utf8",
    timeout: options.timeoutMs ?? 60_000,
    maxBuffer: 64 * 1024 * 1024,
    env: { ...process.env, ...options.environment },
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  } as const;
  return new Promise((resolve) => {
    const child = execFile(program, args, settings, (error, stdout, stderr) => {
      const code = error === null ? 0 : (child.exitCode ?? 127);
      resolve({ code, stdout, stderr: stderr === "" && error !== null ? error.message : stderr });
    });
  });
}

/** Runs a command that must succeed, and returns what it printed. */
export async function runOrThrow(
  command: readonly string[],
  options: ProcessOptions & { readonly timeoutMs?: number } = {},
): Promise<string> {
  const result = await run(command, options);
  if (result.code !== 0) throw new Error(`${command.join(" ")}: exit code ${result.code}: ${result.stderr.trim() || result.stdout.trim()}`);
  return result.stdout;
}
