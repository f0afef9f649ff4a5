import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { UP_AFTER_MS } from "../../src/machine/boots.ts";
import { followBoots } from "../../src/state/boot-events.ts";
import { Store } from "../../src/state/store.ts";
import { start, uefiBoot, uqbar } from "./uefi-boot.ts";

const settle = (): Promise<void> => new Promise((resolve) => queueMicrotask(() => queueMicrotask(() => queueMicrotask(resolve))));

beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "Date", "performance"], now: 1_000_000 }));
afterEach(() => void vi.useRealTimers());

async function play(store: Store, events = uefiBoot): Promise<void> {
  for (const [ms, event] of events) {
    vi.advanceTimersByTime(ms);
    store.emit(event);
    await settle();
  }
}

it("a service reads its own event in the state at once, and nobody runs in the middle of it", () => {
  const store = new Store();
  const heard: string[] = [];
  store.subscribe((event) => heard.push(event.type));
  store.emit({ type: "daemon.ready" });
  expect(store.snapshot().daemon.phase).toBe("ready");
  expect(heard).toEqual([]);
});

it("listeners hear everything once, in order, with the time and the state of then; also what listeners emit", async () => {
  const store = new Store();
  const heard: unknown[] = [];
  store.subscribe((event) => {
    if (event.type === "daemon.ready") store.emit({ type: "daemon.stopping", reason: "at once" });
  });
  store.subscribe((event, state) => heard.push([event.type, event.atMs, state.daemon.phase]));
  store.emit({ type: "daemon.ready" });
  store.emit({ type: "service.started", service: "tftp", detail: "" });
  await settle();
  expect(heard).toEqual([
    ["daemon.ready", 1_000_000, "ready"],
    ["service.started", 1_000_000, "ready"],
    ["daemon.stopping", 1_000_000, "stopping"],
  ]);
});

it("a listener that fails harms neither the others nor the service", async () => {
  const errors: unknown[] = [];
  const store = new Store({ onListenerError: (error) => errors.push(error) });
  const heard: string[] = [];
  store.subscribe(() => {
    throw new Error("bug");
  });
  const leave = store.subscribe((event) => heard.push(event.type));
  store.emit({ type: "daemon.ready" });
  await settle();
  leave();
  store.emit({ type: "daemon.stopping", reason: "test" });
  await settle();
  expect(heard).toEqual(["daemon.ready"]);
  expect(errors).toHaveLength(2);
});

it("a UEFI boot gets its timeline, and the session that the boot before left is fenced first", async () => {
  const store = new Store();
  const fenced: number[] = [];
  followBoots(store, { loaderBegins: false, lastNumber: 41, onConfirmed: (_, boot) => fenced.push(boot) });
  for (const event of start) store.emit(event);
  await play(store);
  const boots = store.snapshot().machines["uqbar"]?.boots ?? [];
  expect(boots).toHaveLength(1);
  const [boot] = boots;
  const stages = Object.fromEntries(Object.entries(boot?.stages ?? {}).map(([stage, atMs]) => [stage, atMs - 1_000_000]));
  expect(boot).toMatchObject({ number: 42, firmware: "uefi-x64-pxe", outcome: "up", beganAtMs: 1_000_000 });
  expect(stages).toMatchInlineSnapshot(`
    {
      "config": 5932,
      "discover": 0,
      "first-read": 65813,
      "initramfs": 55932,
      "kernel": 13932,
      "loader": 4502,
      "login": 65753,
      "offer": 2,
      "up": 73813,
    }
  `);
  expect(fenced).toEqual([42]);

  await play(store);
  expect(fenced).toEqual([42, 43]);
  expect(store.snapshot().machines["uqbar"]?.boots.map(({ outcome }) => outcome)).toEqual(["up", "up"]);
});

it("an initramfs that keeps its session is up after a minute", async () => {
  const store = new Store();
  const boots = followBoots(store, { loaderBegins: false, lastNumber: 0, onConfirmed: () => undefined });
  for (const event of start) store.emit(event);
  await play(store, uefiBoot.slice(0, -3));
  expect(store.snapshot().machines["uqbar"]?.boots[0]?.outcome).toBe("booting");
  vi.advanceTimersByTime(UP_AFTER_MS);
  await settle();
  expect(store.snapshot().machines["uqbar"]?.boots[0]?.outcome).toBe("up");
  boots.close();
});

it("a daemon that restarts in the middle of a boot goes on with it", async () => {
  const store = new Store();
  store.restore([
    { number: 7, machine: uqbar, beganAtMs: 900_000, outcome: "booting", stages: { discover: 900_000, loader: 910_000 }, notes: [] },
  ]);
  followBoots(store, { loaderBegins: false, lastNumber: 7, onConfirmed: () => expect.unreachable("no boot begins") });
  for (const event of start) store.emit(event);
  await play(
    store,
    uefiBoot.filter(([, event]) => event.type.startsWith("iscsi.")),
  );
  expect(store.snapshot().machines["uqbar"]?.boots).toMatchObject([
    { number: 7, outcome: "up", stages: { discover: 900_000, login: 1_000_800 } },
  ]);
});

it("a machine that leaves the configuration takes its boot along", async () => {
  const store = new Store();
  const boots = followBoots(store, { loaderBegins: false, lastNumber: 0, onConfirmed: () => undefined });
  for (const event of start) store.emit(event);
  await play(store, uefiBoot.slice(0, 3));
  expect(boots.current(uqbar)?.number).toBe(1);
  store.emit({ type: "config.loaded", file: "x", machines: [], volumes: [] });
  await settle();
  expect(boots.current(uqbar)).toBeUndefined();
});
