import { expect, test } from "vitest";
import { MAX_TRANSFERS, MAX_TRANSFERS_PER_CLIENT, Slots } from "../../src/tftp/slots.ts";

const claimed = (slots: Slots, address: string, port: number) => slots.claim(address, port, "the same file");

test("a whole data centre at once takes no more transfers than there are descriptors for, and gets in as others leave", () => {
  const slots = new Slots(() => 0);
  const claims = Array.from({ length: MAX_TRANSFERS + 50 }, (_, index) => claimed(slots, `10.0.${index >> 8}.${index & 255}`, 2000));
  expect(claims.filter(({ kind }) => kind === "slot")).toHaveLength(MAX_TRANSFERS);
  expect(slots.size).toBe(MAX_TRANSFERS);
  expect(claims.at(-1)).toEqual({ kind: "busy", reason: `${MAX_TRANSFERS} transfers are under way, which is the limit` });
  for (const claim of claims.slice(0, 10)) if (claim.kind === "slot") claim.release();
  expect(claimed(slots, "10.9.9.9", 2000).kind).toBe("slot");
  expect(slots.size).toBe(MAX_TRANSFERS - 9);
});

test("one client that opens port after port leaves room for all the others", () => {
  const slots = new Slots(() => 0);
  const kinds = Array.from({ length: 1000 }, (_, index) => claimed(slots, "10.0.0.1", 1024 + index).kind);
  expect(kinds.filter((kind) => kind === "slot")).toHaveLength(MAX_TRANSFERS_PER_CLIENT);
  expect(kinds.filter((kind) => kind === "busy")).toHaveLength(1000 - MAX_TRANSFERS_PER_CLIENT);
  expect(claimed(slots, "10.0.0.2", 1024).kind).toBe("slot");
});
