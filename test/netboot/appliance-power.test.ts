import { join } from "node:path";
import { expect, it } from "vitest";
import { cutApplianceUnderLoad } from "./appliance-power.ts";

it("an appliance that loses its power twice has every write that a flush or FUA was acknowledged for, and no torn sector", async () => {
  const directory = join(import.meta.dirname, "..", "..", "build", "appliance-power");
  const report = await cutApplianceUnderLoad({ directory, cuts: 2, tell: console.log });
  expect(report.durable).toBeGreaterThan(50);
});
