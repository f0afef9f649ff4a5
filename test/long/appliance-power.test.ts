import { join } from "node:path";
import { expect, it } from "vitest";
import { cutApplianceUnderLoad } from "../netboot/appliance-power.ts";
import { amount, record } from "./record.ts";

const directory = join(import.meta.dirname, "..", "..", "build", "long-appliance-power");

it("an appliance that loses its power twenty times has every write that a flush or FUA was acknowledged for, and no torn sector", async () => {
  const cuts = amount("APPLIANCE_POWER_CUTS", 20);
  const report = await cutApplianceUnderLoad({ directory, cuts, tell: console.log });
  record("appliance-power", { ...report, lost: 0, torn: 0 });
  expect(report.durable).toBeGreaterThan(10 * cuts);
});

it("a data disk that says it flushed and did not is found out, so that what is measured above means something", async () => {
  const lying = cutApplianceUnderLoad({ directory, cuts: 5, honestDisk: false, tell: console.log });
  await expect(lying).rejects.toThrow(/is of none of the writes|qemu-system-x86_64 ended/);
});
