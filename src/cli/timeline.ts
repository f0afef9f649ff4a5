import { BOOT_STAGES, type BootStage } from "../state/events.ts";
import type { BootRecord, State, TransferState } from "../state/state.ts";
import { clock, type Output, table } from "./output.ts";

const BAR_CHARACTERS = 40;

/** What each stage means, for those who read a timeline for the first time. */
const MEANINGS: Readonly<Record<BootStage, string>> = {
  discover: "firmware asks for an address",
  offer: "address and boot file offered",
  loader: "boot loader sent",
  config: "boot loader's configuration sent",
  kernel: "kernel sent",
  initramfs: "initramfs sent",
  login: "iSCSI session",
  "first-read": "first read of its disk",
  up: "running system holds the disk",
};

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

/** A boot, one line a stage: when it was reached, how long it took, and a bar that shows where the time went. */
export function drawBoot(boot: BootRecord, output: Pick<Output, "paint">): string {
  const { paint } = output;
  const outcome = {
    up: paint("green", "up"),
    booting: paint("yellow", "booting"),
    abandoned: paint("red", `abandoned: ${boot.reason ?? "no reason known"}`),
  }[boot.outcome];
  const title = `boot ${boot.number}, began ${clock(boot.beganAtMs)}${boot.firmware === undefined ? "" : `, ${boot.firmware}`}: ${outcome}\n`;
  const reached = BOOT_STAGES.flatMap((stage) => {
    const atMs = boot.stages[stage];
    return atMs === undefined ? [] : [{ stage, atMs }];
  }).toSorted((a, b) => a.atMs - b.atMs);
  const total = Math.max(1, (reached.at(-1)?.atMs ?? boot.beganAtMs) - boot.beganAtMs);
  let beforeMs = boot.beganAtMs;
  const rows = reached.map(({ stage, atMs }) => {
    const start = Math.round(((beforeMs - boot.beganAtMs) / total) * BAR_CHARACTERS);
    const end = Math.round(((atMs - boot.beganAtMs) / total) * BAR_CHARACTERS);
    const bar = `${" ".repeat(start)}${"━".repeat(Math.max(1, end - start))}`.slice(0, BAR_CHARACTERS + 1).padEnd(BAR_CHARACTERS + 1);
    const row = [
      seconds(atMs - boot.beganAtMs).padStart(8),
      `+${seconds(atMs - beforeMs)}`.padStart(8),
      stage,
      paint("blue", bar),
      MEANINGS[stage],
    ];
    beforeMs = atMs;
    return row;
  });
  return title + boot.notes.map((note) => `  ${note}\n`).join("") + table(rows);
}

/** The furthest stage, in one cell of a table. */
export function bootCell(boot: BootRecord, nowMs: number, ageOf: (ms: number) => string): string {
  const last = BOOT_STAGES.findLast((stage) => boot.stages[stage] !== undefined) ?? "begun";
  const lastMs = Math.max(boot.beganAtMs, ...Object.values(boot.stages));
  if (boot.outcome === "up") {
    const upMs = boot.stages.up ?? lastMs;
    return `up after ${seconds(upMs - boot.beganAtMs)}, ${ageOf(nowMs - upMs)} ago`;
  }
  if (boot.outcome === "abandoned") return `abandoned at ${last}, ${ageOf(nowMs - lastMs)} ago`;
  return `${last}, since ${ageOf(nowMs - lastMs)}`;
}

/** `vmlinuz (kernel) over tftp, 43%`. */
export function transferCell(transfer: TransferState): string {
  const percent = transfer.sizeBytes > 0 ? `, ${Math.floor((transfer.sentBytes / transfer.sizeBytes) * 100)}%` : "";
  return `${transfer.path} (${transfer.role}) over ${transfer.transport}${percent}`;
}

export function transfersOf(state: State, machine: string): readonly TransferState[] {
  return Object.values(state.transfers).filter((transfer) => transfer.machine === machine);
}
