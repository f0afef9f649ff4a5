import type { MachineReport } from "../../../src/control/operations.ts";
import type { EntriesReport } from "../../../src/machine/boot-entries.ts";
import { bootWords } from "../../../src/machine/boot-words.ts";
import type { Machine } from "../../../src/machine/machine.ts";
import { type BootRecord, machineStatus } from "../../../src/state/state.ts";
import { age, clock, reachedStages, STAGE_MEANINGS, seconds, transferCell, transfersOf } from "../../../src/state/words.ts";
import { type Item, type Job, type Screen, typedConfirmation, type View } from "../screen.ts";
import { columns, facts } from "../text.ts";
import { bootScreen } from "./machine-boot.ts";
import { addItem, adoptItem, moveItem, removeItem, swapItem } from "./machine-edit.ts";
import { machineRows } from "./status.ts";

const LIVE_MS = 2000;
const BAR = 16;

export const machinesScreen: Screen = {
  title: "Machines",
  everyMs: LIVE_MS,
  load: async (daemon, signal) => {
    const [report, { profiles }] = await Promise.all([daemon.call("status", {}, signal), daemon.call("machine.pending", {}, signal)]);
    const rows = columns(machineRows(report), [20, 8, 16]);
    const names = Object.keys(report.state.machines);
    const machines = rows.map((label, index): Item => ({ label, action: { kind: "open", screen: machineScreen(names[index] ?? "") } }));
    const strangers = Object.entries(report.state.strangers).map(([mac, stranger]) => adoptItem(mac, stranger, profiles, report.nowMs));
    const lines = names.length === 0 ? ["No machines yet. Add one, or let it ask for an address and adopt it."] : [];
    return { lines, items: [addItem, ...machines, ...strangers] };
  },
};

export function machineScreen(name: string): Screen {
  return {
    title: `Machine ${name}`,
    everyMs: LIVE_MS,
    load: async (daemon, signal) => machineView(await daemon.call("machine.show", { name }, signal)),
  };
}

export function machineView({ machine, state, nowMs }: MachineReport): View {
  const { name } = machine;
  const known = state.machines[name];
  const boot = known?.boots.at(-1);
  const session = Object.values(state.sessions).find((one) => one.machine === name);
  const lines = [
    ...facts([
      [
        "status",
        `${machineStatus(state, name)}${known?.lastSeenAtMs === undefined ? "" : `, seen ${age(nowMs - known.lastSeenAtMs)} ago`}`,
      ],
      ["mac", machine.macs.join(" ")],
      ["address", machine.address ?? (known?.address === undefined ? "dynamic" : `${known.address} (dynamic)`)],
      ["boots", bootWords(machine.boot)],
      ["disks", machine.disks.map((disk, lun) => `${lun}: ${disk}`).join("  ") || "none"],
      ["session", session === undefined ? "none" : `from ${session.peer}, since ${age(nowMs - session.sinceMs)}`],
      ...transfersOf(state, name).map((transfer): readonly [string, string] => ["reading", transferCell(transfer)]),
    ]),
    "",
    ...(boot === undefined ? ["Never booted from here."] : bootLines(boot)),
  ];
  return { lines, items: itemsOf(machine) };
}

function itemsOf(machine: Machine): readonly Item[] {
  const { name } = machine;
  return [
    {
      label: "Boot entry: what its disk can boot, and what is next",
      needs: ["machine.entries"],
      action: { kind: "open", screen: entriesScreen(name) },
    },
    {
      label: "What it boots: its disk, an installation, a rescue system",
      needs: ["image.list"],
      action: { kind: "open", screen: bootScreen(machine) },
    },
    {
      label: "Reset: throw its clones away and begin anew",
      needs: ["machine.reset"],
      action: { kind: "form", form: typedConfirmation(`Reset ${name}`, resetWarning(machine), name, resetJob(name)) },
    },
    moveItem(machine),
    swapItem(machine),
    removeItem(machine),
  ];
}

