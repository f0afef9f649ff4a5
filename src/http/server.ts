import { readFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerOptions, type ServerResponse } from "node:http";
import { createServer as createTlsServer, type Server as TlsServer } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import { createSecureContext, TLSSocket } from "node:tls";
import type { Downloads } from "../boot/downloads.ts";
import type { BootFiles, FileClient } from "../boot/files.ts";
import { ListenError } from "../boot/listen-error.ts";
import type { OpenFiles } from "../boot/open-files.ts";
import { pathOfTarget } from "../boot/paths.ts";
import { type Ipv4, parseIpv4 } from "../machine/identifiers.ts";
import type { Machine } from "../machine/machine.ts";
import type { FileSender } from "../native/file-sender.ts";
import type { Emit } from "../state/events.ts";
import { plain, serveBootFile } from "./boot-route.ts";

export interface HttpSettings {
  /** Connections are taken on this address only. */
  readonly address: Ipv4;
  /** 0: the system chooses; {@link HttpServer.port} tells. */
  readonly port: number;
  /** Paths of PEM files. */
  readonly https?: { readonly port: number; readonly certificate: string; readonly key: string };
}

/** Answers a request by itself, method and all. What it throws becomes a 500. */
export type RouteHandler = (request: IncomingMessage, response: ServerResponse) => void | Promise<void>;

export interface HttpParts {
  readonly files: BootFiles;
  readonly openFiles: OpenFiles;
  readonly downloads: Downloads;
  /** Sends large files without JavaScript; absent, everything is sent with it. */
  readonly sender?: FileSender;
  readonly machineAt: (address: Ipv4) => Machine | undefined;
  readonly emit: Emit;
  /** A clock that never goes back. */
  readonly nowMs: () => number;
  /** A machine says something by POST; false where that path is nobody's to say. */
  readonly heard?: (client: FileClient, path: string) => boolean;
  /** By exact path; every other path is a boot file. */
  readonly routes: ReadonlyMap<string, RouteHandler>;
}

export const MAX_CONNECTIONS = 512;
export const MAX_CONNECTIONS_PER_CLIENT = 32;
const MAX_HEADER_BYTES = 8 * 1024;
const MAX_HEADERS = 64;
/** From the first octet of a request to the end of its headers. */
const HEADERS_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 30_000;
/** How often both are looked at: a client that sends a request octet by octet holds its connection no longer than these together. */
const LATE_CHECK_MS = 2_000;
const KEEP_ALIVE_MS = 15_000;
/** A connection on which nothing moves. GRUB leaves one open while it unpacks what it has. */
const IDLE_TIMEOUT_MS = 120_000;

const OPTIONS: ServerOptions = {
  maxHeaderSize: MAX_HEADER_BYTES,
  headersTimeout: HEADERS_TIMEOUT_MS,
  requestTimeout: REQUEST_TIMEOUT_MS,
  connectionsCheckingInterval: LATE_CHECK_MS,
  keepAliveTimeout: KEEP_ALIVE_MS,
  noDelay: true,
};

/** RFC 9110, 15.5.9 and RFC 6585, 5, by the code of Node's error; 400 for the rest. */
const MALFORMED: Readonly<Record<string, string>> = {
  ERR_HTTP_REQUEST_TIMEOUT: "408 Request Timeout",
  HPE_HEADER_OVERFLOW: "431 Request Header Fields Too Large",
};

/** Serves boot files over HTTP/1.1, and whatever routes it is given beside them. */
export class HttpServer {
  readonly #parts: HttpParts;
  #settings: HttpSettings;
  #plain: Server | undefined;
  #tls: TlsServer | undefined;
  /** By the client's address; each with the time it was opened at. */
  readonly #connections = new Map<string, Map<Socket, number>>();

  constructor(settings: HttpSettings, parts: HttpParts) {
    this.#settings = settings;
    this.#parts = parts;
  }

