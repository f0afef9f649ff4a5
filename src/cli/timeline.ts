import type { BootRecord } from "../state/state.ts";
import { reachedStages, STAGE_MEANINGS, seconds } from "../state/words.ts";
import { clock, type Output, table } from "./output.ts";

export { bootCell, transferCell, transfersOf } from "../state/words.ts";

const BAR_CHARACTERS = 40;

/** A boot, one line a stage: when it was reached, how long it took, and a bar that shows where the time went. */
export function drawBoot(boot: BootRecord, output: Pick<Output, "paint">): string {
  const { paint } = output;
  const outcome = {
    up: paint("green", "up"),
    booting: paint("yellow", "booting"),
    abandoned: paint("red", `abandoned: ${boot.reason ?? "no reason known"}`),
  }[boot.outcome];
  const title = `boot ${boot.number}, began ${clock(boot.beganAtMs)}${boot.firmware === undefined ? "" : `, ${boot.firmware}`}: ${outcome}\n`;
  const reached = reachedStages(boot);
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
      STAGE_MEANINGS[stage],
    ];
    beforeMs = atMs;
    return row;
  });
  return title + boot.notes.map((note) => `  ${note}\n`).join("") + table(rows);
}
