import { noLoaderWords } from "../machine/boot-words.ts";
import type { Ipv4, MachineName } from "../machine/identifiers.ts";
import type { Identity, TimedEvent } from "./events.ts";
import {
  type BootRecord,
  MAX_BOOT_NOTES,
  MAX_BOOTS_KEPT,
  MAX_REASON_CHARACTERS,
  MAX_REASONS_OF_A_TYPE,
  MAX_SESSIONS,
  MAX_STRANGERS,
  MAX_TRANSFERS,
  type MachineState,
  type PoolState,
  STRANGER_EVERY_MS,
  type State,
} from "./state.ts";

/** What the state is after an event. Pure: the same events make the same state, on every machine and in every test. */
export function reduce(state: State, event: TimedEvent): State {
  return change(count(state, event), event);
}

function change(state: State, event: TimedEvent): State {
  switch (event.type) {
    case "dhcp.discovered":
    case "dhcp.refused":
    case "dhcp.pending":
    case "dhcp.ignored":
      return seen(state, event);
    case "dhcp.offered":
    case "dhcp.acknowledged":
      // A proxy offers none.
      return event.address === "0.0.0.0" ? seen(state, event) : livesAt(seen(state, event), event);
    case "transfer.started":
    case "transfer.progressed":
    case "transfer.finished":
    case "transfer.failed":
      return changeTransfer(state, event);
    case "iscsi.login":
    case "iscsi.firstRead":
    case "iscsi.closed":
      return changeSession(state, event);
    case "volume.opened":
      return { ...state, volumes: { ...state.volumes, [event.volume]: { sizeBytes: event.sizeBytes } } };
    case "volume.failed":
      return alarm(state, event.volume, "failed", event.reason, event.atMs);
    case "volume.full":
      return alarm(state, event.volume, "full", "no space left where the volume is stored", event.atMs);
    case "volume.eased":
      return eased(state, event.volume);
    case "volume.resized":
      return own(state.volumes, event.volume) === undefined
        ? state
        : { ...state, volumes: { ...state.volumes, [event.volume]: { ...state.volumes[event.volume], sizeBytes: event.sizeBytes } } };
    case "pool.measured":
    case "pool.filling":
    case "pool.eased":
      return { ...state, ...changePool(state.pool, event) };
    case "boot.began":
    case "boot.reached":
    case "boot.abandoned":
    case "boot.entry":
    case "boot.fellBack":
    case "boot.noLoader":
    case "boot.nothing":
    case "boot.installing":
    case "boot.installed":
    case "boot.installFailed":
      return changeBoot(state, event);
    case "config.loaded":
      return {
        ...state,
        daemon: { phase: state.daemon.phase, sinceMs: state.daemon.sinceMs, config: { file: event.file, loadedAtMs: event.atMs } },
        machines: Object.fromEntries(event.machines.map((name) => [name, own(state.machines, name) ?? { boots: [] }])),
        volumes: Object.fromEntries(event.volumes.map((name) => [name, own(state.volumes, name) ?? {}])),
        strangers: without(state.strangers, event.macs ?? []),
      };
    case "config.rejected":
      return { ...state, daemon: { ...state.daemon, rejected: { file: event.file, problems: event.problems, atMs: event.atMs } } };
    case "service.started":
      return { ...state, services: { ...state.services, [event.service]: { status: "up", detail: event.detail, sinceMs: event.atMs } } };
    case "service.failed":
      return {
        ...state,
        services: { ...state.services, [event.service]: { status: "failed", detail: event.reason, sinceMs: event.atMs } },
      };
    case "health.measured": {
      const { type: _type, atMs: _atMs, ...health } = event;
      return { ...state, health };
    }
    case "alarm.raised": {
      const { alarm: name, reason, next, atMs } = event;
      return { ...state, alarms: { ...state.alarms, [name]: { reason, next, sinceMs: state.alarms[name]?.sinceMs ?? atMs } } };
    }
    case "alarm.eased": {
      const { [event.alarm]: _eased, ...alarms } = state.alarms;
      return { ...state, alarms };
    }
    case "identify.started":
      return { ...state, identify: { sinceMs: event.atMs } };
    case "identify.ended": {
      const { identify: _over, ...rest } = state;
      return rest;
    }
    case "link.up": {
      const { interface: name, speedMbps } = event;
      return { ...state, link: { interface: name, up: true, sinceMs: event.atMs, ...(speedMbps !== undefined && { speedMbps }) } };
    }
    case "link.down":
      return { ...state, link: { interface: event.interface, up: false, sinceMs: event.atMs } };
    case "fault.raised": {
      const sinceMs = state.faults[event.fault]?.sinceMs ?? event.atMs;
      return { ...state, faults: { ...state.faults, [event.fault]: { reason: event.reason, next: event.next, sinceMs } } };
    }
    case "fault.cleared": {
      const { [event.fault]: _mended, ...faults } = state.faults;
      return { ...state, faults };
    }
    case "daemon.ready":
      return { ...state, daemon: { ...state.daemon, phase: "ready", sinceMs: event.atMs } };
    case "daemon.stopping":
      return { ...state, daemon: { ...state.daemon, phase: "stopping", sinceMs: event.atMs } };
    case "volume.shared":
    case "volume.made":
    case "volume.snapshot":
    case "volume.rolledBack":
    case "volume.renewed":
    case "volume.renamed":
    case "volume.deleted":
    case "image.imported":
    case "image.deleted":
    case "pool.unknown":
    case "dhcp.released":
    case "dhcp.declined":
    case "dhcp.conflict":
    case "dhcp.conflictOver":
    case "dhcp.rogue":
    case "dhcp.rogueGone":
    case "network.conflict":
    case "network.conflictOver":
    case "file.refused":
    case "upload.finished":
    case "upload.failed":
    case "iscsi.discovery":
    case "iscsi.refused":
    case "iscsi.slowed":
    case "peer.malformed":
    case "service.slipped":
    case "panel.pressed":
    case "panel.missing":
    case "clock.jumped":
    case "health.unknown":
      return state;
  }
}

