import type { RemoteInfo, Socket } from "node:dgram";
import type { Downloads } from "../boot/downloads.ts";
import type { BootFile, BootFiles, FileClient } from "../boot/files.ts";
import { ListenError } from "../boot/listen-error.ts";
import { type ByteSource, bytesSource, type OpenFiles, openFile } from "../boot/open-files.ts";
import { type Ipv4, parseIpv4 } from "../machine/identifiers.ts";
import type { Machine } from "../machine/machine.ts";
import type { FileSender } from "../native/file-sender.ts";
import type { Emit } from "../state/events.ts";
import { type Peer, startDownload } from "./download.ts";
import { MAX_NETASCII_BYTES, toNetascii } from "./netascii.ts";
import { ETHERNET_BLKSIZE, negotiate, unfragmented } from "./options.ts";
import { decodePacket, encodePacket, type ReadRequest, TFTP_ERROR, type TftpPacket, type WriteRequest } from "./packet.ts";
import { type ClaimedSlot, type Slot, Slots } from "./slots.ts";
import { boundSocket, ignore } from "./sockets.ts";
import { DEFAULT_MAX_WAIT_MS, MAX_WINDOWSIZE } from "./transfer.ts";
import { serveWriteRequest } from "./write-request.ts";

export interface TftpSettings {
  /** Requests are taken and answered on this address only. */
  readonly address: Ipv4;
  /** 0: the system chooses; {@link TftpServer.port} tells. */
  readonly port: number;
  /** Largest window that is agreed to, in blocks. */
  readonly windowsize: number;
  /** A folder that clients may write to; absent, write requests are refused. */
  readonly upload?: string;
  /** Largest block that is agreed to, in octets; by default what fits an Ethernet frame. */
  readonly blksize?: number;
}

export interface TftpParts {
  readonly files: BootFiles;
  readonly openFiles: OpenFiles;
  readonly downloads: Downloads;
  /** Sends large files without JavaScript; absent, everything is sent with it. */
  readonly sender?: FileSender;
  readonly machineAt: (address: Ipv4) => Machine | undefined;
  /** Of the interface that clients are reached by, as it is now. Absent or undefined, blocks are clamped by the settings alone. */
  readonly mtu?: () => Promise<number | undefined>;
  readonly emit: Emit;
  /** A clock that never goes back, in milliseconds. */
  readonly nowMs: () => number;
}

/** RFC 768 lets a sender that wants no answer leave its port out. Nothing can be sent there, and dgram throws when it is tried. */
const NO_PORT = "a packet from port 0, which cannot be answered";

/** Serves boot files over TFTP (RFC 1350, 2347, 2348, 2349, 7440). A write request is refused unless a folder is named for uploads. */
export class TftpServer {
  readonly #parts: TftpParts;
  #settings: TftpSettings;
  #listener: Socket | undefined;
  /** Refusals leave from here, so that no error comes from the well-known port and none costs a socket. */
  #refusals: Socket | undefined;
  readonly #slots: Slots;

  constructor(settings: TftpSettings, parts: TftpParts) {
    this.#settings = settings;
    this.#parts = parts;
    this.#slots = new Slots(parts.nowMs);
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
      const refusals = await boundSocket(address, 0, () => {});
      const listener = await boundSocket(address, port, (bytes, from) => this.#received(bytes, from)).catch((error: unknown) => {
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
    this.#slots.abort("the server is stopping");
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

  /** Breaks off every transfer that this client asked for before it restarted. */
  forget(address: Ipv4, restartedMs: number): void {
    this.#slots.abort("the machine has restarted", { address, askedBeforeMs: restartedMs });
  }

  #unlisten(): void {
    this.#listener?.close();
    this.#refusals?.close();
    this.#listener = undefined;
    this.#refusals = undefined;
  }

  #received(bytes: Uint8Array, from: RemoteInfo): void {
    if (from.port === 0) {
      this.#malformed(nameOf(from), NO_PORT);
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
        void this.#writeRequest(packet, from);
        break;
      case "data":
      case "ack":
      case "oack":
        this.#malformed(nameOf(from), `${packet.kind} packet to the port for requests`);
        this.#refuse(from, TFTP_ERROR.unknownTransfer, "unknown transfer ID");
        break;
      case "error":
        break; // RFC 1350, 7: an error is never answered.
    }
  }

