import { type Logger, pino } from "pino";
import pretty from "pino-pretty";
import { noLoaderWords } from "../machine/boot-words.ts";
import { formatDuration, formatSize } from "../machine/config-values.ts";
import type { EventType, StateEvent, TimedEvent } from "./events.ts";
import { faultOf } from "./faults.ts";
import type { Store } from "./store.ts";

export const LOG_LEVELS = ["trace", "debug", "info", "warn", "error", "fatal"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];
export type LogFormat = "text" | "json";

type EventOf<T extends EventType> = Extract<StateEvent, { type: T }>;

interface Line<E> {
  readonly level: LogLevel;
  /** One sentence for a person; the event's fields stand beside it for machines. */
  readonly sentence: (event: E) => string;
}

type Lines = { readonly [T in EventType]: Line<EventOf<T>> | undefined };

/** `machine uqbar (52:54:00:16:00:10)`, as far as it is known. */
function who(event: { readonly machine?: string; readonly mac?: string; readonly address?: string }): string {
  const hint = event.mac ?? event.address;
  if (event.machine !== undefined) return event.machine;
  return hint === undefined ? "somebody" : `stranger ${hint}`;
}

function count(things: readonly unknown[], name: string): string {
  return `${things.length} ${name}${things.length === 1 ? "" : "s"}`;
}

function size(bytes: number): string {
  for (const [unit, factor] of [
    ["GiB", 1024 ** 3],
    ["MiB", 1024 ** 2],
    ["KiB", 1024],
  ] as const) {
    if (bytes >= factor) return `${(bytes / factor).toFixed(1)} ${unit}`;
  }
  return `${bytes} octets`;
}

function lines(level: LogLevel): <E>(sentence: (event: E) => string) => Line<E> {
  return (sentence) => ({ level, sentence });
}

const debug = lines("debug");
const info = lines("info");
const warn = lines("warn");
const error = lines("error");

