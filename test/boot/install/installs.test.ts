import { DatabaseSync } from "node:sqlite";
import { expect, test } from "vitest";
import { begun, bootNow, gaveUp, type InstallRecord, InstallStore } from "../../../src/boot/install/installs.ts";
import type { ImageName, MachineName } from "../../../src/machine/identifiers.ts";
import type { BootSource } from "../../../src/machine/machine.ts";

const uqbar = "uqbar" as MachineName;
const rhel8 = "rhel-8.10" as ImageName;
const rhel9 = "rhel-9.4" as ImageName;
const INSTALL: BootSource & { kind: "install" } = { kind: "install", image: rhel8 };
const DISK: BootSource = { kind: "disk", via: "loader" };
const record = (changes: Partial<InstallRecord> = {}): InstallRecord => ({
  image: rhel8,
  state: "running",
  ordered: false,
  boot: 3,
  token: "t",
  ...changes,
});

test.each<[string, BootSource, InstallRecord | undefined, BootSource]>([
  ["installs at first", INSTALL, undefined, INSTALL],
  ["goes on until it is done", INSTALL, record(), INSTALL],
  ["boots its disk when it is done", INSTALL, record({ state: "done" }), DISK],
  [
    "installs another image that the configuration names later",
    { ...INSTALL, image: rhel9 },
    record({ state: "done" }),
    { ...INSTALL, image: rhel9 },
  ],
  ["installs again where a person orders it", INSTALL, record({ state: "wanted", ordered: true }), INSTALL],
  ["installs on order although its disk is configured", DISK, record({ state: "wanted", ordered: true }), INSTALL],
  ["boots its disk after an order was done", DISK, record({ state: "done", ordered: true }), DISK],
  ["is rescued as configured", { kind: "rescue", image: rhel8 }, record({ state: "done" }), { kind: "rescue", image: rhel8 }],
])("a machine %s", (_, boot, known, expected) => {
  expect(bootNow({ boot }, known)).toEqual(expected);
});

test("an installer that asks twice in one boot is the same installation, and the next boot is another", () => {
  const first = begun(undefined, INSTALL, 7, "one");
  expect(first).toEqual({ image: rhel8, state: "running", ordered: false, boot: 7, token: "one" });
  expect(begun(first, INSTALL, 7, "two")).toBe(first);
  expect(begun(first, INSTALL, 8, "two")).toMatchObject({ boot: 8, token: "two" });
});

test("an order stays one until it is done", () => {
  expect(begun(record({ state: "wanted", ordered: true }), INSTALL, 7, "x")).toMatchObject({ ordered: true, state: "running" });
  expect(begun(record({ state: "done", ordered: true }), INSTALL, 7, "x")).toMatchObject({ ordered: false });
});

test("only an installer that was running can have been given up", () => {
  expect(gaveUp(record(), 4)).toBe(true);
  expect(gaveUp(record(), 3)).toBe(false);
  expect(gaveUp(record({ state: "done" }), 4)).toBe(false);
  expect(gaveUp(undefined, 4)).toBe(false);
});

test("what became of installations is still known after a restart", () => {
  const database = new DatabaseSync(":memory:");
  const store = new InstallStore(database);
  store.set(uqbar, record());
  store.set(uqbar, record({ state: "done" }));
  expect(new InstallStore(database).get(uqbar)).toEqual(record({ state: "done" }));
  store.forget(uqbar);
  expect(new InstallStore(database).get(uqbar)).toBeUndefined();
});
