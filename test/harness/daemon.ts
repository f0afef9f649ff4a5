import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { ControlClient } from "../../src/control/client.ts";
import type { StatusReport } from "../../src/control/operations.ts";
import type { TimedEvent } from "../../src/state/events.ts";
import type { NetworkNamespace } from "./netns.ts";
import type { BackgroundProcess, Exit, Result } from "./process.ts";
import type { Resources } from "./resources.ts";

/** What `make build` makes, as a user runs it. */
export const RACKBOOT: string = join(import.meta.dirname, "..", "..", "dist", "src", "main.js");

const READY_TIMEOUT_MS = 30_000;
const POLL_MS = 100;

export interface DaemonFiles {
  readonly config: string;
  /** Where it makes its control socket. */
  readonly socket: string;
}

/** The daemon as a process of its own in a namespace, and the ways to look at it: its log, its control socket, its HTTP. */
export class Daemon {
  readonly files: DaemonFiles;
  readonly #process: BackgroundProcess;
  readonly #client: ControlClient;
  readonly #namespace: NetworkNamespace;

  private constructor(files: DaemonFiles, process: BackgroundProcess, namespace: NetworkNamespace) {
    this.files = files;
    this.#process = process;
    this.#client = new ControlClient(files.socket);
    this.#namespace = namespace;
  }

  /** Resolves when it is ready to serve; throws with its last words when it ends before. */
  static async start(
    resources: Resources,
    namespace: NetworkNamespace,
    files: DaemonFiles,
    options: readonly string[] = [],
  ): Promise<Daemon> {
    const command = [process.execPath, "--no-warnings", RACKBOOT, "serve", "--config", files.config, "--socket", files.socket, ...options];
    const daemon = new Daemon(files, namespace.start(resources, command), namespace);
    const deadline = Date.now() + READY_TIMEOUT_MS;
    while (!(await daemon.#ready())) {
      if (!daemon.#process.running) throw new Error(`The daemon did not start:\n${daemon.#process.output.tail()}`);
      if (Date.now() > deadline) throw new Error(`The daemon was not ready within ${READY_TIMEOUT_MS / 1000} s:\n${daemon.log}`);
      await sleep(POLL_MS);
    }
    return daemon;
  }

  get log(): string {
    return this.#process.output.text;
  }

  get running(): boolean {
    return this.#process.running;
  }

  status(): Promise<StatusReport> {
    return this.#client.call("status", {});
  }

  events(signal: AbortSignal): AsyncGenerator<TimedEvent> {
    return this.#client.follow("events", {}, signal);
  }

  /** The command line, as a person beside the daemon would use it. */
  rackboot(...words: readonly string[]): Promise<Result> {
    const environment = { RACKBOOT_SOCKET: this.files.socket };
    return this.#namespace.run([process.execPath, "--no-warnings", RACKBOOT, ...words], { environment });
  }

  /** Reads the configuration file again, and waits until the daemon says that it did. */
  async reload(): Promise<void> {
    const loadedAtMs = async (): Promise<number> => (await this.status()).state.daemon.config?.loadedAtMs ?? 0;
    const before = await loadedAtMs();
    this.#process.signal("SIGHUP");
    const deadline = Date.now() + READY_TIMEOUT_MS;
    while ((await loadedAtMs()) === before) {
      if (Date.now() > deadline) throw new Error(`The daemon did not reload:\n${this.log}`);
      await sleep(POLL_MS);
    }
  }

  stop(): Promise<Exit> {
    return this.#process.stop();
  }

  /** As a crash does it. */
  kill(): Promise<Exit> {
    return this.#process.stop("SIGKILL");
  }

  async #ready(): Promise<boolean> {
    try {
      return (await this.status()).state.daemon.phase === "ready";
    } catch {
      return false;
    }
  }
}
