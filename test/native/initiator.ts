import { createConnection, type Socket } from "node:net";
import { crc32c } from "./crc32c.ts";

/** Basic header segments are 48 octets (RFC 7143, 11.2). */
const BHS = 48;
const NO_TAG = 0xffffffff;

/** RFC 7143, 11.2.1.2. */
export const Opcode = {
  nopOut: 0x00,
  command: 0x01,
  taskManagement: 0x02,
  login: 0x03,
  text: 0x04,
  dataOut: 0x05,
  logout: 0x06,
  snack: 0x10,
  nopIn: 0x20,
  response: 0x21,
  taskManagementResponse: 0x22,
  loginResponse: 0x23,
  textResponse: 0x24,
  dataIn: 0x25,
  logoutResponse: 0x26,
  r2t: 0x31,
  reject: 0x3f,
} as const;

export interface Pdu {
  readonly header: Buffer;
  readonly data: Buffer;
}

export const opcodeOf = (pdu: Pdu): number => pdu.header.readUInt8(0) & 0x3f;
export const tagOf = (pdu: Pdu): number => pdu.header.readUInt32BE(16);

export interface InitiatorOptions {
  readonly headerDigest?: boolean;
  readonly dataDigest?: boolean;
  /** What one Data-Out carries at most. */
  readonly segmentBytes?: number;
  readonly localAddress?: string;
}

export interface CommandOptions {
  readonly lun?: number;
  /** Octets that a read expects. */
  readonly read?: number;
  readonly write?: Uint8Array;
  /** Expected data transfer length, where it differs from the data. */
  readonly expected?: number;
  /** Octets of data in the command PDU itself. */
  readonly immediate?: number;
  /** Octets that follow unsolicited, immediate data included: the F bit is clear then. */
  readonly unsolicited?: number;
  readonly cmdSN?: number;
  readonly immediateDelivery?: boolean;
}

export interface CommandAnswer {
  readonly status: number;
  readonly data: Buffer;
  /** "05/21/00"; empty without sense data. */
  readonly sense: string;
  readonly overflow: number;
  readonly underflow: number;
  /** Every PDU that answered, in order. */
  readonly pdus: readonly Pdu[];
}

/** Cuts octets into PDUs, checking digests. */
class Receiver {
  #buffer: Buffer = Buffer.alloc(0);
  headerDigest = 0;
  dataDigest = 0;

