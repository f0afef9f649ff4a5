import { existsSync, readFileSync } from "node:fs";
import type { System } from "../../src/control/system-operations.ts";
import { LAYOUT_FILE, parseLayout } from "../update/layout.ts";
import { Clock } from "./clock.ts";
import { DataDisks } from "./disks.ts";
import { Keeper } from "./password.ts";
import { makeReport, readLogs } from "./report.ts";
import { run, whileWritable } from "./run.ts";
import { Sticks } from "./sticks.ts";

/** What init starts anew when it is ended: the supervisor, and with it the daemon. */
const SERVICE = "/usr/libexec/rackboot/service";
/** Where USB sticks are mounted for a look. */
const STICKS = "/run/rackboot/sticks";
/** For the answer to reach whoever asked. */
const ANSWER_FIRST_MS = 500;

/** Undefined on a person's own machine: only the image has the file that says how its card is laid out. */
export function openSystem(layoutFile: string = LAYOUT_FILE): System | undefined {
  if (!existsSync(layoutFile)) return undefined;
  const layout = parseLayout(readFileSync(layoutFile, "utf8"));
  const disks = new DataDisks({ label: layout.dataLabel, folder: layout.dataFolder });
  const sticks = new Sticks({ folder: STICKS, dataLabel: layout.dataLabel });
  const keeper = new Keeper(`${layout.stateFolder}/password`);
  const clock = new Clock(`${layout.stateFolder}/time-servers`);
  void clock.start();
  const soon = async (command: string, ...args: readonly string[]): Promise<void> => {
    setTimeout(() => void run(command, args).catch(() => undefined), ANSWER_FIRST_MS);
  };
  const restart = (): Promise<void> => soon(SERVICE, "restart");
  return {
    disks: () => disks.list(),
    format: (disk, confirmation, options) => disks.format(disk, confirmation, options),
    stickFiles: (ending) => sticks.files(ending),
    time: () => clock.read(),
    setTime: (change) => clock.set(change),
    hasPassword: () => keeper.isSet,
    setPassword: (password, current) => keeper.set(password, current),
    checkPassword: (password) => keeper.check(password),
    reboot: () => soon("reboot"),
    shutdown: () => soon("poweroff"),
    restart,
    report: () => makeReport(layout),
    logs: (lines) => readLogs(lines),
    whileCardWritable: (work) => whileWritable(layout.bootConfigFolder, work),
  };
}
