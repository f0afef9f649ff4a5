import { describe, expect, test } from "vitest";
import { TFTP_ERROR } from "../../src/tftp/packet.ts";
import { beginTransfer, MAX_TIMEOUTS, type Step, step, type TransferInput, totalBlocks } from "../../src/tftp/transfer.ts";
import { type ClientStyle, simulate } from "./simulation.ts";

const PLAN = { sizeBytes: 2000 * 1024, blksize: 1024, windowsize: 4, maxWaitMs: 4000 };

/** A machine that has had some inputs, one millisecond apart. */
function having(inputs: readonly TransferInput[], plan: typeof PLAN = PLAN): Step {
  let at = 0;
  return inputs.reduce((state, input) => step(state.transfer, input, ++at), beginTransfer(plan, false, at));
}

function ack(block: number): TransferInput {
  return { kind: "ack", block };
}

function sends(state: Step): string[] {
  return state.actions.flatMap((action) => (action.kind === "send-blocks" ? [`${action.first}+${action.count}`] : []));
}

describe("a window", () => {
  test("goes out whole, and the next one when all of it was acknowledged", () => {
    expect(sends(having([]))).toEqual(["1+4"]);
    expect(sends(having([ack(4)]))).toEqual(["5+4"]);
  });

  test("with a hole is sent again from the hole, once, however often the client says so", () => {
    expect(sends(having([ack(2)]))).toEqual(["3+4"]);
    for (let repeats = 1; repeats < 20; repeats++) {
      expect(sends(having([ack(2), ...Array.from({ length: repeats }, () => ack(2))]))).toEqual([]);
    }
    expect(sends(having([ack(2), ack(2), ack(6)]))).toEqual(["7+4"]);
  });

  test("with a second hole waits for the timer, which is milliseconds away and not the classic second", () => {
    const second = having([ack(4), ack(6), ack(8)]);
    expect(sends(second)).toEqual([]);
    expect(second.actions).toEqual([{ kind: "set-timer", afterMs: expect.toSatisfy((ms: number) => ms < 20) }]);
    expect(sends(having([ack(4), ack(6), ack(8), { kind: "timeout" }]))).toEqual(["9+4"]);
  });

  test("whose first block was lost is sent again by a short timer, not by the repeated ACK", () => {
    const repeated = having([ack(4), ack(4)]);
    expect(sends(repeated)).toEqual([]);
    expect(repeated.actions).toEqual([{ kind: "set-timer", afterMs: expect.toSatisfy((ms: number) => ms < 20) }]);
    expect(sends(having([ack(4), ack(4), { kind: "timeout" }]))).toEqual(["5+4"]);
  });

  test("that nobody answers is asked after with its last block alone, and goes out whole when that has no answer either", () => {
    const timeout: TransferInput = { kind: "timeout" };
    expect(sends(having([timeout]))).toEqual(["4+1"]);
    // The ACK was lost: nothing else is sent again. The last block was not all that was lost: from the hole, once.
    expect(sends(having([timeout, ack(4)]))).toEqual(["5+4"]);
    expect(sends(having([timeout, ack(1)]))).toEqual(["2+4"]);
    expect(sends(having([timeout, ack(1), ack(1)]))).toEqual([]);
    expect(sends(having([timeout, timeout]))).toEqual(["1+4"]);
  });

  test("that was sent twice for nothing is only filled up when the client tells how far it is", () => {
    const timeouts: TransferInput[] = [{ kind: "timeout" }, { kind: "timeout" }];
    expect(sends(having([...timeouts, ack(3)]))).toEqual(["5+3"]);
    expect(sends(having([...timeouts, ack(3), ack(7)]))).toEqual(["8+4"]);
  });
});

describe("in lock step", () => {
  const plan = { ...PLAN, windowsize: 1 };

  test("a duplicated ACK never sends data again: no Sorcerer's Apprentice", () => {
    expect(sends(having([ack(1)], plan))).toEqual(["2+1"]);
    expect(having([ack(1), ack(1)], plan).actions).toEqual([]);
    expect(having([ack(1), ack(2), ack(1)], plan).actions).toEqual([]);
  });

  test("ACKs of blocks that were never sent are passed over", () => {
    for (const block of [2, 3, 1000, 65535]) expect(having([ack(block)], plan).actions).toEqual([]);
  });
});

test("an empty file is one empty block", () => {
  const plan = { ...PLAN, sizeBytes: 0 };
  expect(sends(having([], plan))).toEqual(["1+1"]);
  expect(having([ack(1)], plan).actions).toEqual([{ kind: "finished" }]);
});

test("a file of whole blocks ends with an empty one", () => {
  expect(totalBlocks({ ...PLAN, sizeBytes: 2048 })).toBe(3);
  expect(totalBlocks({ ...PLAN, sizeBytes: 2047 })).toBe(2);
});

