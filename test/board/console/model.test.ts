import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { KeyDecoder } from "../../../board/console/keys.ts";
import { openConsole, step } from "../../../board/console/model.ts";
import { render } from "../../../board/console/render.ts";
import { type Form, type Item, type Job, type Screen, typedConfirmation } from "../../../board/console/screen.ts";
import { type ConsoleEvent, type ConsoleState, type Effect, topPage } from "../../../board/console/state.ts";
import { ROWS, WIDTH } from "../../../board/console/terminal.ts";
import { MAX_TYPED_AHEAD } from "../../../board/console/type-ahead.ts";

const wipe: Job = { title: "wipe", run: async () => ({ message: "wiped" }) };
const confirmation: Form = typedConfirmation("Wipe", ["All of it goes."], "wipe it", wipe);
const items: readonly Item[] = [
  { label: "Wipe", needs: ["system.format"], action: { kind: "form", form: confirmation } },
  { label: "Page", action: { kind: "open", screen: { title: "Page", load: async () => ({ lines: [], items: [] }) } } },
  ...Array.from({ length: 10 }, (_, index): Item => ({ label: `Item ${index}`, action: { kind: "back" } })),
  { label: "Log", action: { kind: "follow", follow: { title: "Log", lines: async function* () {} } } },
  { label: "Paste", action: { kind: "paste", paste: { title: "Paste", lines: [], submit: () => wipe } } },
];
const home: Screen = { title: "Home", load: async () => ({ lines: [], items }) };
const up = { kind: "up", operations: new Set(["system.format"]), summary: { version: "1", address: "", alarms: 0 } } as const;

/** The console with its first page there, and what keys make of it. */
class Played {
  state: ConsoleState;
  readonly effects: Effect[] = [];

  constructor(...events: readonly ConsoleEvent[]) {
    this.state = openConsole(home).state;
    this.add({ type: "link", link: up }, { type: "loaded", page: 1, view: { lines: [], items } }, ...events);
  }

  add(...events: readonly ConsoleEvent[]): this {
    for (const event of events) {
      const next = step(this.state, event);
      this.state = next.state;
      this.effects.push(...next.effects);
    }
    return this;
  }

  type(text: string): this {
    const decoder = new KeyDecoder();
    for (const key of [...decoder.decode(Buffer.from(text, "latin1")), ...decoder.timeout()]) this.add({ type: "key", key });
    return this;
  }

  get started(): readonly string[] {
    return this.effects.flatMap((effect) => (effect.type === "start" ? [effect.job.title] : []));
  }
}

describe("numbers and arrows", () => {
  it("mark an item; only Enter chooses it, so that noise never does", () => {
    const played = new Played().type("1");
    expect(topPage(played.state)).toMatchObject({ kind: "screen", selected: 0 });
    expect(topPage(played.type("2").state)).toMatchObject({ selected: 11 });
    expect(topPage(played.type("\u001b[A").state)).toMatchObject({ selected: 10, typed: "" });
    expect(topPage(played.type("99").state)).toMatchObject({ kind: "screen", selected: 8 });
    expect(played.effects).toEqual([]);
    expect(topPage(played.type("2\r").state)).toMatchObject({ kind: "screen", screen: { title: "Page" } });
    expect(topPage(played.type("\u001b").type("2").state)).toMatchObject({ screen: { title: "Home" }, selected: 1, typed: "2" });
  });

  it("lead back with Esc, and never out of the first page of a serial line", () => {
    const played = new Played().type("2\r\u001b");
    expect(played.state.pages).toHaveLength(1);
    expect(played.type("\u001b").state.pages).toHaveLength(1);
  });
});

describe("what is typed before a page is there", () => {
  /** The home page is asked for, and has not come. */
  const early = (text: string): Played => {
    const played = new Played();
    played.state = openConsole(home).state;
    played.effects.length = 0;
    return played.add({ type: "link", link: up }).type(text);
  };
  const arrive = (played: Played, page = played.state.nextId - 1): Played =>
    played.add({ type: "loaded", page, view: { lines: [], items } });

  it("is done when it is, page after page", () => {
    const played = early("2\r2\r1\rwipe it\r");
    expect(played.effects).toEqual([]);
    expect(topPage(arrive(played).state)).toMatchObject({ screen: { title: "Page" } });
    expect(played.started).toEqual([]);
    expect(arrive(arrive(played)).started).toEqual(["wipe"]);
  });

  it("is forgotten when the person leaves, when the page does not come, and when the daemon goes away", () => {
    const away = { kind: "away", sinceMs: 1000, reason: "no daemon is running there" } as const;
    const ends: readonly ((played: Played) => Played)[] = [
      (played) => played.type("\u001b"),
      (played) => played.add({ type: "loadFailed", page: 1, reason: "no answer" }),
      (played) => played.add({ type: "link", link: away }, { type: "link", link: up }),
      (played) => played.add({ type: "reset" }),
    ];
    for (const end of ends) expect(arrive(end(early("1\rwipe it\r")), 1).started).toEqual([]);
  });

  it("is left alone as a whole when it is a text that was pasted upon the menu", () => {
    const played = arrive(early(`${"x".repeat(MAX_TYPED_AHEAD)}1\rwipe it\r`));
    expect(played.started).toEqual([]);
    expect(played.state.message).toContain("nothing of it was done");
    expect(played.type("1\rwipe it\r").started).toEqual(["wipe"]);
  });
});

