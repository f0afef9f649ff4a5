import { Terminal } from "@xterm/headless";
import { COLUMNS, ROWS } from "../../board/console/terminal.ts";
import { screenOf } from "../board/console/emulator.ts";

const SOON_MS = 20_000;

/** A person at a terminal of 80 by 24: types, and reads what the terminal makes of all that comes over the line. */
export class Seat {
  readonly type: (text: string) => void;
  readonly #terminal = new Terminal({ cols: COLUMNS, rows: ROWS, allowProposedApi: true });
  readonly #watchers = new Set<() => void>();

  /** `type`: puts what the person types on the line. */
  constructor(type: (text: string) => void) {
    this.type = type;
  }

  /** What came over the line. */
  append(octets: Uint8Array | string): void {
    this.#terminal.write(octets, () => {
      for (const look of [...this.#watchers]) look();
    });
  }

  get screen(): string {
    return screenOf(this.#terminal).join("\n");
  }

  /** Resolves with the screen as soon as it shows this. Throws when it does not in time, or when `gone` said why it never will. */
  shows(wanted: RegExp, timeoutMs: number = SOON_MS, gone?: Promise<string>): Promise<string> {
    return new Promise((resolve, reject) => {
      const done = (): void => {
        clearTimeout(timer);
        this.#watchers.delete(look);
      };
      const fail = (reason: string): void => {
        done();
        reject(new Error(`${reason}, and the terminal does not show ${wanted}:\n${this.screen}`));
      };
      const look = (): void => {
        const { screen } = this;
        if (!wanted.test(screen)) return;
        done();
        resolve(screen);
      };
      const timer = setTimeout(() => fail(`${timeoutMs / 1000} s went by`), timeoutMs);
      this.#watchers.add(look);
      look();
      void gone?.then(fail);
    });
  }
}
