/**
 * How a lamp is lit over time: milliseconds on, off, on, off, ... and again from the start. Multiples of
 * {@link TICK_MS}. Told apart by rhythm, since not everybody tells green from red.
 */
export type Steps = readonly number[];

export type PatternName = keyof typeof PATTERNS;

/** Lamps change on ticks. */
export const TICK_MS = 50;

const BLINK_MS = 250;
/** Long enough that nobody counts two rounds as one. */
const PAUSE_MS = 1500;

/** `count` blinks and a pause. */
function blinks(count: number): Steps {
  return Array.from({ length: 2 * count }, (_, index) => (index === 2 * count - 1 ? PAUSE_MS : BLINK_MS));
}

interface Patterns {
  readonly off: Steps;
  readonly solid: Steps;
  readonly slow: Steps;
  readonly fast: Steps;
  readonly heartbeat: Steps;
  readonly flicker: Steps;
  readonly "1 blink": Steps;
  readonly "2 blinks": Steps;
  readonly "3 blinks": Steps;
  readonly "4 blinks": Steps;
  readonly "5 blinks": Steps;
  readonly "6 blinks": Steps;
  readonly "7 blinks": Steps;
}

export const PATTERNS: Patterns = {
  off: [0, 1000],
  solid: [1000],
  slow: [1000, 1000],
  fast: [100, 100],
  heartbeat: [100, 150, 100, 850],
  // Uneven, as a disk works: nobody takes it for a rhythm that means something.
  flicker: [50, 50, 100, 50, 50, 150],
  "1 blink": blinks(1),
  "2 blinks": blinks(2),
  "3 blinks": blinks(3),
  "4 blinks": blinks(4),
  "5 blinks": blinks(5),
  "6 blinks": blinks(6),
  "7 blinks": blinks(7),
};

export function periodMs(steps: Steps): number {
  return steps.reduce((sum, ms) => sum + ms, 0);
}

/** Whether the lamp is lit this long after the pattern began. */
export function isOn(steps: Steps, elapsedMs: number): boolean {
  let rest = elapsedMs % periodMs(steps);
  for (const [index, ms] of steps.entries()) {
    if (rest < ms) return index % 2 === 0;
    rest -= ms;
  }
  return false;
}
