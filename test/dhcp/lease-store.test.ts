import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { LEASES, LeaseDatabase } from "../../src/dhcp/lease-database.ts";
import { type LeaseStore, openLeaseStore } from "../../src/dhcp/lease-store.ts";
import { parseIpv4 as ip, parseMac } from "../../src/machine/identifiers.ts";
import { openDatabase, openMemoryDatabase } from "../../src/state/database.ts";

let folder: string;
let stores: LeaseStore[];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "rackboot-leases-"));
  stores = [];
});
afterEach(async () => {
  for (const store of stores) await store.close();
  rmSync(folder, { recursive: true });
});

function open(): LeaseStore {
  const store = openLeaseStore(openDatabase(folder, LEASES).database);
  stores.push(store);
  return store;
}

const A = { mac: parseMac("02:00:00:00:00:0a"), address: ip("10.0.0.1"), expiresMs: 1_800_000_000_000 };
const B = { mac: parseMac("02:00:00:00:00:0b"), address: ip("10.0.0.2"), expiresMs: Number.POSITIVE_INFINITY };

test("leases are the same after a restart, infinite ones included", async () => {
  const store = open();
  expect(store.load()).toEqual([]);
  await store.commit([A]);
  await store.commit([B]);
  await store.close();
  expect(open().load()).toEqual([A, B]);
});

test("an address that moves to another client is that client's alone after a restart", async () => {
  const store = openLeaseStore(openMemoryDatabase(LEASES));
  await store.commit([A, B]);
  await store.commit([{ ...B, address: A.address }]);
  expect(store.load()).toEqual([{ ...B, address: A.address }]);
});

test("a client that moves has its new address alone after a restart, and another one may have the old", async () => {
  const store = openLeaseStore(openMemoryDatabase(LEASES));
  await store.commit([A]);
  await store.commit([{ ...A, address: ip("10.0.0.9") }]);
  expect(store.load()).toEqual([{ ...A, address: "10.0.0.9" }]);
  await store.commit([{ ...B, address: A.address }, A]);
  expect(store.load()).toEqual([A]);
});

test("what was acknowledged survives kill -9 of the daemon at any moment", { timeout: 60_000 }, async () => {
  const module = (path: string): string => JSON.stringify(new URL(path, import.meta.url).pathname);
  const program = `
    import { LeaseCommits } from ${module("../../src/dhcp/commits.ts")};
    import { LEASES } from ${module("../../src/dhcp/lease-database.ts")};
    import { openLeaseStore } from ${module("../../src/dhcp/lease-store.ts")};
    import { openDatabase } from ${module("../../src/state/database.ts")};
    const commits = new LeaseCommits(openLeaseStore(openDatabase(${JSON.stringify(folder)}, LEASES).database), {});
    const ask = (n) => {
      const client = n % 250;
      commits.add({ mac: "02:00:00:00:00:" + client.toString(16).padStart(2, "0"), address: "10.0.0." + (client + 1), expiresMs: n },
        () => process.stdout.write(n + "\\n"));
      setImmediate(ask, n + 1);
    };
    ask(0);`;
  const file = join(folder, "program.mjs");
  writeFileSync(file, program);
  let total = 0;
  for (const least of [1, 50, 400]) {
    const child = spawn(process.execPath, ["--no-warnings", file], { stdio: ["ignore", "pipe", "inherit"] });
    const exited = new Promise((resolve) => child.once("exit", resolve));
    let printed = "";
    for await (const chunk of child.stdout) {
      printed += String(chunk);
      if (printed.split("\n").length > least) child.kill("SIGKILL");
    }
    await exited;
    const told = new Map<number, number>();
    for (const line of printed.split("\n").slice(0, -1)) told.set(Number(line) % 250, Number(line));
    const { database } = openDatabase(folder, LEASES);
    const kept = new Map(
      new LeaseDatabase(database).load().map(({ address, expiresMs }) => [Number(address.split(".")[3]) - 1, expiresMs]),
    );
    database.close();
    for (const [client, expiresMs] of told) expect(kept.get(client) ?? -1).toBeGreaterThanOrEqual(expiresMs);
    total += told.size;
  }
  expect(total).toBeGreaterThan(100);
});

test("a store that cannot be written says so and changes nothing", async () => {
  const database = openMemoryDatabase(LEASES);
  const store = openLeaseStore(database);
  await store.commit([A]);
  database.exec("PRAGMA query_only = ON");
  await expect(store.commit([B])).rejects.toThrow("readonly");
  expect(database.isTransaction).toBe(false);
  expect(store.load()).toEqual([A]);
});

test("a thread that cannot open its file is an answer, and another one is begun when the file is free", async () => {
  const store = open();
  store.load();
  await store.commit([A]);
  await store.close();
  const { database } = openDatabase(folder, LEASES);
  await expect(store.commit([B])).rejects.toThrow(/locked|in use/);
  database.close();
  await store.commit([B]);
  await store.close();
  expect(open().load()).toEqual([A, B]);
});
