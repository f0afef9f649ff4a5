import { beginTransfer, type Step, step, type TransferPlan, totalBlocks } from "../../src/tftp/transfer.ts";

/** How clients differ in what they say to a block that is not the one they wait for. */
export type ClientStyle =
  /** EDK2 and GRUB: each such block is answered with the last good one. */
  | "every-one"
  /** atftp: the first such block is answered, the rest of the flight is passed over. */
  | "first-one"
  /** RFC 1350 to the letter: a block that it has already is acknowledged again, a gap is left to the timers. */
  | "repeats-only";

export interface Wire {
  readonly seed: number;
  /** Chance that a packet is lost, either way. */
  readonly loss: number;
  readonly duplicate?: number;
  /** Chance that a packet is held back behind some that follow. */
  readonly reorder?: number;
}

export interface Result {
  readonly outcome: "finished" | "failed" | "probed" | "stuck";
  /** Every block came once, in order. */
  readonly intact: boolean;
  readonly blocks: number;
  readonly dataPackets: number;
  readonly elapsedMs: number;
}

const LATENCY_MS = 0.1;
/** 1500 octets at a gigabit. */
const SPACING_MS = 0.012;
const CLIENT_TIMEOUT_MS = 1000;
/** A storm is told from a slow transfer by this: nobody sends a thousand packets for each block. */
const MAX_EVENTS_PER_BLOCK = 1000;

/** Runs one transfer between the state machine and a client of the given style over a wire that misbehaves as told. */
export function simulate(plan: TransferPlan, style: ClientStyle, wire: Wire): Result {
  const random = generator(wire.seed);
  const blocks = totalBlocks(plan);
  const events: { atMs: number; order: number; run: () => void }[] = [];
  let order = 0;
  let nowMs = 0;
  const at = (atMs: number, run: () => void): void => {
    const event = { atMs, order: order++, run };
    let index = events.length;
    while (index > 0 && (events[index - 1]?.atMs ?? 0) > atMs) index--;
    events.splice(index, 0, event);
  };
  const deliver = (leavesMs: number, run: () => void): void => {
    for (let copies = random() < (wire.duplicate ?? 0) ? 2 : 1; copies > 0; copies--) {
      if (random() < wire.loss) continue;
      const held = random() < (wire.reorder ?? 0) ? SPACING_MS * 5 * random() : 0;
      at(leavesMs + LATENCY_MS + held, run);
    }
  };

  // The client.
  let have = 0;
  let sinceAck = 0;
  let saidGap = false;
  let clientTimer = 0;
  let intact = true;
  const acknowledge = (): void => {
    sinceAck = 0;
    const block = have & 0xffff;
    deliver(nowMs, () => input({ kind: "ack", block }));
    const timer = ++clientTimer;
    at(nowMs + CLIENT_TIMEOUT_MS, () => {
      if (timer === clientTimer && have < blocks) acknowledge();
    });
  };
  const receive = (block: number, number: number): void => {
    if (block === ((have + 1) & 0xffff) && have < blocks) {
      intact &&= number === have + 1;
      have++;
      sinceAck++;
      saidGap = false;
      if (sinceAck === plan.windowsize || have === blocks) acknowledge();
    } else if (
      have === blocks ||
      style === "every-one" ||
      (style === "repeats-only" && number <= have) ||
      (style === "first-one" && !saidGap)
    ) {
      saidGap = true;
      acknowledge();
    }
  };

  // The server.
  let outcome: Result["outcome"] = "stuck";
  let dataPackets = 0;
  let lineFreeMs = 0;
  let serverTimer = 0;
  let state = beginTransfer(plan, false, nowMs);
  const input = (what: Parameters<typeof step>[1]): void => {
    state = step(state.transfer, what, nowMs);
    carryOut(state);
  };
  const carryOut = ({ actions }: Step): void => {
    for (const action of actions) {
      if (action.kind === "send-blocks") {
        lineFreeMs = Math.max(lineFreeMs, nowMs);
        for (let number = action.first; number < action.first + action.count; number++) {
          dataPackets++;
          lineFreeMs += SPACING_MS;
          deliver(lineFreeMs, () => receive(number & 0xffff, number));
        }
      } else if (action.kind === "set-timer") {
        const timer = ++serverTimer;
        at(Math.max(nowMs, lineFreeMs) + action.afterMs, () => {
          if (timer === serverTimer) input({ kind: "timeout" });
        });
      } else if (action.kind !== "send-oack") {
        outcome = action.kind;
      }
    }
  };

  carryOut(state);
  for (let count = 0; outcome === "stuck" && count < MAX_EVENTS_PER_BLOCK * blocks; count++) {
    const next = events.shift();
    if (next === undefined) break;
    nowMs = next.atMs;
    next.run();
  }
  return { outcome, intact: intact && have === blocks, blocks, dataPackets, elapsedMs: nowMs };
}

/** mulberry32: the same wire for the same seed. */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
