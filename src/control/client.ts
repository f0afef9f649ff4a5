import { type IncomingMessage, request } from "node:http";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { ControlError, type ControlErrorCode } from "./errors.ts";
import type { ImageUploads } from "./image-operations.ts";
import type { Calls, Streams } from "./operations.ts";
import type { SystemDownloads } from "./system-operations.ts";
import type { VolumeDownloads, VolumeUploads } from "./volume-operations.ts";

type Uploads = VolumeUploads & ImageUploads;

interface ErrorBody {
  readonly error?: { readonly code: ControlErrorCode; readonly message: string };
}

type Downloads = VolumeDownloads & SystemDownloads;

const UNREACHABLE: Readonly<Record<string, string>> = {
  ENOENT: "no daemon is running there",
  ECONNREFUSED: "no daemon is running there",
  EACCES: "this user may not talk to it",
};

/** Speaks to the daemon on its control socket. Every method throws {@link ControlError} with the next step. */
export class ControlClient {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  async call<K extends keyof Calls>(operation: K, input: Calls[K]["input"], signal?: AbortSignal): Promise<Calls[K]["output"]> {
    const response = await this.#post(operation, input, signal);
    const { error, result } = parse(await textOf(response)) as ErrorBody & { readonly result?: Calls[K]["output"] };
    if (error !== undefined) throw new ControlError(error.code, error.message);
    if (result === undefined) throw new ControlError("ERR_CONTROL_PROTOCOL", `${this.#path} does not answer as a rackboot does`);
    return result;
  }

  /** Ends when the daemon does, or when `signal` aborts. */
  async *follow<K extends keyof Streams>(
    operation: K,
    input: Streams[K]["input"],
    signal?: AbortSignal,
  ): AsyncGenerator<Streams[K]["output"]> {
    yield* this.#lines<Streams[K]["output"]>(await this.#post(operation, input, signal), signal);
  }

  async *#lines<T>(response: IncomingMessage, signal: AbortSignal | undefined): AsyncGenerator<T> {
    try {
      for await (const line of createInterface({ input: response, crlfDelay: Number.POSITIVE_INFINITY })) {
        // Lines that had arrived by then are not wanted either.
        if (signal?.aborted === true) return;
        const value = parse(line) as ErrorBody;
        if (value.error !== undefined) throw new ControlError(value.error.code, value.error.message);
        yield value as unknown as T;
      }
    } catch (error) {
      if (signal?.aborted !== true) throw error;
    } finally {
      response.destroy();
    }
  }

  /** As {@link follow}, with octets that are sent meanwhile. */
  async *upload<K extends keyof Uploads>(
    operation: K,
    input: Uploads[K]["input"],
    body: Readable,
    signal?: AbortSignal,
  ): AsyncGenerator<Uploads[K]["output"]> {
    const response = await this.#post(operation, input, signal, body);
    yield* this.#lines<Uploads[K]["output"]>(response, signal);
  }

  /** The answer's octets, and how many they are; the stream fails where the daemon breaks off. */
  async download<K extends keyof Downloads>(
    operation: K,
    input: Downloads[K]["input"],
    signal?: AbortSignal,
  ): Promise<{ readonly body: Readable; readonly sizeBytes: number }> {
    const response = await this.#post(operation, input, signal);
    if (response.statusCode === 200) return { body: response, sizeBytes: Number(response.headers["content-length"]) };
    const { error } = parse(await textOf(response)) as ErrorBody;
    throw new ControlError(error?.code ?? "ERR_CONTROL_PROTOCOL", error?.message ?? `${this.#path} does not answer as a rackboot does`);
  }

  #post(operation: string, input: unknown, signal?: AbortSignal, octets?: Readable): Promise<IncomingMessage> {
    const body = JSON.stringify(input);
    return new Promise((resolve, reject) => {
      const options = {
        socketPath: this.#path,
        path: `/v1/${operation}`,
        method: "POST",
        headers:
          octets === undefined
            ? { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(body) }
            : { "Content-Type": "application/octet-stream", "Rackboot-Input": encodeURIComponent(body) },
        ...(signal !== undefined && { signal }),
      };
      const sent = request(options, (response) => {
        // A daemon that stops cuts streams off; the reader sees an end, not an error.
        response.on("error", () => undefined);
        resolve(response);
      });
      sent.on("error", (error: NodeJS.ErrnoException) => {
        const why = UNREACHABLE[error.code ?? ""] ?? error.message;
        const hint = 'Start one with "rackboot serve --config FILE", or name its socket with --socket or RACKBOOT_SOCKET.';
        reject(new ControlError("ERR_CONTROL_UNREACHABLE", `cannot reach the daemon at ${this.#path}: ${why}. ${hint}`, { cause: error }));
      });
      if (octets === undefined) sent.end(body);
      else octets.pipe(sent);
    });
  }
}

async function textOf(response: IncomingMessage): Promise<string> {
  let text = "";
  response.setEncoding("utf8");
  for await (const chunk of response) text += chunk;
  return text;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new ControlError("ERR_CONTROL_PROTOCOL", "the daemon's answer is not JSON");
  }
}
