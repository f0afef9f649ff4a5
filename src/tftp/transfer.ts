import { TFTP_ERROR } from "./packet.ts";

/**
 * One download as a state machine without I/O (RFC 1350 with the windows of RFC 7440). It decides which blocks leave
 * when; whoever runs it reads the file, sends, and keeps the one timer.
 *
 *   offered -- ACK 0 --> sending -- ACK of the last block --> ended
 *
 * While sending, what an ACK means depends on how the blocks in flight came to be sent:
 *
 *   flight      ACK of all in flight      ACK of some of them            repeated or older ACK   timer
 *   steady      next window, steady       go back to it, went-back       short timer, holed      the last block, probed
 *   went-back   next window, steady       note it, short timer, holed    nothing                 the last block, probed
 *   probed      next window, steady       go back to it, went-back       short timer, holed      resend, timed-out
 *   holed       next window, steady       note it, short timer           nothing                 resend, timed-out
 *   timed-out   next window, steady       fill up its window             nothing                 resend, timed-out
 *
 * So a window is resent once for the ACK that reports a hole in it, and then only when the timer says so: a client that
 * acknowledges every block after a hole (OVMF does) cannot start a storm, and neither can a duplicated ACK in lock step
 * (RFC 1123, 4.2.3.1). Silence after a window means that its last block was lost, or the ACK: its last block sent again finds
 * out which for one packet (as RFC 8985, 7 does for TCP). After the time-out that follows, the client may hold more than its
 * last ACK said; it tells so at the first block it knows already, and the blocks behind that one are still on their way, so only
 * what its window lacks is sent.
 */
export type Transfer = Offered | Sending | Ended;

/** What does not change during a transfer. */
export interface TransferPlan {
  readonly sizeBytes: number;
  readonly blksize: number;
  readonly windowsize: number;
  /** Longest wait before something is sent again. */
  readonly maxWaitMs: number;
}

interface Common {
  readonly plan: TransferPlan;
  readonly roundTrip: RoundTrip | undefined;
  /** Time-outs since the client last got further. */
  readonly timeouts: number;
  /** When the packets in flight left, for the round-trip time; absent once something was sent twice (Karn's rule). */
  readonly departedMs: number | undefined;
}
/** The OACK is out; the client has not agreed yet. */
export interface Offered extends Common {
  readonly phase: "offered";
}
export interface Sending extends Common {
  readonly phase: "sending";
  readonly flight: "steady" | "went-back" | "probed" | "holed" | "timed-out";
  /** Block numbers here count on from 1 without rolling over; only the wire has 16 bits. */
  readonly acked: number;
  readonly sent: number;
}
export interface Ended {
  readonly phase: "ended";
}

/** Smoothed round-trip time and its mean deviation (RFC 6298, 2), in milliseconds. */
interface RoundTrip {
  readonly smoothMs: number;
  readonly deviationMs: number;
}

export type TransferInput =
  | { readonly kind: "ack"; readonly block: number }
  | { readonly kind: "error"; readonly code: number; readonly message: string }
  | { readonly kind: "timeout" };

export type TransferAction =
  | { readonly kind: "send-oack" }
  /** Send these blocks in this order; they replace whatever of an earlier order has not left yet, unless they continue it. */
  | { readonly kind: "send-blocks"; readonly first: number; readonly count: number }
  /** Set the one timer, counted from when the last ordered packet has left. */
  | { readonly kind: "set-timer"; readonly afterMs: number }
  | { readonly kind: "finished" }
  /** The client wanted the options (mostly tsize) and no data: no failure. */
  | { readonly kind: "probed" }
  | { readonly kind: "failed"; readonly reason: string; readonly tellClient: boolean };

export interface Step {
  readonly transfer: Transfer;
  readonly actions: readonly TransferAction[];
}

/** The classic second, until a round trip has been measured. */
const UNMEASURED_WAIT_MS = 1000;
/** Below this a descheduled client looks like a lost packet. */
const MIN_WAIT_MS = 5;
/** A client whose own timer answers for it would otherwise teach us its second, and then have it every time. */
const MAX_FIRST_WAIT_MS = 200;
/** The wait after the client reported that it still lacks something; as short as a timer is worth. */
const MIN_RECOVERY_MS = 2;
const UNMEASURED_RECOVERY_MS = 50;
/** Without a timeout option; TFTP clients themselves wait one to five seconds. */
export const DEFAULT_MAX_WAIT_MS = 4000;
/** The wait doubles each time: from 5 ms up to 4 s these are half a minute. */
export const MAX_TIMEOUTS = 16;
/** RFC 7440 allows 65535, but a window must stay far from the 65536 numbers that tell its blocks apart. */
export const MAX_WINDOWSIZE = 1024;

