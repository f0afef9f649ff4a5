import { once } from "node:events";
import { connect, type Socket } from "node:net";

/** QEMU's qtest protocol beside a machine that runs: it holds an input line of a chip at a level, which no monitor command does. */
export class Qtest {
  readonly #socket: Socket;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding("utf8");
    socket.on("error", () => undefined);
  }

  static async open(path: string): Promise<Qtest> {
    const socket = connect(path);
    await once(socket, "connect");
    return new Qtest(socket);
  }

  /** `chip`: its path in QEMU's object model. One at a time. Throws with QEMU's own words. */
  async setLine(chip: string, line: number, level: boolean): Promise<void> {
    const answer = once(this.#socket, "data");
    this.#socket.write(`set_irq_in ${chip} unnamed-gpio-in ${line} ${level ? 1 : 0}\n`);
    const text = String((await answer)[0]).trim();
    if (text !== "OK") throw new Error(`QEMU did not set line ${line} of ${chip}: ${text}`);
  }

  close(): void {
    this.#socket.destroy();
  }
}
