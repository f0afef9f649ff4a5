import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stringify } from "yaml";
import { ControlClient } from "../../src/control/client.ts";
import type { StatusReport } from "../../src/control/operations.ts";
import { RACKBOOT } from "../harness/daemon.ts";
import { BackgroundProcess, type Exit, type Result, run } from "../harness/process.ts";
import type { Resources } from "../harness/resources.ts";

export const PORTS = { dhcp: 6767, tftp: 6969, http: 8080, iscsi: 3260 } as const;

const READY_TIMEOUT_MS = 30_000;
let daemons = 0;

/** Keys of rackboot.yaml, over those that make a daemon of the loopback. */
export type Keys = Readonly<Record<string, unknown>>;

/**
 * The daemon that `make build` makes, as a user runs it for development: on an address of 127.0.0.0/8 that nobody else
 * has, on ports that need no privilege, with a folder of its own.
 */
export class LoopbackDaemon {
  readonly folder: string;
  readonly config: string;
  readonly socket: string;
  /** The server's; the network has a prefix of 24 bits. */
  readonly address: string;
  readonly #resources: Resources;
  #process: BackgroundProcess | undefined;

  constructor(resources: Resources) {
    this.#resources = resources;
    this.folder = mkdtempSync(join(tmpdir(), "rackboot-daemon-"));
    resources.defer("the daemon's folder", () => rmSync(this.folder, { recursive: true }));
    this.config = join(this.folder, "rackboot.yaml");
    this.socket = join(this.folder, "control.sock");
    // By process and daemon, since several tests may run on one machine.
    const number = (process.pid * 32 + daemons++) % 65_000;
    this.address = `127.${1 + (number >> 8)}.${number & 0xff}.1`;
  }

  /** Another address of the same network, for a machine. */
  host(number: number): string {
    return this.address.replace(/\d+$/, String(number));
  }

  get storage(): string {
    return join(this.folder, "data");
  }

  get portal(): string {
    return `${this.address}:${PORTS.iscsi}`;
  }

  get url(): string {
    return `http://${this.address}:${PORTS.http}`;
  }

  /** The text of a configuration. */
  text(keys: Keys = {}): string {
    return stringify({
      network: { interface: "lo", address: `${this.address}/24` },
      dhcp: { mode: "off" },
      tftp: { port: PORTS.tftp },
      http: { port: PORTS.http },
      iscsi: { port: PORTS.iscsi },
      storage: { path: this.storage },
      ...keys,
    });
  }

  write(keys: Keys = {}): void {
    writeFileSync(this.config, this.text(keys));
  }

  /** `prefix` are words before the command, such as those that enter a namespace. Resolves when it serves; throws with its last words. */
  async start(prefix: readonly string[] = [], options: readonly string[] = []): Promise<void> {
    mkdirSync(this.storage, { recursive: true });
    this.#process = new BackgroundProcess(this.#resources, this.command(options), { prefix });
    await this.#process.output.waitFor(/: ready$/m, READY_TIMEOUT_MS);
  }

  /** For a daemon that must not start: runs it to its end. */
  refusal(prefix: readonly string[] = []): Promise<Result> {
    return run(this.command(), { prefix, timeoutMs: READY_TIMEOUT_MS });
  }

  command(options: readonly string[] = []): readonly string[] {
    return [process.execPath, "--no-warnings", RACKBOOT, "serve", "--config", this.config, "--socket", this.socket, ...options];
  }

  get #running(): BackgroundProcess {
    if (this.#process === undefined) throw new Error("the daemon was not started");
    return this.#process;
  }

  get pid(): number {
    return this.#running.pid;
  }

  get running(): boolean {
    return this.#running.running;
  }

  get log(): string {
    return this.#running.output.text;
  }

  /** What it says next, behind what the last wait saw. */
  says(pattern: RegExp, timeoutMs = 10_000): Promise<RegExpExecArray> {
    return this.#running.output.waitFor(pattern, timeoutMs);
  }

  /** How often it has said so. */
  count(pattern: RegExp): number {
    return this.log.split("\n").filter((line) => pattern.test(line)).length;
  }

  signal(name: NodeJS.Signals): void {
    this.#running.signal(name);
  }

  stop(signal: NodeJS.Signals = "SIGTERM"): Promise<Exit> {
    return this.#running.stop(signal);
  }

  status(): Promise<StatusReport> {
    return new ControlClient(this.socket).call("status", {});
  }

  async metrics(): Promise<string> {
    const answer = await fetch(`${this.url}/metrics`);
    return answer.text();
  }

  /** A sample of /metrics by its name and labels as they stand there; 0 where there is none. */
  async metric(name: string): Promise<number> {
    const line = (await this.metrics()).split("\n").find((each) => each.startsWith(`${name} `));
    return line === undefined ? 0 : Number(line.slice(name.length + 1));
  }

  /** The sum over every reason of one kind of event. */
  async happened(type: string): Promise<number> {
    const lines = (await this.metrics()).split("\n").filter((line) => line.startsWith(`rackboot_events_total{type="${type}"`));
    return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" "))), 0);
  }
}
