import { expect, test } from "vitest";
import { fuzzDhcp } from "../fuzz/dhcp.ts";
import { amount, record } from "./record.ts";

test("ten million damaged packets make no exception and no growth", () => {
  const inputs = amount("DHCP_FUZZ_INPUTS", 10_000_000);
  const began = performance.now();
  const count = fuzzDhcp(inputs, Date.now() % 2 ** 31);
  record("fuzz-dhcp", { ...count, seconds: Math.round((performance.now() - began) / 1000) });
  expect(count.answered + count.ignored + count.malformed).toBe(inputs);
});