/** Names are people's to choose, and a plain object answers to `constructor` as well. */
function own<T>(record: Readonly<Record<string, T>>, key: string): T | undefined {
  return Object.hasOwn(record, key) ? record[key] : undefined;
}

/** Puts what an earlier run of the daemon learned under the machines of this one. Boots are oldest first. */
export function withHistory(state: State, boots: readonly BootRecord[]): State {
  const machines: Record<string, MachineState> = { ...state.machines };
  for (const boot of boots) {
    const machine = own(machines, boot.machine) ?? { boots: [] };
    machines[boot.machine] = { ...machine, boots: [...machine.boots, boot].slice(-MAX_BOOTS_KEPT) };
  }
  return { ...state, machines };
}

/** `text` bounded, so that what peers send can be a key. */
export function boundedReason(text: string): string {
  return text.length > MAX_REASON_CHARACTERS ? `${text.slice(0, MAX_REASON_CHARACTERS - 3)}...` : text;
}

function count(state: State, event: TimedEvent): State {
  if (event.type === "transfer.progressed") return state;
  const counters: Record<string, number> = { ...state.counters };
  const add = (key: string): void => {
    counters[key] = (counters[key] ?? 0) + 1;
  };
  add(event.type);
  if ("reason" in event) {
    const prefix = `${event.type}: `;
    const key = prefix + boundedReason(event.reason);
    const known = key in counters || Object.keys(counters).filter((other) => other.startsWith(prefix)).length < MAX_REASONS_OF_A_TYPE;
    add(known ? key : `${prefix}other`);
  }
  return { ...state, counters };
}

type DhcpEvent = Extract<
  TimedEvent,
  { type: "dhcp.discovered" | "dhcp.offered" | "dhcp.acknowledged" | "dhcp.refused" | "dhcp.pending" | "dhcp.ignored" }
>;

const TOLD: Readonly<Record<DhcpEvent["type"], string>> = {
  "dhcp.discovered": "nothing",
  "dhcp.offered": "an offer",
  "dhcp.acknowledged": "a lease",
  "dhcp.refused": "no",
  "dhcp.pending": "nothing until it is adopted",
  "dhcp.ignored": "nothing",
};

