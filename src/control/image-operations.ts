import type { Readable } from "node:stream";
import { z } from "zod";
import type { ImageName, ProfileName } from "../machine/identifiers.ts";
import type { ImageReport } from "../machine/image.ts";
import type { CopyProgress } from "../machine/volume.ts";
import { ControlError } from "./errors.ts";
import { call, type Operations, stream, upload } from "./operation.ts";
import type { Work } from "./volume-operations.ts";
import { workAsStream } from "./work.ts";

interface CopyOptions {
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: CopyProgress) => void;
}

/** What is done with installation media. All of it throws errors whose `code` is ERR_IMAGE, ERR_VOLUME or ERR_IDENTIFIER. */
export interface ImageWork {
  list(): Promise<readonly ImageReport[]>;
  show(name: string): Promise<ImageReport>;
  delete(name: string): Promise<void>;
  importFile(path: string, name: string, options: CopyOptions): Promise<ImageReport>;
  importStream(stream: AsyncIterable<Uint8Array>, name: string, options: CopyOptions): Promise<ImageReport>;
}

/** What is done with machines that install; throws errors whose `code` is ERR_INSTALL as well. */
export interface InstallWork {
  order(machine: string, image: string, profile: string | undefined): Promise<InstallOrder>;
  cancel(machine: string): void;
}

export interface InstallOrder {
  readonly image: ImageName;
  readonly profile?: ProfileName;
}

interface Named {
  readonly name: string;
}

interface Call<I, O> {
  readonly input: I;
  readonly output: O;
}

/** For typed clients. */
export interface ImageCalls {
  readonly "image.list": Call<Readonly<Record<string, never>>, readonly ImageReport[]>;
  readonly "image.show": Call<Named, ImageReport>;
  readonly "image.delete": Call<Named, { readonly deleted: string }>;
  readonly "machine.install": Call<Named & { readonly image: string; readonly profile?: string }, InstallOrder>;
  readonly "install.cancel": Call<Named, { readonly cancelled: string }>;
}

export interface ImageStreams {
  readonly "image.import": Call<Named & { readonly path: string }, Work<ImageReport>>;
}

export interface ImageUploads {
  readonly "image.receive": Call<Named, Work<ImageReport>>;
}

const text = z.string().max(4096);
const named = z.strictObject({ name: text });

/** The operations about installation media, and machines that are installed from them. */
export function imageOperations(images: ImageWork, installs: InstallWork): Operations {
  return {
    "image.list": call(z.strictObject({}), () => told(() => images.list())),
    "image.show": call(named, ({ name }) => told(() => images.show(name))),
    "image.delete": call(named, ({ name }) =>
      told(async () => {
        await images.delete(name);
        return { deleted: name };
      }),
    ),
    "image.import": stream(z.strictObject({ name: text, path: text }), ({ name, path }, signal) =>
      workAsStream(signal, (options) => told(() => images.importFile(path, name, options))),
    ),
    "image.receive": upload(named, ({ name }, body: Readable, signal) =>
      workAsStream(signal, (options) => told(() => images.importStream(body, name, options))),
    ),
    "machine.install": call(z.strictObject({ name: text, image: text, profile: text.exactOptional() }), ({ name, image, profile }) =>
      told(() => installs.order(name, image, profile)),
    ),
    "install.cancel": call(named, ({ name }) =>
      told(async () => {
        installs.cancel(name);
        return { cancelled: name };
      }),
    ),
  };
}

const REFUSALS: ReadonlySet<unknown> = new Set(["ERR_IMAGE", "ERR_INSTALL", "ERR_PROFILE", "ERR_VOLUME"]);

/** A refusal is the caller's to hear; everything else is a bug of ours. */
async function told<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    const { code, name, message } = cause as { readonly code?: unknown; readonly name?: string; readonly message?: string };
    // The caller left in the middle.
    if (name === "AbortError" || code === "ECONNRESET")
      throw new ControlError("ERR_REFUSED", "it was called off; nothing was changed", { cause });
    if (code === "ERR_IDENTIFIER") throw new ControlError("ERR_BAD_INPUT", `${message}; choose another name`, { cause });
    if (REFUSALS.has(code)) throw new ControlError("ERR_REFUSED", message ?? "", { cause });
    throw cause;
  }
}
