import type { Readable } from "node:stream";
import { z } from "zod";
import type { VolumeName } from "../machine/identifiers.ts";
import type { CopyProgress, PoolReport, VolumeReport, VolumeSettings } from "../machine/volume.ts";
import { ControlError } from "./errors.ts";
import { call, download, type Operations, stream, upload } from "./operation.ts";
import { workAsStream } from "./work.ts";

interface CopyOptions {
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: CopyProgress) => void;
}

/** What is done, by whoever has the disks. All of it throws errors whose `code` is ERR_VOLUME or ERR_IDENTIFIER. */
export interface VolumeWork {
  pool(): PoolReport;
  list(): Promise<readonly VolumeReport[]>;
  show(name: string): Promise<VolumeReport>;
  create(name: string, sizeBytes: number, settings: Partial<VolumeSettings>): Promise<VolumeReport>;
  clone(origin: string, name: string, options: CopyOptions & NewVolume): Promise<VolumeReport>;
  snapshot(name: string, snapshot: string | undefined, options: CopyOptions & { readonly force?: boolean }): Promise<SnapshotTaken>;
  rollback(reference: string, options: CopyOptions & { readonly force?: boolean }): Promise<VolumeReport>;
  resize(name: string, sizeBytes: number): Promise<VolumeReport>;
  rename(name: string, to: string): Promise<VolumeReport>;
  delete(reference: string, options: { readonly force?: boolean }): Promise<void>;
}

export interface VolumeTransferWork {
  importFile(path: string, name: string, options: CopyOptions & NewVolume & { readonly format?: string }): Promise<VolumeReport>;
  importStream(stream: AsyncIterable<Uint8Array>, name: string, options: CopyOptions & NewVolume): Promise<VolumeReport>;
  exportFile(reference: string, path: string, options: CopyOptions): Promise<{ readonly sizeBytes: number }>;
  exportStream(
    reference: string,
    signal: AbortSignal,
    send: (stream: AsyncIterable<Uint8Array>, sizeBytes: number) => Promise<void>,
  ): Promise<void>;
}

interface NewVolume {
  readonly sizeBytes?: number;
  readonly settings?: Partial<VolumeSettings>;
}

export interface SnapshotTaken {
  readonly snapshot: VolumeName;
  readonly pauseMs: number;
}

export interface VolumeList {
  readonly pool: PoolReport;
  readonly volumes: readonly VolumeReport[];
}

/** The inputs of the operations; what one of them means stands with what is done, in {@link VolumeWork}. */
interface Named {
  readonly name: string;
}
interface Referred {
  /** `volume` or `volume@snapshot`. */
  readonly reference: string;
}
interface Forced {
  readonly force?: boolean;
}
interface Sized {
  readonly sizeBytes: number;
}

const text = z.string().max(4096);
const sizeBytes = z.int().min(0);
const force = z.boolean().exactOptional();
const settings: z.ZodType<Partial<VolumeSettings>> = z.strictObject({
  blockSize: z.literal([512, 4096]).exactOptional(),
  readOnly: z.boolean().exactOptional(),
  shared: z.boolean().exactOptional(),
  writeCache: z.boolean().exactOptional(),
  thin: z.boolean().exactOptional(),
});
const newVolume = { sizeBytes: sizeBytes.exactOptional(), settings: settings.exactOptional() };

/** What the daemon checks before anything is done. */
const inputs = {
  list: z.strictObject({}),
  show: z.strictObject({ name: text }),
  create: z.strictObject({ name: text, sizeBytes, settings: settings.exactOptional() }),
  clone: z.strictObject({ origin: text, name: text, ...newVolume }),
  snapshot: z.strictObject({ name: text, snapshot: text.exactOptional(), force }),
  resize: z.strictObject({ name: text, sizeBytes }),
  rename: z.strictObject({ name: text, to: text }),
  reference: z.strictObject({ reference: text, force }),
  import: z.strictObject({ path: text, name: text, format: text.exactOptional(), ...newVolume }),
  receive: z.strictObject({ name: text, ...newVolume }),
  export: z.strictObject({ reference: text, path: text }),
  send: z.strictObject({ reference: text }),
  reset: z.strictObject({ name: text, force }),
};

interface Call<I, O> {
  readonly input: I;
  readonly output: O;
}

/** For typed clients. */
export interface VolumeCalls {
  readonly "volume.list": Call<Readonly<Record<string, never>>, VolumeList>;
  readonly "volume.show": Call<Named, VolumeReport>;
  readonly "volume.create": Call<Named & Sized & Pick<NewVolume, "settings">, VolumeReport>;
  readonly "volume.resize": Call<Named & Sized, VolumeReport>;
  readonly "volume.rename": Call<Named & { readonly to: string }, VolumeReport>;
  readonly "volume.delete": Call<Referred & Forced, { readonly deleted: string }>;
  readonly "machine.reset": Call<Named & Forced, { readonly volumes: readonly VolumeName[] }>;
}

