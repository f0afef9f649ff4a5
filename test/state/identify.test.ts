import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { identifyOperations } from "../../src/control/identify-operations.ts";
import { Identify } from "../../src/state/identify.ts";
import { Store } from "../../src/state/store.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test("lamps blink for as long as was asked for, the last who asks decides, and they end by themselves", async () => {
  const store = new Store();
  const identify = new Identify(store.emit);
  const operation = identifyOperations(identify)["identify"];
  if (operation?.kind !== "call") throw new Error("identify is a call");
  const isBlinking = (): boolean => store.snapshot().identify !== undefined;
  expect(await operation.answer({ seconds: 10 })).toEqual({ seconds: 10 });
  vi.advanceTimersByTime(9000);
  expect(await operation.answer({})).toEqual({ seconds: 60 });
  vi.advanceTimersByTime(59_000);
  expect(isBlinking()).toBe(true);
  vi.advanceTimersByTime(1000);
  expect(isBlinking()).toBe(false);
  await operation.answer({ seconds: 10 });
  await operation.answer({ seconds: 0 });
  expect(isBlinking()).toBe(false);
  await expect(operation.answer({ seconds: 1e9 })).rejects.toThrow("at most 3600 seconds");
});

test("the button begins and ends it", () => {
  const store = new Store();
  const identify = new Identify(store.emit);
  identify.toggle();
  expect(store.snapshot().identify).toBeDefined();
  identify.toggle();
  identify.stop();
  expect(store.snapshot().identify).toBeUndefined();
  expect(store.snapshot().counters).toMatchObject({ "identify.started": 1, "identify.ended": 1 });
});
