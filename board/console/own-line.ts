import { spawn } from "node:child_process";
import type { Line, LineEvents } from "./line.ts";

/** The terminal that the command was typed on. */
export class OwnLine implements Line {
  readonly canLeave = true;
  readonly #input: NodeJS.ReadStream;
  readonly #output: NodeJS.WriteStream;
  #events: LineEvents | undefined;
  #open = false;
  #writing = false;
  readonly #octets = (octets: Buffer): void => this.#events?.octets(octets);
  readonly #gone = (): void => {
    this.#open = false;
    this.#events?.closed("the terminal is gone");
  };
  readonly #resized = (): void => this.#events?.opened();

  constructor(input: NodeJS.ReadStream, output: NodeJS.WriteStream) {
    this.#input = input;
    this.#output = output;
  }

  get ready(): boolean {
    return this.#open && !this.#writing;
  }

  open(events: LineEvents): void {
    this.#events = events;
    this.#output.on("error", this.#gone);
    this.#output.on("resize", this.#resized);
    this.#input.on("end", this.#gone);
    this.#input.on("error", this.#gone);
    this.#take();
  }

  write(text: string): void {
    this.#writing = true;
    this.#output.write(text, "latin1", () => {
      this.#writing = false;
      this.#events?.drained();
    });
  }

  async lend(command: readonly string[], raw: boolean): Promise<number> {
    this.#release();
    const [program = "sh", ...args] = command;
    this.#input.setRawMode(raw);
    const code = await new Promise<number>((resolve) => {
      const child = spawn(program, args, { stdio: "inherit" });
      child.once("error", () => resolve(127));
      child.once("exit", (exit) => resolve(exit ?? 1));
    });
    this.#take();
    return code;
  }

  async close(): Promise<void> {
    this.#release();
    this.#output.off("error", this.#gone);
    this.#output.off("resize", this.#resized);
    // Below what was shown, where the shell goes on.
    if (!this.#output.destroyed) this.#output.write("\u001b[24;1H\r\n");
  }

  #take(): void {
    this.#input.setRawMode(true);
    this.#input.on("data", this.#octets);
    this.#input.resume();
    this.#open = true;
    this.#events?.opened();
  }

  #release(): void {
    this.#open = false;
    this.#input.off("data", this.#octets);
    this.#input.pause();
    this.#input.setRawMode(false);
  }
}
