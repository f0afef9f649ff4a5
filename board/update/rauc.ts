import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import type { UpdateProgress } from "../../src/control/update-operations.ts";
import { SignatureError, SlotError } from "./slots.ts";

/** Lines of RAUC that are kept to explain a failure. */
const MAX_KEPT_LINES = 200;

const UNTRUSTED = /signature verification failed: (?:Verify error: ?)?(.*)/i;

/** What RAUC says (1.8 to 1.15) and what a person needs to hear of it. The first that matches counts. */
const REASONS: readonly (readonly [RegExp, (found: RegExpExecArray) => string])[] = [
  [
    /Compatible mismatch: Expected '([^']*)' but bundle manifest has '([^']*)'/i,
    ([, here, there]) => `it is made for ${there}, and this board is ${here}; take the bundle of this board`,
  ],
  [
    UNTRUSTED,
    ([, why]) => `its signature is not one that this card trusts (${why}); take the bundle from where the card's image came from`,
  ],
  [
    /(?:Invalid bundle format|Invalid identifier|signature size|Bundle.*too small|Failed to (?:check|read) .*bundle).*/i,
    () => "it is no update bundle, or not all of it has arrived; copy it again and compare its SHA-256",
  ],
  [
    /No space left on device|exceeds|too large/i,
    () => "it does not fit the slots of this card; flash the card anew with the current image",
  ],
  [/Input\/output error/i, () => "the card or the disk with the bundle cannot be read or written any more; replace it"],
  [/already processing|in progress/i, () => "another update is being installed; wait until it is done"],
  [/LastError: (.*)/, ([, why]) => `${why}`],
  [/(?:WARNING|CRITICAL) \*\*: (?:[\d:.]+: )?(.*)/, ([, why]) => `${why}`],
];

/** ` 80% Updating slots`, as `rauc install --progress` says it. */
const PROGRESS = /^\s*(\d{1,3})% (.*)$/;

export interface RaucOptions {
  /** Before the subcommand, such as `--conf`; none on a board. */
  readonly arguments?: readonly string[];
  readonly onProgress?: (progress: UpdateProgress) => void;
}

/**
 * Has RAUC check a bundle and write it to the idle slot. It is not broken off when nobody watches any more: an update that ends is
 * better than one that has to be begun again. Throws {@link SlotError} with RAUC's reason in one sentence.
 */
export async function installBundle(file: string, options: RaucOptions = {}): Promise<void> {
  const rauc = spawn("rauc", [...(options.arguments ?? []), "install", "--progress", file], { stdio: ["ignore", "pipe", "pipe"] });
  const lines: string[] = [];
  const keep = (line: string): void => {
    const [, percent, step] = PROGRESS.exec(line) ?? [];
    if (percent !== undefined && step !== undefined) options.onProgress?.({ percent: Math.min(100, Number(percent)), step });
    lines.push(line);
    if (lines.length > MAX_KEPT_LINES) lines.shift();
  };
  for (const input of [rauc.stdout, rauc.stderr]) createInterface({ input }).on("line", keep);
  const code = await new Promise<number | null>((resolve, reject) => {
    rauc.once("error", (cause) => reject(new SlotError(`RAUC cannot be started: ${cause.message}`, { cause })));
    rauc.once("close", resolve);
  });
  if (code === 0) return;
  const reason = reasonOf(lines);
  throw new (UNTRUSTED.test(lines.join("\n")) ? SignatureError : SlotError)(`${file} is not installed: ${reason}`);
}

function reasonOf(lines: readonly string[]): string {
  const text = lines.join("\n");
  for (const [pattern, words] of REASONS) {
    const found = pattern.exec(text);
    if (found !== null) return words(found);
  }
  return lines.findLast((line) => line.trim() !== "")?.trim() ?? "RAUC ended without a word; look into the log";
}

/** The version that each slot holds, from RAUC's status file (a GKeyFile). Slots that RAUC never wrote are absent. */
export function installedVersions(statusFile: string): ReadonlyMap<string, string> {
  const versions = new Map<string, string>();
  let slot: string | undefined;
  for (const line of statusFile.split("\n")) {
    const section = /^\[(.*)\]$/.exec(line)?.[1];
    if (section !== undefined) slot = /^slot\.(.+)$/.exec(section)?.[1];
    const version = /^bundle\.version=(.*)$/.exec(line)?.[1];
    if (slot !== undefined && version !== undefined) versions.set(slot, version);
  }
  return versions;
}