  /** 0 while stopped. */
  get port(): number {
    return portOf(this.#plain);
  }

  /** 0 while stopped, or without https. */
  get tlsPort(): number {
    return portOf(this.#tls);
  }

  /** Rejects with {@link ListenError}, or with a sentence on the certificate. */
  async start(): Promise<void> {
    const { address, port } = this.#settings;
    const tls = await this.#updatedTls(this.#settings, true);
    try {
      this.#plain = await this.#listen("HTTP", createServer(OPTIONS), address, port);
    } catch (error) {
      tls?.close();
      throw error;
    }
    this.#tls = tls;
  }

  /** Connections are closed, downloads under way broken off. */
  async stop(): Promise<void> {
    const servers = [this.#plain, this.#tls];
    this.#plain = undefined;
    this.#tls = undefined;
    await Promise.all(servers.map((server) => closed(server)));
  }

  /** Connections that are open go on. Rejects as {@link start} does, and then listens where it did. */
  async update(settings: HttpSettings): Promise<void> {
    const before = this.#settings;
    this.#settings = settings;
    if (this.#plain === undefined) return;
    const old = { plain: this.#plain, tls: this.#tls };
    const moved = settings.address !== before.address;
    let tls: TlsServer | undefined;
    try {
      tls = await this.#updatedTls(settings, moved || settings.https?.port !== before.https?.port);
      if (moved || settings.port !== before.port) {
        this.#plain = await this.#listen("HTTP", createServer(OPTIONS), settings.address, settings.port);
      }
    } catch (error) {
      this.#settings = before;
      if (tls !== old.tls) tls?.close();
      throw error;
    }
    this.#tls = tls;
    if (this.#plain !== old.plain) old.plain.close();
    if (this.#tls !== old.tls) old.tls?.close();
  }

  /** A new certificate goes into the server that has the port, so that nobody finds it closed. */
  async #updatedTls({ https, address }: HttpSettings, moved: boolean): Promise<TlsServer | undefined> {
    if (https === undefined) return undefined;
    const pair = await certificatePair(https.certificate, https.key);
    if (!moved && this.#tls !== undefined) {
      this.#tls.setSecureContext(pair);
      return this.#tls;
    }
    return this.#listen("HTTPS", createTlsServer({ ...OPTIONS, ...pair }), address, https.port);
  }

  /**
   * Resets every connection that this client opened before it restarted. GRUB counts its ports from 21550 at each boot, and
   * what the boot before left half open there would not let it connect.
   */
  forget(address: Ipv4, restartedMs: number): void {
    for (const [socket, openedMs] of [...(this.#connections.get(address) ?? [])]) if (openedMs < restartedMs) socket.resetAndDestroy();
  }

  async #listen<S extends Server | TlsServer>(service: string, server: S, address: Ipv4, port: number): Promise<S> {
    server.maxConnections = MAX_CONNECTIONS;
    server.maxHeadersCount = MAX_HEADERS;
    server.timeout = IDLE_TIMEOUT_MS;
    server.on("connection", (socket: Socket) => this.#connected(socket));
    server.on("request", (request, response) => void this.#answer(request, response));
    // A reset and no FIN: a machine that lost its power acknowledges none, and its port would stay taken for minutes.
    server.on("timeout", (socket: Socket) => reset(socket));
    server.on("clientError", (error: Error, socket: Socket) => this.#malformed(error, socket));
    server.on("tlsClientError", (error: Error, socket: Socket) => this.#malformed(error, socket));
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen({ host: address, port, exclusive: true }, () => {
        server.off("error", reject);
        resolve();
      });
    }).catch((error: unknown) => {
      throw new ListenError(service, address, port, error);
    });
    // What is left to go wrong is accepting one connection, which is that client's to try again.
    server.on("error", () => {});
    return server;
  }

  #connected(socket: Socket): void {
    const peer = socket.remoteAddress ?? "";
    const open = this.#connections.get(peer) ?? new Map<Socket, number>();
    this.#connections.set(peer, open.set(socket, this.#parts.nowMs()));
    socket.once("close", () => {
      open.delete(socket);
      if (open.size === 0 && this.#connections.get(peer) === open) this.#connections.delete(peer);
    });
    if (open.size <= MAX_CONNECTIONS_PER_CLIENT) return;
    this.#parts.emit({ type: "peer.malformed", service: "http", peer, reason: `more than ${MAX_CONNECTIONS_PER_CLIENT} connections` });
    socket.destroy();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { routes } = this.#parts;
    response.on("error", () => {});
    try {
      const route = routes.get(pathOfTarget(request.url ?? "") ?? "");
      if (route !== undefined) return await route(request, response);
      if (request.method === "POST" && this.#heard(request)) return void response.writeHead(204).end();
      if (request.method !== "GET" && request.method !== "HEAD") return plain(response, 405, "GET and HEAD only", { Allow: "GET, HEAD" });
      const client = this.#client(request.socket);
      if (client === undefined) return plain(response, 404, "not found");
      await serveBootFile({ request, response, client }, { ...this.#parts, idleMs: IDLE_TIMEOUT_MS });
    } catch (error) {
      this.#parts.emit({ type: "service.slipped", service: "http", reason: `${request.url ?? ""}: ${String(error)}` });
      if (response.headersSent) response.destroy();
      else plain(response, 500, "internal error");
    }
  }

  /** What is said lies in the path; a body is not read. */
  #heard({ socket, url }: IncomingMessage): boolean {
    const client = this.#client(socket);
    const path = pathOfTarget(url ?? "");
    return client !== undefined && path !== undefined && this.#parts.heard?.(client, path) === true;
  }

  #client(socket: Socket): FileClient | undefined {
    // Absent where the peer has reset the connection meanwhile.
    if (socket.remoteAddress === undefined) return undefined;
    const address = parseIpv4(socket.remoteAddress.replace(/^::ffff:/i, ""));
    const machine = this.#parts.machineAt(address);
    return { address, transport: "http", ...(machine === undefined ? {} : { machine }) };
  }

  #malformed(error: Error, socket: Socket): void {
    const code = "code" in error ? String(error.code) : "";
    // A connection that ends between requests is how every client leaves.
    if (code !== "ECONNRESET" && code !== "EPIPE") {
      this.#parts.emit({ type: "peer.malformed", service: "http", peer: socket.remoteAddress ?? "unknown", reason: error.message });
    }
    const status = MALFORMED[code] ?? "400 Bad Request";
    if (socket.writable && code !== "ECONNRESET") socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
    else socket.destroy();
  }
}

function reset(socket: Socket): void {
  if (socket instanceof TLSSocket) socket.destroy();
  else socket.resetAndDestroy();
}

/** Throws where the two files are no certificate and its key, so that a bad pair never replaces a good one. */
async function certificatePair(certificate: string, key: string): Promise<{ cert: Buffer; key: Buffer }> {
  try {
    const [cert, secret] = await Promise.all([readFile(certificate), readFile(key)]);
    createSecureContext({ cert, key: secret });
    return { cert, key: secret };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(`HTTPS cannot use ${certificate} with ${key}: ${reason}. Both are PEM files, the key without a password`, {
      cause: error,
    });
  }
}

function portOf(server: Server | TlsServer | undefined): number {
  return (server?.address() as AddressInfo | null | undefined)?.port ?? 0;
}

async function closed(server: Server | TlsServer | undefined): Promise<void> {
  if (server === undefined) return;
  await new Promise<void>((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
