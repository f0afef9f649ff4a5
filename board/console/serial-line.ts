import { spawn } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { SerialPort } from "serialport";
import type { Line, LineEvents } from "./line.ts";

export interface SerialLineOptions {
  readonly path: string;
  readonly speed: number;
}

/** A USB adapter that was plugged in again is there a moment later. */
const REOPEN_EVERY_MS = 1000;

/**
 * Runs a program on the device: it opens the device itself, so that nothing of ours waits for a carrier, and has it as its
 * controlling terminal, so that Ctrl-C works there.
 */
const ON_DEVICE =
  'device=$1 mode=$2; shift 2; exec <>"$device" >&0 2>&1; if [ "$mode" = raw ]; then stty raw -echo; else stty sane; fi; exec setsid -c "$@"';

/** A UART, a USB adapter or a pty, 8N1. One that vanishes is looked for until it is there again. */
export class SerialLine implements Line {
  readonly canLeave = false;
  readonly speed: number;
  readonly #path: string;
  #events: LineEvents | undefined;
  #port: SerialPort | undefined;
  #writing = false;
  /** Closed for good, or somebody else has it. */
  #resting = false;
  #reopen: NodeJS.Timeout | undefined;

  constructor({ path, speed }: SerialLineOptions) {
    this.#path = path;
    this.speed = speed;
  }

  get ready(): boolean {
    return this.#port?.isOpen === true && !this.#writing;
  }

  open(events: LineEvents): void {
    this.#events = events;
    this.#tryOpen();
  }

  write(text: string): void {
    const port = this.#port;
    if (port === undefined || this.#writing) return;
    this.#writing = true;
    port.write(text, "latin1", (error) => {
      if (port !== this.#port) return;
      this.#writing = false;
      if (error !== null && error !== undefined) return this.#lost(port, error.message);
      this.#events?.drained();
    });
  }

  async lend(command: readonly string[], raw: boolean): Promise<number> {
    this.#resting = true;
    await this.#closePort();
    const args = ["-c", ON_DEVICE, "sh", this.#path, raw ? "raw" : "cooked", ...command];
    const child = spawn("sh", args, { stdio: "ignore", env: { ...process.env, TERM: "vt100" } });
    const code = await new Promise<number>((resolve) => {
      child.once("error", () => resolve(127));
      child.once("exit", (exit) => resolve(exit ?? 1));
    });
    this.#resting = false;
    this.#tryOpen();
    return code;
  }

  async close(): Promise<void> {
    this.#resting = true;
    clearTimeout(this.#reopen);
    await this.#closePort();
  }

  #tryOpen(): void {
    if (this.#resting) return;
    const port = new SerialPort({ path: this.#path, baudRate: this.speed, dataBits: 8, parity: "none", stopBits: 1, autoOpen: false });
    this.#port = port;
    this.#writing = false;
    port.on("data", (octets: Uint8Array) => this.#events?.octets(octets));
    port.on("error", (error) => this.#lost(port, error.message));
    port.on("close", () => this.#lost(port, "the cable is out"));
    port.open((error) => {
      if (error !== null && error !== undefined) return this.#lost(port, error.message);
      if (port === this.#port) this.#events?.opened();
    });
  }

  /** An error and a close may both tell of one end. */
  #lost(port: SerialPort, reason: string): void {
    if (port !== this.#port) return;
    this.#port = undefined;
    this.#writing = false;
    if (port.isOpen) port.close(() => undefined);
    this.#events?.closed(`${this.#path}: ${reason}`);
    if (!this.#resting) this.#reopen = setTimeout(() => this.#tryOpen(), REOPEN_EVERY_MS);
  }

  async #closePort(): Promise<void> {
    const port = this.#port;
    this.#port = undefined;
    this.#writing = false;
    if (port?.isOpen !== true) return;
    // What is on its way to a terminal that takes nothing is not waited for.
    await Promise.race([new Promise<void>((resolve) => port.close(() => resolve())), sleep(REOPEN_EVERY_MS)]);
  }
}
