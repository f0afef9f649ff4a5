import { availableParallelism } from "node:os";

/** Buffers are each thread's own: with less than this, a few peers that have gone could hold all of a thread's. */
const THREAD_MEMORY_BYTES = 32 * 1024 * 1024;

/** Data threads for a configuration that asks for `threads`, 0 for as many as are good: one core is left to everything else. */
export function dataThreads({ threads, memoryBytes }: { readonly threads: number; readonly memoryBytes: number }): number {
  if (threads !== 0) return threads;
  return Math.max(1, Math.min(availableParallelism() - 1, Math.floor(memoryBytes / THREAD_MEMORY_BYTES)));
}
