import { afterAll, expect, test } from "vitest";
import { Resources } from "../harness/resources.ts";
import { flood } from "../peers/dhcp-flood.ts";
import { amount, record } from "./record.ts";

const resources = new Resources();
afterAll(() => resources.close());

test("a million invented machines leave memory flat, and a known one is served all the time", async () => {
  const report = await flood(resources, amount("DHCP_FLOOD_PACKETS", 1_000_000));
  record("dhcp-flood", { ...report, seconds: Math.round(report.seconds), worstMs: Math.round(report.worstMs) });
  expect(report.afterBytes - report.beforeBytes).toBeLessThan(100 << 20);
});
