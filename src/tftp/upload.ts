import { FromNetascii } from "./netascii.ts";
import { type DataPacket, decodePacket, encodePacket, TFTP_ERROR, type TftpOption } from "./packet.ts";
import { beginReceipt, type Receipt, type ReceiptInput, type ReceiptStep, stepReceipt } from "./receive.ts";
import { type Endpoint, openEndpoint } from "./sockets.ts";
import { type UploadFile, UploadRefused } from "./upload-file.ts";

export interface UploadParts {
  readonly address: string;
  readonly peer: { readonly address: string; readonly port: number };
  readonly file: UploadFile;
  readonly blksize: number;
  /** Empty: the request is answered with ACK 0. */
  readonly oack: readonly TftpOption[];
  readonly netascii: boolean;
  /** All of it is on the disk. */
  readonly onComplete: (bytes: number) => void;
  readonly onFailed: (reason: string) => void;
  /** The port is free again. Called once, last. */
  readonly onClosed: () => void;
  readonly onProgress: () => void;
  readonly onMalformed: (peer: string, reason: string) => void;
  readonly onStranger: (from: { readonly address: string; readonly port: number }) => void;
}

/** Runs one upload: carries out what the state machine decides, one packet after the other. */
export class Upload {
  readonly #parts: UploadParts;
  readonly #endpoint: Endpoint;
  readonly #text: FromNetascii | undefined;
  #receipt: Receipt;
  #timer: NodeJS.Timeout | undefined;
  #bytes = 0;
  /** A packet that comes while one is written is dropped, as a client in lock step sends it only when it lost patience. */
  #busy = false;

  private constructor(parts: UploadParts, endpoint: Endpoint) {
    this.#parts = parts;
    this.#endpoint = endpoint;
    this.#text = parts.netascii ? new FromNetascii() : undefined;
    const first = beginReceipt();
    this.#receipt = first.receipt;
    void this.#apply(first);
  }

  /** Rejects where no socket is to be had. */
  static async start(parts: UploadParts): Promise<Upload> {
    const name = `${parts.peer.address}:${parts.peer.port}`;
    let upload: Upload | undefined;
    const onPacket = (bytes: Uint8Array): void => {
      try {
        const packet = decodePacket(bytes);
        if (upload === undefined) return;
        if (packet.kind === "data") void upload.#input({ kind: "data", block: packet.block, length: packet.data.length }, packet);
        else if (packet.kind === "error") void upload.#input(packet);
        else parts.onMalformed(name, `${packet.kind} packet in an upload`);
      } catch (error) {
        parts.onMalformed(name, error instanceof Error ? error.message : String(error));
      }
    };
    const endpoint = await openEndpoint({ address: parts.address, peer: parts.peer, onPacket, onStranger: parts.onStranger });
    upload = new Upload(parts, endpoint);
    return upload;
  }

  /** Ends it from our side; the client is told why. */
  abort(reason: string): void {
    if (this.#receipt.phase === "ended") return;
    if (this.#receipt.phase === "lingering") void this.#apply({ receipt: { phase: "ended" }, actions: [{ kind: "closed" }] });
    else this.#fail(TFTP_ERROR.undefined, reason);
  }

  async #input(input: ReceiptInput, packet?: DataPacket): Promise<void> {
    if (this.#busy) return;
    this.#busy = true;
    await this.#apply(stepReceipt(this.#receipt, input, this.#parts.blksize), packet);
    this.#busy = false;
  }

  /** Never rejects. */
  async #apply({ receipt, actions }: ReceiptStep, packet?: DataPacket): Promise<void> {
    this.#receipt = receipt;
    const { file, onComplete, onProgress } = this.#parts;
    try {
      for (const action of actions) {
        switch (action.kind) {
          case "store": {
            const octets = packet === undefined ? new Uint8Array() : (this.#text?.decode(packet.data) ?? packet.data);
            this.#bytes += octets.length;
            await file.write(octets);
            onProgress();
            break;
          }
          case "complete":
            if (this.#text !== undefined) await file.write(this.#text.end());
            await file.complete();
            onComplete(this.#bytes);
            break;
          case "acknowledge":
            this.#answer(action.block);
            break;
          case "set-timer":
            this.#setTimer(action.afterMs);
            break;
          case "closed":
            this.#close();
            break;
          case "failed":
            this.#fail(action.tellClient ? TFTP_ERROR.undefined : undefined, action.reason);
            break;
        }
        if (this.#receipt !== receipt) return;
      }
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code === "ENOSPC" ? TFTP_ERROR.diskFull : TFTP_ERROR.undefined;
      this.#fail(error instanceof UploadRefused ? error.tftpCode : code, error instanceof Error ? error.message : String(error));
    }
  }

  #answer(block: number): void {
    const { oack } = this.#parts;
    const isFirst = this.#receipt.phase === "receiving" && this.#receipt.blocks === 0;
    this.#endpoint.send([encodePacket(isFirst && oack.length > 0 ? { kind: "oack", options: oack } : { kind: "ack", block })]);
  }

  #setTimer(afterMs: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#input({ kind: "timeout" }), afterMs);
  }

  #fail(code: number | undefined, reason: string): void {
    this.#receipt = { phase: "ended" };
    if (code !== undefined) this.#endpoint.send([encodePacket({ kind: "error", code, message: reason.replaceAll("\0", "?") })]);
    void this.#parts.file.discard();
    this.#parts.onFailed(reason);
    this.#close();
  }

  #close(): void {
    clearTimeout(this.#timer);
    this.#endpoint.close();
    this.#parts.onClosed();
  }
}
