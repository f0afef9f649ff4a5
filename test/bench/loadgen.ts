import { join } from "node:path";
import { z } from "zod";
import { run, runOrThrow } from "../harness/process.ts";

const root = join(import.meta.dirname, "..", "..");
const LOADGEN = join(root, "build", "bench", "loadgen");
const BUILD_TIMEOUT_MS = 300_000;
/** Login, drain and logout on top of the time that is asked for. */
const GRACE_MS = 60_000;

/** What one run measured; see `loadgen --help`. */
export interface Figures {
  readonly seconds: number;
  readonly operations: number;
  readonly bytes: number;
  readonly operationsPerSecond: number;
  readonly bytesPerSecond: number;
  readonly latencyMicroseconds: {
    readonly mean: number;
    readonly p50: number;
    readonly p99: number;
    readonly p999: number;
    readonly max: number;
  };
  readonly serverCpuSeconds: number;
  readonly clientCpuSeconds: number;
}

const report: z.ZodType<Figures & { readonly error: string | null }> = z.object({
  seconds: z.number(),
  operations: z.number(),
  bytes: z.number(),
  operationsPerSecond: z.number(),
  bytesPerSecond: z.number(),
  latencyMicroseconds: z.object({ mean: z.number(), p50: z.number(), p99: z.number(), p999: z.number(), max: z.number() }),
  serverCpuSeconds: z.number(),
  clientCpuSeconds: z.number(),
  error: z.string().nullable(),
});

/** A load that did not work; the message is the generator's own. */
export class LoadError extends Error {
  override readonly name = "LoadError";
  readonly code = "BENCH_LOAD";
}

/** Builds the load generator and returns its path. */
export async function buildLoadgen(): Promise<string> {
  await runOrThrow(["make", "--no-print-directory", "-C", join(import.meta.dirname, "loadgen")], { timeoutMs: BUILD_TIMEOUT_MS });
  return LOADGEN;
}

/** Runs the generator, behind the words of `prefix`. `seconds` is only for the time that it is given. Throws LoadError. */
export async function runLoadgen(words: readonly string[], seconds: number, prefix: readonly string[] = []): Promise<Figures> {
  const result = await run([...prefix, LOADGEN, "run", "--json", ...words], { timeoutMs: seconds * 1000 + GRACE_MS });
  const line = result.stdout.trim();
  if (line === "") throw new LoadError(result.stderr.trim().replace(/^loadgen: /, "") || `exit code ${result.code}`);
  const { error, ...measured } = report.parse(JSON.parse(line));
  if (error !== null) throw new LoadError(error);
  return measured;
}

/** The generator's other half: TCP and nothing else. */
export function rawServerCommand(port: number): readonly string[] {
  return [LOADGEN, "raw-server", "--port", String(port)];
}
