import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { onTestFinished } from "vitest";
import { Downloads } from "../../src/boot/downloads.ts";
import type { BootFiles } from "../../src/boot/files.ts";
import { OpenFiles } from "../../src/boot/open-files.ts";
import { type Ipv4, parseIpv4 } from "../../src/machine/identifiers.ts";
import type { Machine } from "../../src/machine/machine.ts";
import type { StateEvent } from "../../src/state/events.ts";
import { decodePacket, encodePacket, type TftpPacket } from "../../src/tftp/packet.ts";
import { type TftpParts, TftpServer, type TftpSettings } from "../../src/tftp/server.ts";

export const LOOPBACK: Ipv4 = parseIpv4("127.0.0.1");

export interface Rig {
  readonly server: TftpServer;
  readonly openFiles: OpenFiles;
  readonly events: StateEvent[];
}

/** A real server on a loopback port that goes away with the test. */
export async function serve(
  files: BootFiles,
  settings: Partial<TftpSettings> = {},
  machine?: Machine,
  extra: Partial<TftpParts> = {},
): Promise<Rig> {
  const events: StateEvent[] = [];
  const emit = (event: StateEvent): number => events.push(event);
  const nowMs = (): number => performance.now();
  const openFiles = new OpenFiles();
  const server = new TftpServer(
    { address: LOOPBACK, port: 0, windowsize: 16, ...settings },
    { files, openFiles, downloads: new Downloads(emit, nowMs), machineAt: () => machine, emit, nowMs, ...extra },
  );
  await server.start();
  onTestFinished(() => server.stop());
  return { server, openFiles, events };
}

/** Files by path, in memory. */
export function filesOf(contents: Readonly<Record<string, Uint8Array | string>>): BootFiles {
  return {
    resolve: async (_client, path) => {
      const content = contents[path];
      if (content === undefined) return { kind: "not-found", reason: "no such file" };
      return { kind: "bytes", role: "other", bytes: typeof content === "string" ? new TextEncoder().encode(content) : content };
    },
  };
}

/** A client made of one socket, that says exactly what a test wants. */
export class RawClient {
  readonly socket: Socket = createSocket("udp4");
  readonly #received: { packet: TftpPacket; port: number }[] = [];
  #waiting: (() => void) | undefined;

  static async open(): Promise<RawClient> {
    const client = new RawClient();
    client.socket.bind(0, LOOPBACK);
    await once(client.socket, "listening");
    onTestFinished(() => {
      client.socket.close();
    });
    client.socket.on("message", (bytes, from) => {
      client.#received.push({ packet: decodePacket(Uint8Array.from(bytes)), port: from.port });
      client.#waiting?.();
    });
    return client;
  }

  send(packet: TftpPacket | Uint8Array, port: number): void {
    this.socket.send(packet instanceof Uint8Array ? packet : encodePacket(packet), port, LOOPBACK);
  }

  /** The next packet, or undefined when none comes in time. */
  async next(timeoutMs = 2000): Promise<{ packet: TftpPacket; port: number } | undefined> {
    if (this.#received.length === 0) {
      let timer: NodeJS.Timeout | undefined;
      await new Promise<void>((resolve) => {
        this.#waiting = resolve;
        timer = setTimeout(resolve, timeoutMs);
      });
      clearTimeout(timer);
    }
    return this.#received.shift();
  }

  /** Everything that comes until it has been quiet this long. */
  async drain(quietMs: number): Promise<TftpPacket[]> {
    const packets: TftpPacket[] = [];
    for (let next = await this.next(quietMs); next !== undefined; next = await this.next(quietMs)) packets.push(next.packet);
    return packets;
  }
}