/** Work that takes long: progress as it goes, and the result as the last value. */
export type Work<T, P = CopyProgress> = { readonly progress: P } | { readonly result: T };

export interface VolumeStreams {
  readonly "volume.clone": Call<Named & NewVolume & { readonly origin: string }, Work<VolumeReport>>;
  readonly "volume.snapshot": Call<Named & Forced & { readonly snapshot?: string }, Work<SnapshotTaken>>;
  readonly "volume.rollback": Call<Referred & Forced, Work<VolumeReport>>;
  readonly "volume.import": Call<Named & NewVolume & { readonly path: string; readonly format?: string }, Work<VolumeReport>>;
  readonly "volume.export": Call<Referred & { readonly path: string }, Work<{ readonly sizeBytes: number }>>;
}

export interface VolumeUploads {
  readonly "volume.receive": Call<Named & NewVolume, Work<VolumeReport>>;
}

export interface VolumeDownloads {
  readonly "volume.send": { readonly input: Referred };
}

/** The operations about disks. */
export function volumeOperations(parts: {
  readonly volumes: VolumeWork;
  readonly transfers: VolumeTransferWork;
  readonly reset: (machine: string, force: boolean) => Promise<readonly VolumeName[]>;
}): Operations {
  const { volumes, transfers } = parts;
  return {
    "volume.list": call(inputs.list, () =>
      told(async (): Promise<VolumeList> => ({ pool: volumes.pool(), volumes: await volumes.list() })),
    ),
    "volume.show": call(inputs.show, ({ name }) => told(() => volumes.show(name))),
    "volume.create": call(inputs.create, (input) => told(() => volumes.create(input.name, input.sizeBytes, input.settings ?? {}))),
    "volume.resize": call(inputs.resize, (input) => told(() => volumes.resize(input.name, input.sizeBytes))),
    "volume.rename": call(inputs.rename, (input) => told(() => volumes.rename(input.name, input.to))),
    "volume.delete": call(inputs.reference, ({ reference, ...options }) =>
      told(async () => {
        await volumes.delete(reference, options);
        return { deleted: reference };
      }),
    ),
    "machine.reset": call(inputs.reset, (input) => told(async () => ({ volumes: await parts.reset(input.name, input.force === true) }))),
    "volume.clone": stream(inputs.clone, ({ origin, name, ...rest }, signal) =>
      workAsStream(signal, (options) => told(() => volumes.clone(origin, name, { ...rest, ...options }))),
    ),
    "volume.snapshot": stream(inputs.snapshot, ({ name, snapshot, ...rest }, signal) =>
      workAsStream(signal, (options) => told(() => volumes.snapshot(name, snapshot, { ...rest, ...options }))),
    ),
    "volume.rollback": stream(inputs.reference, ({ reference, ...rest }, signal) =>
      workAsStream(signal, (options) => told(() => volumes.rollback(reference, { ...rest, ...options }))),
    ),
    "volume.import": stream(inputs.import, ({ path, name, ...rest }, signal) =>
      workAsStream(signal, (options) => told(() => transfers.importFile(path, name, { ...rest, ...options }))),
    ),
    "volume.export": stream(inputs.export, ({ reference, path }, signal) =>
      workAsStream(signal, (options) => told(() => transfers.exportFile(reference, path, options))),
    ),
    "volume.receive": upload(inputs.receive, ({ name, ...rest }, body: Readable, signal) =>
      workAsStream(signal, (options) => told(() => transfers.importStream(body, name, { ...rest, ...options }))),
    ),
    "volume.send": download(inputs.send, ({ reference }, signal, send) => told(() => transfers.exportStream(reference, signal, send))),
  };
}

/** A refusal is the caller's to hear; everything else is a bug of ours. */
async function told<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    const { code, name, message } = cause as { readonly code?: unknown; readonly name?: string; readonly message?: string };
    // The caller left in the middle.
    if (name === "AbortError" || code === "ECONNRESET")
      throw new ControlError("ERR_REFUSED", "it was called off; nothing was changed", { cause });
    if (code === "ERR_VOLUME") throw new ControlError("ERR_REFUSED", message ?? "", { cause });
    if (code === "ERR_IDENTIFIER") throw new ControlError("ERR_BAD_INPUT", `${message}; choose another name`, { cause });
    throw cause;
  }
}
