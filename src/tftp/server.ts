import { createSocket, type RemoteInfo, type Socket } from "node:dgram";
import type { Downloads } from "../boot/downloads.ts";
import type { BootFile, BootFiles, FileClient } from "../boot/files.ts";
import { ListenError } from "../boot/listen-error.ts";
import { type ByteSource, bytesSource, type OpenFiles } from "../boot/open-files.ts";
import { type Ipv4, parseIpv4 } from "../machine/identifiers.ts";
import type { Machine } from "../machine/machine.ts";
import type { Emit } from "../state/events.ts";
import { MAX_NETASCII_BYTES, toNetascii } from "./netascii.ts";
import { ETHERNET_BLKSIZE, negotiate } from "./options.ts";
import { decodePacket, encodePacket, type ReadRequest, TFTP_ERROR, type TftpPacket } from "./packet.ts";
import { type Endpoint, Session } from "./session.ts";
import { DEFAULT_MAX_WAIT_MS, MAX_WINDOWSIZE } from "./transfer.ts";

export interface TftpSettings {
  /** Requests are taken and answered on this address only. */
  readonly address: Ipv4;
  /** 0: the system chooses; {@link TftpServer.port} tells. */
  readonly port: number;
  /** Largest window that is agreed to, in blocks. */
  readonly windowsize: number;
  /** Largest block that is agreed to, in octets; by default what fits an Ethernet frame. */
  readonly blksize?: number;
}

export interface TftpParts {
  readonly files: BootFiles;
  readonly openFiles: OpenFiles;
  readonly downloads: Downloads;
  readonly machineAt: (address: Ipv4) => Machine | undefined;
  readonly emit: Emit;
  /** A clock that never goes back, in milliseconds. */
  readonly nowMs: () => number;
}

/** Each transfer has a descriptor and some read-ahead; a whole rack at once stays well below. */
export const MAX_TRANSFERS = 256;
/** Firmware asks for one file after the other; what it left behind ends by itself within half a minute. */
export const MAX_TRANSFERS_PER_CLIENT = 24;

/** RFC 768 lets a sender that wants no answer leave its port out. Nothing can be sent there, and dgram throws when it is tried. */
const NO_PORT = "a packet from port 0, which cannot be answered";

interface Slot {
  readonly address: string;
  readonly request: string;
  /** Absent while the file is looked up and opened. */
  session?: Session;
  /** The highest the client is known to have come; a request repeated after that is a new one. */
  begun: boolean;
}

/** Serves boot files over TFTP (RFC 1350, 2347, 2348, 2349, 7440). Read only: a write request is refused. */
export class TftpServer {
  readonly #parts: TftpParts;
  #settings: TftpSettings;
  #listener: Socket | undefined;
  /** Refusals leave from here, so that no error comes from the well-known port and none costs a socket. */
  #refusals: Socket | undefined;
  /** By the client's transfer identifier, `address:port`. */
  readonly #slots = new Map<string, Slot>();

  constructor(settings: TftpSettings, parts: TftpParts) {
    this.#settings = settings;
    this.#parts = parts;
  }

  /** The port that requests come to; 0 while stopped. */
  get port(): number {
    return this.#listener?.address().port ?? 0;
  }

  get transfers(): number {
    return this.#slots.size;
  }

