import type { ByteSource } from "../boot/open-files.ts";
import { dataHeader, encodePacket, TFTP_ERROR, type TftpOption } from "./packet.ts";
import type { Endpoint } from "./sockets.ts";
import { beginTransfer, type Step, step, type Transfer, type TransferInput, type TransferPlan } from "./transfer.ts";

export type Outcome =
  | { readonly kind: "finished" }
  /** The client asked for the size only. */
  | { readonly kind: "probed" }
  | { readonly kind: "failed"; readonly reason: string };

export interface SessionParts {
  readonly plan: TransferPlan;
  readonly oack: readonly TftpOption[];
  readonly source: ByteSource;
  readonly endpoint: Endpoint;
  readonly nowMs: () => number;
  /** The first octets are about to leave: from now on this is a download and no probe. */
  readonly onBegin: () => void;
  readonly onProgress: (ackedBytes: number) => void;
  /** Called once; the endpoint is closed and the source released already. */
  readonly onEnd: (outcome: Outcome) => void;
}

/**
 * Runs one download: carries out what the state machine orders. The only place that knows both blocks and octets; its like
 * for large files is src/native/files/tftp-download.cc.
 */
export class Session {
  readonly #parts: SessionParts;
  #transfer: Transfer;
  #begun = false;
  /** Blocks ordered and not sent yet: from `#next` up to, and not including, `#end`. */
  #next = 1;
  #end = 1;
  #reading = false;
  #timer: NodeJS.Timeout | undefined;
  /** What the timer is to be once everything ordered has left. */
  #timerMs: number | undefined;

  constructor(parts: SessionParts) {
    this.#parts = parts;
    const first = beginTransfer(parts.plan, parts.oack.length > 0, parts.nowMs());
    this.#transfer = first.transfer;
    this.#apply(first);
  }

  /** Nothing but the OACK has been sent. */
  get offering(): boolean {
    return this.#transfer.phase === "offered";
  }

  get ended(): boolean {
    return this.#transfer.phase === "ended";
  }

  input(input: TransferInput): void {
    const next = step(this.#transfer, input, this.#parts.nowMs());
    const acked = ackedBlocks(this.#transfer);
    this.#transfer = next.transfer;
    if (ackedBlocks(next.transfer) > acked) {
      this.#parts.onProgress(Math.min(ackedBlocks(next.transfer) * this.#parts.plan.blksize, this.#parts.plan.sizeBytes));
    }
    this.#apply(next);
  }

  /** Ends it from our side; the client is told why. */
  abort(reason: string): void {
    if (this.ended) return;
    this.#transfer = { phase: "ended" };
    this.#sendError(reason);
    this.#finish({ kind: "failed", reason });
  }

  #apply(next: Step): void {
    for (const action of next.actions) {
      switch (action.kind) {
        case "send-oack":
          this.#parts.endpoint.send([encodePacket({ kind: "oack", options: this.#parts.oack })]);
          break;
        case "send-blocks":
          if (!this.#begun) this.#parts.onBegin();
          this.#begun = true;
          if (action.first !== this.#end) this.#next = action.first;
          this.#end = action.first + action.count;
          this.#pump();
          break;
        case "set-timer":
          this.#timerMs = action.afterMs;
          this.#startTimer();
          break;
        case "finished":
        case "probed":
          this.#finish(action);
          break;
        case "failed":
          if (action.tellClient) this.#sendError(action.reason);
          this.#finish({ kind: "failed", reason: action.reason });
          break;
      }
    }
  }

  #pump(): void {
    if (this.#reading) return;
    const { blksize, sizeBytes } = this.#parts.plan;
    while (this.#next < this.#end) {
      const offset = (this.#next - 1) * blksize;
      const length = Math.min(blksize, sizeBytes - offset);
      const payload = this.#parts.source.peek(offset, length);
      if (payload === undefined) {
        void this.#read(offset, length);
        return;
      }
      this.#parts.endpoint.send([dataHeader(this.#next), ...payload]);
      this.#next++;
    }
  }

  /** After a read the machine may have ordered other blocks than the one read, so the pump looks afresh; the octets are in memory now. */
  async #read(offset: number, length: number): Promise<void> {
    this.#reading = true;
    const block = this.#next;
    try {
      const payload = await this.#parts.source.read(offset, length);
      if (!this.ended && this.#next === block && block < this.#end) {
        this.#parts.endpoint.send([dataHeader(block), ...payload]);
        this.#next++;
      }
    } catch (error) {
      this.abort(error instanceof Error ? error.message : String(error));
    }
    this.#reading = false;
    if (this.ended) return;
    this.#pump();
    this.#startTimer();
  }

  /** A disk that is slow is no packet that is lost: the clock starts when the last ordered block has left. */
  #startTimer(): void {
    if (this.#timerMs === undefined) return;
    clearTimeout(this.#timer);
    if (this.#next < this.#end) return;
    this.#timer = setTimeout(() => this.input({ kind: "timeout" }), this.#timerMs);
    this.#timerMs = undefined;
  }

  #sendError(message: string): void {
    this.#parts.endpoint.send([encodePacket({ kind: "error", code: TFTP_ERROR.undefined, message: message.replaceAll("\0", "?") })]);
  }

  #finish(outcome: Outcome): void {
    clearTimeout(this.#timer);
    this.#end = this.#next;
    this.#parts.source.release();
    this.#parts.endpoint.close();
    this.#parts.onEnd(outcome);
  }
}

function ackedBlocks(transfer: Transfer): number {
  return transfer.phase === "sending" ? transfer.acked : 0;
}
