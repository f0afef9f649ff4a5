import type { AlarmName, Health } from "../../src/state/health.ts";
import type { LinkState } from "../../src/state/state.ts";
import { quirkOf } from "./usb-quirks.ts";

/** What alarms are judged by. */
export interface Findings {
  readonly health: Health;
  readonly link?: LinkState;
  readonly vlan?: VlanTraffic;
}

/** Frames that came in since the interfaces are there. */
export interface VlanTraffic {
  readonly device: string;
  readonly frames: number;
  /** What carries it, with the frames of all VLANs. */
  readonly parent: string;
  readonly parentFrames: number;
}

interface AlarmRule {
  readonly name: AlarmName;
  /** The reason, for people; undefined while nothing is wrong. `stands` asks for the lower threshold of one that was raised. */
  readonly reason: (findings: Findings, stands: boolean) => string | undefined;
  readonly next: string | ((findings: Findings) => string);
  /** Must be quiet for this long before it is eased. */
  readonly quietMs?: number;
}

const HOT_C = { raise: 80, ease: 75 };
const DISK_HOT_C = { raise: 70, ease: 65 };
const MEMORY_PERCENT = { raise: 5, ease: 8 };
const WORN_PERCENT = 90;
const SLOW_LINK_MBPS = 1000;
const SUPER_SPEED_MBPS = 5000;
/** Enough to say that the cable leads somewhere: a switch alone sends a frame every few seconds. */
const HEARD_FRAMES = 200;
/** A supply that is too weak dips for moments, whenever much is asked of it. */
const POWER_QUIET_MS = 10 * 60_000;

/** `value` in words while it is over the threshold that counts now. */
function over(value: number | undefined, threshold: { readonly raise: number; readonly ease: number }, stands: boolean): boolean {
  return value !== undefined && value >= (stands ? threshold.ease : threshold.raise);
}

const RULES: readonly AlarmRule[] = [
  {
    name: "hot",
    reason: ({ health: { temperatureC } }, stands) =>
      over(temperatureC, HOT_C, stands) ? `the processor has ${temperatureC} °C` : undefined,
    next: "give the board air or a heat sink; it slows down from 80 °C on",
  },
  {
    name: "under-voltage",
    reason: ({ health }) => (health.power?.underVoltage === true ? "the supply voltage is too low" : undefined),
    next: "use the board's own power supply and a short cable, and give the disk a supply of its own",
    quietMs: POWER_QUIET_MS,
  },
  {
    name: "throttled",
    reason: ({ health }) => (health.power?.throttled === true ? "the processor is slowed down by heat or low voltage" : undefined),
    next: "look for the alarms hot and under-voltage",
    quietMs: POWER_QUIET_MS,
  },
  {
    name: "memory-low",
    reason: ({ health: { memory } }, stands) => {
      if (memory === undefined || memory.totalBytes === 0) return undefined;
      const percent = (100 * memory.availableBytes) / memory.totalBytes;
      return percent < (stands ? MEMORY_PERCENT.ease : MEMORY_PERCENT.raise)
        ? `${Math.floor(percent)} % of the memory are left`
        : undefined;
    },
    next: "lower iscsi.memory, or restart rackboot and send the report",
  },
  {
    name: "slow-link",
    reason: ({ link }) => {
      const slow = link?.up === true && link.speedMbps !== undefined && link.speedMbps < SLOW_LINK_MBPS;
      return slow ? `${link.interface} has a link of ${link.speedMbps} Mbit/s only` : undefined;
    },
    next: "use a cable with all eight wires and a gigabit port of the switch",
  },
  {
    name: "silent-vlan",
    reason: ({ vlan }) => {
      const silent = vlan !== undefined && vlan.frames === 0 && vlan.parentFrames >= HEARD_FRAMES;
      return silent
        ? `${vlan.parent} has heard ${vlan.parentFrames} frames, and none of them was in the VLAN of ${vlan.device}`
        : undefined;
    },
    next: "have the switch carry this VLAN, tagged, to the appliance's port, or correct network.vlan",
  },
  {
    name: "slow-usb",
    reason: ({ health: { disk } }) => {
      const slow = disk?.speedMbps !== undefined && disk.speedMbps < SUPER_SPEED_MBPS;
      return slow ? `the data disk ${disk.device} is connected with ${disk.speedMbps} Mbit/s only` : undefined;
    },
    next: "plug it into a blue USB 3 socket, all the way in",
  },
  {
    name: "uas-quirk",
    reason: ({ health: { disk } }) => {
      const bridge = disk?.driver === "uas" ? quirkOf(disk.usbId) : undefined;
      return bridge === undefined
        ? undefined
        : `the data disk's USB bridge ${disk?.usbId} (${bridge}) is known to hang under load with UAS`;
    },
    next: ({ health: { disk } }) => `add usb-storage.quirks=${disk?.usbId}:u to the kernel line (cmdline.txt), or use another adapter`,
  },
  {
    name: "disk-hot",
    reason: ({ health }, stands) => {
      const temperatureC = health.disk?.smart?.temperatureC;
      return over(temperatureC, DISK_HOT_C, stands) ? `the data disk has ${temperatureC} °C` : undefined;
    },
    next: "give the disk air; hot flash forgets",
  },
  {
    name: "disk-worn",
    reason: ({ health }) => {
      const wearPercent = health.disk?.smart?.wearPercent;
      return wearPercent !== undefined && wearPercent >= WORN_PERCENT ? `${wearPercent} % of the data disk's life are used` : undefined;
    },
    next: "replace it soon: export its disks, or copy the whole to a new one",
  },
  {
    name: "disk-errors",
    reason: ({ health }) => {
      const { passed, badSectors = 0 } = health.disk?.smart ?? {};
      if (passed === false) return "the data disk says of itself that it fails (SMART)";
      return badSectors > 0 ? `the data disk has ${badSectors} bad sectors (SMART)` : undefined;
    },
    next: "copy its disks to another one now, and replace it",
  },
];

export interface Alarm {
  readonly reason: string;
  readonly next: string;
  /** On a clock that never goes back: when it last had a reason. */
  readonly seenAtMs: number;
}

export type Alarms = ReadonlyMap<AlarmName, Alarm>;

/**
 * What stands after these findings, if `before` stood: one that was raised is eased below a lower threshold, or after it
 * was quiet for its time, so that nothing is told twice a minute. Pure.
 */
export function judge(findings: Findings, before: Alarms, atMs: number): Alarms {
  const after = new Map<AlarmName, Alarm>();
  for (const { name, reason, next, quietMs = 0 } of RULES) {
    const standing = before.get(name);
    const why = reason(findings, standing !== undefined);
    if (why !== undefined) after.set(name, { reason: why, next: typeof next === "string" ? next : next(findings), seenAtMs: atMs });
    else if (standing !== undefined && atMs - standing.seenAtMs < quietMs) after.set(name, standing);
  }
  return after;
}