function resetWarning({ name, disks }: Machine): readonly string[] {
  return [
    `What ${name} has written to its clones is lost, and cannot be had back:`,
    ...disks.map((disk) => `    ${disk}`),
    `If ${name} is running, it is cut off from its disks at once.`,
  ];
}

function resetJob(name: string): Job {
  return {
    title: `reset ${name}`,
    run: async (daemon, { signal }) => {
      const { volumes } = await daemon.call("machine.reset", { name, force: true }, signal);
      return { message: `${name} begins anew: ${volumes.join(", ")}.` };
    },
  };
}

/** One line a stage: when it came, how long it took, and a bar that shows where the time went. */
export function bootLines(boot: BootRecord): readonly string[] {
  const outcome = boot.outcome === "abandoned" ? `abandoned: ${boot.reason ?? "no reason known"}` : boot.outcome;
  const reached = reachedStages(boot);
  const totalMs = Math.max(1, (reached.at(-1)?.atMs ?? boot.beganAtMs) - boot.beganAtMs);
  const place = (atMs: number): number => Math.round(((atMs - boot.beganAtMs) / totalMs) * BAR);
  let beforeMs = boot.beganAtMs;
  const rows = reached.map(({ stage, atMs }) => {
    const start = place(beforeMs);
    const bar = `${" ".repeat(start)}${"=".repeat(Math.max(1, place(atMs) - start))}`.slice(0, BAR).padEnd(BAR);
    beforeMs = atMs;
    return [`  ${seconds(atMs - boot.beganAtMs).padStart(8)}`, stage, bar, STAGE_MEANINGS[stage]];
  });
  const firmware = boot.firmware === undefined ? "" : `, ${boot.firmware}`;
  return [
    `Boot ${boot.number}, began ${clock(boot.beganAtMs)}${firmware}: ${outcome}`,
    ...boot.notes.map((note) => `  ${note}`),
    ...columns(rows),
  ];
}

const WHY = {
  disk: "as the disk says",
  "next-entry": "once, as the disk says",
  chosen: "chosen here",
  "fell-back": "came up last",
} as const;

function entriesScreen(name: string): Screen {
  return {
    title: `Boot entries of ${name}`,
    load: async (daemon, signal) => entriesView(name, await daemon.call("machine.entries", { name }, signal)),
  };
}

export function entriesView(name: string, { volume, entries, next, notes }: EntriesReport): View {
  const choose = (title: string, input: { readonly entry?: number; readonly once?: boolean }): Job => ({
    title: `choose ${title}`,
    run: async (daemon, { signal }) => {
      await daemon.call("machine.boot", { name, ...input }, signal);
      return {
        message: `${name} boots ${title} ${input.once === true ? "next time, and then what its disk says again" : "from now on"}.`,
        back: 1,
      };
    },
  });
  const items = entries.map(({ title, kernel }, index): Item => {
    const options: Screen = {
      title: `Boot ${title}`,
      load: async () => ({
        lines: [`When shall ${name} boot this entry?`, "", `  ${title}`, `  ${kernel}`],
        items: [
          { label: "Once, at its next boot", action: { kind: "run", job: choose(title, { entry: index, once: true }) } },
          { label: "Always, until something else is chosen", action: { kind: "run", job: choose(title, { entry: index }) } },
        ],
      }),
    };
    return {
      label: `${next?.index === index ? "NEXT " : "     "}${title}`,
      needs: ["machine.boot"],
      action: { kind: "open", screen: options },
    };
  });
  const byDisk: Item = {
    label: "     What the disk says",
    needs: ["machine.boot"],
    action: { kind: "run", job: choose("what its disk says", {}) },
  };
  const why = next === undefined ? [] : ["", `NEXT, ${WHY[next.because]}:`];
  const found = entries.length === 0 ? `Nothing that can be booted was found on ${volume}.` : `On ${volume}, the first disk of ${name}:`;
  return { lines: [found, ...notes.map((note) => `  ${note}`), ...why], items: entries.length === 0 ? [] : [...items, byDisk] };
}
