import type { CopyProgress } from "../../src/machine/volume.ts";
import { amount } from "../../src/state/words.ts";
import type { JobTools } from "./screen.ts";

/** Progress until the result comes; throws what the daemon refuses, and where it broke off. */
export async function resultOf<T>(
  work: AsyncIterable<{ readonly progress: CopyProgress } | { readonly result: T }>,
  { progress }: JobTools,
): Promise<T> {
  for await (const value of work) {
    if ("result" in value) return value.result;
    progress(progressText(value.progress));
  }
  throw new Error("It was broken off. Look at the status, and try again.");
}

function progressText({ doneBytes, totalBytes }: CopyProgress): string {
  if (totalBytes === undefined || totalBytes === 0) return `${amount(doneBytes)} so far`;
  return `${Math.floor((100 * doneBytes) / totalBytes)} %, ${amount(doneBytes)} of ${amount(totalBytes)}`;
}
