import { expect, it } from "vitest";
import { firstPress, HOLD_MS, type PressInput, step } from "../../board/press.ts";

const down = (atMs: number): PressInput => ({ kind: "level", pressed: true, atMs });
const up = (atMs: number): PressInput => ({ kind: "level", pressed: false, atMs });
const time = (atMs: number): PressInput => ({ kind: "time", atMs });

function actions(pressed: boolean, ...inputs: readonly PressInput[]): readonly string[] {
  let state = firstPress(pressed);
  return inputs.flatMap((input) => {
    const next = step(state, input);
    state = next.state;
    return next.action === undefined ? [] : [next.action];
  });
}

it("a short press is heard when the button is let go", () => {
  expect(actions(false, down(0), up(200), down(1000), time(3999), up(3999))).toEqual(["identify", "identify"]);
});

it("three seconds shut down at once, and letting go says nothing more", () => {
  expect(actions(false, down(0), time(HOLD_MS), up(HOLD_MS + 500))).toEqual(["shutdown"]);
  expect(actions(false, down(0), time(HOLD_MS), time(2 * HOLD_MS), up(9000), down(9500), up(9600))).toEqual(["shutdown", "identify"]);
});

it("an event loop that was late still knows how long it was", () => {
  expect(actions(false, down(0), up(HOLD_MS + 1), time(HOLD_MS + 2))).toEqual(["shutdown"]);
});

it("a button that was held since power-on does not shut down what it has just switched on", () => {
  expect(actions(true, time(5000), down(6000), up(10_000), down(11_000), up(11_100))).toEqual(["identify"]);
});

it("levels that are told twice mean nothing", () => {
  expect(actions(false, down(0), down(100), up(200), up(300))).toEqual(["identify"]);
});
