import type { ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { TLSSocket } from "node:tls";
import type { ByteSource } from "../boot/open-files.ts";
import type { FileSender } from "../native/file-sender.ts";
import type { ByteRange } from "./content.ts";

/** Octets read ahead of a socket, for each download. */
const READ_BYTES = 1024 * 1024;
/** Shorter bodies are sent before another thread would have begun. */
const NATIVE_BYTES = 64 * 1024;

export interface BodyParts {
  readonly source: ByteSource;
  readonly part: ByteRange;
  readonly sender: FileSender | undefined;
  /** Given up when the client takes nothing for this long. */
  readonly idleMs: number;
  readonly onProgress: (sentBytes: number) => void;
}

/** Breaks a download off; the message is for people. */
export class BodyError extends Error {
  readonly code = "ERR_BODY";
}

/**
 * Sends the body of an answer whose head is written, and ends the answer: by the native sender where the octets lie in a file
 * and the connection is plain TCP, by a stream otherwise. Rejects with {@link BodyError}; the answer is destroyed then.
 */
export async function sendBody(response: ServerResponse, parts: BodyParts): Promise<void> {
  const { source, part, sender } = parts;
  const { socket } = response;
  const isLarge = part.last - part.first + 1 >= NATIVE_BYTES;
  try {
    if (sender !== undefined && isLarge && source.stored !== undefined && socket !== null) {
      response.flushHeaders();
      const fd = descriptorOf(socket);
      // What still waits in JavaScript would come after what the other thread sends.
      if (fd !== undefined && response.writableLength === 0) return await sendNative(response, socket, fd, source.stored, sender, parts);
    }
    await sendStream(response, parts);
  } catch (error) {
    response.destroy();
    throw error;
  }
}

/**
 * The descriptor of a plain connection. Node has no public name for it; where this one is gone, streams serve as before, and a
 * test tells.
 */
function descriptorOf(socket: Socket): number | undefined {
  if (socket instanceof TLSSocket) return undefined;
  const { _handle: handle } = socket as unknown as { _handle?: { readonly fd?: number } | null };
  return handle?.fd === undefined || handle.fd < 0 ? undefined : handle.fd;
}

async function sendNative(
  response: ServerResponse,
  socket: Socket,
  fd: number,
  stored: { readonly fd: number; readonly offsetBytes: number },
  sender: FileSender,
  { part, idleMs, onProgress }: BodyParts,
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const lengthBytes = part.last - part.first + 1;
  const delivery = { socket: fd, file: stored.fd, offsetBytes: stored.offsetBytes + part.first, lengthBytes, idleMs };
  let sentBytes = 0;
  const abort = sender.stream(delivery, (event) => {
    if (event.kind === "progressed") {
      sentBytes = event.sentBytes;
      onProgress(sentBytes);
    }
    if (event.kind === "finished") resolve();
    if (event.kind === "failed") reject(new BodyError(`${event.reason} after about ${event.sentBytes} of ${lengthBytes} octets`));
  });
  const closed = (): void => {
    abort("the connection is closed");
    reject(new BodyError(`the client closed the connection after about ${sentBytes} of ${lengthBytes} octets`));
  };
  socket.once("close", closed);
  // This side sees nothing move meanwhile; the sender has the same limit.
  const timeoutMs = socket.timeout ?? 0;
  socket.setTimeout(0);
  try {
    await promise;
  } finally {
    socket.off("close", closed);
    socket.setTimeout(timeoutMs);
  }
  response.end();
}

async function sendStream(response: ServerResponse, { source, part, onProgress }: BodyParts): Promise<void> {
  const lengthBytes = part.last - part.first + 1;
  let sentBytes = 0;
  const stream = Readable.from(pieces(source, part.first, lengthBytes), { objectMode: false });
  stream.on("data", (chunk: Uint8Array) => {
    sentBytes += chunk.length;
    onProgress(sentBytes);
  });
  try {
    await pipeline(stream, response);
  } catch (error) {
    // Firmware resets the connection as soon as it has the last octet.
    if (response.writableFinished) return;
    const gone = error instanceof Error && "code" in error && (error.code === "ERR_STREAM_PREMATURE_CLOSE" || error.code === "ECONNRESET");
    const what = gone ? "the client closed the connection" : error instanceof Error ? error.message : String(error);
    throw new BodyError(`${what} after about ${sentBytes} of ${lengthBytes} octets`, { cause: error });
  }
}

async function* pieces(source: ByteSource, offset: number, length: number): AsyncGenerator<Uint8Array, void, void> {
  for (let sent = 0; sent < length; sent += READ_BYTES) {
    // Not yield*: a stream that ends early throws into what it reads, and a list has no method for that.
    for (const piece of await source.read(offset + sent, Math.min(READ_BYTES, length - sent))) yield piece;
  }
}
