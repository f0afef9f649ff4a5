import { setTimeout as sleep } from "node:timers/promises";
import { ControlError } from "../../src/control/errors.ts";
import { linkOf } from "./daemon-link.ts";
import { ESCAPE_TIMEOUT_MS, KeyDecoder } from "./keys.ts";
import type { Line } from "./line.ts";
import { openConsole, step } from "./model.ts";
import { render } from "./render.ts";
import type { Daemon, Follow, Handover, Job, Screen } from "./screen.ts";
import { type ConsoleEvent, type ConsoleState, type Effect, topPage } from "./state.ts";
import { COLUMNS, Painter, ROWS } from "./terminal.ts";

export interface ConsoleOptions {
  readonly line: Line;
  readonly daemon: Daemon;
  readonly home: Screen;
  /** What has the line where the daemon does not answer and the person asks for a way in. */
  readonly login: readonly string[];
  /** For the log of this process: what happens to the line. */
  readonly tell: (sentence: string) => void;
}

const CLOCK_EVERY_MS = 1000;
const ASK_EVERY_MS = 2000;
/** A terminal that was plugged in later sees the page after this, without a key being pressed. */
const REPAINT_EVERY_MS = 10_000;
/** Full pages take at most this part of the line. */
const REPAINT_SHARE = 0.05;
/** Noise comes in bursts: one page is sent after it. */
const REPAINT_AFTER_MS = 300;
/** Whoever presses a key after this long may have a new terminal. */
const QUIET_MS = 30_000;
/** After this long, what was half typed is forgotten. */
const IDLE_MS = 10 * 60_000;
const LOAD_TIMEOUT_MS = 30_000;
/** A page takes two seconds at 9600 baud; a terminal that takes nothing for longer is not waited for. */
const FRAME_TIMEOUT_MS = 10_000;

/**
 * Carries out what the model asks for, and sends its frames down the line. A frame is sent only when the one before has been
 * taken: on a slow or stuck line frames are left out, and nothing piles up.
 */
export class Console {
  readonly #options: ConsoleOptions;
  readonly #keys = new KeyDecoder();
  readonly #painter = new Painter();
  readonly #running = new Map<number, AbortController>();
  readonly #loading = new Set<number>();
  readonly #end = Promise.withResolvers<void>();
  readonly #stopped = new AbortController();
  #state: ConsoleState;
  #dirty = false;
  #escape: NodeJS.Timeout | undefined;
  #repaint: NodeJS.Timeout | undefined;
  #keyAtMs = 0;
  #paintedWholeAtMs = 0;
  #lent = false;
  #taken = Promise.withResolvers<void>();

  constructor(options: ConsoleOptions) {
    this.#options = options;
    const { state, effects } = openConsole(options.home);
    this.#state = state;
    for (const effect of effects) this.#carryOut(effect);
  }

  /** Resolves when the person leaves, the terminal is gone for good, or `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { line, tell } = this.#options;
    const stop = (): void => this.#end.resolve();
    signal.addEventListener("abort", stop, { once: true });
    if (signal.aborted) stop();
    const clock = setInterval(() => this.#tick(), CLOCK_EVERY_MS);
    line.open({
      octets: (octets) => this.#octets(octets),
      opened: () => this.#painted(true),
      closed: (reason) => {
        tell(reason);
        if (line.canLeave) return stop();
        this.#dispatch({ type: "reset" });
      },
      drained: () => {
        this.#taken.resolve();
        this.#painted(false);
      },
    });
    void this.#watchDaemon();
    await this.#end.promise;
    clearInterval(clock);
    clearTimeout(this.#escape);
    clearTimeout(this.#repaint);
    this.#stopped.abort();
    for (const controller of this.#running.values()) controller.abort();
    await line.close();
  }

  #painted(whole: boolean): void {
    if (whole) this.#painter.forget();
    if (whole || this.#dirty) this.#paint();
  }

  #octets(octets: Uint8Array): void {
    clearTimeout(this.#escape);
    const nowMs = Date.now();
    if (nowMs - this.#keyAtMs > QUIET_MS) this.#painter.forget();
    this.#keyAtMs = nowMs;
    for (const key of this.#keys.decode(octets)) this.#dispatch({ type: "key", key });
    if (!this.#keys.waiting) return;
    this.#escape = setTimeout(() => {
      for (const key of this.#keys.timeout()) this.#dispatch({ type: "key", key });
    }, ESCAPE_TIMEOUT_MS);
  }

  #dispatch(event: ConsoleEvent): void {
    const { state, effects } = step(this.#state, event);
    this.#state = state;
    for (const effect of effects) this.#carryOut(effect);
    this.#paint();
  }

  /** At once where the line is free; else when it is. */
  #paint(): void {
    const { line } = this.#options;
    this.#dirty = true;
    if (this.#lent || !line.ready) return;
    this.#dirty = false;
    const text = this.#painter.paint(render(this.#state, Date.now()));
    if (text !== "") line.write(text);
  }

