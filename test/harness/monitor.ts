import { connect, type Socket } from "node:net";

export interface MonitorEvent {
  readonly event: string;
  readonly data?: Readonly<Record<string, unknown>>;
}

interface Answer {
  readonly return?: unknown;
  readonly error?: { readonly desc: string };
}

const OFF = "the machine was off before its monitor answered";

/** QEMU's monitor (QMP): what stands outside of the emulated machine looks at its lines and presses its button. */
export class Monitor {
  /** What it told by itself, the oldest first. */
  readonly events: MonitorEvent[] = [];
  /** Everything that it told has been heard. */
  readonly closed: Promise<void>;
  readonly #socket: Socket;
  readonly #waiting: PromiseWithResolvers<Answer>[] = [];
  #text = "";

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding("utf8");
    socket.on("error", () => undefined);
    this.closed = new Promise((resolve) => {
      socket.on("close", () => {
        for (const answer of this.#waiting.splice(0)) answer.reject(new Error(OFF));
        resolve();
      });
    });
    socket.on("data", (chunk: string) => {
      this.#text += chunk;
      for (let end = this.#text.indexOf("\n"); end >= 0; end = this.#text.indexOf("\n")) {
        const line = this.#text.slice(0, end);
        this.#text = this.#text.slice(end + 1);
        const message = JSON.parse(line) as Answer | MonitorEvent;
        if ("event" in message) this.events.push(message);
        else this.#waiting.shift()?.resolve(message);
      }
    });
  }

  static async open(path: string): Promise<Monitor> {
    const socket = connect(path);
    const monitor = new Monitor(socket);
    await monitor.#next();
    await monitor.command("qmp_capabilities");
    return monitor;
  }

  /** A 32-bit word at a physical address: of a device, what it answers to a read. */
  async word(address: number): Promise<number> {
    const answer = await this.human(`xp /1xw 0x${address.toString(16)}`);
    const [, word] = /: 0x([0-9a-f]+)/.exec(answer) ?? [];
    if (word === undefined) throw new Error(`The monitor did not read 0x${address.toString(16)}: ${answer}`);
    return Number.parseInt(word, 16);
  }

  async human(command: string): Promise<string> {
    return String(await this.command("human-monitor-command", { "command-line": command }));
  }

  /** What it returned. Throws with the monitor's own words. */
  async command(execute: string, parameters: Readonly<Record<string, unknown>> = {}): Promise<unknown> {
    const answer = this.#next();
    this.#socket.write(`${JSON.stringify({ execute, arguments: parameters })}\n`);
    const { error, return: value } = await answer;
    if (error !== undefined) throw new Error(`the monitor refused ${execute}: ${error.desc}`);
    return value;
  }

  close(): void {
    this.#socket.destroy();
  }

  #next(): Promise<Answer> {
    const answer = Promise.withResolvers<Answer>();
    if (this.#socket.destroyed) answer.reject(new Error(OFF));
    else this.#waiting.push(answer);
    return answer.promise;
  }
}
