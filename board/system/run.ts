import { execFile, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { promisify } from "node:util";

/** What the operating system did not do; the message is for a person. */
export class SystemError extends Error {
  readonly code = "ERR_SYSTEM";
}

const execute = promisify(execFile);
const MAX_OUTPUT_OCTETS = 8 * 1024 * 1024;
const TIMEOUT_MS = 30_000;

export interface RunOptions {
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** What it printed. Throws {@link SystemError} with the program's own last words. */
export async function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
  try {
    const settings = { maxBuffer: MAX_OUTPUT_OCTETS, timeout: options.timeoutMs ?? TIMEOUT_MS };
    const { stdout } = await execute(command, args, { ...settings, ...(options.signal !== undefined && { signal: options.signal }) });
    return stdout;
  } catch (cause) {
    const { stderr, message } = cause as { readonly stderr?: string; readonly message: string };
    throw new SystemError(`${command}: ${stderr?.trim().split("\n").at(-1) || message}`, { cause });
  }
}

/** A mount that is read-only but for the moment of `work`. Throws {@link SystemError}, or what `work` throws. */
export function whileWritable<T>(folder: string, work: () => T): T {
  if (!isReadOnlyMount(folder)) return work();
  remount(folder, "rw");
  try {
    return work();
  } finally {
    remount(folder, "ro");
  }
}

function isReadOnlyMount(folder: string): boolean {
  const mounts = readFileSync("/proc/mounts", "utf8").split("\n");
  return mounts.map((line) => line.split(" ")).some(([, place, , options]) => place === folder && options?.split(",")[0] === "ro");
}

function remount(folder: string, mode: "ro" | "rw"): void {
  const { status, stderr } = spawnSync("mount", ["-o", `remount,${mode}`, folder], { encoding: "utf8" });
  if (status !== 0) throw new SystemError(`${folder} cannot be made ${mode === "rw" ? "writable" : "read-only"}: ${stderr.trim()}`);
}
