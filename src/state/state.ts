import type { FirmwareKind } from "../machine/firmware.ts";
import type { Ipv4, Iqn, Mac, MachineName } from "../machine/identifiers.ts";
import type { PoolReport } from "../machine/volume.ts";
import type { BootStage, FileRole, Identity, Transport } from "./events.ts";
import type { FaultName } from "./faults.ts";
import type { AlarmName, AlarmState, Health } from "./health.ts";

/**
 * All that LEDs, console, metrics and the control API know of the daemon. Plain data: it goes through JSON as it is.
 * Times are milliseconds since the epoch.
 */
export interface State {
  readonly daemon: DaemonState;
  readonly services: Readonly<Record<string, ServiceState>>;
  /** Every machine of the configuration. */
  readonly machines: Readonly<Record<string, MachineState>>;
  /** In flight, by their number. */
  readonly transfers: Readonly<Record<string, TransferState>>;
  /** Logged in, by their connection. */
  readonly sessions: Readonly<Record<string, SessionState>>;
  /** Every volume of the configuration. */
  readonly volumes: Readonly<Record<string, VolumeState>>;
  /** What the volumes are stored on; absent until it was looked at. */
  readonly pool?: PoolState;
  /** What is measured of the board itself; absent until it was looked at. */
  readonly health?: Health;
  /** What is not as it should be, and no fault. */
  readonly alarms: Readonly<Partial<Record<AlarmName, AlarmState>>>;
  /** While all lamps blink for whoever looks for the appliance. */
  readonly identify?: { readonly sinceMs: number };
  /** Of the interface that faces the rack; absent until it was looked at. */
  readonly link?: LinkState;
  /** MAC addresses that are no machine of ours, and what they were told. */
  readonly strangers: Readonly<Record<string, StrangerState>>;
  /** The numbered faults that stand (faults.ts). */
  readonly faults: Readonly<Partial<Record<FaultName, FaultState>>>;
  /** How often each thing happened: `dhcp.ignored`, and `dhcp.ignored: no reservation` where there is a reason. */
  readonly counters: Readonly<Record<string, number>>;
}

export interface DaemonState {
  readonly phase: "starting" | "ready" | "stopping";
  readonly sinceMs: number;
  readonly config?: { readonly file: string; readonly loadedAtMs: number };
  /** A newer file was refused; what runs is the one before it. */
  readonly rejected?: { readonly file: string; readonly problems: readonly string[]; readonly atMs: number };
}

export interface ServiceState {
  readonly status: "up" | "failed";
  /** What it serves, or why it does not. */
  readonly detail: string;
  readonly sinceMs: number;
}

export interface MachineState {
  readonly address?: Ipv4;
  /** The one that was seen last. */
  readonly mac?: Mac;
  /** The PCI identifier of that network card, where iPXE said it. */
  readonly card?: string;
  readonly lastSeenAtMs?: number;
  /** Oldest first; the last is the current one. */
  readonly boots: readonly BootRecord[];
}

/** A boot's timeline. */
export interface BootRecord {
  readonly number: number;
  readonly machine: MachineName;
  readonly firmware?: FirmwareKind;
  readonly beganAtMs: number;
  readonly outcome: "booting" | "up" | "abandoned";
  /** Of an abandoned boot. */
  readonly reason?: string;
  readonly stages: Readonly<Partial<Record<BootStage, number>>>;
  /** For people: what it was given, and what is out of the ordinary. */
  readonly notes: readonly string[];
}

export interface TransferState {
  readonly machine?: MachineName;
  readonly address: Ipv4;
  readonly transport: Transport;
  readonly path: string;
  readonly role: FileRole;
  readonly sizeBytes: number;
  readonly sentBytes: number;
  readonly startedAtMs: number;
}

export interface SessionState {
  readonly machine?: MachineName;
  readonly initiator: Iqn;
  readonly target: Iqn;
  readonly peer: string;
  readonly sinceMs: number;
  readonly hasRead: boolean;
}

export interface VolumeState {
  readonly sizeBytes?: number;
  readonly alarm?: { readonly kind: "failed" | "full"; readonly reason: string; readonly sinceMs: number };
}

export interface PoolState extends PoolReport {
  /** Fuller than 80 or 95 percent. */
  readonly alarm?: { readonly percent: number; readonly sinceMs: number };
}

export interface LinkState {
  readonly interface: string;
  readonly up: boolean;
  readonly speedMbps?: number;
  readonly sinceMs: number;
}

export interface FaultState {
  readonly reason: string;
  /** What a person does about it. */
  readonly next: string;
  readonly sinceMs: number;
}

export interface StrangerState extends Identity {
  readonly firstSeenAtMs: number;
  readonly lastSeenAtMs: number;
  readonly told: string;
  /** Held until somebody adopts it. */
  readonly pending?: true;
}

/** A week of daily reboots. */
export const MAX_BOOTS_KEPT = 8;
/** A boot that goes on for hours is told the same few things. */
export const MAX_BOOT_NOTES = 8;
export const MAX_STRANGERS = 64;
/** Of the full list, one is exchanged for a new one at most so often. */
export const STRANGER_EVERY_MS = 50;
/** Servers bound what is in flight; this bounds what they forget to end. */
export const MAX_TRANSFERS = 1024;
export const MAX_SESSIONS = 1024;
/** Reasons come from peers: after these, further ones count as "other". */
export const MAX_REASONS_OF_A_TYPE = 32;
export const MAX_REASON_CHARACTERS = 120;

export function initialState(atMs: number): State {
  return {
    daemon: { phase: "starting", sinceMs: atMs },
    services: {},
    machines: {},
    transfers: {},
    sessions: {},
    volumes: {},
    strangers: {},
    faults: {},
    alarms: {},
    counters: {},
  };
}

export type MachineStatus = "off" | "booting" | "up" | "lost";

/**
 * What a person would say of a machine: `booting` on its way, `up` with its disk, `lost` when it was up and its session
 * is gone (switched off, or cut off: a target cannot tell), `off` when nothing of it was ever seen.
 */
export function machineStatus(state: State, name: string): MachineStatus {
  const boot = currentBoot(state, name);
  if (boot?.outcome === "booting") return "booting";
  const connected = Object.values(state.sessions).some((session) => session.machine === name);
  if (connected) return "up";
  return boot === undefined ? "off" : "lost";
}

/** The network card that DHCP has shown with one of these MAC addresses, whoever it belonged to then. */
export function cardShown({ machines, strangers }: State, macs: readonly Mac[]): string | undefined {
  for (const mac of macs) {
    const seen = Object.values(machines).find((machine) => machine.mac === mac) ?? strangers[mac];
    if (seen?.card !== undefined) return seen.card;
  }
  return undefined;
}

export function currentBoot(state: State, name: string): BootRecord | undefined {
  return state.machines[name]?.boots.at(-1);
}