/** One row an event: how much it matters, and what a person is told. Undefined: nothing is. */
const LINES: Lines = {
  "dhcp.discovered": debug((event) => `${who(event)} asks for an address${event.firmware === undefined ? "" : ` (${event.firmware})`}`),
  "dhcp.offered": info((event) => `${who(event)} is offered ${event.address}${event.file === undefined ? "" : ` and ${event.file}`}`),
  "dhcp.acknowledged": info((event) => `${who(event)} has ${event.address}, lease ${formatDuration(event.leaseMs)}`),
  "dhcp.refused": warn((event) => `${who(event)} is refused an address: ${event.reason}`),
  "dhcp.ignored": debug((event) => `DHCP from ${who(event)} is ignored: ${event.reason}`),
  "dhcp.pending": info((event) => `${who(event)} is held until somebody adopts it: rackboot machine adopt ${event.mac} NAME`),
  "dhcp.released": info((event) => `${who(event)} gives ${event.address} back`),
  "dhcp.declined": warn((event) => `${who(event)} declines ${event.address}: somebody else uses it`),
  "dhcp.conflict": warn((event) => `${event.address} is in use by ${event.mac ?? "somebody"}, who was not given it`),
  "network.conflict": warn((event) => `${event.address}, the server's own address, is also that of ${event.mac}`),
  "network.conflictOver": info((event) => `${event.address} is the server's own alone again`),
  "dhcp.conflictOver": info((event) => `nobody uses ${event.address} any more`),
  "dhcp.rogue": warn(
    (event) => `another DHCP server is on this network: ${event.server}${event.mac === undefined ? "" : ` (${event.mac})`}`,
  ),
  "dhcp.rogueGone": info((event) => `the other DHCP server ${event.server} is not heard any more`),
  "transfer.started": debug(
    (event) => `${who(event)} reads ${event.path} over ${event.transport} (${event.role}, ${size(event.sizeBytes)})`,
  ),
  "transfer.progressed": undefined,
  "transfer.finished": info((event) => {
    return `${who(event)} has ${event.path} over ${event.transport} (${event.role}, ${size(event.sentBytes)} in ${(event.elapsedMs / 1000).toFixed(1)} s)`;
  }),
  "transfer.failed": warn((event) => `${who(event)} did not get ${event.path} over ${event.transport}: ${event.reason}`),
  "file.refused": debug((event) => `${who(event)} finds no ${event.path} over ${event.transport}: ${event.reason}`),
  "upload.finished": info(
    (event) => `${who(event)} wrote ${event.path} (${size(event.sizeBytes)} in ${(event.elapsedMs / 1000).toFixed(1)} s)`,
  ),
  "upload.failed": warn((event) => `${who(event)} did not write ${event.path}: ${event.reason}`),
  "iscsi.login": info(
    (event) =>
      `${event.machine ?? event.initiator} ${event.reinstated ? "logs in again" : "logs in"} to ${event.target} from ${event.peer}`,
  ),
  "iscsi.discovery": info((event) => `${event.machine ?? event.initiator} asks for its targets from ${event.peer}`),
  "iscsi.refused": warn((event) => {
    return `${event.machine ?? event.initiator ?? event.peer} may not log in${event.target === undefined ? "" : ` to ${event.target}`}: ${event.reason}`;
  }),
  "iscsi.slowed": warn((event) => `${event.peer} did not authenticate ${event.failures} times: it is refused late from now on`),
  "iscsi.firstRead": info((event) => `${event.machine ?? `connection ${event.connection}`} reads its disk`),
  "iscsi.closed": info((event) => `${event.machine ?? `connection ${event.connection}`} is disconnected: ${event.reason}`),
  "volume.opened": info((event) => `volume ${event.volume} is open (${formatSize(event.sizeBytes)})`),
  "volume.failed": error((event) => `volume ${event.volume} is offline: ${event.reason}`),
  "volume.full": error((event) => `volume ${event.volume} cannot grow: no space left where it is stored`),
  "volume.eased": info((event) => `volume ${event.volume} has room to grow again; it was refused ${event.refusals} times`),
  "volume.shared": debug((event) => {
    return `volume ${event.volume} has ${size(event.sharedBytes)} in common with its origin (${Math.round(event.elapsedMs)} ms)`;
  }),
  "volume.made": info((event) => {
    const origin = event.origin === undefined ? "" : ` of ${event.origin}`;
    return `volume ${event.volume} is ${event.how}${origin} (${formatSize(event.sizeBytes)}, ${Math.round(event.elapsedMs)} ms)`;
  }),
  "volume.snapshot": info(
    (event) => `snapshot ${event.volume}@${event.snapshot} is taken; its disk waited ${Math.round(event.pauseMs)} ms`,
  ),
  "volume.rolledBack": info((event) => `volume ${event.volume} is as it was at ${event.snapshot}`),
  "volume.renewed": info((event) => `volume ${event.volume} is a fresh clone of ${event.origin} (${Math.round(event.elapsedMs)} ms)`),
  "volume.resized": info((event) => `volume ${event.volume} has ${formatSize(event.sizeBytes)} now`),
  "volume.renamed": info((event) => `volume ${event.volume} is called ${event.to} now`),
  "volume.deleted": info((event) => {
    return event.snapshot === undefined ? `volume ${event.volume} is deleted` : `snapshot ${event.volume}@${event.snapshot} is deleted`;
  }),
  "image.imported": info((event) => `image ${event.image} is imported: ${event.system} (${size(event.sizeBytes)})`),
  "image.deleted": info((event) => `image ${event.image} is deleted`),
  "pool.measured": debug((event) => {
    return `the pool ${event.path} (${event.fileSystem}${event.reflink ? "" : ", no reflink: clones are full copies"}) has ${size(event.freeBytes)} free of ${size(event.sizeBytes)}`;
  }),
  "pool.filling": warn((event) => `the pool is ${event.percent} % full, ${size(event.freeBytes)} are free: delete what nobody needs`),
  "pool.eased": info((event) => `the pool is ${event.percent} % full, ${size(event.freeBytes)} are free`),
  "pool.unknown": warn((event) => `the pool cannot be measured: ${event.reason}`),
  "peer.malformed": warn((event) => `${event.peer} sends ${event.service} that makes no sense: ${event.reason}`),
  "boot.began": info((event) => `${event.machine} boots${event.firmware === undefined ? "" : ` (${event.firmware})`}`),
  "boot.reached": debug((event) => `${event.machine} has reached ${event.stage}`),
  "boot.abandoned": warn((event) => `${event.machine} gave up its boot at ${event.stage}: ${event.reason}`),
  "boot.entry": info((event) => {
    const why = { disk: "", "next-entry": ", which its disk wants this time only", chosen: ", which was chosen here" };
    return `${event.machine} is given ${event.entry}${why[event.because]}`;
  }),
  "boot.fellBack": warn((event) => `${event.machine} falls back to ${event.entry}: ${event.failed} did not come up`),
  "boot.installing": info((event) => `${event.machine} is handed the installer of ${event.system} (image ${event.image})`),
  "boot.installed": info((event) => `${event.machine} is installed from image ${event.image}; it boots its disk from now on`),
  "boot.installFailed": warn((event) => `${event.machine} did not install image ${event.image}: ${event.reason}`),
  "boot.noLoader": warn((event) => `${event.machine} cannot boot: ${noLoaderWords(event.firmware)}`),
  "boot.nothing": warn((event) => `${event.machine} has nothing to boot: ${event.reason}`),
  "config.loaded": info((event) => `configuration ${event.file}: ${count(event.machines, "machine")}, ${count(event.volumes, "volume")}`),
  "config.rejected": error((event) => `configuration ${event.file} is refused, the one before it stays: ${event.problems.join("; ")}`),
  "service.started": info((event) => `${event.service}: ${event.detail}`),
  "service.failed": error((event) => `${event.service} does not run: ${event.reason}`),
  "service.slipped": error((event) => `${event.service}: ${event.reason}`),
  "health.measured": debug((event) => {
    const { temperatureC, disk } = event;
    const parts = [
      temperatureC === undefined ? undefined : `${temperatureC} °C`,
      disk === undefined ? undefined : `data disk ${disk.device}`,
    ];
    return `the board: ${parts.filter((part) => part !== undefined).join(", ") || "nothing to measure"}`;
  }),
  "health.unknown": info((event) => `not all of the board's health can be known: ${event.reason}`),
  "alarm.raised": warn((event) => `${event.alarm}: ${event.reason}. Next: ${event.next}`),
  "alarm.eased": info((event) => `${event.alarm}: all right again`),
  "identify.started": info((event) => `all lamps blink for ${formatDuration(event.forMs)}: here I am`),
  "identify.ended": info(() => "the lamps show again how things are"),
  "panel.pressed": info((event) => `the button was pressed: ${event.action}`),
  "panel.missing": warn((event) => `the front panel lacks ${event.part}: ${event.reason}`),
  "link.up": info((event) => `${event.interface} has a link${event.speedMbps === undefined ? "" : ` of ${event.speedMbps} Mbit/s`}`),
  "link.down": warn((event) => `${event.interface} has no link: ${event.reason}`),
  "fault.raised": error((event) => {
    const { number, words } = faultOf(event.fault);
    return `fault ${number}: ${words}: ${event.reason}. Next: ${event.next}`;
  }),
  "fault.cleared": info((event) => `fault ${faultOf(event.fault).number} is mended: ${event.fault}`),
  "clock.jumped": info(
    (event) => `the time of day was set ${event.byMs < 0 ? "back" : "forward"} by ${formatDuration(Math.abs(event.byMs))}`,
  ),
  "daemon.ready": info(() => "ready"),
  "daemon.stopping": info((event) => `stopping: ${event.reason}`),
};

