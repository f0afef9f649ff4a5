import { execFile } from "node:child_process";
import { z } from "zod";
import type { SmartHealth } from "../../src/state/health.ts";

const SMARTCTL_TIMEOUT_MS = 30_000;
const MAX_OUTPUT_BYTES = 1024 * 1024;

const count = z.number().catch(0);
/** The few fields of `smartctl --json` (smartmontools 7, "json_format_version": [1,0]) that are read; disks leave any of them out. */
const schema = z.object({
  model_name: z.string().optional(),
  smart_status: z.object({ passed: z.boolean() }).optional(),
  temperature: z.object({ current: z.number().optional() }).optional(),
  power_on_time: z.object({ hours: z.number().optional() }).optional(),
  endurance_used: z.object({ current_percent: z.number().optional() }).optional(),
  nvme_smart_health_information_log: z.object({ percentage_used: z.number().optional(), media_errors: z.number().optional() }).optional(),
  ata_smart_attributes: z
    .object({ table: z.array(z.object({ id: z.number(), value: count, raw: z.object({ value: count }) })) })
    .optional(),
  smartctl: z.object({ messages: z.array(z.object({ string: z.string() })).optional() }).optional(),
});

/** ATA attributes whose normalized value is what is left of the disk's life, in percent. Makers chose different ones; the first that is there. */
const LIFE_LEFT_ATTRIBUTES = [231, 233, 202, 169, 177];
/** Reallocated, reported uncorrectable, pending, offline uncorrectable sectors: the raw values. */
const BAD_SECTOR_ATTRIBUTES = [5, 187, 197, 198];

export type SmartReading = { readonly ok: true; readonly smart: SmartHealth } | { readonly ok: false; readonly reason: string };

/** What smartctl's JSON says. Pure. */
export function parseSmart(text: string): SmartReading {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return { ok: false, reason: "smartctl gave no JSON" };
  }
  const result = schema.safeParse(json);
  if (!result.success) return { ok: false, reason: "smartctl's answer has another form" };
  const { data } = result;
  const attributes = new Map(data.ata_smart_attributes?.table.map((row) => [row.id, row]));
  const nvme = data.nvme_smart_health_information_log;
  if (data.smart_status === undefined && nvme === undefined && attributes.size === 0) {
    return { ok: false, reason: data.smartctl?.messages?.[0]?.string ?? "the USB bridge does not let SMART through" };
  }
  const lifeLeft = LIFE_LEFT_ATTRIBUTES.map((id) => attributes.get(id)?.value).find((value) => value !== undefined && value <= 100);
  const wearPercent =
    data.endurance_used?.current_percent ?? nvme?.percentage_used ?? (lifeLeft === undefined ? undefined : 100 - lifeLeft);
  const hasSectors = BAD_SECTOR_ATTRIBUTES.some((id) => attributes.has(id));
  const ataBad = hasSectors ? BAD_SECTOR_ATTRIBUTES.reduce((sum, id) => sum + (attributes.get(id)?.raw.value ?? 0), 0) : undefined;
  return {
    ok: true,
    smart: defined({
      model: data.model_name,
      passed: data.smart_status?.passed,
      wearPercent,
      temperatureC: data.temperature?.current,
      badSectors: nvme?.media_errors ?? ataBad,
      powerOnHours: data.power_on_time?.hours,
    }),
  };
}

type Defined<T> = { [K in keyof T]?: Exclude<T[K], undefined> };

function defined<T extends object>(record: T): Defined<T> {
  return Object.fromEntries(Object.entries(record).filter(([, value]) => value !== undefined)) as Defined<T>;
}

/**
 * Asks the disk in a child that cannot take longer than half a minute. smartctl says by bits of its exit code what it thinks of
 * the disk, so that code is not looked at. Never rejects; undefined where there is no smartctl.
 */
export function readSmart(device: string, command: string = "smartctl"): Promise<SmartReading | undefined> {
  const limits = { timeout: SMARTCTL_TIMEOUT_MS, killSignal: "SIGKILL", maxBuffer: MAX_OUTPUT_BYTES } as const;
  return new Promise((resolve) => {
    execFile(command, ["--json=c", "--info", "--health", "--attributes", `/dev/${device}`], limits, (error, stdout) => {
      if (error?.code === "ENOENT") resolve(undefined);
      else if (error?.killed === true) resolve({ ok: false, reason: "the disk did not answer within 30 s" });
      else resolve(parseSmart(stdout));
    });
  });
}