const BLOCK_NUMBERS = 65536;
const nothing: readonly TransferAction[] = [];

/** The last block is shorter than the others, empty where the size is a multiple (RFC 1350, 6). */
export function totalBlocks(plan: TransferPlan): number {
  return Math.floor(plan.sizeBytes / plan.blksize) + 1;
}

/** `offersOptions`: the request's options were agreed on, so an OACK goes first. */
export function beginTransfer(plan: TransferPlan, offersOptions: boolean, nowMs: number): Step {
  const common = { plan, roundTrip: undefined, timeouts: 0, departedMs: nowMs };
  if (offersOptions) {
    const transfer: Offered = { ...common, phase: "offered" };
    return { transfer, actions: [{ kind: "send-oack" }, wait(transfer)] };
  }
  return nextWindow({ ...common, phase: "sending", flight: "steady", acked: 0, sent: 0 }, nowMs);
}

export function step(transfer: Transfer, input: TransferInput, nowMs: number): Step {
  if (transfer.phase === "ended") return { transfer, actions: nothing };
  switch (input.kind) {
    case "error":
      return clientError(transfer, input.code, input.message);
    case "timeout":
      return timedOut(transfer);
    case "ack":
      if (transfer.phase === "sending") return acknowledged(transfer, input.block, nowMs);
      if (input.block !== 0) return { transfer, actions: nothing };
      return nextWindow({ ...measured(transfer, nowMs), phase: "sending", flight: "steady", acked: 0, sent: 0, timeouts: 0 }, nowMs);
  }
}

function acknowledged(transfer: Sending, block: number, nowMs: number): Step {
  // The newest block sent that bears this number. What the window before had is at or below `acked`.
  const upTo = transfer.sent - ((((transfer.sent - block) % BLOCK_NUMBERS) + BLOCK_NUMBERS) % BLOCK_NUMBERS);
  if (upTo < transfer.acked) return { transfer, actions: nothing };
  if (upTo === transfer.acked) return repeated(transfer);
  if (upTo === transfer.sent) {
    if (upTo === totalBlocks(transfer.plan)) return { transfer: { phase: "ended" }, actions: [{ kind: "finished" }] };
    return nextWindow({ ...transfer, ...measured(transfer, nowMs), flight: "steady", acked: upTo, timeouts: 0 }, nowMs);
  }
  // In a steady flight no block has left twice, so a part of it measures the way as well as the whole.
  const further: Sending = { ...measured(transfer, nowMs), acked: upTo, timeouts: 0, departedMs: undefined };
  switch (transfer.flight) {
    case "steady":
    case "probed":
      return resend(further, "went-back");
    case "went-back":
    case "holed":
      return holed(further);
    case "timed-out":
      return fillWindow(further);
  }
}

/** Nothing is resent. In a window it may still mean that its first block was lost, so the timer need not be a long one. */
function repeated(transfer: Sending): Step {
  const isNews = transfer.flight === "steady" || transfer.flight === "probed";
  return transfer.plan.windowsize > 1 && isNews ? holed(transfer) : { transfer, actions: nothing };
}

/** The client said that it lacks something: once, since further repeats of the ACK say nothing new. */
function holed(transfer: Sending): Step {
  const waiting: Sending = { ...transfer, flight: "holed", departedMs: undefined };
  return { transfer: waiting, actions: [recoveryWait(waiting)] };
}

function nextWindow(transfer: Sending, nowMs: number): Step {
  const sent = windowEnd(transfer);
  const next: Sending = { ...transfer, sent, departedMs: nowMs };
  return { transfer: next, actions: [{ kind: "send-blocks", first: next.acked + 1, count: sent - next.acked }, wait(next)] };
}

function resend(transfer: Sending, flight: "went-back" | "timed-out"): Step {
  const sent = windowEnd(transfer);
  const next: Sending = { ...transfer, flight, sent, departedMs: undefined };
  return { transfer: next, actions: [{ kind: "send-blocks", first: next.acked + 1, count: sent - next.acked }, wait(next)] };
}

