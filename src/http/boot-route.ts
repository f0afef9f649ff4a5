import { open } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { Download, Downloads } from "../boot/downloads.ts";
import type { BootFile, BootFiles, FileClient } from "../boot/files.ts";
import type { ByteSource } from "../boot/open-files.ts";
import { pathOfTarget } from "../boot/paths.ts";
import { type ByteRange, mediaType, parseRange } from "./content.ts";

/** Octets read ahead of a socket, for each download. */
const READ_BYTES = 1024 * 1024;

interface Content {
  readonly sizeBytes: number;
  readonly etag?: string;
  read(range: ByteRange): Readable;
  close(): Promise<void>;
}

/** Answers one GET or HEAD with a boot file. Never rejects. */
export async function serveBootFile(
  request: IncomingMessage,
  response: ServerResponse,
  client: FileClient,
  files: BootFiles,
  downloads: Downloads,
): Promise<void> {
  const target = request.url ?? "/";
  const path = pathOfTarget(target);
  if (path === undefined) return refuse(response, client, target, downloads, "the request target is no path");
  try {
    const found = await files.resolve(client, path);
    if (found.kind === "not-found") return refuse(response, client, path, downloads, found.reason);
    const content = await openContent(found);
    try {
      await send(request, response, content, path, () => downloads.begin(client, path, found.role, content.sizeBytes));
    } finally {
      await content.close();
    }
  } catch (error) {
    refuse(response, client, path, downloads, error instanceof Error ? error.message : String(error));
  }
}

async function send(
  request: IncomingMessage,
  response: ServerResponse,
  content: Content,
  path: string,
  begin: () => Download,
): Promise<void> {
  const { sizeBytes, etag } = content;
  response.setHeader("Content-Type", mediaType(path));
  response.setHeader("Accept-Ranges", "bytes");
  // A kernel that was updated a minute ago must not come out of a cache on the way.
  response.setHeader("Cache-Control", "no-cache");
  if (etag !== undefined) response.setHeader("ETag", etag);
  const condition = request.headers["if-range"];
  const range = condition !== undefined && condition !== etag ? "whole" : parseRange(request.headers.range, sizeBytes);
  if (range === "unsatisfiable") {
    response.writeHead(416, { "Content-Range": `bytes */${sizeBytes}`, "Content-Length": 0 }).end();
    return;
  }
  const part: ByteRange = range === "whole" ? { first: 0, last: sizeBytes - 1 } : range;
  const lengthBytes = part.last - part.first + 1;
  response.setHeader("Content-Length", lengthBytes);
  if (range !== "whole") response.setHeader("Content-Range", `bytes ${part.first}-${part.last}/${sizeBytes}`);
  response.writeHead(range === "whole" ? 200 : 206);
  if (request.method === "HEAD") {
    response.end();
    return;
  }
  const download = begin();
  if (lengthBytes === 0) {
    response.end();
    download.finished(0);
    return;
  }
  const stream = content.read(part);
  let sentBytes = 0;
  stream.on("data", (chunk: Uint8Array) => {
    sentBytes += chunk.length;
    download.progressed(sentBytes);
  });
  try {
    await pipeline(stream, response);
    download.finished(lengthBytes);
  } catch (error) {
    // Firmware resets the connection as soon as it has the last octet.
    if (response.writableFinished) download.finished(lengthBytes);
    else download.failed(describe(error, sentBytes, lengthBytes));
    response.destroy();
  }
}

function describe(error: unknown, sentBytes: number, lengthBytes: number): string {
  const gone = error instanceof Error && "code" in error && (error.code === "ERR_STREAM_PREMATURE_CLOSE" || error.code === "ECONNRESET");
  const what = gone ? "the client closed the connection" : error instanceof Error ? error.message : String(error);
  return `${what} after about ${sentBytes} of ${lengthBytes} octets`;
}

async function openContent(found: BootFile): Promise<Content> {
  if (found.kind === "bytes") {
    const { bytes } = found;
    return { sizeBytes: bytes.length, read: ({ first, last }) => Readable.from([bytes.subarray(first, last + 1)]), close: async () => {} };
  }
  if (found.kind === "disk") {
    const source = await found.open();
    const read = ({ first, last }: ByteRange): Readable => Readable.from(pieces(source, first, last + 1 - first));
    return { sizeBytes: found.sizeBytes, read, close: async () => source.release() };
  }
  const handle = await open(found.path, "r");
  const { size, mtimeMs, ino } = await handle.stat();
  return {
    sizeBytes: size,
    etag: `"${ino.toString(16)}-${Math.round(mtimeMs * 1000).toString(16)}-${size.toString(16)}"`,
    read: ({ first, last }) => handle.createReadStream({ start: first, end: last, highWaterMark: READ_BYTES, autoClose: false }),
    close: () => handle.close().catch(() => {}),
  };
}

async function* pieces(source: ByteSource, offset: number, length: number): AsyncGenerator<Uint8Array, void, void> {
  for (let sent = 0; sent < length; sent += READ_BYTES) yield* await source.read(offset + sent, Math.min(READ_BYTES, length - sent));
}

function refuse(response: ServerResponse, client: FileClient, path: string, downloads: Downloads, reason: string): void {
  downloads.refused(client, path, reason);
  if (response.headersSent) response.destroy();
  else plain(response, 404, "not found");
}

/** A short answer in words. */
export function plain(response: ServerResponse, status: number, text: string, headers: Readonly<Record<string, string>> = {}): void {
  const body = Buffer.from(`${text}\n`);
  response.writeHead(status, { ...headers, "Content-Type": "text/plain; charset=utf-8", "Content-Length": body.length });
  response.end(response.req.method === "HEAD" ? undefined : body);
}
