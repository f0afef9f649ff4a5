import { describe, expect, it } from "vitest";
import {
  FORGET_AFTER_MS,
  FREE_FAILURES,
  LONGEST_DELAY_MS,
  LoginPace,
  MAX_ADDRESSES,
  MAX_HELD_REFUSALS,
} from "../../src/iscsi/login-pace.ts";

const A = "172.16.0.16";

/** Fails `times` times, each after the refusal before it, and returns the delays. */
function delays(pace: LoginPace, address: string, times: number, nowMs = 0): readonly number[] {
  return Array.from({ length: times }, () => {
    const { delayMs } = pace.failed(address, nowMs);
    pace.released(address);
    return delayMs;
  });
}

describe("the pace of failed logins", () => {
  it("lets a person mistype, then doubles the delay up to what an initiator waits for", () => {
    const pace = new LoginPace();
    expect(delays(pace, A, FREE_FAILURES + 6)).toEqual([0, 0, 0, 1000, 2000, 4000, 8000, LONGEST_DELAY_MS, LONGEST_DELAY_MS]);
  });

  it("tells that it begins once, until the address has been quiet", () => {
    const pace = new LoginPace();
    const fail = (nowMs: number): number | undefined => {
      const { began, delayMs } = pace.failed(A, nowMs);
      if (delayMs > 0) pace.released(A);
      return began;
    };
    expect(Array.from({ length: 6 }, () => fail(0))).toEqual([undefined, undefined, undefined, 4, undefined, undefined]);
    expect(fail(FORGET_AFTER_MS)).toBeUndefined();
    expect(pace.failed(A, FORGET_AFTER_MS).delayMs).toBe(0);
  });

  it("is one address's own, and gains nothing by many connections side by side", () => {
    const pace = new LoginPace();
    for (let i = 0; i < FREE_FAILURES + MAX_HELD_REFUSALS; i++) {
      expect(pace.mayTry(A)).toBe(true);
      pace.failed(A, 0);
    }
    expect(pace.mayTry(A)).toBe(false);
    expect(pace.mayTry("172.16.0.17")).toBe(true);
    expect(pace.failed("172.16.0.17", 0).delayMs).toBe(0);
    pace.released(A);
    expect(pace.mayTry(A)).toBe(true);
  });

  it("remembers a bounded number of addresses, and forgets the one that failed longest ago", () => {
    const pace = new LoginPace();
    delays(pace, A, FREE_FAILURES);
    const crowd = Array.from({ length: MAX_ADDRESSES - 1 }, (_, i) => `10.0.${i >> 8}.${i & 255}`);
    for (const address of crowd) pace.failed(address, 0);
    expect(delays(pace, A, 1)).toEqual([1000]);
    for (const address of [...crowd, "10.9.9.9"]) pace.failed(address, 0);
    expect(delays(pace, A, 1)).toEqual([0]);
  });
});
