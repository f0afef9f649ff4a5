/**
 * Loaded into a daemon that is measured under stress (`node --expose-gc --import`): from one SIGUSR2 to the next, the whole heap is
 * collected every 50 ms.
 */
const PERIOD_MS = 50;
let timer: NodeJS.Timeout | undefined;

process.on("SIGUSR2", () => {
  clearInterval(timer);
  timer = timer === undefined ? setInterval(() => globalThis.gc?.(), PERIOD_MS) : undefined;
});
