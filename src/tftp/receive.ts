/**
 * One upload as a state machine without I/O (RFC 1350, 6), in lock step. It decides what is stored and what is answered; whoever
 * runs it writes, sends, and keeps the one timer.
 *
 *   receiving -- a block shorter than the others --> lingering -- timer --> ended
 *
 * A block that is there already is acknowledged again and not stored: its ACK was lost. The last ACK may be lost too, so for a while
 * somebody is there to say it again.
 */
export type Receipt = Receiving | Lingering | Ended;

interface Receiving {
  readonly phase: "receiving";
  /** Blocks that are stored, counted on from 0 without rolling over. */
  readonly blocks: number;
  readonly bytes: number;
  /** Since the last new block. */
  readonly timeouts: number;
}
interface Lingering {
  readonly phase: "lingering";
  readonly blocks: number;
}
interface Ended {
  readonly phase: "ended";
}

export type ReceiptInput =
  | { readonly kind: "data"; readonly block: number; readonly length: number }
  | { readonly kind: "error"; readonly code: number; readonly message: string }
  | { readonly kind: "timeout" };

export type ReceiptAction =
  /** The block of this input, at the end of what there is; its ACK follows once it is written. */
  | { readonly kind: "store" }
  /** Block 0 stands for the answer to the request, an OACK where options were agreed on. */
  | { readonly kind: "acknowledge"; readonly block: number }
  | { readonly kind: "set-timer"; readonly afterMs: number }
  /** All of it is stored; told before the last ACK leaves. */
  | { readonly kind: "complete" }
  | { readonly kind: "closed" }
  | { readonly kind: "failed"; readonly reason: string; readonly tellClient: boolean };

export interface ReceiptStep {
  readonly receipt: Receipt;
  readonly actions: readonly ReceiptAction[];
}

/** A machine's memory as it crashed, or a switch's firmware; no more than that. */
export const MAX_UPLOAD_BYTES: number = 1024 ** 3;
/** The first wait; each further one is twice as long, up to {@link MAX_WAIT_MS}. */
const FIRST_WAIT_MS = 1000;
const MAX_WAIT_MS = 4000;
export const MAX_RECEIPT_TIMEOUTS = 8;
const BLOCK_NUMBERS = 65_536;

export function beginReceipt(): ReceiptStep {
  return { receipt: { phase: "receiving", blocks: 0, bytes: 0, timeouts: 0 }, actions: [{ kind: "acknowledge", block: 0 }, wait(0)] };
}

export function stepReceipt(receipt: Receipt, input: ReceiptInput, blksize: number): ReceiptStep {
  if (receipt.phase === "ended") return { receipt, actions: [] };
  switch (input.kind) {
    case "data":
      return data(receipt, input.block, input.length, blksize);
    case "error":
      return ended(receipt, `the client gave up (error ${input.code}${input.message === "" ? "" : `: ${input.message}`})`, false);
    case "timeout":
      return timedOut(receipt);
  }
}

function data(receipt: Receiving | Lingering, block: number, length: number, blksize: number): ReceiptStep {
  if (receipt.blocks > 0 && block === receipt.blocks % BLOCK_NUMBERS) return { receipt, actions: [{ kind: "acknowledge", block }] };
  if (receipt.phase === "lingering" || block !== (receipt.blocks + 1) % BLOCK_NUMBERS) return { receipt, actions: [] };
  if (length > blksize) return ended(receipt, `a block of ${length} octets where ${blksize} were agreed on`, true);
  const bytes = receipt.bytes + length;
  if (bytes > MAX_UPLOAD_BYTES) return ended(receipt, `more than ${MAX_UPLOAD_BYTES} octets`, true);
  const blocks = receipt.blocks + 1;
  const answer: ReceiptAction = { kind: "acknowledge", block };
  if (length === blksize) {
    return { receipt: { phase: "receiving", blocks, bytes, timeouts: 0 }, actions: [{ kind: "store" }, answer, wait(0)] };
  }
  const actions: ReceiptAction[] = [{ kind: "store" }, { kind: "complete" }, answer, { kind: "set-timer", afterMs: MAX_WAIT_MS }];
  return { receipt: { phase: "lingering", blocks }, actions };
}

function timedOut(receipt: Receiving | Lingering): ReceiptStep {
  if (receipt.phase === "lingering") return { receipt: { phase: "ended" }, actions: [{ kind: "closed" }] };
  const timeouts = receipt.timeouts + 1;
  if (timeouts > MAX_RECEIPT_TIMEOUTS) return ended(receipt, `the client fell silent after block ${receipt.blocks}`, true);
  const block = receipt.blocks % BLOCK_NUMBERS;
  return { receipt: { ...receipt, timeouts }, actions: [{ kind: "acknowledge", block }, wait(timeouts)] };
}

/** Once all of it is stored nothing can fail any more. */
function ended({ phase }: Receiving | Lingering, reason: string, tellClient: boolean): ReceiptStep {
  return { receipt: { phase: "ended" }, actions: [phase === "lingering" ? { kind: "closed" } : { kind: "failed", reason, tellClient }] };
}

function wait(timeouts: number): ReceiptAction {
  return { kind: "set-timer", afterMs: Math.min(FIRST_WAIT_MS * 2 ** timeouts, MAX_WAIT_MS) };
}
