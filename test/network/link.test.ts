import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { LinkWatcher } from "../../src/network/link.ts";
import type { StateEvent } from "../../src/state/events.ts";

let folder: string;
let events: StateEvent[];
const emit = (event: StateEvent): void => void events.push(event);

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "rackboot-link-"));
  events = [];
});
afterEach(() => rmSync(folder, { recursive: true }));

function attribute(name: string, value: string): void {
  mkdirSync(join(folder, "eth0"), { recursive: true });
  writeFileSync(join(folder, "eth0", name), `${value}\n`);
}

test("a cable that is pulled and plugged in again is told once each, with the speed it came up at", async () => {
  const watcher = new LinkWatcher("eth0", { emit, folder, present: () => ({}) });
  attribute("carrier", "1");
  attribute("speed", "1000");
  await watcher.look();
  await watcher.look();
  attribute("carrier", "0");
  await watcher.look();
  await watcher.look();
  attribute("carrier", "1");
  attribute("speed", "-1");
  await watcher.look();
  expect(events).toEqual([
    { type: "link.up", interface: "eth0", speedMbps: 1000 },
    { type: "link.down", interface: "eth0", reason: "no cable, or what is at its other end is off" },
    { type: "link.up", interface: "eth0" },
  ]);
});

test("an interface that is switched off, or gone, says which", async () => {
  attribute("ifindex", "2");
  await new LinkWatcher("eth0", { emit, folder, present: () => ({}) }).look();
  await new LinkWatcher("eth7", { emit, folder, present: () => ({}) }).look();
  expect(events).toMatchObject([{ reason: expect.stringContaining("ip link set eth0 up") }, { reason: "there is no such interface" }]);
});

test("an interface that only the kernel's list of addresses shows is believed to have a link", async () => {
  await new LinkWatcher("eth0", { emit, folder, present: () => ({ eth0: [] }) }).look();
  expect(events).toEqual([{ type: "link.up", interface: "eth0" }]);
});
