import { once } from "node:events";
import { chmodSync, lstatSync, mkdirSync, unlinkSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { connect } from "node:net";
import { dirname } from "node:path";
import { ControlError, HTTP_STATUS } from "./errors.ts";
import type { Operations, SendBody } from "./operation.ts";

export interface ControlServerOptions {
  readonly path: string;
  readonly operations: Operations;
  /** A handler failed for a reason of its own: a bug, told to the log; the caller hears no more than that it happened. */
  readonly onError?: (operation: string, error: unknown) => void;
}

const OCTETS = "application/octet-stream";
/** The input of an operation whose body is octets: JSON, percent-encoded. */
export const INPUT_HEADER = "rackboot-input";
const MAX_BODY_OCTETS = 1024 * 1024;
const MAX_CONNECTIONS = 64;
/** For a request's head and its JSON to arrive whole; octets and answers may take as long as they like. */
const REQUEST_TIMEOUT_MS = 10_000;
/** sockaddr_un has 108 octets, the last of which is NUL. */
const MAX_PATH_OCTETS = 107;

/**
 * The daemon's local API: HTTP on a Unix socket that only its owner may open.
 *
 *     POST /v1/<operation>        input as JSON; where the body is octets, in the header Rackboot-Input
 *     200 application/json        { "result": ... }
 *     200 application/x-ndjson    one JSON value a line, for operations that go on
 *     200 application/octet-stream
 *     4xx, 5xx                    { "error": { "code", "message" } }; in a stream, as its last line
 */
export class ControlServer {
  readonly #options: ControlServerOptions;
  readonly #server: Server;

  constructor(options: ControlServerOptions) {
    this.#options = options;
    this.#server = createServer({ requestTimeout: 0, headersTimeout: REQUEST_TIMEOUT_MS }, (request, response) => {
      void this.#handle(request, response);
    });
    this.#server.maxConnections = MAX_CONNECTIONS;
  }

  /** Replaces a socket that a dead daemon left. Throws {@link ControlError} where a living one listens. */
  async listen(): Promise<void> {
    const { path } = this.#options;
    if (Buffer.byteLength(path) > MAX_PATH_OCTETS) {
      throw new ControlError(
        "ERR_CONTROL_SOCKET",
        `the control socket's path ${path} is longer than ${MAX_PATH_OCTETS} octets. Choose another with --socket.`,
      );
    }
    try {
      mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
      await removeStaleSocket(path);
      // The socket is made with the process's umask: nobody may slip in before its mode is set.
      const umask = process.umask(0o177);
      try {
        this.#server.listen(path);
      } finally {
        process.umask(umask);
      }
      await once(this.#server, "listening");
      chmodSync(path, 0o600);
    } catch (error) {
      if (error instanceof ControlError) throw error;
      const hint = "Choose another with --socket or RACKBOOT_SOCKET.";
      throw new ControlError("ERR_CONTROL_SOCKET", `the control socket ${path} cannot be made: ${(error as Error).message}. ${hint}`, {
        cause: error,
      });
    }
  }

  /** Ends every stream, and removes the socket. */
  async close(): Promise<void> {
    if (!this.#server.listening) return;
    const closed = once(this.#server, "close");
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const name = /^\/v1\/([a-z.-]+)$/.exec(request.url ?? "")?.[1] ?? "";
    try {
      const operation = Object.hasOwn(this.#options.operations, name) ? this.#options.operations[name] : undefined;
      if (request.method !== "POST" || operation === undefined) {
        throw new ControlError("ERR_UNKNOWN_OPERATION", `this daemon has no operation ${request.method} ${request.url}`);
      }
      if (operation.kind === "upload") {
        const input = parseInput(decodeURIComponent(String(request.headers[INPUT_HEADER] ?? "{}")));
        return await follow(response, (signal) => operation.follow(input, request, signal));
      }
      const input = await readBody(request);
      if (operation.kind === "call") return answer(response, 200, { result: await operation.answer(input) });
      if (operation.kind === "download") return await sendOctets(response, (signal, send) => operation.send(input, signal, send));
      await follow(response, (signal) => operation.follow(input, signal));
    } catch (error) {
      const known =
        error instanceof ControlError ? error : new ControlError("ERR_INTERNAL", "the daemon failed to do this; its log says why");
      if (known !== error) this.#options.onError?.(name, error);
      const body = { error: { code: known.code, message: known.message } };
      if (response.headersSent && response.getHeader("Content-Type") === OCTETS) response.destroy();
      else if (response.headersSent) response.end(`${JSON.stringify(body)}\n`);
      else answer(response, HTTP_STATUS[known.code], body);
    }
  }
}

async function removeStaleSocket(path: string): Promise<void> {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket())
    throw new ControlError("ERR_CONTROL_SOCKET", `${path} exists and is no socket. Move it away, or choose another with --socket.`);
  if (await isAlive(path)) {
    throw new ControlError(
      "ERR_CONTROL_IN_USE",
      `another rackboot listens on ${path}. Stop it, or choose another with --socket or RACKBOOT_SOCKET.`,
    );
  }
  unlinkSync(path);
}

function isAlive(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    // Refused or gone: nobody is there. Anything else, such as a full backlog, is somebody.
    socket.once("error", (error: NodeJS.ErrnoException) => resolve(error.code !== "ECONNREFUSED" && error.code !== "ENOENT"));
  });
}

async function readBody(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let octets = 0;
  request.setTimeout(REQUEST_TIMEOUT_MS, () => request.destroy());
  for await (const chunk of request as AsyncIterable<Buffer>) {
    octets += chunk.length;
    if (octets > MAX_BODY_OCTETS) throw new ControlError("ERR_TOO_LARGE", `a request has at most ${MAX_BODY_OCTETS} octets`);
    chunks.push(chunk);
  }
  request.setTimeout(0);
  return octets === 0 ? {} : parseInput(Buffer.concat(chunks).toString("utf8"));
}

function parseInput(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new ControlError("ERR_BAD_INPUT", "the request's input is not JSON");
  }
}

/** The length is told, so that a caller sees where an answer was broken off. */
async function sendOctets(response: ServerResponse, run: (signal: AbortSignal, send: SendBody) => Promise<void>): Promise<void> {
  const gone = new AbortController();
  response.once("close", () => gone.abort());
  await run(gone.signal, async (body, sizeBytes) => {
    response.writeHead(200, { "Content-Type": OCTETS, "Content-Length": sizeBytes });
    for await (const chunk of body) {
      if (!response.write(chunk)) await once(response, "drain", { signal: gone.signal });
    }
    response.end();
  }).catch((cause: unknown) => {
    // Who left hears nothing, and nothing went wrong.
    if (!gone.signal.aborted) throw cause;
  });
}

function answer(response: ServerResponse, status: number, body: unknown): void {
  const text = JSON.stringify(body);
  // What is left of a refused request is not read: the connection ends with the answer.
  const connection = status === 200 ? {} : { Connection: "close" };
  response.writeHead(status, { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(text), ...connection });
  response.end(text);
}

async function follow(response: ServerResponse, start: (signal: AbortSignal) => AsyncIterable<unknown>): Promise<void> {
  const gone = new AbortController();
  response.once("close", () => gone.abort());
  const values = start(gone.signal);
  response.writeHead(200, { "Content-Type": "application/x-ndjson" });
  response.flushHeaders();
  for await (const value of values) {
    if (response.write(`${JSON.stringify(value)}\n`)) continue;
    // A reader that left never drains.
    await once(response, "drain", { signal: gone.signal }).catch(() => undefined);
  }
  response.end();
}
