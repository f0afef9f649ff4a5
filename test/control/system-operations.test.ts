import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { ControlClient } from "../../src/control/client.ts";
import { ControlServer } from "../../src/control/server.ts";
import { systemOperations } from "../../src/control/system-operations.ts";

let folder: string;
let server: ControlServer;
let client: ControlClient;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "rackboot-"));
  const path = join(folder, "control.sock");
  server = new ControlServer({ path, operations: systemOperations(undefined) });
  client = new ControlClient(path);
  await server.listen();
});
afterEach(async () => {
  await server.close();
  rmSync(folder, { recursive: true });
});

test("a daemon on somebody's own machine neither formats its disks nor shuts it down", async () => {
  const refused = { code: "ERR_REFUSED", message: expect.stringContaining("this is not the appliance") };
  await expect(client.call("system.disks", {})).rejects.toMatchObject(refused);
  await expect(client.call("system.shutdown", {})).rejects.toMatchObject(refused);
  await expect(client.call("system.password.set", { password: "long enough" })).rejects.toMatchObject(refused);
  await expect(client.download("system.report", {})).rejects.toMatchObject(refused);
  const format = client.follow("system.format", { disk: "sda", confirmation: "sda" });
  await expect(format.next()).rejects.toMatchObject(refused);
});

test("what makes no sense is refused before the board hears of it", async () => {
  await expect(client.call("system.password.set", { password: "short" })).rejects.toMatchObject({ code: "ERR_BAD_INPUT" });
  await expect(client.call("system.time.set", { servers: ["-p", "pool"] })).rejects.toMatchObject({ code: "ERR_BAD_INPUT" });
  await expect(client.call("system.logs", { lines: 0 })).rejects.toMatchObject({ code: "ERR_BAD_INPUT" });
});
