import { linkOf } from "../../../board/console/daemon-link.ts";
import { KeyDecoder } from "../../../board/console/keys.ts";
import { openConsole, step } from "../../../board/console/model.ts";
import { render } from "../../../board/console/render.ts";
import type { Daemon } from "../../../board/console/screen.ts";
import { homeScreen } from "../../../board/console/screens/home.ts";
import { type ConsoleEvent, type ConsoleState, type Effect, topPage } from "../../../board/console/state.ts";
import { NOW_MS } from "./rack.ts";

/** Somebody who sits at a console whose daemon answers at once: keys in, pages out. */
export class Desk {
  readonly #daemon: Daemon;
  #state: ConsoleState;
  readonly #signal: AbortSignal = new AbortController().signal;

  private constructor(daemon: Daemon, state: ConsoleState) {
    this.#daemon = daemon;
    this.#state = state;
  }

  static async sitDown(daemon: Daemon): Promise<Desk> {
    const { state, effects } = openConsole(homeScreen(false));
    const desk = new Desk(daemon, state);
    await desk.#happens({ type: "link", link: await linkOf(daemon, state.link, desk.#signal) });
    for (const effect of effects) await desk.#carryOut(effect);
    return desk;
  }

  /** Chooses items one after the other by a part of their labels. */
  async choose(...labels: readonly string[]): Promise<this> {
    for (const label of labels) {
      const page = topPage(this.#state);
      const items = (page?.kind === "screen" ? page.view?.items : undefined) ?? [];
      const index = items.findIndex((item) => item.label.includes(label));
      if (index < 0) throw new Error(`no item says "${label}" on this page:\n${this.page}`);
      await this.type(`\u001b[1~${"\u001b[B".repeat(index)}\r`);
    }
    return this;
  }

  async type(text: string): Promise<this> {
    const decoder = new KeyDecoder();
    for (const key of [...decoder.decode(Buffer.from(text, "latin1")), ...decoder.timeout()]) await this.#happens({ type: "key", key });
    return this;
  }

  /** Framed, so that a snapshot shows where the lines end; the clock is the test machine's. */
  get page(): string {
    const { lines } = render(this.#state, NOW_MS);
    return lines.map((line, row) => `|${(row === 0 ? line.replace(/\d\d:\d\d:\d\d$/, "hh:mm:ss") : line).padEnd(79)}|`).join("\n");
  }

  async #happens(event: ConsoleEvent): Promise<void> {
    const { state, effects } = step(this.#state, event);
    this.#state = state;
    for (const effect of effects) await this.#carryOut(effect);
  }

  async #carryOut(effect: Effect): Promise<void> {
    if (effect.type === "load") {
      await this.#happens({ type: "loaded", page: effect.page, view: await effect.screen.load(this.#daemon, this.#signal) });
    } else if (effect.type === "start") {
      const tools = { signal: this.#signal, progress: () => undefined };
      await this.#happens({ type: "done", work: effect.work, outcome: await effect.job.run(this.#daemon, tools) });
    } else if (effect.type === "follow") {
      for await (const text of effect.follow.lines(this.#daemon, this.#signal)) {
        await this.#happens({ type: "line", page: effect.page, text });
      }
    }
  }
}
