import fc from "fast-check";
import { expect, test } from "vitest";
import { loadAddon } from "../../src/native/addon.ts";
import { beginTransfer, step, type Transfer, type TransferAction, type TransferInput, type TransferPlan } from "../../src/tftp/transfer.ts";

/** The machine of src/native/files/tftp-transfer.cc decides as the one of src/tftp/transfer.ts, whose own tests say what is right. */

type TimedInput = TransferInput & { readonly atMs: number };
interface Exports {
  decideTransfer(plan: TransferPlan, offersOptions: boolean, inputs: readonly TimedInput[]): readonly TransferAction[];
}

/** What a client does next, seen from what is in flight. */
const move = fc.record({
  kind: fc.constantFrom("all", "all", "all", "part", "again", "older", "any", "timeout", "error"),
  /** Where in the flight, or which block. */
  at: fc.nat(65_535),
  afterMs: fc.double({ min: 0, max: 300, noNaN: true }),
});
type Move = { kind: string; at: number; afterMs: number };

function inputOf({ kind, at }: Move, transfer: Transfer): TransferInput {
  if (kind === "timeout") return { kind };
  if (kind === "error" && at % 50 === 0) return { kind, code: at % 10, message: at % 3 === 0 ? "" : "no more" };
  const [acked, sent] = transfer.phase === "sending" ? [transfer.acked, transfer.sent] : [0, 0];
  const block: Record<string, number> = {
    part: acked + (at % Math.max(sent - acked, 1)),
    again: acked,
    older: acked - 1 - (at % 70_000),
    any: at,
  };
  return { kind: "ack", block: (((block[kind] ?? sent) % 65_536) + 65_536) % 65_536 };
}

function decide(plan: TransferPlan, offersOptions: boolean, moves: readonly Move[]): { inputs: TimedInput[]; actions: TransferAction[] } {
  const inputs: TimedInput[] = [];
  let nowMs = 0;
  let { transfer, actions } = beginTransfer(plan, offersOptions, nowMs);
  const said = [...actions];
  for (const each of moves) {
    nowMs += each.afterMs;
    const input = { ...inputOf(each, transfer), atMs: nowMs };
    inputs.push(input);
    ({ transfer, actions } = step(transfer, input, nowMs));
    said.push(...actions);
  }
  return { inputs, actions: said };
}

test("a large file is sent by the same rules as a small one, whatever its client says", () => {
  const { decideTransfer } = loadAddon<Exports>();
  const plans = fc.record({
    sizeBytes: fc.oneof(fc.nat(100_000), fc.nat(200_000_000)),
    blksize: fc.constantFrom(8, 512, 1024, 1468),
    windowsize: fc.oneof(fc.constant(1), fc.integer({ min: 2, max: 64 }), fc.constant(1024)),
    maxWaitMs: fc.constantFrom(1000, 4000, 255_000),
  });
  fc.assert(
    fc.property(plans, fc.boolean(), fc.array(move, { maxLength: 200 }), (plan, offersOptions, moves) => {
      const { inputs, actions } = decide(plan, offersOptions, moves);
      expect(decideTransfer(plan, offersOptions, inputs)).toEqual(actions);
    }),
    { numRuns: 3000 },
  );
});

test("the block numbers of a large file roll over as those of a small one do", () => {
  const plan = { sizeBytes: 70_000 * 512, blksize: 512, windowsize: 64, maxWaitMs: 4000 };
  const moves = Array.from({ length: 1200 }, (_, index) => ({ kind: index % 7 === 6 ? "part" : "all", at: index, afterMs: 0.25 }));
  const { inputs, actions } = decide(plan, true, moves);
  expect(actions.at(-1)).toEqual({ kind: "finished" });
  expect(loadAddon<Exports>().decideTransfer(plan, true, inputs)).toEqual(actions);
});
