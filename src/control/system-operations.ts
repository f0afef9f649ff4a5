import { Readable } from "node:stream";
import { z } from "zod";
import { MAX_PASSWORD_CHARACTERS, MIN_PASSWORD_CHARACTERS } from "../machine/config.ts";
import type { CopyProgress } from "../machine/volume.ts";
import { ControlError } from "./errors.ts";
import { call, download, type Operations, stream } from "./operation.ts";
import type { Work } from "./volume-operations.ts";
import { workAsStream } from "./work.ts";

/** A whole disk of the board. Sizes are octets. */
export interface SystemDisk {
  /** Of the kernel, such as `sda`: good until the next start. */
  readonly name: string;
  readonly sizeBytes: number;
  /** What the disk or its bridge says of itself; empty where it says nothing. */
  readonly model: string;
  readonly serial: string;
  readonly usb: boolean;
  readonly readOnly: boolean;
  /** `card`: what the board runs from. `data`: in use for volumes. `other`: has something on it. `empty`: has no label and no partition. */
  readonly role: "card" | "data" | "other" | "empty";
  /** Of the file system on the whole disk, and of those on its partitions. */
  readonly contents: readonly { readonly type: string; readonly label: string }[];
  /** What a person types to have it formatted: its serial number, or its name where it has none. */
  readonly confirmation: string;
}

/** A file that somebody brought on a USB stick. */
export interface StickFile {
  /** Where the daemon reads it. */
  readonly path: string;
  /** On the stick. */
  readonly name: string;
  /** The stick's label, or the kernel's name of it. */
  readonly stick: string;
  readonly sizeBytes: number;
}

export interface SystemTime {
  readonly nowMs: number;
  /** `unset`: since power-on nobody has told. `person`: set by hand. `ntp`: follows a time server. `clock`: the board has one of its own. */
  readonly source: "unset" | "person" | "ntp" | "clock";
  readonly servers: readonly string[];
}

/** What to change of the time: set it, follow these servers (none: follow nobody), or both. */
export interface TimeChange {
  readonly nowMs?: number;
  readonly servers?: readonly string[];
}

interface WorkOptions {
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: CopyProgress) => void;
}

/**
 * The operating system under the daemon, where the daemon is an appliance. What cannot be done throws an error whose
 * `code` is ERR_SYSTEM and whose message is for a person.
 */
export interface System {
  disks(): Promise<readonly SystemDisk[]>;
  /**
   * Makes `disk` the data disk: an empty XFS with reflink, labelled RACKBOOT. Never the card, never a mounted disk, and not
   * without its `confirmation`. It is mounted, and the service begins anew on it, within seconds after the answer.
   */
  format(disk: string, confirmation: string, options: WorkOptions): Promise<SystemDisk>;
  /** Files on USB sticks whose names end so. The sticks are mounted read-only for it. */
  stickFiles(ending: string): Promise<readonly StickFile[]>;
  time(): Promise<SystemTime>;
  setTime(change: TimeChange): Promise<SystemTime>;
  hasPassword(): boolean;
  /** `current` is asked for where there is one. */
  setPassword(password: string, current: string | undefined): Promise<void>;
  /** Takes some tenths of a second, right or wrong; one at a time. */
  checkPassword(password: string): Promise<boolean>;
  /** Each asks init and returns; machines are asked to log out, disks are flushed, then it happens. */
  reboot(): Promise<void>;
  shutdown(): Promise<void>;
  /** The daemon alone, by its supervisor. */
  restart(): Promise<void>;
  /** A gzipped tar for whoever helps: configuration without secrets, state, log, kernel messages. */
  report(): Promise<Uint8Array>;
  /** The board's log, the oldest line first: that of this start from memory, earlier ones from the data disk. */
  logs(lines: number): Promise<readonly string[]>;
  /** `work` may write to the card's first partition, which is read-only otherwise. */
  whileCardWritable<T>(work: () => T): T;
}

const MAX_TIME_SERVERS = 4;
export const MAX_LOG_LINES = 10_000;
/** The year 9999. */
const MAX_TIME_MS = 253_402_300_799_999;

const text = z.string().min(1).max(256);
const password = z.string().max(MAX_PASSWORD_CHARACTERS, { error: `at most ${MAX_PASSWORD_CHARACTERS} characters` });
// A host name or an address; no option of a program begins like that.
const server = z
  .string()
  .max(253)
  .regex(/^[A-Za-z0-9][A-Za-z0-9.:-]*$/, { error: "a host name or an address" });

