import type { StatusReport } from "../../../src/control/operations.ts";
import { currentBoot, machineStatus } from "../../../src/state/state.ts";
import { age, amount, bootCell, transferCell, transfersOf } from "../../../src/state/words.ts";
import type { Screen, View } from "../screen.ts";
import { columns } from "../text.ts";
import { alarmLines } from "./alarms.ts";

const LIVE_MS = 2000;

export const statusScreen: Screen = {
  title: "Status",
  everyMs: LIVE_MS,
  load: async (daemon, signal) => statusView(await daemon.call("status", {}, signal)),
};

/** What is wrong stands first: the rest of the page may be long. */
export function statusView(report: StatusReport): View {
  const { state, nowMs } = report;
  const alarms = alarmLines(state, nowMs);
  const services = Object.entries(state.services).map(([name, { status, detail }]) => [
    `  ${name}`,
    status === "up" ? "up" : "FAILED",
    detail,
  ]);
  const machines = machineRows(report).map((row) => [`  ${row[0]}`, ...row.slice(1)]);
  const strangers = Object.entries(state.strangers).map(([mac, { lastSeenAtMs, told }]) => [
    `  ${mac}`,
    `${age(nowMs - lastSeenAtMs)} ago`,
    told,
  ]);
  const section = (title: string, rows: readonly (readonly string[])[]): readonly string[] =>
    rows.length === 0 ? [] : ["", title, ...columns(rows, [20, 12, 16])];
  return {
    lines: [
      `The daemon is ${state.daemon.phase} since ${age(nowMs - state.daemon.sinceMs)}. ${poolSentence(report)}`,
      ...(alarms.length === 0 ? ["", "No alarms."] : ["", "Alarms", ...alarms]),
      ...section("Services", services),
      ...(machines.length === 0 ? ["", "No machines yet: add one under Machines."] : section("Machines", machines)),
      ...section("Strangers that ask for an address", strangers),
    ],
    items: [],
  };
}

/** Name, status, address, and how far it is. */
export function machineRows({ state, nowMs, reserved }: StatusReport): readonly (readonly string[])[] {
  return Object.entries(state.machines).map(([name, machine]) => {
    const boot = currentBoot(state, name);
    const transfer = transfersOf(state, name)[0];
    const doing = boot === undefined ? "never booted from here" : bootCell(boot, nowMs, age);
    const now = transfer === undefined || boot?.outcome !== "booting" ? doing : `${doing}; ${transferCell(transfer)}`;
    return [name, machineStatus(state, name), machine.address ?? reserved[name] ?? "no address yet", now];
  });
}

export function poolSentence({ state: { pool } }: StatusReport): string {
  return pool === undefined ? "No data disk." : `Disks: ${amount(pool.freeBytes)} free of ${amount(pool.sizeBytes)}.`;
}
