import { FAULTS, standingFaults } from "../src/state/faults.ts";
import type { State } from "../src/state/state.ts";
import type { PatternName } from "./patterns.ts";

/** From left to right on a panel. */
export const LAMPS = ["ready", "rack", "disk", "fault"] as const;
export type Lamp = (typeof LAMPS)[number];

/** What a lamp is for, for the legend. The colour only helps: place and rhythm say it all. */
export const LAMP_FACTS: Readonly<Record<Lamp, { readonly title: string; readonly colour: string; readonly about: string }>> = {
  ready: { title: "READY", colour: "green", about: "the appliance" },
  rack: { title: "RACK", colour: "blue", about: "the machines" },
  disk: { title: "DISK", colour: "amber", about: "the data disk" },
  fault: { title: "FAULT", colour: "red", about: "what is wrong" },
};

export interface View {
  readonly state: State;
  /** Milliseconds since the epoch. */
  readonly nowMs: number;
  /** Machines read or wrote within the last moment. */
  readonly ioBusy: boolean;
}

/** The first rule of a lamp that applies lights it; a lamp without one is off. */
export interface Rule {
  readonly lamp: Lamp;
  readonly pattern: PatternName;
  /** For people. */
  readonly meaning: string;
  readonly applies: (view: View) => boolean;
}

/** A stranger that asked longer ago has been switched off, or is somebody's telephone. */
const STRANGER_MS = 2 * 60_000;

const BLINKS: readonly PatternName[] = ["1 blink", "2 blinks", "3 blinks", "4 blinks", "5 blinks", "6 blinks", "7 blinks"];

export const RULES: readonly Rule[] = [
  { lamp: "ready", pattern: "heartbeat", meaning: "it serves; a light that stands still is a dead daemon", applies: isPhase("ready") },
  { lamp: "ready", pattern: "fast", meaning: "it starts", applies: isPhase("starting") },
  { lamp: "ready", pattern: "slow", meaning: "it stops; pull no plug before this light is out", applies: isPhase("stopping") },
  {
    lamp: "rack",
    pattern: "fast",
    meaning: "a machine boots",
    applies: ({ state }) => Object.values(state.machines).some(({ boots }) => boots.at(-1)?.outcome === "booting"),
  },
  {
    lamp: "rack",
    pattern: "2 blinks",
    meaning: "an unknown machine asks: adopt it",
    applies: ({ state, nowMs }) =>
      Object.values(state.strangers).some(({ firmware, lastSeenAtMs }) => firmware !== undefined && nowMs - lastSeenAtMs < STRANGER_MS),
  },
  { lamp: "rack", pattern: "solid", meaning: "machines have their disks", applies: ({ state }) => Object.keys(state.sessions).length > 0 },
  { lamp: "rack", pattern: "off", meaning: "no machine is connected", applies: () => true },
  {
    lamp: "disk",
    pattern: "off",
    meaning: "no data disk",
    applies: ({ state }) => state.faults["no-data-disk"] !== undefined || state.pool === undefined,
  },
  {
    lamp: "disk",
    pattern: "fast",
    meaning: "it fails or is full",
    applies: ({ state }) => state.faults["data-disk-failing"] !== undefined,
  },
  { lamp: "disk", pattern: "flicker", meaning: "machines read or write", applies: ({ ioBusy }) => ioBusy },
  { lamp: "disk", pattern: "slow", meaning: "it is more than 80 % full", applies: ({ state }) => state.pool?.alarm !== undefined },
  { lamp: "disk", pattern: "solid", meaning: "it is there and idle", applies: () => true },
  ...FAULTS.map(
    ({ name, number, words }): Rule => ({
      lamp: "fault",
      pattern: BLINKS[number - 1] ?? "fast",
      // Init blinks it too, when the daemon has ended: then READY does not beat.
      meaning: name === "service-stopped" ? `${words} (READY does not beat: the daemon)` : words,
      applies: ({ state }) => standingFaults(state)[0]?.fault.name === name,
    }),
  ),
  { lamp: "fault", pattern: "off", meaning: "nothing is wrong", applies: () => true },
];

/** All four at once. */
export const IDENTIFY_RULE = { pattern: "fast", meaning: "here I am (rackboot identify, or the button)" } as const;

/** What each lamp shows: the one place that decides. Pure. */
export function showing(view: View): Readonly<Record<Lamp, PatternName>> {
  const patternOf = (lamp: Lamp): PatternName => {
    if (view.state.identify !== undefined) return IDENTIFY_RULE.pattern;
    return RULES.find((rule) => rule.lamp === lamp && rule.applies(view))?.pattern ?? "off";
  };
  return { ready: patternOf("ready"), rack: patternOf("rack"), disk: patternOf("disk"), fault: patternOf("fault") };
}

function isPhase(phase: State["daemon"]["phase"]): Rule["applies"] {
  return ({ state }) => state.daemon.phase === phase;
}
