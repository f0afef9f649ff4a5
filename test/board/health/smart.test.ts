import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseSmart, readSmart } from "../../../board/health/smart.ts";

const attribute = (id: number, value: number, raw: number): object => ({
  id,
  name: "x",
  value,
  worst: value,
  thresh: 0,
  raw: { value: raw, string: `${raw}` },
});

describe("what a disk says of itself", () => {
  it("through a SATA bridge: wear by whichever attribute its maker chose, and every sector that is bad", () => {
    const text = JSON.stringify({
      json_format_version: [1, 0],
      smartctl: { version: [7, 3], exit_status: 0 },
      model_name: "Samsung SSD 860 EVO 500GB",
      smart_status: { passed: true },
      ata_smart_attributes: {
        revision: 1,
        table: [attribute(5, 100, 2), attribute(9, 95, 20_000), attribute(177, 88, 150), attribute(187, 100, 1)],
      },
      power_on_time: { hours: 20_000 },
      temperature: { current: 34 },
    });
    expect(parseSmart(text)).toEqual({
      ok: true,
      smart: { model: "Samsung SSD 860 EVO 500GB", passed: true, wearPercent: 12, temperatureC: 34, badSectors: 3, powerOnHours: 20_000 },
    });
  });

  it("through an NVMe bridge: the log page, also beyond its promised life", () => {
    const log = { critical_warning: 0, temperature: 41, percentage_used: 104, media_errors: 0 };
    const text = JSON.stringify({ smart_status: { passed: false }, nvme_smart_health_information_log: log, temperature: { current: 41 } });
    expect(parseSmart(text)).toEqual({ ok: true, smart: { passed: false, wearPercent: 104, temperatureC: 41, badSectors: 0 } });
  });

  it("through a bridge that lets nothing through: smartctl's own words", () => {
    const messages = [{ string: "/dev/sda: Unknown USB bridge [0x152d:0x0578 (0x3201)]", severity: "error" }];
    expect(parseSmart(JSON.stringify({ smartctl: { exit_status: 1, messages } }))).toEqual({ ok: false, reason: messages[0]?.string });
    expect(parseSmart("{}")).toEqual({ ok: false, reason: "the USB bridge does not let SMART through" });
  });

  it("or something that makes no sense, and never an exception", () => {
    expect(parseSmart("")).toEqual({ ok: false, reason: "smartctl gave no JSON" });
    expect(parseSmart('{"smart_status": 7}')).toEqual({ ok: false, reason: "smartctl's answer has another form" });
    fc.assert(fc.property(fc.json(), (text) => typeof parseSmart(text).ok === "boolean"));
  });

  it("is not known where there is no smartctl, and a program that fails is no answer", async () => {
    expect(await readSmart("sda", "/nowhere/smartctl")).toBeUndefined();
    expect(await readSmart("sda", "false")).toEqual({ ok: false, reason: "smartctl gave no JSON" });
  });
});
