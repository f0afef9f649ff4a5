import { once } from "node:events";
import { type IncomingHttpHeaders, request } from "node:http";
import { connect } from "node:net";
import { onTestFinished } from "vitest";
import { Downloads } from "../../src/boot/downloads.ts";
import type { BootFiles } from "../../src/boot/files.ts";
import { OpenFiles } from "../../src/boot/open-files.ts";
import { type HttpParts, HttpServer, type HttpSettings, type RouteHandler } from "../../src/http/server.ts";
import { type Ipv4, parseIpv4 } from "../../src/machine/identifiers.ts";
import type { StateEvent } from "../../src/state/events.ts";

export const LOOPBACK: Ipv4 = parseIpv4("127.0.0.1");

export interface Rig {
  readonly server: HttpServer;
  readonly events: StateEvent[];
}

/** A real server on a loopback port that goes away with the test. */
export async function serve(
  files: BootFiles,
  settings: Partial<HttpSettings> = {},
  routes: ReadonlyMap<string, RouteHandler> = new Map(),
  extra: Partial<HttpParts> = {},
): Promise<Rig> {
  const events: StateEvent[] = [];
  const emit = (event: StateEvent): number => events.push(event);
  const downloads = new Downloads(emit, () => performance.now());
  const server = new HttpServer(
    { address: LOOPBACK, port: 0, ...settings },
    { files, openFiles: new OpenFiles(), downloads, machineAt: () => undefined, emit, nowMs: () => performance.now(), routes, ...extra },
  );
  await server.start();
  onTestFinished(() => server.stop());
  return { server, events };
}

export interface Answer {
  readonly status: number | undefined;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

/** A request whose path is sent as it stands: fetch would tidy it up. */
export async function ask(port: number, path: string, method = "GET", headers: Record<string, string> = {}): Promise<Answer> {
  const outgoing = request({ host: LOOPBACK, port, path, method, headers, agent: false }).end();
  const [response] = await once(outgoing, "response");
  const parts: Buffer[] = [];
  for await (const part of response) parts.push(part);
  return { status: response.statusCode, headers: response.headers, body: Buffer.concat(parts) };
}

/** What comes back for these very octets, until the server closes. */
export async function raw(port: number, octets: string | Uint8Array): Promise<string> {
  const socket = connect(port, LOOPBACK);
  socket.on("error", () => {});
  socket.write(octets);
  let text = "";
  socket.on("data", (part) => {
    text += part.toString("latin1");
  });
  socket.setTimeout(3000, () => socket.destroy());
  await once(socket, "close");
  return text;
}
