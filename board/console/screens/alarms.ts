import type { StatusReport } from "../../../src/control/operations.ts";
import { standingFaults } from "../../../src/state/faults.ts";
import type { State } from "../../../src/state/state.ts";
import { age } from "../../../src/state/words.ts";
import type { Screen, View } from "../screen.ts";
import { WIDTH } from "../terminal.ts";
import { wrap } from "../text.ts";

const LIVE_MS = 2000;
const INDENT = "      ";

export const alarmsScreen: Screen = {
  title: "Alarms",
  everyMs: LIVE_MS,
  load: async (daemon, signal) => alarmsView(await daemon.call("status", {}, signal)),
};

export function alarmsView({ state, nowMs }: StatusReport): View {
  const lines = alarmLines(state, nowMs);
  const legend = ["", "The number is how often the FAULT light blinks; the lowest that stands is shown."];
  return { lines: lines.length === 0 ? ["Nothing is wrong."] : [...lines, ...legend], items: [] };
}

/** Each fault with its reason and what to do, and what is wrong with single volumes. */
export function alarmLines(state: State, nowMs: number): readonly string[] {
  const faults = standingFaults(state).flatMap(({ fault, reason, next, sinceMs }) => [
    `  ${fault.number}. ${fault.words} (${age(nowMs - sinceMs)})`,
    ...indented(`${reason}.`),
    ...indented(`What to do: ${next}.`),
  ]);
  const volumes = Object.entries(state.volumes).flatMap(([name, { alarm }]) => {
    return alarm === undefined
      ? []
      : [`  -  volume ${name}: ${alarm.kind} (${age(nowMs - alarm.sinceMs)})`, ...indented(`${alarm.reason}.`)];
  });
  return [...faults, ...volumes];
}

function indented(text: string): readonly string[] {
  return wrap(text, WIDTH - INDENT.length).map((line) => INDENT + line);
}
