import { setTimeout as sleep } from "node:timers/promises";
import type { StatusReport } from "../control/operations.ts";
import { standingFaults } from "../state/faults.ts";
import { currentBoot, type MachineStatus, machineStatus, type State } from "../state/state.ts";
import { type AddCommand, client, examples, SOCKET_OPTION, untilInterrupted } from "./context.ts";
import { age, amount, type Colour, json, type Output, table } from "./output.ts";
import { bootCell, transferCell, transfersOf } from "./timeline.ts";
import { poolLine } from "./volume-text.ts";

const WATCH_EVERY_MS = 1000;
/** Cursor home, and erase what is below (ECMA-48, 8.3.21 and 8.3.39). */
const REDRAW = "\u001b[H\u001b[J";

const STATUS_COLOURS: Readonly<Record<MachineStatus, Colour>> = { off: "dim", booting: "yellow", up: "green", lost: "red" };

export function paintStatus(status: MachineStatus, output: Pick<Output, "paint">): string {
  return output.paint(STATUS_COLOURS[status], status);
}

export const addStatus: AddCommand = (program, context) => {
  program
    .command("status")
    .description("how the daemon, its services and its machines are")
    .option("--json", "the daemon's whole state, for programs")
    .option("--watch", "again every second, until Ctrl-C")
    .option(...SOCKET_OPTION)
    .addHelpText("after", examples("rackboot status", "rackboot status --watch", "rackboot status --json | jq .state.machines"))
    .action(async (options: { readonly json?: boolean; readonly watch?: boolean; readonly socket?: string }) => {
      const { output } = context;
      const daemon = client(options);
      const show = (report: StatusReport): string => (options.json === true ? json(report) : statusText(report, output));
      if (options.watch !== true) return output.out(show(await daemon.call("status", {})));
      const interrupted = untilInterrupted();
      while (!interrupted.aborted) {
        const text = show(await daemon.call("status", {}));
        output.out(output.terminal && options.json !== true ? REDRAW + text : text);
        await sleep(WATCH_EVERY_MS, undefined, { signal: interrupted }).catch(() => undefined);
      }
    });
};

/** The report as a person reads it: what is wrong stands last, next to the prompt. */
export function statusText(report: StatusReport, output: Pick<Output, "paint">): string {
  const { state, nowMs, version, pid } = report;
  const { daemon } = state;
  const config =
    daemon.config === undefined ? "no configuration yet" : `${daemon.config.file}, read ${age(nowMs - daemon.config.loadedAtMs)} ago`;
  const parts = [`rackboot ${version} (pid ${pid}): ${daemon.phase} since ${age(nowMs - daemon.sinceMs)}; ${config}\n`];
  const section = (title: string, rows: readonly (readonly string[])[]): void => {
    if (rows.length > 0) parts.push(`\n${output.paint("bold", title)}\n${table(rows)}`);
  };
  section(
    "Services",
    Object.entries(state.services).map(([name, service]) => {
      return [name, output.paint(service.status === "up" ? "green" : "red", service.status), service.detail];
    }),
  );
  const { link } = state;
  if (link !== undefined) {
    const text = link.up ? `link${link.speedMbps === undefined ? "" : ` of ${link.speedMbps} Mbit/s`}` : output.paint("red", "no link");
    section("Network", [[link.interface, text, `since ${age(nowMs - link.sinceMs)}`]]);
  }
  if (state.pool !== undefined) parts.push(`\n${output.paint("bold", "Disks")}\n  ${poolLine(state.pool, output)}\n`);
  section("Machines", machineRows(report, output));
  section(
    "On their way",
    Object.values(state.transfers).map((transfer) => [transfer.machine ?? transfer.address, transferCell(transfer)]),
  );
  section("Strangers", strangerRows(state, nowMs));
  section("Board", healthRows(state));
  section(
    "Alarms",
    Object.entries(state.alarms).map(([name, { reason, next, sinceMs }]) => {
      return [output.paint("yellow", name), `${reason} (since ${age(nowMs - sinceMs)}). Next: ${next}`];
    }),
  );
  section("Faults", faultRows(state, nowMs, output));
  section("Wrong", alarmRows(state, nowMs, output));
  return parts.join("");
}

export function machineRows({ state, nowMs, reserved }: StatusReport, output: Pick<Output, "paint">): readonly (readonly string[])[] {
  return Object.entries(state.machines).map(([name, machine]) => {
    const boot = currentBoot(state, name);
    const transfer = transfersOf(state, name)[0];
    const doing = boot === undefined ? "never booted from here" : bootCell(boot, nowMs, age);
    const now = transfer === undefined || boot?.outcome !== "booting" ? doing : `${doing}; ${transferCell(transfer)}`;
    return [name, paintStatus(machineStatus(state, name), output), machine.address ?? reserved[name] ?? "no address yet", now];
  });
}

function strangerRows(state: State, nowMs: number): readonly (readonly string[])[] {
  return Object.entries(state.strangers).map(([mac, stranger]) => {
    return [mac, stranger.firmware ?? "no firmware", `${age(nowMs - stranger.lastSeenAtMs)} ago`, stranger.told];
  });
}

function healthRows({ health }: State): readonly (readonly string[])[] {
  if (health === undefined) return [];
  const { temperatureC, memory, disk } = health;
  const smart = disk?.smart;
  const connected = [disk?.usbId, disk?.driver, disk?.speedMbps === undefined ? undefined : `${disk.speedMbps} Mbit/s`];
  const told = [
    smart?.model,
    ...connected,
    smart?.temperatureC === undefined ? undefined : `${smart.temperatureC} °C`,
    smart?.wearPercent === undefined ? undefined : `${smart.wearPercent} % worn`,
  ];
  return [
    ...(temperatureC === undefined ? [] : [["temperature", `${temperatureC} °C`]]),
    ...(memory === undefined ? [] : [["memory", `${amount(memory.availableBytes)} of ${amount(memory.totalBytes)} free`]]),
    ...(disk === undefined ? [] : [["data disk", [disk.device, ...told.filter((part) => part !== undefined)].join(", ")]]),
  ];
}

function faultRows(state: State, nowMs: number, output: Pick<Output, "paint">): readonly (readonly string[])[] {
  return standingFaults(state).map(({ fault, reason, next, sinceMs }) => {
    return [output.paint("red", `fault ${fault.number}`), fault.name, `${reason} (since ${age(nowMs - sinceMs)}). Next: ${next}`];
  });
}

function alarmRows(state: State, nowMs: number, output: Pick<Output, "paint">): readonly (readonly string[])[] {
  const alarms = Object.entries(state.volumes).flatMap(([name, { alarm }]) => {
    return alarm === undefined
      ? []
      : [[`volume ${name}`, output.paint("red", alarm.kind), `${alarm.reason} (${age(nowMs - alarm.sinceMs)} ago)`]];
  });
  const { rejected } = state.daemon;
  const problems = (rejected?.problems ?? []).map((problem) => ["configuration", output.paint("red", "refused"), problem]);
  return [...alarms, ...problems];
}
