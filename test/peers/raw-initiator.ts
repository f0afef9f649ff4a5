import { connect, type Socket } from "node:net";
import { decodeLoginResponse, encodeLoginRequest, type LoginRequest, type LoginResponse } from "../../src/iscsi/login-pdu.ts";
import { encodeTextRequest, HEADER_LENGTH, NO_TAG, opcodeOf } from "../../src/iscsi/pdu.ts";
import { encodeText, type TextPairs } from "../../src/iscsi/text.ts";
import { ByteWriter } from "../../src/wire/writer.ts";
import { loginRequest } from "../iscsi/support.ts";

export interface ReceivedPdu {
  readonly opcode: number;
  readonly header: Uint8Array;
  readonly data: Uint8Array;
}

/** How long a PDU or an end is waited for. */
const PATIENCE_MS = 10_000;

/**
 * An initiator that does exactly what a test says, one PDU at a time: what open-iscsi does in a dracut boot, and what a
 * machine that loses its power does not do.
 */
export class RawInitiator {
  readonly closed: Promise<void>;
  readonly #socket: Socket;
  readonly #received: ReceivedPdu[] = [];
  #buffer: Buffer = Buffer.alloc(0);
  #wake: () => void = () => undefined;
  #cmdSN = 1;
  #taskTag = 1;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (octets) => this.#take(octets));
    socket.on("error", () => undefined);
    this.closed = new Promise((resolve) => {
      socket.once("close", () => {
        this.#wake();
        resolve();
      });
    });
  }

  static connect(portal: string): Promise<RawInitiator> {
    const [host = "", port = ""] = portal.split(":");
    return new Promise((resolve, reject) => {
      const socket = connect(Number(port), host, () => resolve(new RawInitiator(socket)));
      socket.once("error", reject);
    });
  }

  #take(octets: Uint8Array): void {
    this.#buffer = Buffer.concat([this.#buffer, octets]);
    while (this.#buffer.length >= HEADER_LENGTH) {
      const length = this.#buffer.readUIntBE(5, 3);
      const end = HEADER_LENGTH + Math.ceil(length / 4) * 4;
      if (this.#buffer.length < end) break;
      const header = Uint8Array.from(this.#buffer.subarray(0, HEADER_LENGTH));
      this.#received.push({
        opcode: opcodeOf(header),
        header,
        data: Uint8Array.from(this.#buffer.subarray(HEADER_LENGTH, HEADER_LENGTH + length)),
      });
      this.#buffer = this.#buffer.subarray(end);
    }
    this.#wake();
  }

  /** The next PDU; throws when the connection ends or nothing comes. */
  async next(): Promise<ReceivedPdu> {
    const deadline = AbortSignal.timeout(PATIENCE_MS);
    while (this.#received.length === 0) {
      if (this.#socket.closed || deadline.aborted) throw new Error("no PDU came");
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        deadline.addEventListener("abort", () => resolve(), { once: true });
      });
    }
    const pdu = this.#received.shift();
    if (pdu === undefined) throw new Error("no PDU came");
    return pdu;
  }

  send(header: Uint8Array, data: Uint8Array = new Uint8Array(0)): void {
    this.#socket.write(Buffer.concat([header, data, Buffer.alloc((4 - (data.length % 4)) % 4)]));
  }

  async login(pairs: TextPairs, changes: Partial<LoginRequest> = {}): Promise<LoginResponse> {
    const data = encodeText(pairs);
    this.send(encodeLoginRequest(loginRequest({ cmdSN: this.#cmdSN, ...changes }), data.length), data);
    return decodeLoginResponse((await this.next()).header);
  }

  /** A text request; returns the answer. */
  async text(pairs: TextPairs, transferTag: number = NO_TAG): Promise<ReceivedPdu> {
    const data = encodeText(pairs);
    const request = { immediate: false, final: true, continued: false, lun: 0n, taskTag: this.#taskTag++, transferTag, expStatSN: 0 };
    this.send(encodeTextRequest({ ...request, cmdSN: this.#cmdSN++ }, data.length), data);
    return this.next();
  }

  /** A SCSI command of LUN 0 with its whole data-out as immediate data (RFC 7143, 11.3). */
  command(cdb: Uint8Array, transfer: { readonly read?: number; readonly write?: Uint8Array } = {}): void {
    const data = transfer.write ?? new Uint8Array(0);
    const header = new ByteWriter(HEADER_LENGTH)
      .u8(0x01)
      .u8(0x80 | (transfer.read === undefined ? 0 : 0x40) | (transfer.write === undefined ? 0 : 0x20) | 0x01)
      .zeros(2)
      .u32(data.length)
      .zeros(8)
      .u32(this.#taskTag++)
      .u32(transfer.read ?? data.length)
      .u32(this.#cmdSN++)
      .u32(0)
      .bytes(cdb)
      .zeros(16 - cdb.length)
      .finish();
    this.send(header, data);
  }

  /** Goes without Logout, as open-iscsi does after switch_root. */
  vanish(): void {
    this.#socket.destroy();
  }
}
