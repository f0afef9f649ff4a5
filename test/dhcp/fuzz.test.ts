import { expect, test } from "vitest";
import { fuzzDhcp } from "../fuzz/dhcp.ts";

test("no packet that a client could send ends the service, or makes an answer that nobody can read", () => {
  const { answered, ignored, malformed } = fuzzDhcp(20_000, 1);
  // Each way was gone: otherwise the inputs say nothing.
  for (const times of [answered, ignored, malformed]) expect(times).toBeGreaterThan(1000);
});