  async #writeRequest(request: WriteRequest, from: RemoteInfo): Promise<void> {
    const client = this.#client(from);
    const claim = this.#claim(request, client, from);
    if (claim === undefined) return;
    const { address, upload } = this.#settings;
    const blksize = await this.#blksize();
    await serveWriteRequest({
      ...this.#parts,
      ...claim,
      request,
      client,
      from,
      address,
      folder: upload,
      blksize,
      refuse: (code, message) => this.#refuse(from, code, message),
      onMalformed: (peer, reason) => this.#malformed(peer, reason),
      onStranger: (stranger) => this.#stranger(stranger),
    });
    this.#begun(claim);
  }

  async #blksize(): Promise<number> {
    return unfragmented(this.#settings.blksize ?? ETHERNET_BLKSIZE, await this.#parts.mtu?.());
  }

  #claim(request: ReadRequest | WriteRequest, client: FileClient, { address, port }: RemoteInfo): ClaimedSlot | undefined {
    const claim = this.#slots.claim(address, port, JSON.stringify([request.kind, request.filename, request.mode, request.options]));
    if (claim.kind === "slot") return claim;
    // No ERROR: firmware gives up at once when it gets one, and asks again when it gets nothing.
    if (claim.kind === "busy") this.#parts.downloads.refused(client, request.filename, claim.reason);
    return undefined;
  }

  /** What a request became runs, or never began; or the server stopped meanwhile. */
  #begun({ slot, release }: ClaimedSlot): void {
    if (slot.abort === undefined) release();
    else if (this.#listener === undefined) slot.abort("the server is stopping");
  }

  async #readRequest(request: ReadRequest, from: RemoteInfo): Promise<void> {
    const client = this.#client(from);
    const claim = this.#claim(request, client, from);
    if (claim === undefined) return;
    try {
      await this.#serve(request, client, from, claim.slot, claim.release);
    } catch (error) {
      this.#parts.downloads.refused(client, request.filename, error instanceof Error ? error.message : String(error));
      this.#refuse(from, TFTP_ERROR.undefined, "the file cannot be read");
    }
    this.#begun(claim);
  }

  async #serve(request: ReadRequest, client: FileClient, from: RemoteInfo, slot: Slot, release: () => void): Promise<void> {
    const { files, downloads, nowMs, sender } = this.#parts;
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
    const blksize = await this.#blksize();
    const source = await this.#open(found, mode);
    if (this.#listener === undefined) return source.release();
    const { address, windowsize } = this.#settings;
    const { sizeBytes } = source;
    const options = negotiate(request.options, { blksize, windowsize: Math.min(windowsize, MAX_WINDOWSIZE) }, sizeBytes);
    let download: ReturnType<Downloads["begin"]> | undefined;
    slot.abort = await startDownload({
      address,
      peer: from,
      plan: { sizeBytes, blksize: options.blksize, windowsize: options.windowsize, maxWaitMs: options.timeoutMs ?? DEFAULT_MAX_WAIT_MS },
      oack: options.oack,
      source,
      sender,
      nowMs,
      onBegin: () => {
        download = downloads.begin(client, request.filename, found.role, sizeBytes);
      },
      onProgress: (ackedBytes) => {
        slot.begun = true;
        download?.progressed(ackedBytes);
      },
      onEnd: (outcome) => {
        release();
        if (outcome.kind === "finished") download?.finished(sizeBytes);
        if (outcome.kind === "failed") download?.failed(outcome.reason);
      },
      onMalformed: (peer, reason) => this.#malformed(peer, reason),
      onStranger: (stranger) => this.#stranger(stranger),
    });
  }

  async #open(found: BootFile, mode: "octet" | "netascii"): Promise<ByteSource> {
    const source = await openFile(found, this.#parts.openFiles);
    if (mode === "octet") return source;
    try {
      if (source.sizeBytes > MAX_NETASCII_BYTES) throw new Error(`${source.sizeBytes} octets are too many for netascii`);
      return bytesSource(toNetascii(Buffer.concat(await source.read(0, source.sizeBytes))));
    } finally {
      source.release();
    }
  }

  #stranger(from: Peer): void {
    this.#malformed(nameOf(from), from.port === 0 ? NO_PORT : "a packet to another client's transfer");
    if (from.port !== 0) this.#refuse(from, TFTP_ERROR.unknownTransfer, "unknown transfer ID");
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
      this.#malformed(nameOf(from), error instanceof Error ? error.message : String(error));
      return undefined;
    }
  }

  #malformed(peer: string, reason: string): void {
    this.#parts.emit({ type: "peer.malformed", service: "tftp", peer, reason });
  }

  #refuse(to: Peer, code: number, message: string): void {
    this.#refusals?.send(encodePacket({ kind: "error", code, message }), to.port, to.address, ignore);
  }
}

function nameOf({ address, port }: Peer): string {
  return `${address}:${port}`;
}
