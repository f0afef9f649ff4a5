/** Colours, cursor movements and other terminal control sequences (ECMA-48, 5.4), which GRUB and systemd print in plenty. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const CONTROL = /\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)|[()][A-Z0-9]|[=>78cDEHMNOZ])|\r|\u0000/g;

const LONGEST_CONTROL = 64;

export class WaitTimeout extends Error {
  readonly code = "ERR_WAIT_TIMEOUT";
}

/**
 * The text that a process or a serial console has printed, and a way to wait for more of it. Every wait goes on behind
 * what the one before it matched, as a person reads: the same words at the next boot are other words.
 */
export class Transcript {
  #text = "";
  /** The beginning of a control sequence whose rest has not come yet. */
  #partial = "";
  #read = 0;
  #closed: string | undefined;
  readonly #listeners = new Set<() => void>();

  /** All of it, without control sequences. */
  get text(): string {
    return this.#text;
  }

  /** The end of it, for messages. */
  tail(lines = 15): string {
    return this.text.trimEnd().split("\n").slice(-lines).join("\n");
  }

  append(chunk: string): void {
    const raw = this.#partial + chunk;
    const start = raw.lastIndexOf("\u001b");
    const whole = start < 0 || raw.length - start > LONGEST_CONTROL || raw.slice(start).replace(CONTROL, "").charAt(0) !== "\u001b";
    this.#partial = whole ? "" : raw.slice(start);
    this.#text += (whole ? raw : raw.slice(0, start)).replace(CONTROL, "");
    this.#notify();
  }

  /** Nothing will follow; whoever waits is told why. */
  close(reason: string): void {
    this.#closed = reason;
    this.#notify();
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Skips what there is: the next wait looks at what comes from now on. */
  skip(): void {
    this.#read = this.#text.length;
  }

  /**
   * Throws {@link WaitTimeout}, or an Error when the text ended without a match, or when `ended` said why nothing more
   * can be expected.
   */
  waitFor(pattern: RegExp, timeoutMs: number, ended?: Promise<string>): Promise<RegExpExecArray> {
    return new Promise((resolve, reject) => {
      const done = (): void => {
        clearTimeout(timer);
        stop();
      };
      const fail = (error: Error): void => {
        done();
        reject(error);
      };
      const tooLate = (reason: string): void => fail(new Error(`${reason} before ${pattern} was seen. Its last words:\n${this.tail()}`));
      const look = (): void => {
        const match = this.#match(pattern);
        if (match !== undefined) {
          done();
          resolve(match);
        } else if (this.#closed !== undefined) tooLate(this.#closed);
      };
      const timer = setTimeout(() => {
        fail(new WaitTimeout(`${pattern} was not seen within ${timeoutMs / 1000} s. The last words:\n${this.tail()}`));
      }, timeoutMs);
      const stop = this.onChange(look);
      look();
      void ended?.then(tooLate);
    });
  }

  #match(pattern: RegExp): RegExpExecArray | undefined {
    const match = pattern.exec(this.#text.slice(this.#read));
    if (match === null) return undefined;
    this.#read += match.index + match[0].length;
    return match;
  }

  #notify(): void {
    for (const listener of [...this.#listeners]) listener();
  }
}
