import type { IncomingMessage, ServerResponse } from "node:http";
import type { Downloads } from "../boot/downloads.ts";
import type { BootFile, BootFiles, FileClient } from "../boot/files.ts";
import { type ByteSource, type OpenFiles, openFile } from "../boot/open-files.ts";
import { pathOfTarget } from "../boot/paths.ts";
import type { FileSender } from "../native/file-sender.ts";
import { type ByteRange, mediaType, parseRange } from "./content.ts";
import { sendBody } from "./send-body.ts";

/** What boot files are served with. */
export interface BootRouteParts {
  readonly files: BootFiles;
  readonly openFiles: OpenFiles;
  readonly downloads: Downloads;
  /** Sends large files without JavaScript; absent, everything is sent with it. */
  readonly sender?: FileSender;
  /** A client that takes nothing for this long is given up. */
  readonly idleMs: number;
}

interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly client: FileClient;
}

/** Answers one GET or HEAD with a boot file. Never rejects. */
export async function serveBootFile(exchange: Exchange, parts: BootRouteParts): Promise<void> {
  const { request, client } = exchange;
  const { files, downloads } = parts;
  const target = request.url ?? "/";
  const path = pathOfTarget(target);
  if (path === undefined) return refuse(exchange, target, downloads, "the request target is no path");
  try {
    const found = await files.resolve(client, path);
    if (found.kind === "not-found") return refuse(exchange, path, downloads, found.reason);
    const source = await openFile(found, parts.openFiles);
    try {
      await send(exchange, source, path, found, parts);
    } finally {
      source.release();
    }
  } catch (error) {
    refuse(exchange, path, downloads, error instanceof Error ? error.message : String(error));
  }
}

async function send(
  { request, response, client }: Exchange,
  source: ByteSource,
  path: string,
  found: BootFile,
  { downloads, sender, idleMs }: BootRouteParts,
): Promise<void> {
  const { sizeBytes } = source;
  const etag = source.version === undefined ? undefined : `"${source.version}"`;
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
  const download = downloads.begin(client, path, found.role, sizeBytes);
  if (lengthBytes === 0) {
    response.end();
    download.finished(0);
    return;
  }
  try {
    await sendBody(response, { source, part, sender, idleMs, onProgress: (sentBytes) => download.progressed(sentBytes) });
    download.finished(lengthBytes);
  } catch (error) {
    download.failed(error instanceof Error ? error.message : String(error));
  }
}

function refuse({ response, client }: Exchange, path: string, downloads: Downloads, reason: string): void {
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
