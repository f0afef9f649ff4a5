import type { CopyProgress } from "../machine/volume.ts";

/** Progress that is sent no more often than a person can see. */
const PROGRESS_EVERY_MS = 100;

/**
 * Work that takes long as a stream: progress now and then, the result last. It goes on at its own pace whether or not
 * anybody reads; when the reader leaves, `signal` aborts, and the work ends with nothing changed.
 */
export async function* workAsStream<T, P = CopyProgress>(
  signal: AbortSignal,
  work: (options: { readonly signal: AbortSignal; readonly onProgress: (progress: P) => void }) => Promise<T>,
): AsyncGenerator<{ readonly progress: P } | { readonly result: T }> {
  let latest: P | undefined;
  let wake = (): void => undefined;
  const done = work({
    signal,
    onProgress: (progress) => {
      latest = progress;
    },
  }).finally(() => wake());
  // Its failure is heard below, or by nobody where the reader has left.
  done.catch(() => undefined);
  let finished = false;
  const ended = done.then(
    () => undefined,
    () => undefined,
  );
  void ended.then(() => {
    finished = true;
  });
  while (!finished) {
    await Promise.race([
      ended,
      new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, PROGRESS_EVERY_MS);
        wake = () => {
          clearTimeout(timer);
          resolve();
        };
      }),
    ]);
    if (latest !== undefined && !finished) {
      yield { progress: latest };
      latest = undefined;
    }
  }
  yield { result: await done };
}