function fillWindow(transfer: Sending): Step {
  const sent = Math.max(windowEnd(transfer), transfer.sent);
  const next: Sending = { ...transfer, sent };
  const count = sent - transfer.sent;
  return {
    transfer: next,
    actions: count === 0 ? [recoveryWait(next)] : [{ kind: "send-blocks", first: transfer.sent + 1, count }, recoveryWait(next)],
  };
}

function timedOut(transfer: Offered | Sending): Step {
  if (transfer.phase === "sending" && isSilent(transfer)) return probe(transfer);
  const timeouts = transfer.timeouts + 1;
  if (timeouts > MAX_TIMEOUTS) {
    const reason = transfer.phase === "offered" ? "the client never answered" : silence(transfer);
    return { transfer: { phase: "ended" }, actions: [{ kind: "failed", reason, tellClient: true }] };
  }
  if (transfer.phase === "sending") return resend({ ...transfer, timeouts }, "timed-out");
  const next: Offered = { ...transfer, timeouts, departedMs: undefined };
  return { transfer: next, actions: [{ kind: "send-oack" }, wait(next)] };
}

/** Of a window of several blocks nothing was heard, nor that it has a hole. */
function isSilent({ flight, sent, acked }: Sending): boolean {
  return (flight === "steady" || flight === "went-back") && sent > acked + 1;
}

function probe(transfer: Sending): Step {
  const next: Sending = { ...transfer, flight: "probed", departedMs: undefined };
  return { transfer: next, actions: [{ kind: "send-blocks", first: next.sent, count: 1 }, wait(next)] };
}

/** RFC 1350, 6: without the last ACK nobody knows whether the client has it all. */
function silence(transfer: Sending): string {
  const { acked, sent, plan } = transfer;
  return `the client fell silent after block ${acked}${sent === totalBlocks(plan) ? "; everything had been sent, so it may have the whole file" : ""}`;
}

function clientError(transfer: Offered | Sending, code: number, message: string): Step {
  // EDK2 asks for the size, aborts with 8 and asks again without tsize; other ROMs abort with 0.
  const probe = transfer.phase === "offered" || (code === TFTP_ERROR.optionNegotiation && transfer.acked === 0);
  if (probe) return { transfer: { phase: "ended" }, actions: [{ kind: "probed" }] };
  const said = message === "" ? "" : `: ${message}`;
  return {
    transfer: { phase: "ended" },
    actions: [{ kind: "failed", reason: `the client gave up (error ${code}${said})`, tellClient: false }],
  };
}

function windowEnd(transfer: Sending): number {
  return Math.min(transfer.acked + transfer.plan.windowsize, totalBlocks(transfer.plan));
}

function measured<T extends Common>(transfer: T, nowMs: number): T {
  if (transfer.departedMs === undefined) return transfer;
  const sample = Math.max(0, nowMs - transfer.departedMs);
  const last = transfer.roundTrip;
  const roundTrip: RoundTrip =
    last === undefined
      ? { smoothMs: sample, deviationMs: sample / 2 }
      : {
          smoothMs: last.smoothMs + (sample - last.smoothMs) / 8,
          deviationMs: last.deviationMs + (Math.abs(sample - last.smoothMs) - last.deviationMs) / 4,
        };
  return { ...transfer, roundTrip };
}

function wait(transfer: Offered | Sending): TransferAction {
  const { roundTrip } = transfer;
  const first =
    roundTrip === undefined ? UNMEASURED_WAIT_MS : clamp(roundTrip.smoothMs + 4 * roundTrip.deviationMs, MIN_WAIT_MS, MAX_FIRST_WAIT_MS);
  return { kind: "set-timer", afterMs: Math.min(first * 2 ** transfer.timeouts, transfer.plan.maxWaitMs) };
}

function recoveryWait(transfer: Sending): TransferAction {
  const { roundTrip } = transfer;
  const afterMs = roundTrip === undefined ? UNMEASURED_RECOVERY_MS : clamp(2 * roundTrip.smoothMs, MIN_RECOVERY_MS, MAX_FIRST_WAIT_MS);
  return { kind: "set-timer", afterMs: Math.min(afterMs, transfer.plan.maxWaitMs) };
}

function clamp(value: number, min: number, max: number): number {
  return Math.min(Math.max(value, min), max);
}
