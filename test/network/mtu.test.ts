import { expect, test } from "vitest";
import { mtuOf } from "../../src/network/mtu.ts";

test("the kernel tells how large the loopback's packets may be, and of no other interface anything", async () => {
  expect(await mtuOf("lo")).toBeGreaterThan(1500);
  expect(await mtuOf("no-such-card")).toBeUndefined();
});
