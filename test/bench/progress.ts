import { Presets, SingleBar } from "cli-progress";

/** A bar on a terminal, a line for each case elsewhere; both with the time that is left as far as it can be told. */
export class Progress {
  readonly #total: number;
  readonly #bar: SingleBar | undefined;
  readonly #started: number = Date.now();
  #done = 0;
  #what = "";

  constructor(total: number) {
    this.#total = total;
    if (!process.stdout.isTTY || total === 0) return;
    this.#bar = new SingleBar({ format: "{bar} {percentage} % | {eta_formatted} left | {what}", hideCursor: true }, Presets.shades_classic);
    this.#bar.start(total, 0, { what: "" });
  }

  begin(what: string): void {
    this.#what = what;
    const seconds = Math.round((Date.now() - this.#started) / 1000);
    if (this.#bar === undefined) console.log(`[${String(this.#done).padStart(3)}/${this.#total}, ${seconds} s] ${what}`);
  }

  /** One more run; `who` is being measured. */
  step(who: string): void {
    this.#done++;
    this.#bar?.update(this.#done, { what: `${this.#what}: ${who}` });
  }

  /** Something that takes no part in the count. */
  say(line: string): void {
    if (this.#bar === undefined) console.log(line);
    else this.#bar.update(this.#done, { what: line });
  }

  stop(): void {
    this.#bar?.stop();
  }
}
