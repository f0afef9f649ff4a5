import { availableParallelism } from "node:os";

/** Buffers are each thread's own: with less than this, a few peers that have gone could hold all of a thread's. */
const THREAD_MEMORY_BYTES = 32 * 1024 * 1024;

/** Data threads for a configuration that asks for `threads`, 0 for as many as are good: one core is left to everything else. */
export function dataThreads({ threads, memoryBytes }: { readonly threads: number; readonly memoryBytes: number }): number {
  if (threads !== 0) return threads;
  return Math.max(1, Math.min(availableParallelism() - 1, Math.floor(memoryBytes / THREAD_MEMORY_BYTES)));
}

/** RACKBOOT_SPIN_US: how long data threads spin before they sleep, for those who measure what that is worth. */
export function spinOf(environment: NodeJS.ProcessEnv): { readonly spinMicroseconds?: number } {
  const microseconds = Number(environment["RACKBOOT_SPIN_US"] ?? "");
  return environment["RACKBOOT_SPIN_US"] !== undefined && microseconds >= 0 && microseconds <= 1000
    ? { spinMicroseconds: microseconds }
    : {};
}
