import type { StatusReport } from "../../../src/control/operations.ts";
import { standingFaults } from "../../../src/state/faults.ts";
import type { AlarmName } from "../../../src/state/health.ts";
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
  const blinks = standingFaults(state).length > 0 ? legend : [];
  return { lines: lines.length === 0 ? ["Nothing is wrong."] : [...lines, ...blinks], items: [] };
}

/** How many things are wrong, for the head of every page. */
export function alarmCount(state: State): number {
  const volumes = Object.values(state.volumes).filter(({ alarm }) => alarm !== undefined);
  return standingFaults(state).length + Object.keys(state.alarms).length + volumes.length;
}

/** Each fault and each alarm of the board with its reason and what to do, and what is wrong with single volumes. */
export function alarmLines(state: State, nowMs: number): readonly string[] {
  const told = (title: string, { reason, next, sinceMs }: Told): readonly string[] => [
    `  ${title} (${age(nowMs - sinceMs)})`,
    ...indented(`${reason}.`),
    ...(next === undefined ? [] : indented(`What to do: ${next}.`)),
  ];
  const faults = standingFaults(state).flatMap((standing) => told(`${standing.fault.number}. ${standing.fault.words}`, standing));
  const alarms = Object.entries(state.alarms).flatMap(([name, alarm]) => told(`-  ${ALARM_WORDS[name as AlarmName]}`, alarm));
  const volumes = Object.entries(state.volumes).flatMap(([name, { alarm }]) => {
    return alarm === undefined ? [] : told(`-  volume ${name}: ${alarm.kind}`, alarm);
  });
  return [...faults, ...alarms, ...volumes];
}

interface Told {
  readonly reason: string;
  readonly next?: string;
  readonly sinceMs: number;
}

/** What the alarms are called on the page; in the log and in metrics they have their names. */
export const ALARM_WORDS: Readonly<Record<AlarmName, string>> = {
  hot: "too hot",
  "under-voltage": "too little voltage",
  throttled: "slowed down",
  "memory-low": "little memory left",
  "slow-link": "slow network",
  "silent-vlan": "nothing is heard in the VLAN",
  "slow-usb": "slow USB connection",
  "uas-quirk": "a USB bridge that is known to hang",
  "disk-hot": "the data disk is too hot",
  "disk-worn": "the data disk is worn",
  "disk-errors": "the data disk has errors",
};

function indented(text: string): readonly string[] {
  return wrap(text, WIDTH - INDENT.length).map((line) => INDENT + line);
}
