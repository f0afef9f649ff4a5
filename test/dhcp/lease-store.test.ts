import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, expect, test } from "vitest";
import { LeaseStore } from "../../src/dhcp/lease-store.ts";
import { parseIpv4 as ip, parseMac } from "../../src/machine/identifiers.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "rackboot-leases-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

const A = { mac: parseMac("02:00:00:00:00:0a"), address: ip("10.0.0.1"), expiresMs: 1_800_000_000_000 };
const B = { mac: parseMac("02:00:00:00:00:0b"), address: ip("10.0.0.2"), expiresMs: Number.POSITIVE_INFINITY };

test("leases are the same after a restart, infinite ones included", () => {
  const path = join(folder, "state.sqlite");
  const store = new LeaseStore(path);
  store.commit([A, B]);
  store.close();
  expect(new LeaseStore(path).load()).toEqual([A, B]);
});

test("an address that moves to another client is that client's alone after a restart", () => {
  const store = new LeaseStore(new DatabaseSync(":memory:"));
  store.commit([A, B]);
  store.commit([{ ...B, address: A.address }]);
  expect(store.load()).toEqual([{ ...B, address: A.address }]);
});

test("what was committed survives kill -9 of the daemon", async () => {
  const path = join(folder, "state.sqlite");
  const program = `
    import { LeaseStore } from ${JSON.stringify(new URL("../../src/dhcp/lease-store.ts", import.meta.url).pathname)};
    const store = new LeaseStore(${JSON.stringify(path)});
    for (let n = 0; ; n++) {
      store.commit([{ mac: "02:00:00:00:00:0a", address: "10.0.0." + (n % 250 + 1), expiresMs: n }]);
      process.stdout.write(n + "\\n");
    }`;
  const child = spawn(process.execPath, ["--input-type=module", "--no-warnings", "-e", program], { stdio: ["ignore", "pipe", "inherit"] });
  const exited = new Promise((resolve) => child.once("exit", resolve));
  let printed = "";
  for await (const chunk of child.stdout) {
    printed += String(chunk);
    if (printed.split("\n").length > 50) child.kill("SIGKILL");
  }
  await exited;
  const told = Number(printed.split("\n").slice(0, -1).at(-1));
  const [lease] = new LeaseStore(path).load();
  expect(told).toBeGreaterThan(40);
  expect(lease?.expiresMs).toBeGreaterThanOrEqual(told);
});

test("a store that cannot be written says so and changes nothing", () => {
  const database = new DatabaseSync(":memory:");
  const store = new LeaseStore(database);
  store.commit([A]);
  database.exec("PRAGMA query_only = ON");
  expect(() => store.commit([B])).toThrow("readonly");
  expect(database.isTransaction).toBe(false);
  expect(store.load()).toEqual([A]);
});
