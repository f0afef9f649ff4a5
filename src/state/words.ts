import { BOOT_STAGES, type BootStage } from "./events.ts";
import type { BootRecord, State, TransferState } from "./state.ts";

/** `48 s`, `3 min`, `5 h`, `2 days`: as much as says how long ago it was. */
export function age(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86_400)} days`;
}

/** `3.4G`, `512M`, `0`: as much as fits a column, in powers of 1024. */
export function amount(bytes: number): string {
  for (const [unit, factor] of [
    ["T", 1024 ** 4],
    ["G", 1024 ** 3],
    ["M", 1024 ** 2],
    ["K", 1024],
  ] as const) {
    if (bytes < factor) continue;
    const value = bytes / factor;
    return `${value >= 100 ? Math.round(value) : Number(value.toFixed(1))}${unit}`;
  }
  return String(bytes);
}

/** Local time, to the second. */
export function clock(atMs: number): string {
  const date = new Date(atMs - new Date(atMs).getTimezoneOffset() * 60_000);
  return date.toISOString().slice(0, 19).replace("T", " ");
}

/** What each stage means, for those who read a timeline for the first time. */
export const STAGE_MEANINGS: Readonly<Record<BootStage, string>> = {
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

/** `3.4 s`. */
export function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

/** The stages of a boot in the order in which they came. */
export function reachedStages(boot: BootRecord): readonly { readonly stage: BootStage; readonly atMs: number }[] {
  return BOOT_STAGES.flatMap((stage) => {
    const atMs = boot.stages[stage];
    return atMs === undefined ? [] : [{ stage, atMs }];
  }).toSorted((a, b) => a.atMs - b.atMs);
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