describe("what cannot be taken back", () => {
  it("is done after its word was typed, and not before", () => {
    const played = new Played().type("1\rwipe\r");
    expect(played.started).toEqual([]);
    expect(topPage(played.state)).toMatchObject({ problem: 'Only "wipe it", written out, goes on; Esc leaves everything as it is.' });
    expect(played.type(" it\r").started).toEqual(["wipe"]);
  });

  it("is forgotten when the cable is pulled with the word half typed", () => {
    const played = new Played().type("1\rwipe").add({ type: "reset" });
    expect(played.state.pages).toHaveLength(1);
    expect(played.type(" it\r").started).toEqual([]);
  });

  it("is called off by Esc while it is under way, and then its end changes nothing", () => {
    const played = new Played().type("1\rwipe it\r");
    const work = played.state.work?.id ?? 0;
    played.type("\u001b");
    expect(played.effects).toContainEqual({ type: "abort", work });
    expect(played.add({ type: "done", work, outcome: { message: "wiped" } }).state.message).toBe("Called off: wipe.");
  });

  it("is not offered where the daemon has no such operation", () => {
    const played = new Played({ type: "link", link: { ...up, operations: new Set() } }).type("1\r");
    expect(played.state.pages).toHaveLength(1);
    expect(played.state.message).toBe("This daemon does not offer that.");
    expect(render(played.state, 0).lines.join("\n")).toContain("Wipe  (not offered by this daemon)");
  });
});

describe("a daemon that does not answer", () => {
  it("leaves a page that says since when and what to do; Ctrl-C asks for a login, other keys do nothing", () => {
    const away = { kind: "away", sinceMs: 1000, reason: "no daemon is running there" } as const;
    const played = new Played({ type: "link", link: away }).type("1\r2\r");
    expect(played.effects).toEqual([]);
    expect(render(played.state, 8000).lines.join("\n")).toContain("For 7 s now");
    expect(played.type("\u0003").effects).toEqual([{ type: "login" }]);
    expect(played.add({ type: "link", link: up }).effects.at(-1)).toMatchObject({ type: "load" });
  });
});

describe("a paste", () => {
  const pasted = (text: string): Played => new Played().type("14\r").type(text);

  it("ends with a full stop on a line of its own, or with Ctrl-D", () => {
    expect(pasted("network: {}\rmore\r.\r").started).toEqual(["wipe"]);
    expect(pasted("network: {}\u0004").started).toEqual(["wipe"]);
    expect(pasted("network: {}\u001b").started).toEqual([]);
  });

  it("that is too long is read to its end, so that no line of it falls upon the menu", () => {
    const played = pasted("");
    for (let index = 0; index < 600; index++) played.type(`${"x".repeat(1024)}\r1\rwipe it\r`);
    expect(played.state.pages.at(-1)).toMatchObject({ kind: "paste" });
    expect(JSON.stringify(played.state.pages).length).toBeLessThan(1024 * 1024);
    expect(played.type("\r.\r").started).toEqual([]);
    expect(played.state.pages).toHaveLength(1);
    expect(played.state.message).toContain("nothing was taken");
  });
});

describe("whatever comes over the line", () => {
  it("leaves a state that can be shown: 24 lines of printable characters", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 8 }), (pieces) => {
        const played = new Played();
        for (const piece of pieces) played.type(Buffer.from(piece).toString("latin1"));
        const { lines, cursor } = render(played.state, 0);
        expect(lines).toHaveLength(ROWS);
        for (const line of lines) expect(line).toMatch(new RegExp(`^[ -~]{0,${WIDTH}}$`));
        expect(cursor.row).toBeLessThan(ROWS);
        expect(cursor.column).toBeLessThanOrEqual(WIDTH);
      }),
      { numRuns: 500 },
    );
  });
});
