import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ensureGuest } from "../harness/guest.ts";
import { installKernel, offerKernel } from "../harness/kernel-update.ts";
import { rhelDisk } from "../harness/layouts.ts";
import { emptyDirectory, LoneMachine } from "../harness/lone-machine.ts";
import { Resources } from "../harness/resources.ts";
import { GIB } from "../volume/look/images.ts";
import { record } from "./record.ts";

const resources = new Resources();
let rack: LoneMachine;

beforeAll(async () => {
  const guest = await ensureGuest((line) => console.log(line));
  const directory = emptyDirectory("rollback");
  const files = join(directory, "files");
  mkdirSync(files);
  await offerKernel(files);
  const disk = await rhelDisk(guest, join(directory, "golden.raw"), 8 * GIB);
  const machine = { disks: ["uqbar-root"], arguments: "rw console=ttyS0" };
  rack = await LoneMachine.start(resources, { directory, machine, config: { tftp: { root: files } } });
  await rackboot("volume", "import", disk, "uqbar-root");
});

afterAll(async () => {
  await resources.close();
});

async function rackboot(...words: readonly string[]): Promise<void> {
  expect(await rack.daemon.rackboot(...words)).toMatchObject({ code: 0, stderr: "" });
}

test("a snapshot brings back the kernel that ran before an update, and nothing has to be copied for that either", async () => {
  const { uqbar } = rack;
  await rackboot("volume", "snapshot", "uqbar-root", "before-update");
  expect(await rack.bootToLogin()).toBe(1);
  const before = await rack.kernel();
  await installKernel(uqbar);
  await uqbar.powerOff();
  expect(await rack.bootToLogin()).toBe(2);
  const after = await rack.kernel();
  expect(after).not.toBe(before);
  await uqbar.powerOff();
  // A machine that is switched off says no farewell to its disk.
  await rackboot("volume", "rollback", "uqbar-root@before-update", "--force");
  // What the disk counts is on the disk.
  expect(await rack.bootToLogin()).toBe(1);
  expect(await rack.kernel()).toBe(before);
  record("rollback", { before, updatedTo: after, afterRollback: before });
});
