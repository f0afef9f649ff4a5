import { expect, test } from "vitest";
import type { MachineName } from "../../src/machine/identifiers.ts";
import { WallClock } from "../../src/state/clock.ts";
import type { StateEvent } from "../../src/state/events.ts";
import { Store } from "../../src/state/store.ts";

const machine = "uqbar" as MachineName;
const RIGHT_MS = Date.UTC(2026, 10, 22);

test("a clock that is set is noticed once; one that a time server slews is not", () => {
  let wallMs = 0;
  let steadyMs = 0;
  const clock = new WallClock(
    () => wallMs,
    () => steadyMs,
  );
  wallMs = 60_500;
  steadyMs = 60_000;
  expect(clock.look()).toEqual({ nowMs: 60_500, jumpedMs: 0 });
  wallMs = RIGHT_MS;
  expect(clock.look()).toEqual({ nowMs: RIGHT_MS, jumpedMs: RIGHT_MS - 60_000 });
  expect(clock.look()).toEqual({ nowMs: RIGHT_MS, jumpedMs: 0 });
  wallMs -= 3_600_000;
  expect(clock.look().jumpedMs).toBe(-3_600_000);
});

test("a machine that boots while the board learns the time has a timeline of seconds, and what was written in an earlier run stays", async () => {
  let wallMs = 5000;
  let steadyMs = 0;
  const store = new Store({ now: () => wallMs, steady: () => steadyMs });
  const pass = (ms: number): void => {
    wallMs += ms;
    steadyMs += ms;
  };
  const told: StateEvent["type"][] = [];
  store.subscribe((event) => told.push(event.type));
  const earlier = {
    number: 1,
    machine,
    beganAtMs: RIGHT_MS - 1000,
    outcome: "abandoned",
    stages: { discover: RIGHT_MS - 900 },
    notes: [],
  } as const;
  store.restore([earlier]);
  store.emit({ type: "config.loaded", file: "rackboot.yaml", machines: [machine], volumes: [] });
  store.emit({ type: "boot.began", machine, boot: 2 });
  pass(10_000);
  store.emit({ type: "boot.reached", machine, boot: 2, stage: "kernel" });
  pass(10_000);
  wallMs += RIGHT_MS;
  pass(5000);
  store.emit({ type: "boot.reached", machine, boot: 2, stage: "up" });
  const { machines, daemon } = store.snapshot();
  const [first, second] = machines[machine]?.boots ?? [];
  expect(first).toEqual(earlier);
  const beganAtMs = RIGHT_MS + 5000;
  expect(second).toMatchObject({ beganAtMs, stages: { kernel: beganAtMs + 10_000, up: beganAtMs + 25_000 } });
  expect(daemon.config?.loadedAtMs).toBe(beganAtMs);
  expect(daemon.sinceMs).toBe(RIGHT_MS + 5000);
  await new Promise((resolve) => setImmediate(resolve));
  expect(told.filter((type) => type === "clock.jumped")).toHaveLength(1);
  expect(store.snapshot().counters["clock.jumped"]).toBe(1);
});

test("a state that somebody looks at after the clock was set shows today's time, before anything else happens", () => {
  let wallMs = 5000;
  const store = new Store({ now: () => wallMs, steady: () => 0 });
  wallMs = RIGHT_MS;
  expect(store.snapshot().daemon.sinceMs).toBe(RIGHT_MS);
});