  #tick(): void {
    const nowMs = Date.now();
    const kind = topPage(this.#state)?.kind;
    if ((kind === "form" || kind === "paste") && nowMs - this.#keyAtMs > IDLE_MS) this.#dispatch({ type: "reset" });
    if (Math.abs(nowMs - this.#paintedWholeAtMs) >= this.#repaintEveryMs()) {
      this.#paintedWholeAtMs = nowMs;
      this.#painter.forget();
    }
    this.#paint();
  }

  #repaintEveryMs(): number {
    const { speed } = this.#options.line;
    // 8N1: ten bits for each octet.
    const frameMs = speed === undefined ? 0 : (ROWS * COLUMNS * 10 * 1000) / speed;
    return Math.max(REPAINT_EVERY_MS, frameMs / REPAINT_SHARE);
  }

  #carryOut(effect: Effect): void {
    switch (effect.type) {
      case "load":
        void this.#load(effect.page, effect.screen);
        return;
      case "start":
        void this.#start(effect.work, effect.job);
        return;
      case "follow":
        void this.#follow(effect.page, effect.follow);
        return;
      case "abort":
        this.#running.get(effect.work)?.abort();
        return;
      case "unfollow":
        this.#running.get(effect.page)?.abort();
        return;
      case "handover":
        void this.#handOver(effect.handover);
        return;
      case "login":
        void this.#logIn();
        return;
      case "repaint":
        this.#repaint ??= setTimeout(() => {
          this.#repaint = undefined;
          this.#painter.forget();
          this.#paint();
        }, REPAINT_AFTER_MS);
        return;
      case "leave":
        if (this.#options.line.canLeave) this.#end.resolve();
    }
  }

  /** Again and again while the page is shown, where it wants to be live. */
  async #load(page: number, screen: Screen): Promise<void> {
    if (this.#loading.has(page)) return;
    this.#loading.add(page);
    const signal = AbortSignal.any([this.#stopped.signal, AbortSignal.timeout(LOAD_TIMEOUT_MS)]);
    try {
      const view = await screen.load(this.#options.daemon, signal);
      this.#dispatch({ type: "loaded", page, view });
    } catch (error) {
      this.#dispatch({ type: "loadFailed", page, reason: sentence(error) });
    } finally {
      this.#loading.delete(page);
    }
    if (screen.everyMs === undefined) return;
    const again = setTimeout(() => {
      if (topPage(this.#state)?.id === page && !this.#stopped.signal.aborted) void this.#load(page, screen);
    }, screen.everyMs);
    again.unref();
  }

  async #start(work: number, job: Job): Promise<void> {
    await this.#abortable(work, async (signal) => {
      try {
        const progress = (text: string): void => this.#dispatch({ type: "progress", work, text });
        this.#dispatch({ type: "done", work, outcome: await job.run(this.#options.daemon, { signal, progress }) });
      } catch (error) {
        this.#dispatch({ type: "failed", work, reason: sentence(error) });
      }
    });
  }

  async #follow(page: number, follow: Follow): Promise<void> {
    await this.#abortable(page, async (signal) => {
      try {
        for await (const text of follow.lines(this.#options.daemon, signal)) this.#dispatch({ type: "line", page, text });
        this.#dispatch({ type: "ended", page, reason: "no more comes" });
      } catch (error) {
        this.#dispatch({ type: "ended", page, reason: sentence(error) });
      }
    });
  }

  async #abortable(id: number, run: (signal: AbortSignal) => Promise<void>): Promise<void> {
    const controller = new AbortController();
    this.#running.set(id, controller);
    await run(controller.signal);
    this.#running.delete(id);
  }

  async #handOver(handover: Handover): Promise<void> {
    const code = await this.#lend(handover.command, handover.notice, handover.raw === true);
    this.#dispatch({ type: "handedBack", handover, code });
  }

  async #logIn(): Promise<void> {
    // On a terminal of one's own there is a shell already.
    if (this.#options.line.canLeave) return this.#end.resolve();
    await this.#lend(this.#options.login, "Log in; when you log out, the menu comes back.", false);
    this.#dispatch({ type: "reset" });
  }

  async #lend(command: readonly string[], notice: string, raw: boolean): Promise<number> {
    const { line } = this.#options;
    this.#lent = true;
    // The page that is on its way would otherwise take the place of what has to be said now.
    await this.#whenTaken();
    if (line.ready) line.write(`\u001b[m\u001b[2J\u001b[H${notice}\r\n\r\n`);
    await this.#whenTaken();
    const code = await line.lend(command, raw);
    this.#lent = false;
    this.#painter.forget();
    return code;
  }

  /** What was written last has gone down the line, or never will. */
  async #whenTaken(): Promise<void> {
    if (this.#options.line.ready) return;
    this.#taken = Promise.withResolvers<void>();
    const enough = new AbortController();
    const signal = AbortSignal.any([enough.signal, this.#stopped.signal]);
    await Promise.race([this.#taken.promise, sleep(FRAME_TIMEOUT_MS, undefined, { signal }).catch(() => undefined)]);
    enough.abort();
  }

  /** How the daemon answers, for as long as the console runs. One question is under way at a time. */
  async #watchDaemon(): Promise<void> {
    const { signal } = this.#stopped;
    while (!signal.aborted) {
      const link = await linkOf(this.#options.daemon, this.#state.link, signal);
      if (signal.aborted) return;
      this.#dispatch({ type: "link", link });
      await sleep(ASK_EVERY_MS, undefined, { signal }).catch(() => undefined);
    }
  }
}

/** What the daemon says is said to the person; anything else is a bug of ours, and says what it is. */
function sentence(error: unknown): string {
  if (error instanceof ControlError) return error.message;
  if ((error as { readonly name?: unknown }).name === "TimeoutError") return "The daemon took too long to answer.";
  return error instanceof Error ? error.message : String(error);
}
