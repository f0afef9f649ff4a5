import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { LookError } from "./error.ts";
import { parseReport, type ReaderReport } from "./output.ts";
import { ReaderSlots } from "./slots.ts";

/** The two programs that look: our helper that takes every right away, and GRUB's own reader of file systems. */
export interface ReaderPrograms {
  readonly confine: string;
  readonly fstest: string;
}

/** A reader on a healthy disk takes some hundredths of a second; this is for a machine with a very busy SSD. */
export const READER_TIMEOUT_MS = 10_000;
const READER_CPU_SECONDS = 5;
const READER_MEMORY_BYTES = 256 * 2 ** 20;
const MAX_STDERR_BYTES = 4096;
const MAX_REPORT_BYTES = 256 * 1024;

/** What one run of the reader said. */
export interface ReaderRun {
  readonly output: Uint8Array;
  readonly complaint: string;
  readonly report: ReaderReport;
}

/** Debian's name and Red Hat's. */
const FSTEST = ["/usr/bin/grub-fstest", "/usr/bin/grub2-fstest", "/usr/sbin/grub-fstest", "/usr/sbin/grub2-fstest"];

/** Finds both. Throws {@link LookError} `no-reader` with the next step. `exists` is for tests. */
export function findReader(exists: (path: string) => boolean = existsSync): ReaderPrograms {
  const fstest = FSTEST.find(exists);
  if (fstest === undefined) {
    throw new LookError("no-reader", "looking inside disks needs grub-fstest: install the package grub-common (Debian) or grub2-tools");
  }
  const places = ["../../native/rackboot-confine", "../../../dist/src/native/rackboot-confine"];
  const confine = places.map((place) => fileURLToPath(new URL(place, import.meta.url))).find(exists);
  if (confine === undefined) throw new LookError("no-reader", 'looking inside disks needs rackboot-confine: run "make build"');
  return { confine, fstest };
}

/** All looks of the daemon together: a hostile disk can keep one reader busy, never all processors. */
const SLOTS: ReaderSlots = new ReaderSlots();

/** What one run may take at most. */
export interface ReaderLimits {
  /** Of standard output. */
  readonly limitBytes: number;
  readonly timeoutMs?: number;
  readonly cpuSeconds?: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Runs GRUB's reader once on `disk`, confined. Its standard output is collected up to `limitBytes`; beyond that the run is
 * ended with `too-large`. Every path out of here leaves no child behind.
 */
export async function runReader(
  programs: ReaderPrograms,
  disk: FileHandle,
  args: readonly string[],
  limits: ReaderLimits,
): Promise<ReaderRun> {
  const release = await SLOTS.take(limits.signal);
  try {
    // The reader moves the offset of what it is given, so each run has an open file description of its own.
    const own = await open(`/proc/self/fd/${disk.fd}`, "r");
    try {
      return await runChild(programs, own.fd, args, limits);
    } finally {
      await own.close();
    }
  } finally {
    release();
  }
}

function runChild(programs: ReaderPrograms, disk: number, args: readonly string[], limits: ReaderLimits): Promise<ReaderRun> {
  const { limitBytes, signal, timeoutMs = READER_TIMEOUT_MS, cpuSeconds = READER_CPU_SECONDS } = limits;
  return new Promise((resolve, reject) => {
    const command = [String(cpuSeconds), String(READER_MEMORY_BYTES), programs.fstest, "/disk", ...args];
    const child = spawn(programs.confine, command, { stdio: ["ignore", "pipe", "pipe", disk, "pipe"], env: {}, cwd: "/" });
    let failure: LookError | undefined;
    const stop = (why: LookError): void => {
      failure ??= why;
      child.kill("SIGKILL");
    };
    const output = new Collected(limitBytes, () => stop(new LookError("too-large", `there are more than ${limitBytes} octets`)));
    const complaint = new Collected(MAX_STDERR_BYTES, () => {});
    const report = new Collected(MAX_REPORT_BYTES, () => stop(new LookError("unreadable", "the reader's report has no end")));
    for (const [index, sink] of [output, complaint, undefined, report].entries()) {
      const stream = sink === undefined ? undefined : child.stdio[index + 1];
      if (sink === undefined || stream == null || !("on" in stream)) continue;
      stream.on("data", (chunk: Buffer) => sink.add(chunk));
      // A pipe that breaks when its child is killed is the end of the output, which `close` tells.
      stream.on("error", () => {});
    }
    const timer = setTimeout(() => stop(new LookError("too-long", `reading the disk took longer than ${timeoutMs} ms`)), timeoutMs);
    const abort = (): void => stop(new LookError("cancelled", "the look was cancelled"));
    signal?.addEventListener("abort", abort, { once: true });
    if (signal?.aborted === true) abort();
    const done = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
    };
    child.once("error", (cause) => {
      done();
      reject(new LookError("no-reader", `${programs.confine} could not be started: ${cause.message}`));
    });
    child.once("close", (code) => {
      done();
      const run = { output: output.bytes(), complaint: complaint.text(), report: parseReport(report.text()) };
      failure ??= failureOf(code, child, run);
      if (failure === undefined) resolve(run);
      else reject(failure);
    });
  });
}

/** Exit 1 is the reader's own "cannot open": its caller knows what that means. */
function failureOf(code: number | null, child: ChildProcess, run: ReaderRun): LookError | undefined {
  const { ended } = run.report;
  if (ended === undefined) {
    const why = run.complaint.trim() || `ended by ${child.signalCode ?? `exit code ${code}`}`;
    return new LookError("no-reader", `the confined reader did not run: ${why}`);
  }
  if (ended.kind === "exit" && ended.value <= 1) return undefined;
  // SIGXCPU and SIGKILL: the processor time that it was allowed is used up.
  if (ended.kind === "signal" && (ended.value === 24 || ended.value === 9)) {
    return new LookError("too-long", "reading the disk took more processor time than a healthy disk takes");
  }
  const why = ended.kind === "signal" ? `died of signal ${ended.value}` : `ended with code ${ended.value}`;
  return new LookError("unreadable", `GRUB's reader ${why} on what is on the disk`);
}

/** Octets up to a limit; the first one beyond it is told. */
class Collected {
  readonly #limit: number;
  readonly #full: () => void;
  readonly #chunks: Buffer[] = [];
  #length = 0;

  constructor(limit: number, full: () => void) {
    this.#limit = limit;
    this.#full = full;
  }

  add(chunk: Buffer): void {
    const room = this.#limit - this.#length;
    if (chunk.length > room) this.#full();
    if (room <= 0) return;
    this.#chunks.push(chunk.subarray(0, room));
    this.#length += Math.min(room, chunk.length);
  }

  bytes(): Uint8Array {
    return Buffer.concat(this.#chunks);
  }

  text(): string {
    return Buffer.concat(this.#chunks).toString("utf8");
  }
}