function seen(state: State, event: DhcpEvent): State {
  const { mac } = event;
  if (mac === undefined) return state;
  if ("machine" in event && event.machine !== undefined) {
    const said = event.type === "dhcp.discovered" ? event.card : undefined;
    return updateMachine(state, event.machine, ({ card: before, ...machine }) => {
      const card = said ?? (machine.mac === mac ? before : undefined);
      return { ...machine, mac, ...(card !== undefined && { card }), lastSeenAtMs: event.atMs };
    });
  }
  if (tooFast(state, mac, event.atMs)) return state;
  const { [mac]: before, ...others } = state.strangers;
  const told = event.type === "dhcp.discovered" ? (before?.told ?? TOLD[event.type]) : "reason" in event ? event.reason : TOLD[event.type];
  const now = {
    ...identityOf(before),
    ...identityOf(event.type === "dhcp.discovered" || event.type === "dhcp.pending" ? event : undefined),
    firstSeenAtMs: before?.firstSeenAtMs ?? event.atMs,
    lastSeenAtMs: event.atMs,
    told: boundedReason(told),
    ...((event.type === "dhcp.pending" || (event.type === "dhcp.discovered" && before?.pending)) && { pending: true as const }),
  };
  // The one that was seen longest ago goes first: entries are in the order in which they were seen.
  return { ...state, strangers: { ...newest(others, MAX_STRANGERS - 1), [mac]: now } };
}

/** Once there are as many as are kept, a new one is let in now and then: in a flood of invented addresses, which the list is no help against. */
function tooFast({ strangers }: State, mac: string, atMs: number): boolean {
  if (mac in strangers) return false;
  // The time of day may be set back.
  return Math.abs(atMs - newestIfFull(strangers)) < STRANGER_EVERY_MS;
}

/** When the newest one of a full list was let in. Remembered for each list, since a flood asks with every packet. */
const NEWEST = new WeakMap<State["strangers"], number>();

function newestIfFull(strangers: State["strangers"]): number {
  const known = NEWEST.get(strangers);
  if (known !== undefined) return known;
  const all = Object.values(strangers).map(({ firstSeenAtMs }) => firstSeenAtMs);
  const newest = all.length < MAX_STRANGERS ? Number.NEGATIVE_INFINITY : Math.max(...all);
  NEWEST.set(strangers, newest);
  return newest;
}

function identityOf({ firmware, vendorClass, architecture, uuid, card }: Identity = {}): Identity {
  return {
    ...(firmware !== undefined && { firmware }),
    // It ends up on terminals.
    ...(vendorClass !== undefined && { vendorClass: boundedReason(vendorClass.replace(/[^\x20-\x7e]/g, "?")) }),
    ...(architecture !== undefined && { architecture }),
    ...(uuid !== undefined && { uuid }),
    ...(card !== undefined && { card }),
  };
}

function without<T>(entries: Readonly<Record<string, T>>, keys: readonly string[]): Readonly<Record<string, T>> {
  const gone = new Set(keys);
  return Object.fromEntries(Object.entries(entries).filter(([key]) => !gone.has(key)));
}

/** The last `limit` entries. Keys that are numbers sort by value, which for ours is the order they were made in. */
function newest<T>(entries: Readonly<Record<string, T>>, limit: number): Readonly<Record<string, T>> {
  const keys = Object.keys(entries);
  return keys.length <= limit ? entries : Object.fromEntries(Object.entries(entries).slice(-limit));
}

function updateMachine(state: State, name: MachineName | undefined, update: (machine: MachineState) => MachineState): State {
  const machine = name === undefined ? undefined : own(state.machines, name);
  if (name === undefined || machine === undefined) return state;
  return { ...state, machines: { ...state.machines, [name]: update(machine) } };
}

function livesAt(state: State, { machine: name, address }: { readonly machine?: MachineName; readonly address: Ipv4 }): State {
  return updateMachine(state, name, (machine) => ({ ...machine, address }));
}

type TransferEvent = Extract<TimedEvent, { type: "transfer.started" | "transfer.progressed" | "transfer.finished" | "transfer.failed" }>;

function changeTransfer(state: State, event: TransferEvent): State {
  const { [event.transfer]: before, ...others } = state.transfers;
  if (event.type === "transfer.started") {
    const { type: _type, transfer, atMs, ...what } = event;
    const transfers = { ...newest(others, MAX_TRANSFERS - 1), [transfer]: { ...what, sentBytes: 0, startedAtMs: atMs } };
    return livesAt(
      updateMachine({ ...state, transfers }, event.machine, (machine) => ({ ...machine, lastSeenAtMs: atMs })),
      event,
    );
  }
  if (before === undefined) return state;
  if (event.type !== "transfer.progressed") return { ...state, transfers: others };
  return { ...state, transfers: { ...state.transfers, [event.transfer]: { ...before, sentBytes: event.sentBytes } } };
}

type SessionEvent = Extract<TimedEvent, { type: "iscsi.login" | "iscsi.firstRead" | "iscsi.closed" }>;

