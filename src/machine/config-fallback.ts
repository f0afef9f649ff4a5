import { existsSync } from "node:fs";
import type { GoodReading } from "./config-edit.ts";
import { type ConfigReading, formatProblem, parseConfig, readConfig } from "./config-file.ts";
import { readConfigText, writeConfigText } from "./config-store.ts";

/** A configuration to start from. */
export interface StartingConfig {
  readonly ok: true;
  readonly reading: GoodReading;
  readonly from: "file" | "last-good" | "factory";
  /** Why the person's file is not what starts; each with its place. */
  readonly rejected?: readonly string[];
}

/**
 * What a daemon that must start starts from: the person's file; where that is bad, the last one that ran; on a new board the
 * factory's, and so also while the file `recovery` is there. Whatever it is, it stands in the place of `file`: paths are relative to
 * that, and that is what is followed and edited.
 */
export function readStartingConfig(
  file: string,
  { lastGood, factory, recovery }: { readonly lastGood?: string; readonly factory?: string; readonly recovery?: string },
): StartingConfig | Extract<ConfigReading, { ok: false }> {
  const asMade = recovery !== undefined && factory !== undefined && existsSync(recovery) ? readAs(file, factory) : undefined;
  if (asMade !== undefined) return { ok: true, reading: asMade, from: "factory" };
  const reading = readConfig(file);
  if (reading.ok) return { ok: true, reading, from: "file" };
  const rejected = reading.problems.map(formatProblem);
  const kept = readLastGood(file, lastGood);
  if (kept !== undefined) return { ok: true, reading: kept, from: "last-good", rejected };
  if (factory === undefined) return reading;
  const made = readAs(file, factory);
  if (made === undefined) return reading;
  // A new board has no file: nothing is wrong with it.
  return { ok: true, reading: made, from: "factory", ...(existsSync(file) && { rejected }) };
}

/** Undefined where there is none, or none that is good any more. */
export function readLastGood(file: string, lastGood: string | undefined): GoodReading | undefined {
  return lastGood === undefined ? undefined : readAs(file, lastGood);
}

/** Keeps a copy of `file`, which runs. Throws ConfigStoreError. */
export function keepLastGood(file: string, lastGood: string): void {
  const text = readConfigText(file);
  if (!existsSync(lastGood) || readConfigText(lastGood) !== text) writeConfigText(lastGood, text);
}

function readAs(file: string, other: string): GoodReading | undefined {
  if (!existsSync(other)) return undefined;
  const reading = parseConfig(readConfigText(other), file);
  return reading.ok ? reading : undefined;
}
