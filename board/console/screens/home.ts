import type { StatusReport } from "../../../src/control/operations.ts";
import { standingFaults } from "../../../src/state/faults.ts";
import { type MachineStatus, machineStatus } from "../../../src/state/state.ts";
import { age } from "../../../src/state/words.ts";
import type { Item, Screen } from "../screen.ts";
import { alarmsScreen } from "./alarms.ts";
import { logFollow } from "./logs.ts";
import { machinesScreen } from "./machines.ts";
import { poolSentence, statusScreen } from "./status.ts";
import { volumesScreen } from "./volumes.ts";

const LIVE_MS = 2000;

/** The menu. What a daemon does not offer is shown, and said to be missing. */
const MENU: readonly Item[] = [
  { label: "Status", action: { kind: "open", screen: statusScreen } },
  { label: "Machines", action: { kind: "open", screen: machinesScreen } },
  { label: "Volumes and snapshots", needs: ["volume.list"], action: { kind: "open", screen: volumesScreen } },
  { label: "Alarms", action: { kind: "open", screen: alarmsScreen } },
  { label: "Log", needs: ["events"], action: { kind: "follow", follow: logFollow } },
];

/** `own`: it is a person's own terminal, which has a shell already. */
export function homeScreen(own: boolean): Screen {
  const items: readonly Item[] = own ? [...MENU, { label: "Leave", action: { kind: "leave" } }] : MENU;
  return {
    title: "rackboot",
    everyMs: LIVE_MS,
    load: async (daemon, signal) => ({ lines: homeLines(await daemon.call("status", {}, signal)), items }),
  };
}

/** How it is, in three lines. */
export function homeLines(report: StatusReport): readonly string[] {
  const { state, nowMs } = report;
  const names = Object.keys(state.machines);
  const count = (status: MachineStatus): number => names.filter((name) => machineStatus(state, name) === status).length;
  const machines = `Machines: ${names.length}, of which ${count("up")} up, ${count("booting")} booting, ${count("lost")} lost.`;
  const [fault, ...others] = standingFaults(state);
  const more = others.length === 0 ? "" : ` (and ${others.length} more)`;
  const alarm = fault === undefined ? "No alarms." : `ALARM ${fault.fault.number}: ${fault.fault.words}${more}.`;
  return [alarm, `${machines} ${poolSentence(report)}`, `The daemon is ${state.daemon.phase} since ${age(nowMs - state.daemon.sinceMs)}.`];
}