  push(chunk: Buffer): readonly Pdu[] {
    this.#buffer = Buffer.concat([this.#buffer, chunk]);
    const out: Pdu[] = [];
    for (let pdu = this.#next(); pdu !== undefined; pdu = this.#next()) out.push(pdu);
    return out;
  }

  #next(): Pdu | undefined {
    if (this.#buffer.length < BHS) return undefined;
    const length = this.#buffer.readUIntBE(5, 3);
    const padded = (length + 3) & ~3;
    const start = BHS + this.headerDigest;
    const end = start + padded + (length > 0 ? this.dataDigest : 0);
    if (this.#buffer.length < end) return undefined;
    const header = Buffer.from(this.#buffer.subarray(0, BHS));
    const data = Buffer.from(this.#buffer.subarray(start, start + length));
    if (this.headerDigest > 0 && this.#buffer.readUInt32LE(BHS) !== crc32c(header)) throw new Error("header digest is wrong");
    const segment = this.#buffer.subarray(start, start + padded);
    if (this.dataDigest > 0 && length > 0 && this.#buffer.readUInt32LE(start + padded) !== crc32c(segment)) {
      throw new Error("data digest is wrong");
    }
    this.#buffer = this.#buffer.subarray(end);
    return { header, data };
  }
}

/** PDUs that wait for a reader, or readers that wait for a PDU. */
class Inbox {
  readonly #pdus: Pdu[] = [];
  readonly #readers: { resolve: (pdu: Pdu) => void; reject: (error: Error) => void }[] = [];
  #ended: Error | undefined;

  put(pdu: Pdu): void {
    const reader = this.#readers.shift();
    if (reader === undefined) this.#pdus.push(pdu);
    else reader.resolve(pdu);
  }
  end(error: Error): void {
    this.#ended = error;
    for (const reader of this.#readers.splice(0)) reader.reject(error);
  }
  take(): Promise<Pdu> {
    const pdu = this.#pdus.shift();
    if (pdu !== undefined) return Promise.resolve(pdu);
    if (this.#ended !== undefined) return Promise.reject(this.#ended);
    return new Promise((resolve, reject) => this.#readers.push({ resolve, reject }));
  }
  get waiting(): number {
    return this.#pdus.length;
  }
}

/** The initiator's end of one connection: as much of RFC 7143 as tests of the data plane need, and every way to do it wrong. */
export class Initiator {
  readonly #socket: Socket;
  readonly #receiver = new Receiver();
  readonly #inboxes = new Map<number, Inbox>();
  readonly #options: InitiatorOptions;
  readonly closed: Promise<void>;
  #ended: Error | undefined;
  #nextTag = 1;
  cmdSN = 1;
  expStatSN = 1;
  maxCmdSN = 0;

  private constructor(socket: Socket, options: InitiatorOptions) {
    this.#socket = socket;
    this.#options = options;
    socket.on("data", (chunk) => {
      for (const pdu of this.#receiver.push(chunk)) this.#received(pdu);
    });
    socket.on("error", () => undefined);
    this.closed = new Promise((resolve) => {
      socket.on("close", () => {
        this.#ended = new Error("the target closed the connection");
        for (const inbox of this.#inboxes.values()) inbox.end(this.#ended);
        resolve();
      });
    });
  }

  static connect(port: number, options: InitiatorOptions = {}): Promise<Initiator> {
    return new Promise((resolve, reject) => {
      const socket = createConnection({ port, host: "127.0.0.1", noDelay: true });
      socket.once("error", reject);
      socket.once("connect", () => {
        socket.off("error", reject);
        resolve(new Initiator(socket, options));
      });
    });
  }

  /** A login request that asks for the full-feature phase at once, and its answer. */
  async login(): Promise<Pdu> {
    const header = Buffer.alloc(BHS);
    header[0] = Opcode.login | 0x40;
    header[1] = 0x87; // T, CSG 1, NSG 3
    header.writeUInt32BE(this.cmdSN, 24);
    this.post({ header, data: Buffer.from("InitiatorName=iqn.test\0") });
    const answer = await this.inbox(0).take();
    this.#receiver.headerDigest = this.#options.headerDigest === true ? 4 : 0;
    this.#receiver.dataDigest = this.#options.dataDigest === true ? 4 : 0;
    this.#loggedIn = true;
    return answer;
  }
  #loggedIn = false;

  tag(): number {
    return this.#nextTag++;
  }
  inbox(tag: number): Inbox {
    let inbox = this.#inboxes.get(tag);
    if (inbox === undefined) {
      inbox = new Inbox();
      if (this.#ended !== undefined) inbox.end(this.#ended);
      this.#inboxes.set(tag, inbox);
    }
    return inbox;
  }
  /** PDUs without a tag of ours: Reject, asynchronous messages. */
  get untagged(): Inbox {
    return this.inbox(NO_TAG);
  }

  #received(pdu: Pdu): void {
    this.maxCmdSN = pdu.header.readUInt32BE(32);
    this.inbox(tagOf(pdu)).put(pdu);
  }

  /** The octets of a PDU, padded and with digests where the session has them. */
  encode(pdu: Pdu): Buffer {
    pdu.header.writeUIntBE(pdu.data.length, 5, 3);
    const parts: Buffer[] = [pdu.header];
    const digest = (bytes: Buffer): Buffer => {
      const out = Buffer.alloc(4);
      out.writeUInt32LE(crc32c(bytes));
      return out;
    };
    if (this.#loggedIn && this.#options.headerDigest === true) parts.push(digest(pdu.header));
    if (pdu.data.length > 0) {
      const padded = Buffer.concat([pdu.data, Buffer.alloc(-pdu.data.length & 3)]);
      parts.push(padded);
      if (this.#loggedIn && this.#options.dataDigest === true) parts.push(digest(padded));
    }
    return Buffer.concat(parts);
  }
  post(pdu: Pdu): void {
    this.#socket.write(this.encode(pdu));
  }
  postRaw(bytes: Uint8Array): void {
    this.#socket.write(bytes);
  }

  /** A request header with tag, CmdSN and ExpStatSN. A non-immediate one takes the next CmdSN, unless one is given. */
  request(opcode: number, options: { readonly immediate?: boolean; readonly cmdSN?: number; readonly tag?: number } = {}): Buffer {
    const header = Buffer.alloc(BHS);
    header[0] = opcode | (options.immediate === true ? 0x40 : 0);
    header[1] = 0x80;
    header.writeUInt32BE(options.tag ?? this.tag(), 16);
    header.writeUInt32BE(options.cmdSN ?? this.cmdSN, 24);
    if (options.immediate !== true && options.cmdSN === undefined) this.cmdSN = (this.cmdSN + 1) >>> 0;
    header.writeUInt32BE(this.expStatSN, 28);
    return header;
  }

  /** Sends a SCSI command and what of its data needs no R2T. Returns its tag. */
  send(cdb: readonly number[], options: CommandOptions = {}): number {
    const data = Buffer.from(options.write ?? []);
    const immediate = options.immediate ?? 0;
    const unsolicited = Math.max(options.unsolicited ?? 0, immediate);
    const header = this.request(Opcode.command, {
      immediate: options.immediateDelivery === true,
      ...(options.cmdSN === undefined ? {} : { cmdSN: options.cmdSN }),
    });
    const more = unsolicited > immediate;
    header[1] = (more ? 0 : 0x80) | (options.read === undefined ? 0 : 0x40) | (options.write === undefined ? 0 : 0x20);
    header[9] = options.lun ?? 0;
    header.writeUInt32BE(options.expected ?? options.read ?? data.length, 20);
    header.set(cdb, 32);
    this.post({ header, data: data.subarray(0, immediate) });
    if (more) this.sendData(header.readUInt32BE(16), NO_TAG, data.subarray(immediate, unsolicited), immediate);
    return header.readUInt32BE(16);
  }

  /** Data-Out PDUs of one burst. */
  sendData(tag: number, transferTag: number, data: Buffer, bufferOffset: number): void {
    const segment = this.#options.segmentBytes ?? 8192;
    for (let offset = 0, dataSN = 0; offset < data.length; offset += segment, dataSN++) {
      const part = data.subarray(offset, offset + segment);
      const header = Buffer.alloc(BHS);
      header[0] = Opcode.dataOut;
      header[1] = offset + part.length === data.length ? 0x80 : 0;
      header.writeUInt32BE(tag, 16);
      header.writeUInt32BE(transferTag, 20);
      header.writeUInt32BE(this.expStatSN, 28);
      header.writeUInt32BE(dataSN, 36);
      header.writeUInt32BE(bufferOffset + offset, 40);
      this.post({ header, data: part });
    }
  }

  /** Answers R2Ts with `data` and gathers Data-In until the status comes. */
  async finish(tag: number, data: Buffer = Buffer.alloc(0)): Promise<CommandAnswer> {
    const pdus: Pdu[] = [];
    const parts: Buffer[] = [];
    for (;;) {
      const pdu = await this.inbox(tag).take();
      pdus.push(pdu);
      const { header } = pdu;
      if (opcodeOf(pdu) === Opcode.r2t) {
        const offset = header.readUInt32BE(40);
        this.sendData(tag, header.readUInt32BE(20), data.subarray(offset, offset + header.readUInt32BE(44)), offset);
        continue;
      }
      if (opcodeOf(pdu) === Opcode.dataIn) parts.push(pdu.data);
      const flags = header.readUInt8(1);
      if (opcodeOf(pdu) === Opcode.dataIn && (flags & 1) === 0) continue;
      this.expStatSN = (header.readUInt32BE(24) + 1) >>> 0;
      const sense = opcodeOf(pdu) === Opcode.response ? pdu.data.subarray(2) : Buffer.alloc(0);
      const hex = (value: number): string => value.toString(16).padStart(2, "0");
      return {
        status: header.readUInt8(3),
        data: Buffer.concat(parts),
        sense: sense.length < 14 ? "" : [sense.readUInt8(2) & 0xf, sense.readUInt8(12), sense.readUInt8(13)].map(hex).join("/"),
        overflow: (flags & 4) !== 0 ? header.readUInt32BE(44) : 0,
        underflow: (flags & 2) !== 0 ? header.readUInt32BE(44) : 0,
        pdus,
      };
    }
  }

  execute(cdb: readonly number[], options: CommandOptions = {}): Promise<CommandAnswer> {
    return this.finish(this.send(cdb, options), Buffer.from(options.write ?? []));
  }

  /** A task management request; resolves to the response's code. */
  async manage(code: number, options: { readonly lun?: number; readonly tag?: number; readonly cmdSN?: number } = {}): Promise<number> {
    const header = this.request(Opcode.taskManagement, { immediate: true });
    header[1] = 0x80 | code;
    header[9] = options.lun ?? 0;
    header.writeUInt32BE(options.tag ?? NO_TAG, 20);
    header.writeUInt32BE(options.cmdSN ?? 0, 32);
    this.post({ header, data: Buffer.alloc(0) });
    return (await this.inbox(tagOf({ header, data: header })).take()).header.readUInt8(2);
  }

  /** A ping with an answer: everything that was sent before it has been parsed when it comes. */
  async ping(data: Uint8Array = new Uint8Array(0)): Promise<Buffer> {
    const header = this.request(Opcode.nopOut, { immediate: true });
    header.writeUInt32BE(NO_TAG, 20);
    this.post({ header, data: Buffer.from(data) });
    return (await this.inbox(header.readUInt32BE(16)).take()).data;
  }

  /** Logs out; resolves to the response's code. */
  async logout(): Promise<number> {
    const header = this.request(Opcode.logout);
    this.post({ header, data: Buffer.alloc(0) });
    const answer = await this.inbox(header.readUInt32BE(16)).take();
    if (opcodeOf(answer) !== Opcode.logoutResponse) throw new Error(`answered by opcode ${opcodeOf(answer)}`);
    return answer.header.readUInt8(2);
  }

  end(): void {
    this.#socket.end();
  }
  /** As a machine that loses power, or a peer that crashes: without Logout. */
  destroy(): void {
    this.#socket.resetAndDestroy();
  }
}
