import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { openDataDisk } from "../../src/state/data-disk.ts";
import { openDatabase, saveTimelines, Timelines } from "../../src/state/database.ts";
import { type BootRecord, MAX_BOOTS_KEPT } from "../../src/state/state.ts";
import { Store } from "../../src/state/store.ts";
import { start, tlon, uqbar } from "./uefi-boot.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "rackboot-state-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

const up: BootRecord = {
  number: 1,
  machine: uqbar,
  firmware: "uefi-x64-pxe",
  beganAtMs: 1000,
  outcome: "up",
  stages: { discover: 1000, kernel: 2000, up: 9000 },
  notes: ["Linux 6.1", "fell back"],
};
const given: BootRecord = { number: 2, machine: tlon, beganAtMs: 3000, outcome: "abandoned", reason: "asked again", stages: {}, notes: [] };

it("timelines are there after a restart, as they were", () => {
  const { database } = openDatabase(join(folder, "made", "if need be"));
  new Timelines(database).save([up, given]);
  new Timelines(database).save([{ ...up, stages: { ...up.stages, login: 5000 } }]);
  database.close();
  const again = openDatabase(join(folder, "made", "if need be"));
  expect(again.setAside).toBeUndefined();
  const timelines = new Timelines(again.database);
  expect(timelines.load()).toEqual([{ ...up, stages: { ...up.stages, login: 5000 } }, given]);
  expect(timelines.lastNumber()).toBe(2);
  again.database.close();
});

it("an empty data disk has no timelines, and the first boot is number 1", () => {
  const { database } = openDatabase(folder);
  expect(new Timelines(database).load()).toEqual([]);
  expect(new Timelines(database).lastNumber()).toBe(0);
  database.close();
});

it("a machine that reboots for ever takes no more room than its last few boots", () => {
  const { database } = openDatabase(folder);
  const timelines = new Timelines(database);
  for (let number = 1; number <= 50; number++) timelines.save([{ ...up, number }]);
  expect(timelines.load().map((boot) => boot.number)).toEqual(Array.from({ length: MAX_BOOTS_KEPT }, (_, index) => 43 + index));
  expect(database.prepare("SELECT count(*) AS n FROM boot_stages").get()).toEqual({ n: MAX_BOOTS_KEPT * 3 });
  database.close();
});

it("two daemons never share a data disk", () => {
  const { database } = openDatabase(folder);
  expect(() => openDatabase(folder)).toThrow(/in use by another rackboot\. Stop that one, or give this one a storage\.path of its own/);
  database.close();
  openDatabase(folder).database.close();
});

it("a damaged file is set aside whole, and the daemon starts", () => {
  writeFileSync(join(folder, "state.sqlite"), "this was a database once ".repeat(100));
  const { database, setAside } = openDatabase(folder, undefined, () => new Date("2026-01-02T03:04:05Z"));
  expect(setAside).toBe(join(folder, "state.sqlite.damaged-2026-01-02T03-04-05-000Z"));
  expect(readFileSync(setAside ?? "", "utf8")).toContain("this was a database once");
  new Timelines(database).save([up]);
  database.close();
});

it("a file with torn pages is found out at start, not in the middle of a boot", () => {
  const first = openDatabase(folder).database;
  const timelines = new Timelines(first);
  timelines.save(Array.from({ length: 200 }, (_, index) => ({ ...up, number: index + 1, machine: `m${index}` as typeof uqbar })));
  first.close();
  const file = join(folder, "state.sqlite");
  const octets = readFileSync(file);
  octets.fill(0xff, 4096, 4096 * 4);
  writeFileSync(file, octets);
  const { database, setAside } = openDatabase(folder);
  expect(setAside).toBeDefined();
  expect(new Timelines(database).load()).toEqual([]);
  database.close();
});

it("a database of a newer rackboot is left alone", () => {
  const { database } = openDatabase(folder);
  database.exec("PRAGMA user_version = 99");
  database.close();
  expect(() => openDatabase(folder)).toThrow(/written by a newer rackboot \(version 99/);
  expect(readdirSync(folder).filter((name) => name.includes("damaged"))).toEqual([]);
});

it("a place that cannot be written to is named, with what to do", () => {
  writeFileSync(join(folder, "file"), "");
  expect(() => openDatabase(join(folder, "file", "data"))).toThrow(/state\.sqlite cannot be opened: .*Check that this user may write/);
  mkdirSync(join(folder, "state.sqlite"));
  expect(() => openDatabase(folder)).toThrow(/state\.sqlite cannot be opened/);
});

it("a boot is saved as it happens and when the daemon stops, and a full disk only delays it", async () => {
  const { database } = openDatabase(folder);
  const timelines = new Timelines(database);
  const store = new Store();
  const errors: unknown[] = [];
  const stop = saveTimelines(store, timelines, (error) => errors.push(error));
  for (const event of start) store.emit(event);
  const save = vi.spyOn(timelines, "save").mockImplementationOnce(() => {
    throw new Error("database or disk is full");
  });
  store.emit({ type: "boot.began", machine: uqbar, boot: 1 });
  store.emit({ type: "boot.reached", machine: uqbar, boot: 1, stage: "discover" });
  await vi.waitFor(() => expect(errors).toHaveLength(1), 5000);
  expect(timelines.load()).toEqual([]);
  store.emit({ type: "boot.reached", machine: uqbar, boot: 1, stage: "kernel" });
  await vi.waitFor(() => expect(timelines.load()).toHaveLength(1), 5000);
  store.emit({ type: "boot.reached", machine: uqbar, boot: 1, stage: "up" });
  await Promise.resolve();
  stop();
  expect(timelines.load()).toMatchObject([{ number: 1, outcome: "up" }]);
  expect(save).toHaveBeenCalledTimes(3);
  database.close();
});

it("a database of another program, or of a newer rackboot, is left as it is, and says what to do; leases are kept beside it meanwhile", () => {
  const file = join(folder, "state.sqlite");
  const foreign = new DatabaseSync(file);
  foreign.exec("CREATE TABLE boots (title TEXT)");
  foreign.close();
  const { database, unusable } = openDataDisk(folder);
  expect(unusable).toEqual({ reason: expect.stringContaining("already exists"), next: expect.stringMatching(/^check that/) });
  new Timelines(database).save([up]);
  expect(() => openDataDisk(folder)).toThrow("in use by another rackboot");
  database.close();
  const again = openDataDisk(folder);
  expect(new Timelines(again.database).load()).toEqual([up]);
  again.database.close();
  const still = new DatabaseSync(file);
  expect(still.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").all()).toEqual([{ name: "boots" }]);
  expect(still.prepare("SELECT title FROM boots").all()).toEqual([]);
  still.close();
});

it("a disk on which nothing can be opened any more leaves a daemon that runs, from memory", () => {
  for (const name of ["state.sqlite", "state.stand-in.sqlite"]) mkdirSync(join(folder, name));
  const { database, unusable } = openDataDisk(folder);
  expect(unusable?.reason).toContain("cannot be opened");
  new Timelines(database).save([up]);
  database.close();
});
