import { ControlError } from "../../../src/control/errors.ts";
import type { StatusReport } from "../../../src/control/operations.ts";
import { standingFaults } from "../../../src/state/faults.ts";
import { type MachineStatus, machineStatus, type State } from "../../../src/state/state.ts";
import { age } from "../../../src/state/words.ts";
import type { Daemon, Item, Screen } from "../screen.ts";
import { alarmCount, alarmsScreen } from "./alarms.ts";
import { backupScreen } from "./backup.ts";
import { diskScreen } from "./disk.ts";
import { imagesScreen } from "./images.ts";
import { logFollow } from "./logs.ts";
import { machinesScreen } from "./machines.ts";
import { networkScreen } from "./network.ts";
import { poolSentence, statusScreen } from "./status.ts";
import { endScreen, passwordJob, shellJob, timeScreen } from "./system.ts";
import { updateScreen } from "./update.ts";
import { volumesScreen } from "./volumes.ts";
import { welcomeView } from "./wizard.ts";

const LIVE_MS = 2000;

/** The menu. What a daemon does not offer is shown, and said to be missing. */
const MENU: readonly Item[] = [
  { label: "Status", action: { kind: "open", screen: statusScreen } },
  { label: "Machines", action: { kind: "open", screen: machinesScreen } },
  { label: "Volumes and snapshots", needs: ["volume.list"], action: { kind: "open", screen: volumesScreen } },
  { label: "Images", needs: ["image.list"], action: { kind: "open", screen: imagesScreen } },
  { label: "Network", needs: ["network.show"], action: { kind: "open", screen: networkScreen } },
  { label: "Data disk", needs: ["system.disks"], action: { kind: "open", screen: diskScreen } },
  { label: "Alarms", action: { kind: "open", screen: alarmsScreen } },
  { label: "Log", needs: ["events"], action: { kind: "follow", follow: logFollow } },
  { label: "Update and roll back", needs: ["update.status"], action: { kind: "open", screen: updateScreen } },
  { label: "Back up and restore", needs: ["config.text"], action: { kind: "open", screen: backupScreen } },
  { label: "Time", needs: ["system.time"], action: { kind: "open", screen: timeScreen } },
  { label: "Password", needs: ["system.password.set"], action: { kind: "run", job: passwordJob } },
  { label: "Reboot", needs: ["system.reboot"], action: { kind: "open", screen: endScreen("reboot") } },
  { label: "Shut down", needs: ["system.shutdown"], action: { kind: "open", screen: endScreen("shutdown") } },
];

const LEAVE: Item = { label: "Leave", action: { kind: "leave" } };
const SHELL: Item = { label: "Shell", needs: ["system.password"], action: { kind: "run", job: shellJob } };

/** `own`: it is a person's own terminal, which has a shell already, and may be that of a machine that is no appliance. */
export function homeScreen(own: boolean): Screen {
  const menu: Screen = {
    title: "Menu",
    everyMs: LIVE_MS,
    load: async (daemon, signal) => {
      return { lines: homeLines(await daemon.call("status", {}, signal)), items: [...MENU, own ? LEAVE : SHELL] };
    },
  };
  if (own) return menu;
  return { ...menu, load: async (daemon, signal) => ((await isNew(daemon, signal)) ? welcomeView(menu) : menu.load(daemon, signal)) };
}

/** An appliance without a password was never set up. */
async function isNew(daemon: Daemon, signal: AbortSignal): Promise<boolean> {
  try {
    return !(await daemon.call("system.password", {}, signal)).isSet;
  } catch (error) {
    if (error instanceof ControlError && error.code !== "ERR_CONTROL_UNREACHABLE") return false;
    throw error;
  }
}

/** How it is, in three lines. */
export function homeLines(report: StatusReport): readonly string[] {
  const { state, nowMs } = report;
  const names = Object.keys(state.machines);
  const count = (status: MachineStatus): number => names.filter((name) => machineStatus(state, name) === status).length;
  const machines = `Machines: ${names.length}, of which ${count("up")} up, ${count("booting")} booting, ${count("lost")} lost.`;
  return [
    alarmSentence(state),
    `${machines} ${poolSentence(report)}`,
    `The daemon is ${state.daemon.phase} since ${age(nowMs - state.daemon.sinceMs)}.`,
  ];
}

/** The gravest; the others are under Alarms. */
function alarmSentence(state: State): string {
  const count = alarmCount(state);
  const fault = standingFaults(state)[0]?.fault;
  if (fault !== undefined) return `ALARM ${fault.number}: ${fault.words}${count > 1 ? ` (and ${count - 1} more)` : ""}.`;
  if (count === 0) return "No alarms.";
  return `${count} alarm${count === 1 ? "" : "s"} that stop${count === 1 ? "s" : ""} nothing: look under Alarms.`;
}
