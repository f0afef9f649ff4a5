import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Clock } from "../../../board/system/clock.ts";

const PATH = process.env["PATH"];

let folder: string;

/** A time client that only says how it was started, as a program in the path. */
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "rackboot-clock-"));
  writeFileSync(join(folder, "ntpd"), `#!/bin/sh\nprintf '%s\\n' "$*" >>${folder}/started\nexec sleep 60\n`, { mode: 0o755 });
  process.env["PATH"] = `${folder}:${PATH}`;
});
afterEach(() => {
  process.env["PATH"] = PATH;
  rmSync(folder, { recursive: true });
});

const started = (): readonly string[] => {
  try {
    return readFileSync(join(folder, "started"), "utf8").trim().split("\n");
  } catch {
    return [];
  }
};

describe("the appliance's time", () => {
  it("follows the servers that a person named, also after a restart, and the rack may ask it", async () => {
    const clock = new Clock(join(folder, "time-servers"));
    await clock.start();
    expect(await clock.read()).toMatchObject({ servers: [] });
    expect(started()).toEqual([]);
    await clock.set({ servers: ["172.16.0.254", "pool.ntp.org"] });
    await expect.poll(started, { timeout: 10_000 }).toHaveLength(1);
    expect(started()[0]).toBe("-n -l -S /usr/libexec/rackboot/time-synced -p 172.16.0.254 -p pool.ntp.org");

    const again = new Clock(join(folder, "time-servers"));
    await again.start();
    await expect.poll(started, { timeout: 10_000 }).toHaveLength(2);
    expect((await again.read()).servers).toEqual(["172.16.0.254", "pool.ntp.org"]);
    for (const one of [clock, again]) await one.set({ servers: [] });
  });

  it("is not set by hand while it follows a server, and says what to do first", async () => {
    const clock = new Clock(join(folder, "time-servers"));
    await clock.set({ servers: ["172.16.0.254"] });
    await expect(clock.set({ nowMs: 0 })).rejects.toThrow("take the servers away first");
    await clock.set({ servers: [] });
  });
});