const inputs = {
  nothing: z.strictObject({}),
  format: z.strictObject({ disk: text, confirmation: text }),
  sticks: z.strictObject({ ending: z.string().regex(/^\.[a-z0-9.]{1,15}$/, { error: "the end of a file's name, such as .iso" }) }),
  time: z.strictObject({
    nowMs: z.int().min(0).max(MAX_TIME_MS).exactOptional(),
    servers: z.array(server).max(MAX_TIME_SERVERS).exactOptional(),
  }),
  passwordSet: z.strictObject({
    password: password.min(MIN_PASSWORD_CHARACTERS, { error: `at least ${MIN_PASSWORD_CHARACTERS} characters` }),
    current: password.exactOptional(),
  }),
  passwordCheck: z.strictObject({ password }),
  logs: z.strictObject({ lines: z.int().min(1).max(MAX_LOG_LINES) }),
};

interface Call<I, O> {
  readonly input: I;
  readonly output: O;
}
type Nothing = Readonly<Record<string, never>>;
type Done = { readonly done: true };

/** For typed clients. */
export interface SystemCalls {
  readonly "system.disks": Call<Nothing, readonly SystemDisk[]>;
  /** `ending` of the files' names, such as `.iso`. */
  readonly "system.sticks": Call<{ readonly ending: string }, readonly StickFile[]>;
  readonly "system.time": Call<Nothing, SystemTime>;
  readonly "system.time.set": Call<TimeChange, SystemTime>;
  readonly "system.password": Call<Nothing, { readonly isSet: boolean }>;
  readonly "system.password.set": Call<{ readonly password: string; readonly current?: string }, Done>;
  readonly "system.password.check": Call<{ readonly password: string }, { readonly right: boolean }>;
  readonly "system.reboot": Call<Nothing, Done>;
  readonly "system.shutdown": Call<Nothing, Done>;
  readonly "system.restart": Call<Nothing, Done>;
  readonly "system.logs": Call<{ readonly lines: number }, readonly string[]>;
}

export interface SystemStreams {
  readonly "system.format": Call<{ readonly disk: string; readonly confirmation: string }, Work<SystemDisk>>;
}

export interface SystemDownloads {
  readonly "system.report": { readonly input: Nothing };
}

/** The operations about the board. Without a `system` they are there, and say that this is no appliance. */
export function systemOperations(system: System | undefined): Operations {
  const done = (work: (system: System) => Promise<void>) => () =>
    told(system, async (board): Promise<Done> => {
      await work(board);
      return { done: true };
    });
  return {
    "system.disks": call(inputs.nothing, () => told(system, (board) => board.disks())),
    "system.format": stream(inputs.format, ({ disk, confirmation }, signal) =>
      workAsStream(signal, (options) => told(system, (board) => board.format(disk, confirmation, options))),
    ),
    "system.sticks": call(inputs.sticks, ({ ending }) => told(system, (board) => board.stickFiles(ending))),
    "system.time": call(inputs.nothing, () => told(system, (board) => board.time())),
    "system.time.set": call(inputs.time, (change) => told(system, (board) => board.setTime(change))),
    "system.password": call(inputs.nothing, () => told(system, async (board) => ({ isSet: board.hasPassword() }))),
    "system.password.set": call(inputs.passwordSet, (input) => done((board) => board.setPassword(input.password, input.current))()),
    "system.password.check": call(inputs.passwordCheck, (input) =>
      told(system, async (board) => ({ right: await board.checkPassword(input.password) })),
    ),
    "system.reboot": call(
      inputs.nothing,
      done((board) => board.reboot()),
    ),
    "system.shutdown": call(
      inputs.nothing,
      done((board) => board.shutdown()),
    ),
    "system.restart": call(
      inputs.nothing,
      done((board) => board.restart()),
    ),
    "system.logs": call(inputs.logs, ({ lines }) => told(system, (board) => board.logs(lines))),
    "system.report": download(inputs.nothing, async (_, __, send) => {
      const octets = await told(system, (board) => board.report());
      await send(Readable.from([octets]), octets.length);
    }),
  };
}

/** A refusal is the caller's to hear; everything else is a bug of ours. */
async function told<T>(system: System | undefined, work: (system: System) => Promise<T>): Promise<T> {
  if (system === undefined) {
    throw new ControlError("ERR_REFUSED", "this is not the appliance: the daemon runs on a machine of yours, which it leaves alone");
  }
  try {
    return await work(system);
  } catch (cause) {
    if ((cause as { readonly code?: unknown }).code !== "ERR_SYSTEM") throw cause;
    throw new ControlError("ERR_REFUSED", (cause as Error).message, { cause });
  }
}