  /** Rejects with {@link ListenError}. */
  async start(): Promise<void> {
    const { address, port } = this.#settings;
    try {
      const refusals = await bound(address, 0, () => {});
      const listener = await bound(address, port, (bytes, from) => this.#received(bytes, from)).catch((error: unknown) => {
        refusals.close();
        throw error;
      });
      this.#refusals = refusals;
      this.#listener = listener;
    } catch (error) {
      throw new ListenError("TFTP", address, port, error);
    }
  }

  /** Transfers under way are broken off; their clients are told. */
  async stop(): Promise<void> {
    this.#unlisten();
    for (const slot of [...this.#slots.values()]) slot.session?.abort("the server is stopping");
    this.#slots.clear();
  }

  /** Transfers under way go on as they were agreed. Rejects with {@link ListenError}, and then listens where it did. */
  async update(settings: TftpSettings): Promise<void> {
    const before = this.#settings;
    const moved = settings.address !== before.address || settings.port !== before.port;
    this.#settings = settings;
    if (!moved || this.#listener === undefined) return;
    const { listener, refusals } = { listener: this.#listener, refusals: this.#refusals };
    try {
      await this.start();
    } catch (error) {
      this.#settings = before;
      throw error;
    }
    listener.close();
    refusals?.close();
  }

  /** Breaks off every transfer of this client, for when it is known to have restarted. */
  forget(address: Ipv4): void {
    for (const slot of [...this.#slots.values()]) if (slot.address === address) slot.session?.abort("the machine has restarted");
  }

  #unlisten(): void {
    this.#listener?.close();
    this.#refusals?.close();
    this.#listener = undefined;
    this.#refusals = undefined;
  }

  #received(bytes: Uint8Array, from: RemoteInfo): void {
    if (from.port === 0) {
      this.#malformed(from, NO_PORT);
      return;
    }
    const packet = this.#decode(bytes, from);
    if (packet === undefined) {
      // Only a request deserves an answer; anything else may come from nobody who waits for one.
      if (bytes[0] === 0 && (bytes[1] === 1 || bytes[1] === 2)) this.#refuse(from, TFTP_ERROR.illegalOperation, "malformed request");
      return;
    }
    switch (packet.kind) {
      case "rrq":
        void this.#readRequest(packet, from);
        break;
      case "wrq":
        this.#parts.downloads.refused(this.#client(from), packet.filename, "a write request, and uploads are not taken");
        this.#refuse(from, TFTP_ERROR.accessViolation, "this server takes no uploads");
        break;
      case "data":
      case "ack":
      case "oack":
        this.#malformed(from, `${packet.kind} packet to the port for requests`);
        this.#refuse(from, TFTP_ERROR.unknownTransfer, "unknown transfer ID");
        break;
      case "error":
        break; // RFC 1350, 7: an error is never answered.
    }
  }

  async #readRequest(request: ReadRequest, from: RemoteInfo): Promise<void> {
    const key = `${from.address}:${from.port}`;
    const client = this.#client(from);
    const signature = JSON.stringify([request.filename, request.mode, request.options]);
    const running = this.#slots.get(key);
    if (running !== undefined) {
      // Asked again before the first answer came through: the answer is on its way, or is repeated by its timer.
      if (running.request === signature && !running.begun) return;
      if (running.session === undefined) return;
      running.session.abort("the client asked anew from the same port");
    }
    const busy = this.#busy(from.address);
    if (busy !== undefined) {
      // No ERROR: firmware gives up at once when it gets one, and asks again when it gets nothing.
      this.#parts.downloads.refused(client, request.filename, busy);
      return;
    }
    const slot: Slot = { address: from.address, request: signature, begun: false };
    this.#slots.set(key, slot);
    try {
      await this.#serve(request, client, from, slot, () => {
        if (this.#slots.get(key) === slot) this.#slots.delete(key);
      });
    } catch (error) {
      this.#parts.downloads.refused(client, request.filename, error instanceof Error ? error.message : String(error));
      this.#refuse(from, TFTP_ERROR.undefined, "the file cannot be read");
    }
    if (slot.session === undefined && this.#slots.get(key) === slot) this.#slots.delete(key);
  }

  async #serve(request: ReadRequest, client: FileClient, from: RemoteInfo, slot: Slot, forget: () => void): Promise<void> {
    const { files, downloads, nowMs } = this.#parts;
    const mode = request.mode.toLowerCase();
    if (mode !== "octet" && mode !== "netascii") {
      downloads.refused(client, request.filename, `transfer mode "${request.mode}" is not served`);
      return this.#refuse(from, TFTP_ERROR.illegalOperation, "the modes here are octet and netascii");
    }
    const found = await files.resolve(client, request.filename);
    if (found.kind === "not-found") {
      downloads.refused(client, request.filename, found.reason);
      return this.#refuse(from, TFTP_ERROR.notFound, "file not found");
    }
    const source = await this.#open(found, mode);
    const { endpoint, receive } = await this.#endpoint(from).catch((error: unknown) => {
      source.release();
      throw error;
    });
    if (this.#listener === undefined) {
      source.release();
      return endpoint.close();
    }
    const { windowsize, blksize = ETHERNET_BLKSIZE } = this.#settings;
    const limits = { blksize, windowsize: Math.min(windowsize, MAX_WINDOWSIZE) };
    const options = negotiate(request.options, limits, source.sizeBytes);
    const sizeBytes = source.sizeBytes;
    let download: ReturnType<Downloads["begin"]> | undefined;
    const session = new Session({
      plan: { sizeBytes, blksize: options.blksize, windowsize: options.windowsize, maxWaitMs: options.timeoutMs ?? DEFAULT_MAX_WAIT_MS },
      oack: options.oack,
      source,
      endpoint,
      nowMs,
      onBegin: () => {
        download = downloads.begin(client, request.filename, found.role, sizeBytes);
      },
      onProgress: (ackedBytes) => {
        slot.begun = true;
        download?.progressed(ackedBytes);
      },
      onEnd: (outcome) => {
        forget();
        if (outcome.kind === "finished") download?.finished(sizeBytes);
        if (outcome.kind === "failed") download?.failed(outcome.reason);
      },
    });
    slot.session = session;
    receive((packet) => {
      if (packet.kind === "ack" || packet.kind === "error") session.input(packet);
      else this.#malformed(from, `${packet.kind} packet in a download`);
    });
  }

  async #open(found: BootFile, mode: "octet" | "netascii"): Promise<ByteSource> {
    const source = await this.#source(found);
    if (mode === "octet") return source;
    try {
      if (source.sizeBytes > MAX_NETASCII_BYTES) throw new Error(`${source.sizeBytes} octets are too many for netascii`);
      return bytesSource(toNetascii(Buffer.concat(await source.read(0, source.sizeBytes))));
    } finally {
      source.release();
    }
  }

  async #source(found: BootFile): Promise<ByteSource> {
    switch (found.kind) {
      case "bytes":
        return bytesSource(found.bytes);
      case "file":
        return this.#parts.openFiles.open(found.path);
      case "disk":
        return found.open();
    }
  }

  /** A socket on a new port (RFC 1350, 4: the transfer identifier), deaf to everybody but the one peer. */
  async #endpoint(peer: RemoteInfo): Promise<{ endpoint: Endpoint; receive: (handler: (packet: TftpPacket) => void) => void }> {
    let handler: (packet: TftpPacket) => void = () => {};
    let open = true;
    const socket = await bound(this.#settings.address, 0, (bytes, from) => {
      if (!open) return;
      if (from.port === 0) return this.#malformed(from, NO_PORT);
      if (from.address !== peer.address || from.port !== peer.port) {
        this.#malformed(from, "a packet to another client's transfer");
        this.#refuse(from, TFTP_ERROR.unknownTransfer, "unknown transfer ID");
        return;
      }
      const packet = this.#decode(bytes, from);
      if (packet !== undefined) handler(packet);
    });
    const endpoint: Endpoint = {
      send: (parts) => {
        if (open) socket.send(parts, peer.port, peer.address, ignore);
      },
      close: () => {
        if (open) socket.close();
        open = false;
      },
    };
    return {
      endpoint,
      receive: (next) => {
        handler = next;
      },
    };
  }

  #busy(address: string): string | undefined {
    if (this.#slots.size >= MAX_TRANSFERS) return `${MAX_TRANSFERS} transfers are under way, which is the limit`;
    let own = 0;
    for (const slot of this.#slots.values()) if (slot.address === address) own++;
    return own >= MAX_TRANSFERS_PER_CLIENT ? `this client has ${own} transfers under way, which is the limit` : undefined;
  }

  #client(from: RemoteInfo): FileClient {
    const address = parseIpv4(from.address);
    const machine = this.#parts.machineAt(address);
    return { address, transport: "tftp", ...(machine === undefined ? {} : { machine }) };
  }

  #decode(bytes: Uint8Array, from: RemoteInfo): TftpPacket | undefined {
    try {
      return decodePacket(bytes);
    } catch (error) {
      this.#malformed(from, error instanceof Error ? error.message : String(error));
      return undefined;
    }
  }

  #malformed(from: RemoteInfo, reason: string): void {
    this.#parts.emit({ type: "peer.malformed", service: "tftp", peer: `${from.address}:${from.port}`, reason });
  }

  #refuse(to: RemoteInfo, code: number, message: string): void {
    this.#refusals?.send(encodePacket({ kind: "error", code, message }), to.port, to.address, ignore);
  }
}

/** A datagram that cannot be sent is a datagram lost, and lost ones are what the protocol is made for. */
function ignore(): void {}

/** An IPv4 address is its own answer; asking the resolver for it would cost a turn of the event loop for every block. */
type Lookup = (host: string, family: unknown, callback: (error: null, address: string, family: number) => void) => void;
const lookup: Lookup = (host, _family, callback) => callback(null, host, 4);

async function bound(address: string, port: number, onMessage: (bytes: Uint8Array, from: RemoteInfo) => void): Promise<Socket> {
  const socket = createSocket({ type: "udp4", lookup: lookup as never });
  socket.on("message", onMessage);
  await new Promise<void>((resolve, reject) => {
    socket.once("error", reject);
    socket.bind({ address, port, exclusive: true }, () => {
      socket.off("error", reject);
      socket.on("error", ignore);
      resolve();
    });
  }).catch((error: unknown) => {
    socket.close();
    throw error;
  });
  return socket;
}
