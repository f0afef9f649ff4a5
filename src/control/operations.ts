import { z } from "zod";
import type { Ipv4 } from "../machine/identifiers.ts";
import type { Machine } from "../machine/machine.ts";
import type { TimedEvent } from "../state/events.ts";
import type { State } from "../state/state.ts";
import type { Store } from "../state/store.ts";
import type { ConfigCalls } from "./config-operations.ts";
import type { EntryCalls } from "./entry-operations.ts";
import { ControlError } from "./errors.ts";
import type { IdentifyCalls } from "./identify-operations.ts";
import type { ImageCalls, ImageStreams, ImageUploads } from "./image-operations.ts";
import type { NetworkCalls } from "./network-operations.ts";
import { call, type Operations, stream } from "./operation.ts";
import type { PendingCalls } from "./pending-operations.ts";
import type { SystemCalls, SystemDownloads, SystemStreams } from "./system-operations.ts";
import type { UpdateCalls, UpdateStreams } from "./update-operations.ts";
import type { VolumeCalls, VolumeDownloads, VolumeStreams, VolumeUploads } from "./volume-operations.ts";

/** What the operations answer, for typed clients. Numbers without end (an infinite lease) are null in JSON. */
export interface Calls
  extends VolumeCalls,
    EntryCalls,
    ImageCalls,
    ConfigCalls,
    PendingCalls,
    SystemCalls,
    UpdateCalls,
    IdentifyCalls,
    NetworkCalls {
  /** Names of what this daemon does. */
  readonly operations: { readonly input: Readonly<Record<string, never>>; readonly output: readonly string[] };
  /** Whether the daemon still does what it is asked; for whoever watches over it. */
  readonly ping: { readonly input: Readonly<Record<string, never>>; readonly output: { readonly pid: number } };
  readonly status: { readonly input: Readonly<Record<string, never>>; readonly output: StatusReport };
  readonly "machine.list": { readonly input: Readonly<Record<string, never>>; readonly output: readonly Machine[] };
  readonly "machine.show": { readonly input: { readonly name: string }; readonly output: MachineReport };
}

export interface Streams extends VolumeStreams, ImageStreams, SystemStreams, UpdateStreams {
  readonly events: { readonly input: Readonly<Record<string, never>>; readonly output: TimedEvent };
}

/** What a client may ask for; an older daemon may not have it. */
export type OfferedOperation =
  | keyof Calls
  | keyof Streams
  | keyof VolumeUploads
  | keyof ImageUploads
  | keyof VolumeDownloads
  | keyof SystemDownloads;

export interface StatusReport {
  readonly version: string;
  readonly pid: number;
  /** The daemon's clock, to tell ages by. */
  readonly nowMs: number;
  readonly state: State;
  /** Addresses that the configuration reserves, by machine. */
  readonly reserved: Readonly<Record<string, Ipv4>>;
}

export interface MachineReport {
  readonly machine: Machine;
  readonly nowMs: number;
  readonly state: State;
}

export interface OperationsOptions {
  readonly store: Store;
  readonly version: string;
  /** Those of the configuration that runs. */
  readonly machines: () => readonly Machine[];
}

/** A follower that reads slower than events happen is let go after this many. */
export const MAX_EVENTS_BEHIND = 10_000;

const nothing = z.strictObject({});

/** The operations that need no more than state and configuration; the composition root adds its own. */
export function stateOperations({ store, version, machines }: OperationsOptions): Operations {
  return {
    ping: call(nothing, () => ({ pid: process.pid })),
    status: call(nothing, (): StatusReport => {
      const reserved = machines().flatMap(({ name, address }) => (address === undefined ? [] : [[name, address] as const]));
      return { version, pid: process.pid, nowMs: Date.now(), state: store.snapshot(), reserved: Object.fromEntries(reserved) };
    }),
    "machine.list": call(nothing, () => machines()),
    "machine.show": call(z.strictObject({ name: z.string() }), ({ name }): MachineReport => {
      const machine = machines().find((other) => other.name === name);
      if (machine === undefined)
        throw new ControlError("ERR_NOT_FOUND", `there is no machine ${name}; "rackboot machine list" names them all`);
      return { machine, nowMs: Date.now(), state: store.snapshot() };
    }),
    events: stream(nothing, (_, signal) => followEvents(store, signal)),
  };
}

/** All of them, and one more that names them: a client shows what there is. */
export function withNames(operations: Operations): Operations {
  const names = [...Object.keys(operations), "operations"].toSorted();
  return { ...operations, operations: call(nothing, () => names) };
}

/** Hears of everything from the moment of the call, not only from when somebody reads. */
function followEvents(store: Store, signal: AbortSignal): AsyncGenerator<TimedEvent> {
  const waiting: TimedEvent[] = [];
  let wake = (): void => undefined;
  let tooSlow = false;
  const unsubscribe = store.subscribe((event) => {
    if (waiting.length >= MAX_EVENTS_BEHIND) tooSlow = true;
    else waiting.push(event);
    wake();
  });
  const end = (): void => {
    unsubscribe();
    wake();
  };
  signal.addEventListener("abort", end, { once: true });

  async function* events(): AsyncGenerator<TimedEvent> {
    while (!signal.aborted) {
      const event = waiting.shift();
      if (event !== undefined) yield event;
      else if (tooSlow) throw new ControlError("ERR_TOO_SLOW", `more than ${MAX_EVENTS_BEHIND} events were waiting to be read`);
      else {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    }
  }
  return events();
}
