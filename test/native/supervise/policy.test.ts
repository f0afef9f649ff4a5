import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const SOURCES = new URL("../../../src/native/supervise/", import.meta.url).pathname;
const MINUTE = 60_000;

let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "rackboot-policy-"));
  const player = join(import.meta.dirname, "policy-player.cc");
  execFileSync("g++", ["-std=c++20", "-I", SOURCES, "-o", join(folder, "player"), player, join(SOURCES, "policy.cc")]);
});
afterAll(() => rmSync(folder, { recursive: true }));

/** What the supervisor decides after each step. */
function play(...steps: readonly string[]): readonly string[] {
  return execFileSync(join(folder, "player"), { input: `${steps.join("\n")}\n`, encoding: "utf8" })
    .trim()
    .split("\n");
}

describe("a daemon that ends by itself", () => {
  it("is started again after a pause that grows to a minute, while the light blinks in its place", () => {
    const steps: string[] = [];
    const delays: number[] = [];
    for (let crash = 0; crash < 9; crash++) steps.push(`${crash * 500} started`, `${(crash + 1) * 500} ended crash`);
    for (const decided of play(...steps).filter((_, index) => index % 2 === 1)) {
      expect(decided).toMatch(/^blink feed delay=/);
      delays.push(Number(/delay=(\d+)/.exec(decided)?.[1]));
    }
    expect(delays).toEqual([1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000]);
    const [, waiting, now] = play("0 started", "100 ended crash", "1100 look");
    expect([waiting, now]).toEqual(["blink feed delay=1000", "start blink feed delay=0"]);
  });

  it("begins with a short pause again once it has answered for a minute, and not sooner", () => {
    const crashed = ["0 started", "100 ended crash", "1100 started"];
    const decidedAfter = (answers: readonly number[]): string | undefined =>
      play(...crashed, ...answers.map((at) => `${at} answered`), `${(answers.at(-1) ?? 0) + 500} ended crash`).at(-1);
    expect(decidedAfter([2000, 4000])).toBe("blink feed delay=2000");
    expect(decidedAfter([2000, 2000 + MINUTE])).toBe("blink feed delay=1000");
  });

  it("starts at once where it was asked to end, and nothing blinks", () => {
    expect(play("0 started", "2000 answered", "9000 ended orderly")).toEqual([
      "feed delay=0",
      "serving feed delay=0",
      "start feed delay=0",
    ]);
  });

  it("stops the blinking with its first answer", () => {
    expect(play("0 started", "1 ended crash", "1001 started", "3000 answered").at(-1)).toBe("serving feed delay=0");
  });
});

describe("a daemon that hangs", () => {
  it("is killed a minute after its last answer, once", () => {
    const decided = play("0 started", "2000 answered", `${2000 + MINUTE} look`, `${2001 + MINUTE} look`, `${2002 + MINUTE} look`);
    expect(decided.slice(2)).toEqual(["serving feed delay=0", "kill serving blink feed delay=0", "serving blink feed delay=0"]);
  });

  it("that only starts has ten minutes: a long journal is read first", () => {
    expect(play("0 started", `${10 * MINUTE} look`, `${10 * MINUTE + 1} look`)).toEqual([
      "feed delay=0",
      "feed delay=0",
      "kill blink feed delay=0",
    ]);
  });

  it("has another one killed as well, when that hangs too", () => {
    const first = ["0 started", "2000 answered", "70000 look", "70001 ended crash", "71001 started", "73000 answered"];
    expect(play(...first, "140000 look").at(-1)).toMatch(/^kill /);
  });
});

describe("the watchdog", () => {
  it("is fed for a quarter of an hour without an answer, then starves, and is fed while a person is logged in", () => {
    const answered = ["0 started", "1000 answered", "2000 ended crash"];
    expect(play(...answered, `${1000 + 15 * MINUTE - 1} look`).at(-1)).toContain("feed");
    expect(play(...answered, `${1000 + 15 * MINUTE} look`).at(-1)).not.toContain("feed");
    expect(play(...answered, `${1000 + 60 * MINUTE} person`).at(-1)).toContain("feed");
  });

  it("waits as long for a first answer, from power-on", () => {
    expect(play("0 started", `${15 * MINUTE - 1} look`).at(-1)).toContain("feed");
    expect(play("0 started", `${15 * MINUTE} look`).at(-1)).not.toContain("feed");
  });
});