/** A boot that is up is the one stage that everybody waits for. */
function levelOf(event: StateEvent, line: Line<never>): LogLevel {
  return event.type === "boot.reached" && event.stage === "up" ? "info" : line.level;
}

/** What is logged of an event; undefined for what is not. */
export function lineOf(event: StateEvent): { readonly level: LogLevel; readonly sentence: string } | undefined {
  const line = LINES[event.type] as Line<never> | undefined;
  return line === undefined ? undefined : { level: levelOf(event, line), sentence: line.sentence(event as never) };
}

export interface LogOptions {
  readonly format: LogFormat;
  readonly level: LogLevel;
  readonly destination: NodeJS.WritableStream;
  readonly colour?: boolean;
}

/** Lines for people, or one JSON object a line with the event's fields. */
export function createLogger(options: LogOptions): Logger {
  const base = { level: options.level, base: null, timestamp: pino.stdTimeFunctions.isoTime };
  // A full disk or a reader that left ends the log, not the daemon.
  options.destination.on("error", () => undefined);
  if (options.format === "json") return pino({ ...base, formatters: { level: (label) => ({ level: label }) } }, options.destination);
  const stream = pretty({
    destination: options.destination,
    colorize: options.colour ?? false,
    translateTime: "SYS:yyyy-mm-dd HH:MM:ss",
    // The sentence says it all; the fields are for machines.
    hideObject: true,
    sync: true,
  });
  return pino(base, stream);
}

/** A rack that is switched on makes some hundred lines of a kind in some seconds; a peer that floods makes no more. */
export const MAX_LINES_OF_A_TYPE = 200;
export const LINES_WINDOW_MS = 10_000;

/** Bounds what peers can write into the log. Counters miss nothing. */
class LineLimit {
  readonly #windows = new Map<EventType, { startMs: number; lines: number; leftOut: number }>();

  /** Whether the event is logged, and how many of its type were not since the last that was. */
  admit({ type, atMs }: TimedEvent): { readonly admitted: boolean; readonly leftOut: number } {
    const before = this.#windows.get(type);
    // The time of day may be set back: then a new window begins, instead of silence until it is as late again.
    if (before === undefined || Math.abs(atMs - before.startMs) >= LINES_WINDOW_MS) {
      this.#windows.set(type, { startMs: atMs, lines: 1, leftOut: 0 });
      return { admitted: true, leftOut: before?.leftOut ?? 0 };
    }
    const admitted = before.lines < MAX_LINES_OF_A_TYPE;
    if (admitted) before.lines++;
    else before.leftOut++;
    return { admitted, leftOut: 0 };
  }
}

/** Logs every event of a store. Returns the way out. */
export function logEvents(store: Store, logger: Logger): () => void {
  const limit = new LineLimit();
  return store.subscribe((event: TimedEvent) => {
    const known = LINES[event.type] as Line<never> | undefined;
    if (known === undefined || !logger.isLevelEnabled(levelOf(event, known))) return;
    const { admitted, leftOut } = limit.admit(event);
    if (leftOut > 0) logger.warn({ event: event.type, leftOut }, `${leftOut} more lines about ${event.type} were left out`);
    const line = admitted ? lineOf(event) : undefined;
    if (line === undefined) return;
    const { atMs: _, type, ...fields } = event;
    logger[line.level]({ event: type, ...fields }, line.sentence);
  });
}

export type { Logger } from "pino";
