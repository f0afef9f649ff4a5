import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { Keeper } from "../../../board/system/password.ts";
import { withoutSecrets } from "../../../board/system/report.ts";

// Each look at a password costs what it is meant to cost a guesser.
vi.setConfig({ testTimeout: 60_000 });

let folder: string;
let file: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "rackboot-password-"));
  file = join(folder, "password");
});
afterEach(() => rmSync(folder, { recursive: true }));

it("there is no default password: without one nothing opens, and the first one needs none before it", async () => {
  const keeper = new Keeper(file);
  expect([keeper.isSet, await keeper.check(""), await keeper.check("rackboot")]).toEqual([false, false, false]);
  await keeper.set("correct horse", undefined);
  expect([keeper.isSet, await keeper.check("correct horse"), await keeper.check("correct horse ")]).toEqual([true, true, false]);
});

it("another one is set only by who knows the one of today; umlauts are the same from every keyboard", async () => {
  const keeper = new Keeper(file);
  await keeper.set("gr\u00fcn und blau", undefined);
  await expect(keeper.set("taken over", undefined)).rejects.toThrow("not the password that is set");
  await expect(keeper.set("taken over", "wrong guess")).rejects.toThrow("not the password that is set");
  expect(await keeper.check("gru\u0308n und blau")).toBe(true);
  await keeper.set("the next one", "gr\u00fcn und blau");
  expect([await keeper.check("the next one"), await keeper.check("gr\u00fcn und blau")]).toEqual([true, false]);
});

it("a hash that makes no sense opens nothing, and says how to get in", async () => {
  writeFileSync(file, "plain secret\n");
  await expect(new Keeper(file).check("secret")).rejects.toThrow("hold the button at power-on");
});

it("what is kept is for root alone, and is no password", async () => {
  await new Keeper(file).set("correct horse", undefined);
  expect(statSync(file).mode & 0o077).toBe(0);
});

it("a report that is sent to a stranger opens no door", () => {
  const yaml = 'network: {}\n  secret: abc\n  - password: "x y"\n  api-key: k\nsecrets: ./secrets.yaml\nmonkey: { a: 1 }\n';
  const told = withoutSecrets(yaml);
  for (const word of ["abc", "x y", "api-key: k"]) expect(told).not.toContain(word);
  expect(told).toContain("secret: (left out)");
});
