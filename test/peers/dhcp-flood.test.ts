import { afterAll, expect, test } from "vitest";
import { Resources } from "../harness/resources.ts";
import { flood } from "./dhcp-flood.ts";

const resources = new Resources();
afterAll(() => resources.close());

test("twenty thousand invented machines keep a known one from nothing, and are not remembered", async () => {
  const { exchanges, beforeBytes, afterBytes } = await flood(resources, 20_000);
  expect(exchanges).toBe(201);
  // The heap of a daemon that has just started is still small; what counts is that packets do not stay.
  expect(afterBytes - beforeBytes).toBeLessThan(100 << 20);
});
