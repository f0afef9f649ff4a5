import { Presets, SingleBar } from "cli-progress";
import type { CopyProgress } from "../machine/volume.ts";
import { amount } from "./output.ts";

/** A bar on stderr while something is copied, where stderr is a terminal; nothing elsewhere. */
export class CopyBar {
  #bar: SingleBar | undefined;
  readonly #what: string;

  constructor(what: string) {
    this.#what = what;
  }

  update({ doneBytes, totalBytes }: CopyProgress): void {
    if (process.stderr.isTTY !== true) return;
    if (this.#bar === undefined) {
      // Of a stream nobody knows the end: what has come is all there is to tell.
      const known = "{bar} {percentage} % | {done} of {all} | {eta_formatted} left";
      const format = `${this.#what} ${totalBytes === undefined ? "{done} so far" : known}`;
      this.#bar = new SingleBar({ format, hideCursor: true, stream: process.stderr, clearOnComplete: true }, Presets.shades_classic);
      this.#bar.start(totalBytes ?? 1, 0, { done: amount(0), all: amount(totalBytes ?? 0) });
    }
    if (totalBytes !== undefined) this.#bar.setTotal(totalBytes);
    this.#bar.update(totalBytes === undefined ? 0 : doneBytes, { done: amount(doneBytes), all: amount(totalBytes ?? 0) });
  }

  stop(): void {
    this.#bar?.stop();
  }
}

/** Shows progress until the result comes; throws what the daemon refuses. */
export async function resultOf<T>(
  what: string,
  work: AsyncIterable<{ readonly progress: CopyProgress } | { readonly result: T }>,
): Promise<T> {
  const bar = new CopyBar(what);
  try {
    for await (const value of work) {
      if ("result" in value) return value.result;
      bar.update(value.progress);
    }
  } finally {
    bar.stop();
  }
  throw Object.assign(new Error(`${what} was broken off; look at "rackboot status", and try again`), { code: "ERR_BROKEN_OFF" });
}
