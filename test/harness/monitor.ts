import { connect, type Socket } from "node:net";

/** QEMU's monitor (QMP): what stands outside of the emulated machine looks at its lines and presses its button. */
export class Monitor {
  readonly #socket: Socket;
  readonly #waiting: ((line: string) => void)[] = [];
  #text = "";

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding("utf8");
    socket.on("error", () => undefined);
    socket.on("data", (chunk: string) => {
      this.#text += chunk;
      for (let end = this.#text.indexOf("\n"); end >= 0; end = this.#text.indexOf("\n")) {
        const line = this.#text.slice(0, end);
        this.#text = this.#text.slice(end + 1);
        // Events are between the answers; nobody waits for one.
        if (!line.includes('"event"')) this.#waiting.shift()?.(line);
      }
    });
  }

  static async open(path: string): Promise<Monitor> {
    const socket = connect(path);
    const monitor = new Monitor(socket);
    await monitor.#next();
    await monitor.#command({ execute: "qmp_capabilities" });
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
    const line = await this.#command({ execute: "human-monitor-command", arguments: { "command-line": command } });
    return (JSON.parse(line) as { readonly return?: string }).return ?? line;
  }

  close(): void {
    this.#socket.destroy();
  }

  #command(command: object): Promise<string> {
    const answer = this.#next();
    this.#socket.write(`${JSON.stringify(command)}\n`);
    return answer;
  }

  #next(): Promise<string> {
    return new Promise((resolve, reject) => {
      this.#waiting.push(resolve);
      this.#socket.once("close", () => reject(new Error("the machine was off before its monitor answered")));
    });
  }
}