function changeSession(state: State, event: SessionEvent): State {
  const { [event.connection]: before, ...others } = state.sessions;
  if (event.type === "iscsi.login") {
    const { machine, initiator, target, peer } = event;
    const session = { ...(machine !== undefined && { machine }), initiator, target, peer, sinceMs: event.atMs, hasRead: false };
    const sessions = { ...newest(others, MAX_SESSIONS - 1), [event.connection]: session };
    return updateMachine({ ...state, sessions }, machine, (known) => ({ ...known, lastSeenAtMs: event.atMs }));
  }
  if (before === undefined) return state;
  if (event.type === "iscsi.closed") return { ...state, sessions: others };
  return { ...state, sessions: { ...state.sessions, [event.connection]: { ...before, hasRead: true } } };
}

function alarm(state: State, volume: string, kind: "failed" | "full", reason: string, atMs: number): State {
  const before = own(state.volumes, volume) ?? {};
  // A volume that is offline has no room either: the graver alarm stands.
  if (before.alarm?.kind === "failed") return state;
  const sinceMs = before.alarm?.kind === kind ? before.alarm.sinceMs : atMs;
  return { ...state, volumes: { ...state.volumes, [volume]: { ...before, alarm: { kind, reason, sinceMs } } } };
}

function eased(state: State, volume: string): State {
  const before = own(state.volumes, volume);
  if (before?.alarm?.kind !== "full") return state;
  const { alarm: _, ...well } = before;
  return { ...state, volumes: { ...state.volumes, [volume]: well } };
}

type PoolEvent = Extract<TimedEvent, { type: "pool.measured" | "pool.filling" | "pool.eased" }>;

function changePool(before: PoolState | undefined, event: PoolEvent): { readonly pool?: PoolState } {
  if (event.type === "pool.measured") {
    const { type: _type, atMs: _atMs, ...report } = event;
    return { pool: { ...report, ...(before?.alarm !== undefined && { alarm: before.alarm }) } };
  }
  if (before === undefined) return {};
  const { alarm, ...pool } = before;
  if (event.type === "pool.eased") return { pool };
  return { pool: { ...pool, alarm: { percent: event.percent, sinceMs: alarm?.sinceMs ?? event.atMs } } };
}

type BootEvent = Extract<TimedEvent, { type: `boot.${string}` }>;

function changeBoot(state: State, event: BootEvent): State {
  return updateMachine(state, event.machine, (machine) => {
    if (event.type === "boot.began") {
      const { boot: number, firmware } = event;
      const who = { number, machine: event.machine, ...(firmware !== undefined && { firmware }) };
      const began: BootRecord = { ...who, beganAtMs: event.atMs, outcome: "booting", stages: {}, notes: [] };
      return { ...machine, boots: [...machine.boots, began].slice(-MAX_BOOTS_KEPT) };
    }
    return { ...machine, boots: machine.boots.map((boot) => (boot.number === event.boot ? changeRecord(boot, event) : boot)) };
  });
}

function changeRecord(boot: BootRecord, event: Exclude<BootEvent, { type: "boot.began" }>): BootRecord {
  switch (event.type) {
    case "boot.abandoned":
      return { ...boot, outcome: "abandoned", reason: event.reason };
    case "boot.reached": {
      const stages = { ...boot.stages, [event.stage]: boot.stages[event.stage] ?? event.atMs };
      return { ...boot, stages, outcome: event.stage === "up" ? "up" : boot.outcome };
    }
    case "boot.entry":
      return noted(boot, `${event.entry}${WHY[event.because]}`);
    case "boot.fellBack":
      return noted(boot, `fell back to ${event.entry}: ${event.failed} did not come up`);
    case "boot.noLoader":
      return noted(boot, noLoaderWords(event.firmware));
    case "boot.nothing":
      return noted(boot, event.reason);
    case "boot.installing":
      return noted(boot, `installs ${event.system} from image ${event.image}`);
    case "boot.installed":
      return noted(boot, `installed: it boots its disk from now on`);
    case "boot.installFailed":
      return noted(boot, `was not installed: ${event.reason}`);
  }
}

const WHY: Readonly<Record<Extract<BootEvent, { type: "boot.entry" }>["because"], string>> = {
  disk: "",
  "next-entry": ", which the disk wants this time only",
  chosen: ", which was chosen here",
};

function noted(boot: BootRecord, note: string): BootRecord {
  return boot.notes.includes(note) ? boot : { ...boot, notes: [...boot.notes, note].slice(-MAX_BOOT_NOTES) };
}
