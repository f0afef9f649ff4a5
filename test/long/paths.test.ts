import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "vitest";
import { amount, record } from "./record.ts";

/** The kernel's initiator over two paths as in every test run, with ten minutes of checked writes in the place of one. */
const seconds = amount("FIO_SECONDS", 600);
process.env["RACKBOOT_FIO_SECONDS"] = String(seconds);
await import("../netboot/linux-initiator.test.ts");

test("the figures of fio are kept", () => {
  const left = join(import.meta.dirname, "..", "..", "build", "netboot-linux-initiator", "fio.json");
  const { sessionsDropped, report } = JSON.parse(readFileSync(left, "utf8")) as {
    readonly sessionsDropped: number;
    readonly report: string;
  };
  // "write: IOPS=1, BW=2MiB/s (2MB/s)(1234MiB/600005msec); 0 zone resets"; what it reads is what it checks.
  const moved = (kind: "read" | "write"): string => new RegExp(`${kind} *:.*\\((\\S+)/\\d+msec\\)`).exec(report)?.[1] ?? "unknown";
  const errors = Number(/err= *(\d+)/.exec(report)?.[1]);
  record("paths", { seconds, sessionsDropped, written: moved("write"), checked: moved("read"), errors });
});