test("firmware that asks for the size and breaks off has not failed", () => {
  const offered = beginTransfer(PLAN, true, 0);
  expect(offered.actions.map((action) => action.kind)).toEqual(["send-oack", "set-timer"]);
  const aborted = step(offered.transfer, { kind: "error", code: TFTP_ERROR.optionNegotiation, message: "User aborted the transfer" }, 1);
  expect(aborted.actions).toEqual([{ kind: "probed" }]);
});

test("a client that gives up in the middle has failed, and its words are kept", () => {
  const given = having([ack(4), { kind: "error", code: 3, message: "disk full" }]);
  expect(given.actions).toEqual([{ kind: "failed", reason: "the client gave up (error 3: disk full)", tellClient: false }]);
});

test("a client that vanishes is given up after a bounded number of packets and half a minute", () => {
  let state = having([ack(4)]);
  let waitedMs = 0;
  let packets = 0;
  // One more than time-outs are allowed, and one for the block that asks after the window.
  for (let count = 0; count <= MAX_TIMEOUTS + 1; count++) {
    for (const action of state.actions) if (action.kind === "set-timer") waitedMs += action.afterMs;
    state = step(state.transfer, { kind: "timeout" }, waitedMs);
    for (const action of state.actions) if (action.kind === "send-blocks") packets += action.count;
  }
  expect(state.actions).toMatchObject([{ kind: "failed", tellClient: true }]);
  expect(waitedMs).toBeGreaterThan(15_000);
  expect(waitedMs).toBeLessThan(60_000);
  expect(packets).toBeLessThanOrEqual(MAX_TIMEOUTS * PLAN.windowsize + 1);
});

test("a client that never answers the OACK is given up", () => {
  let state = beginTransfer(PLAN, true, 0);
  for (let count = 0; count <= MAX_TIMEOUTS; count++) state = step(state.transfer, { kind: "timeout" }, count);
  expect(state.actions).toMatchObject([{ kind: "failed", reason: "the client never answered" }]);
});

describe.each<ClientStyle>(["every-one", "first-one", "repeats-only"])("with a client that answers %s", (style) => {
  test.each([1, 4, 8, 16, 64])("a clean wire costs no packet twice at windowsize %i", (windowsize) => {
    const result = simulate({ ...PLAN, windowsize }, style, { seed: 1, loss: 0 });
    expect(result).toMatchObject({ outcome: "finished", intact: true, dataPackets: result.blocks });
  });

  test.each([
    { windowsize: 1, loss: 0.01, bound: 1.1 },
    { windowsize: 4, loss: 0.01, bound: 1.15 },
    { windowsize: 8, loss: 0.01, bound: 1.25 },
    { windowsize: 16, loss: 0.01, bound: 1.4 },
    { windowsize: 64, loss: 0.01, bound: 2.2 },
    { windowsize: 4, loss: 0.05, bound: 1.4 },
    { windowsize: 8, loss: 0.05, bound: 1.7 },
    { windowsize: 16, loss: 0.05, bound: 2.2 },
  ])("windowsize $windowsize at loss $loss arrives whole for at most $bound packets a block", ({ windowsize, loss, bound }) => {
    for (let seed = 1; seed <= 4; seed++) {
      const result = simulate({ ...PLAN, windowsize }, style, { seed, loss });
      expect(result).toMatchObject({ outcome: "finished", intact: true });
      expect(result.dataPackets / result.blocks).toBeLessThan(bound);
    }
  });

  test.each([4, 16, 64])("duplicated and reordered packets cannot start a storm at windowsize %i", (windowsize) => {
    for (let seed = 1; seed <= 4; seed++) {
      const result = simulate({ ...PLAN, sizeBytes: PLAN.sizeBytes / 4, windowsize }, style, {
        seed,
        loss: 0.02,
        duplicate: 0.05,
        reorder: 0.05,
      });
      expect(result).toMatchObject({ outcome: "finished", intact: true });
      expect(result.dataPackets / result.blocks).toBeLessThan(6);
    }
  });
});

test("OVMF, which acknowledges every block after a hole, gets its file through a wire that loses one in ten", () => {
  const result = simulate({ ...PLAN, blksize: 1468, windowsize: 4 }, "every-one", { seed: 3, loss: 0.1 });
  expect(result).toMatchObject({ outcome: "finished", intact: true });
  expect(result.dataPackets).toBeLessThan(2 * result.blocks);
  expect(result.elapsedMs).toBeLessThan(10_000);
});

test("a file of more than 65535 blocks rolls over and arrives whole, also where blocks are lost at the edge", { timeout: 60_000 }, () => {
  const result = simulate({ sizeBytes: 70_000 * 8, blksize: 8, windowsize: 16, maxWaitMs: 4000 }, "every-one", { seed: 5, loss: 0.005 });
  expect(result).toMatchObject({ outcome: "finished", intact: true, blocks: 70_001 });
});
